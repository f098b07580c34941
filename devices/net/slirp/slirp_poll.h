/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libslirp's sockets in an epoll set of their own, which stands in the loop as one source: however
 * many are ready, libslirp goes over its list of sockets once.
 *
 * libslirp says what it waits for by naming all its sockets, each time anew. What has changed since
 * the last time is passed on to epoll; the rest costs no system call. One thread.
 */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_POLL_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_POLL_H

#include "vm/core/base.h"

struct slirp_poll_slot {
	uint32_t events; /* that epoll waits for; 0: not in the set */
	uint32_t ready;
	unsigned int round; /* the last one in which it was named */
	unsigned int batch; /* of which ready is */
	bool live;	    /* opened, not closed yet */
	bool prepared, datagram;
};

struct slirp_poll {
	int epoll_fd;
	struct slirp_poll_slot *slots; /* by descriptor */
	int num_slots;
	int *set; /* the descriptors in the epoll set; as large as slots */
	int num_set;
	unsigned int live;
	unsigned int round, batch;
	bool reads; /* since begin, a socket is to be read that was not before */
};

int slirp_poll_init(struct slirp_poll *poll);
void slirp_poll_fini(struct slirp_poll *poll);

/* A socket of a flow was made, or is about to be closed. -1 is no socket. */
void slirp_poll_open(struct slirp_poll *poll, int fd);
void slirp_poll_close(struct slirp_poll *poll, int fd);

/* Between begin and commit: all that is waited for, SLIRP_POLL_IN, _OUT or both. 0 or -errno. */
void slirp_poll_begin(struct slirp_poll *poll);
int slirp_poll_want(struct slirp_poll *poll, int fd, int events);
void slirp_poll_commit(struct slirp_poll *poll);

/*
 * What is ready now is what slirp_poll_ready says until slirp_poll_done: SLIRP_POLL_* for libslirp,
 * which acts on it at once. Nothing that makes it read unless it may.
 */
void slirp_poll_collect(struct slirp_poll *poll);
/*
 * The same, after a sleep of up to timeout_ms (-1: no limit). A descriptor that
 * slirp_poll_add_wake has put into the set ends the sleep whenever it is signalled, and need not be
 * read. False: nothing has ended it. *sockets: one of them is ready.
 */
bool slirp_poll_wait(struct slirp_poll *poll, int timeout_ms, bool *sockets);
int slirp_poll_add_wake(struct slirp_poll *poll, int wake);
int slirp_poll_ready(const struct slirp_poll *poll, int fd, bool may_read);
void slirp_poll_done(struct slirp_poll *poll);

#endif
