/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/io_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "vm/error.h"
#include "vm/event_loop.h"

/* Enough for a queue pass with a line of log text; the default would be 8 MiB of address space. */
#define STACK_SIZE (256 * KiB)

struct io_thread {
	struct event_loop *loop;
	pthread_t thread;
};

static void *run(void *opaque)
{
	struct io_thread *thread = opaque;

	/* Fails only for a descriptor that is not an epoll's. */
	event_loop_run(thread->loop);
	return NULL;
}

static int start(struct io_thread *thread)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return -rc;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&thread->thread, &attr, run, thread);
	pthread_attr_destroy(&attr);
	return -rc;
}

int io_thread_create(const char *name, struct io_thread **ret, struct error *err)
{
	struct io_thread *thread = calloc(1, sizeof(*thread));
	int rc;

	if (!thread)
		return error_set_errno(err, -ENOMEM, "thread %s", name);
	rc = event_loop_create(&thread->loop);
	if (rc < 0)
		goto free_thread;
	rc = start(thread);
	if (rc < 0)
		goto destroy_loop;
	pthread_setname_np(thread->thread, name);
	*ret = thread;
	return 0;

destroy_loop:
	event_loop_destroy(thread->loop);
free_thread:
	free(thread);
	return error_set_errno(err, rc, "thread %s", name);
}

void io_thread_destroy(struct io_thread *thread)
{
	if (!thread)
		return;
	event_loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	event_loop_destroy(thread->loop);
	free(thread);
}

struct event_loop *io_thread_loop(struct io_thread *thread)
{
	return thread->loop;
}
