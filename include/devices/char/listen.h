/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that a person names, and that clients connect to. */
#ifndef BANTAM_DEVICES_CHAR_LISTEN_H
#define BANTAM_DEVICES_CHAR_LISTEN_H

#include <sys/stat.h>
#include <sys/un.h>

#include "vm/core/base.h"

struct error;
struct sockaddr;

struct char_listener {
	int fd; /* does not block */
	struct sockaddr_un address;
	struct stat identity; /* of the socket's file, to unlink no other */
};

/*
 * Listens at path, a file of mode 0600; one that nobody listens on is replaced. -errno with a line.
 */
int char_listen(const char *path, int backlog, struct char_listener *listener, struct error *err);
/* The same, at an address of IPv4 or IPv6. */
int char_listen_tcp(const struct sockaddr *address, int backlog, struct char_listener *listener,
	struct error *err);
/* Closes it, and removes its file if it still is that one. */
void char_unlisten(struct char_listener *listener);

#endif
