/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread that runs an event loop: for I/O that shall go on beside the console and the vCPUs. */
#ifndef BANTAM_VM_CORE_IO_THREAD_H
#define BANTAM_VM_CORE_IO_THREAD_H

#include "vm/core/base.h"
#include "vm/core/confine.h"

struct error;
struct event_loop;
struct io_thread;

struct io_thread_config {
	const char *name;	       /* what ps and top show, at most 15 characters */
	const struct confine *confine; /* or NULL; outlives it */
	enum confine_class what;
};

/* Held as yet (see below). -errno with a line. */
int io_thread_create(
	const struct io_thread_config *config, struct io_thread **ret, struct error *err);
/* Ends and joins the thread. Nothing is on its loop any more; NULL is allowed. */
void io_thread_destroy(struct io_thread *thread);

/*
 * Between the two nothing runs on the loop, so that what belongs to its thread may be built and
 * taken apart elsewhere. By one thread, not the loop's own; twice is once. What became ready
 * meanwhile is served afterwards. Signals are blocked as they are in the caller of resume. -errno
 * with a line: it is still held.
 */
void io_thread_hold(struct io_thread *thread);
int io_thread_resume(struct io_thread *thread, struct error *err);

struct event_loop *io_thread_loop(struct io_thread *thread);

#endif
