/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event loop over epoll. A source is embedded in its owner; its function runs on the loop's
 * thread with no lock of the loop held.
 */
#ifndef BANTAM_VM_CORE_EVENT_LOOP_H
#define BANTAM_VM_CORE_EVENT_LOOP_H

#include <sys/epoll.h>

#include "vm/core/base.h"

struct event_loop;

struct event_source {
	int fd;		 /* owned by the embedding object */
	uint32_t events; /* EPOLLIN, EPOLLOUT, ...; 0 keeps the source registered but quiet */
	void (*fn)(void *opaque, uint32_t events);
	void *opaque;

	/* The loop's */
	bool posted;
	struct event_source *next;
};

int event_loop_create(struct event_loop **ret);
void event_loop_destroy(struct event_loop *loop);

/* Any thread. Return 0 or a negative errno (-EPERM: the descriptor, a regular file, cannot poll).
 */
int event_loop_add(struct event_loop *loop, struct event_source *source);
int event_loop_modify(struct event_loop *loop, struct event_source *source, uint32_t events);

/*
 * Any thread, with any lock held. The function of a source that has no descriptor (-1), and was not
 * added, is called on the loop's thread, once for all that was posted before; events is 0.
 */
void event_loop_post(struct event_loop *loop, struct event_source *source);

/*
 * Any thread, also from inside the source's own function. Returns only when the function is not
 * running (elsewhere than in the caller) and cannot start. Hold no lock that the function takes.
 */
void event_loop_remove(struct event_loop *loop, struct event_source *source);

/* Waits up to timeout_ms (-1: for ever) and dispatches what is ready. Returns the count or -errno.
 */
int event_loop_step(struct event_loop *loop, int timeout_ms);

/* Runs until event_loop_stop. Returns 0 or a negative errno. */
int event_loop_run(struct event_loop *loop);

/* Any thread, async-signal-safe. Makes the current or the next event_loop_run return, once. */
void event_loop_stop(struct event_loop *loop);

#endif
