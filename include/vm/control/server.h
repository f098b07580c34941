/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front end for Bantam's own verbs: JSON, one object a line, on a unix stream socket.
 *
 *	server, at once:  {"bantam": "0.1.0", "protocol": 1, "name": "web"}
 *	client:           {"id": 7, "command": "stop", "args": {"timeout": 20000}}
 *	server:           {"id": 7, "result": {...}}          once
 *	                  {"id": 7, "error": {"code": "EBUSY", "text": "..."}}   instead
 *	                  {"id": 7, "part": {...}}             before it, for commands that go on
 *
 * "id" is any number of the client's choice and comes back with all that answers it; two may be
 * under way at once. Descriptors go by SCM_RIGHTS with the line that needs them; an argument that
 * is one has as its value its place among them, from 0 on. Unknown members are ignored, unknown
 * arguments refused.
 *
 * Who may connect: the user that runs the VM, and root (SO_PEERCRED); the directory and the socket
 * are that user's alone anyway. A line has SERVER_MAX_LINE bytes at most, a connection
 * SERVER_MAX_JOBS commands under way, a VM SERVER_MAX_CLIENTS connections. A client that does not
 * read what it asked for is dropped at SERVER_MAX_UNREAD bytes. Nothing of that holds up the VM.
 *
 * Nor does it lock others out: when there is no place for a new connection, the one goes that has
 * had nothing under way for longest, with {"id": 0, "error": ...} as its last line. It has
 * SERVER_UNASKED_MS for its first command, during which a new connection waits, and SERVER_IDLE_MS
 * between two. Connections that wait for events without a bound ("wait", "events", "console",
 * "log") are SERVER_MAX_WATCHERS at most, so that there is always a place for a command.
 */
#ifndef BANTAM_VM_CONTROL_SERVER_H
#define BANTAM_VM_CONTROL_SERVER_H

#include "vm/core/base.h"

struct clock;
struct control;
struct error;
struct event_loop;
struct log;
struct server;
struct sockaddr_un;

enum {
	SERVER_PROTOCOL = 1,
	SERVER_MAX_LINE = 64 * 1024,
	SERVER_MAX_CLIENTS = 40,
	SERVER_MAX_WATCHERS = 32,
	SERVER_MAX_JOBS = 32,
	SERVER_MAX_FDS = 8, /* with one line */
	SERVER_MAX_UNREAD = 1024 * 1024,
	SERVER_UNASKED_MS = 1000,
	SERVER_IDLE_MS = 10 * 1000,
	/* How long commands take at most: a stop whose argument says nothing else, and a pause */
	SERVER_STOP_MS = 30 * 1000,
	SERVER_PAUSE_MS = 10 * 1000,
	/* How long the end of a VM waits for disks that hang */
	SERVER_END_MS = 5 * 1000,
};

struct server_config {
	struct control *control;
	struct event_loop *loop;
	const struct clock *clock; /* its loop is the same */
	struct log *log;
	const char *name; /* the VM's, for the greeting */
};

/*
 * A socket at address, where nobody else listens; what is there is removed. Nobody gets an answer
 * before it is given to server_create. Its descriptor, or -errno with a line.
 */
int server_bind(const struct sockaddr_un *address, struct error *err);
/* Listens on fd, which is taken over unless that fails. -errno with a line. */
int server_create(
	const struct server_config *config, int fd, struct server **ret, struct error *err);
/*
 * Sends what is still to be sent, as far as that takes no waiting, and hangs up. The control is
 * destroyed before, so that its last answers are among that. NULL is allowed.
 */
void server_destroy(struct server *server);

#endif
