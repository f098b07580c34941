/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service manager is told (systemd's Type=notify), by its own protocol. */
#ifndef BANTAM_VM_CLI_NOTIFY_H
#define BANTAM_VM_CLI_NOTIFY_H

/*
 * Sends state ("READY=1") to the socket that NOTIFY_SOCKET names: a path, or with '@' first an
 * abstract name. Without that variable nothing happens, and a socket that takes nothing is no
 * reason to fail.
 */
void notify_manager(const char *state);

#endif
