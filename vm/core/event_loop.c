/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One epoll set and one eventfd that wakes it.
 *
 * The hard part is removal. epoll_wait returns a batch, and a source in it may be removed before
 * its turn comes: so the batch lives in the loop, removal strikes the source out of it, and when
 * another thread's function is just running, removal waits for it on a condition. A removal that
 * falls between epoll_wait and the taking of the lock is seen by a counter; the batch is then
 * collected anew under the lock. Nothing gets lost by that, as all sources are level-triggered.
 *
 * What is posted has no descriptor: it waits in a list. The eventfd is written only when the loop
 * has gone to sleep, which it says under the lock, once it has looked at that list.
 */
#include "vm/core/event_loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 32 };

struct event_loop {
	int epoll_fd, wake_fd;
	_Atomic bool stop;
	pthread_mutex_t lock;	       /* guards all below */
	pthread_cond_t idle;	       /* running became NULL */
	_Atomic unsigned int removals; /* changes under the lock, read without */
	struct event_source *running;
	pthread_t runner;		 /* valid while running is set */
	struct epoll_event batch[BATCH]; /* data.ptr NULL: struck out, or the wake-up */
	int batch_next, batch_count;
	struct event_source *posted, *due; /* those for the next turn, and those of this one */
	bool asleep;
};

int event_loop_create(struct event_loop **ret)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event wake = {.events = EPOLLIN, .data.ptr = NULL};
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		rc = -errno;
		goto free_loop;
	}
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		rc = -errno;
		goto close_epoll;
	}
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) < 0) {
		rc = -errno;
		goto close_wake;
	}
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->idle, NULL);
	*ret = loop;
	return 0;

close_wake:
	close(loop->wake_fd);
close_epoll:
	close(loop->epoll_fd);
free_loop:
	free(loop);
	return rc;
}

void event_loop_destroy(struct event_loop *loop)
{
	if (!loop)
		return;
	pthread_cond_destroy(&loop->idle);
	pthread_mutex_destroy(&loop->lock);
	close(loop->wake_fd);
	close(loop->epoll_fd);
	free(loop);
}

static int control(struct event_loop *loop, int op, struct event_source *source)
{
	struct epoll_event ev = {.events = source->events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, op, source->fd, &ev) < 0 ? -errno : 0;
}

int event_loop_add(struct event_loop *loop, struct event_source *source)
{
	return control(loop, EPOLL_CTL_ADD, source);
}

int event_loop_modify(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	source->events = events;
	return control(loop, EPOLL_CTL_MOD, source);
}

static void wake(const struct event_loop *loop)
{
	const uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void event_loop_post(struct event_loop *loop, struct event_source *source)
{
	pthread_mutex_lock(&loop->lock);
	if (!source->posted) {
		if (loop->asleep && !loop->posted)
			wake(loop);
		source->posted = true;
		source->next = loop->posted;
		loop->posted = source;
	}
	pthread_mutex_unlock(&loop->lock);
}

static void strike_out(struct event_source **list, const struct event_source *source)
{
	while (*list && *list != source)
		list = &(*list)->next;
	if (*list)
		*list = source->next;
}

void event_loop_remove(struct event_loop *loop, struct event_source *source)
{
	pthread_mutex_lock(&loop->lock);
	strike_out(&loop->posted, source);
	strike_out(&loop->due, source);
	source->posted = false;
	if (source->fd >= 0)
		control(loop, EPOLL_CTL_DEL, source);
	atomic_fetch_add(&loop->removals, 1);
	for (int i = loop->batch_next; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
	while (loop->running == source && !pthread_equal(loop->runner, pthread_self()))
		pthread_cond_wait(&loop->idle, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

static void drain_wake(struct event_loop *loop)
{
	uint64_t count;

	if (read(loop->wake_fd, &count, sizeof(count)) < 0)
		return; /* already drained */
}

/* The lock is held on entry and on return. */
static void call(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	loop->running = source;
	loop->runner = pthread_self();
	pthread_mutex_unlock(&loop->lock);
	source->fn(source->opaque, events);
	pthread_mutex_lock(&loop->lock);
	loop->running = NULL;
	pthread_cond_broadcast(&loop->idle);
}

/* Calls the functions of the batch one by one, and of what was posted until now; with the lock. */
static int dispatch(struct event_loop *loop)
{
	struct event_source *source;
	int called = 0;

	while (loop->batch_next < loop->batch_count) {
		struct epoll_event ev = loop->batch[loop->batch_next++];

		if (!ev.data.ptr)
			continue;
		call(loop, ev.data.ptr, ev.events);
		called++;
	}
	loop->due = loop->posted;
	loop->posted = NULL;
	while ((source = loop->due) != NULL) {
		loop->due = source->next;
		source->posted = false;
		call(loop, source, 0);
		called++;
	}
	return called;
}

int event_loop_step(struct event_loop *loop, int timeout_ms)
{
	struct epoll_event ready[BATCH];
	unsigned int removals;
	int n;

	pthread_mutex_lock(&loop->lock);
	if (loop->posted)
		timeout_ms = 0;
	loop->asleep = timeout_ms != 0;
	removals = atomic_load(&loop->removals);
	pthread_mutex_unlock(&loop->lock);
	n = epoll_wait(loop->epoll_fd, ready, BATCH, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	pthread_mutex_lock(&loop->lock);
	loop->asleep = false;
	if (removals != atomic_load(&loop->removals))
		n = epoll_wait(loop->epoll_fd, ready, BATCH, 0);
	for (int i = 0; i < n; i++) {
		loop->batch[i] = ready[i];
		if (!ready[i].data.ptr)
			drain_wake(loop);
	}
	loop->batch_next = 0;
	loop->batch_count = MAX(n, 0);
	n = dispatch(loop);
	pthread_mutex_unlock(&loop->lock);
	return n;
}

int event_loop_run(struct event_loop *loop)
{
	while (!atomic_exchange(&loop->stop, false)) {
		int rc = event_loop_step(loop, -1);

		if (rc < 0)
			return rc;
	}
	return 0;
}

void event_loop_stop(struct event_loop *loop)
{
	atomic_store(&loop->stop, true);
	wake(loop);
}
