/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service manager is told (systemd's Type=notify), by its own protocol. */
#ifndef BANTAM_VM_CLI_NOTIFY_H
#define BANTAM_VM_CLI_NOTIFY_H

/*
 * The socket that NOTIFY_SOCKET names: a path, or with '@' first an abstract name. A descriptor, or
 * -1 where there is none.
 */
int notify_open(void);
/* Sends state ("READY=1") there, or nowhere. A socket that takes nothing is no reason to fail. */
void notify_send(int fd, const char *state);

#endif
