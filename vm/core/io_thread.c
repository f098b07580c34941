/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/io_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/core/error.h"
#include "vm/core/event_loop.h"

/* Enough for a queue pass with a line of log text; the default would be 8 MiB of address space. */
#define STACK_SIZE (256 * KiB)

struct io_thread {
	struct event_loop *loop;
	char name[16];
	const struct confine *confine;
	enum confine_class what;
	bool running;
	pthread_t thread; /* valid while running */
};

static void *run(void *opaque)
{
	struct io_thread *thread = opaque;

	pthread_setname_np(pthread_self(), thread->name);
	confine_enter(thread->confine, thread->what);
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
	thread->running = !rc;
	return -rc;
}

int io_thread_create(
	const struct io_thread_config *config, struct io_thread **ret, struct error *err)
{
	struct io_thread *thread = calloc(1, sizeof(*thread));
	int rc;

	if (!thread)
		return error_set_errno(err, -ENOMEM, "thread %s", config->name);
	snprintf(thread->name, sizeof(thread->name), "%s", config->name);
	thread->confine = config->confine;
	thread->what = config->what;
	rc = event_loop_create(&thread->loop);
	if (rc < 0) {
		free(thread);
		return error_set_errno(err, rc, "thread %s", config->name);
	}
	*ret = thread;
	return 0;
}

void io_thread_hold(struct io_thread *thread)
{
	if (!thread->running)
		return;
	event_loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	thread->running = false;
}

int io_thread_resume(struct io_thread *thread, struct error *err)
{
	int rc = thread->running ? 0 : start(thread);

	return rc < 0 ? error_set_errno(err, rc, "thread %s", thread->name) : 0;
}

void io_thread_destroy(struct io_thread *thread)
{
	if (!thread)
		return;
	io_thread_hold(thread);
	event_loop_destroy(thread->loop);
	free(thread);
}

struct event_loop *io_thread_loop(struct io_thread *thread)
{
	return thread->loop;
}
