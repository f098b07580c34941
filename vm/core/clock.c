/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer_queue keeps its timers in a list sorted by deadline (a machine has a handful) and one
 * absolute timerfd set to the first. The descriptor is made with the first timer that is armed.
 *
 * A queue that pauses falls behind the host's clock by the time it paused, and adds that to what
 * the descriptor is set to. The two are atomic, as devices read the clock without the queue's lock;
 * a reader on another thread may see one of them early, so nothing of the guest runs meanwhile.
 *
 * Lock order: a device's mutex may be held when arm or disarm takes the queue's; the queue calls a
 * timer's function with its own lock released.
 */
#include "vm/core/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vm/core/event_loop.h"

struct timer_queue {
	struct clock clock;
	struct event_loop *loop;
	pthread_mutex_t lock;	    /* guards all below and the private part of each timer */
	pthread_cond_t idle;	    /* running became NULL */
	struct event_source source; /* fd -1 until needed */
	struct timer *first;
	struct timer *running;
	bool rearmed; /* the one that runs, for rearmed_ns; its function may have freed it since */
	uint64_t rearmed_ns;
	pthread_t runner;
	_Atomic uint64_t paused_at_ns; /* the host's clock then; 0: it runs */
	_Atomic uint64_t lag_ns;       /* behind the host's clock, for the pauses there were */
};

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t queue_monotonic_ns(void *opaque)
{
	struct timer_queue *queue = opaque;
	const uint64_t paused_at = atomic_load(&queue->paused_at_ns);

	return (paused_at ? paused_at : read_clock(CLOCK_MONOTONIC)) - atomic_load(&queue->lag_ns);
}

static uint64_t queue_realtime_ns(void *opaque)
{
	(void)opaque;
	return read_clock(CLOCK_REALTIME);
}

/* Sets the timerfd to the first deadline, or to never. */
static void program(struct timer_queue *queue)
{
	struct itimerspec spec = {{0, 0}, {0, 0}};

	if (queue->source.fd < 0)
		return;
	if (queue->first && !queue->paused_at_ns) {
		/* A deadline of 0 would mean never; nothing is earlier than 1 ns after boot. */
		uint64_t at = MAX(queue->first->deadline_ns + queue->lag_ns, UINT64_C(1));

		spec.it_value.tv_sec = (time_t)MIN(at / NSEC_PER_SEC, (uint64_t)INT32_MAX);
		spec.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	}
	timerfd_settime(queue->source.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void unlink_timer(struct timer_queue *queue, struct timer *timer)
{
	for (struct timer **p = &queue->first; *p; p = &(*p)->next) {
		if (*p != timer)
			continue;
		*p = timer->next;
		break;
	}
	timer->armed = false;
}

static void expire(void *opaque, uint32_t events)
{
	struct timer_queue *queue = opaque;
	uint64_t count, now;

	(void)events;
	if (read(queue->source.fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&queue->lock);
	now = queue_monotonic_ns(queue);
	/* Bounded: a timer that its function arms again for now or earlier waits for the next turn.
	 */
	while (queue->first && !queue->paused_at_ns && queue->first->deadline_ns <= now) {
		struct timer *timer = queue->first;

		unlink_timer(queue, timer);
		queue->running = timer;
		queue->runner = pthread_self();
		queue->rearmed = false;
		pthread_mutex_unlock(&queue->lock);
		timer->fn(timer->opaque);
		pthread_mutex_lock(&queue->lock);
		queue->running = NULL;
		pthread_cond_broadcast(&queue->idle);
		if (queue->rearmed && queue->rearmed_ns <= now)
			break;
	}
	program(queue);
	pthread_mutex_unlock(&queue->lock);
}

static int make_timerfd(struct timer_queue *queue)
{
	int rc;

	queue->source.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (queue->source.fd < 0)
		return -errno;
	rc = event_loop_add(queue->loop, &queue->source);
	if (rc < 0) {
		close(queue->source.fd);
		queue->source.fd = -1;
	}
	return rc;
}

static void queue_arm(void *opaque, struct timer *timer, uint64_t deadline_ns)
{
	struct timer_queue *queue = opaque;
	struct timer **p = &queue->first;
	bool fresh;

	pthread_mutex_lock(&queue->lock);
	if (timer->armed)
		unlink_timer(queue, timer);
	/* Should that fail for want of descriptors, the next timer tries again. */
	fresh = queue->source.fd < 0 && make_timerfd(queue) == 0;
	timer->deadline_ns = deadline_ns;
	while (*p && (*p)->deadline_ns <= deadline_ns)
		p = &(*p)->next;
	timer->next = *p;
	*p = timer;
	timer->armed = true;
	if (queue->running == timer) {
		queue->rearmed = true;
		queue->rearmed_ns = deadline_ns;
	}
	if (queue->first == timer || fresh)
		program(queue);
	pthread_mutex_unlock(&queue->lock);
}

static void queue_disarm(void *opaque, struct timer *timer)
{
	struct timer_queue *queue = opaque;

	pthread_mutex_lock(&queue->lock);
	if (timer->armed)
		unlink_timer(queue, timer); /* the descriptor may fire in vain; that is cheaper */
	pthread_mutex_unlock(&queue->lock);
}

static void queue_disarm_sync(void *opaque, struct timer *timer)
{
	struct timer_queue *queue = opaque;

	pthread_mutex_lock(&queue->lock);
	while (queue->running == timer && !pthread_equal(queue->runner, pthread_self()))
		pthread_cond_wait(&queue->idle, &queue->lock);
	if (timer->armed)
		unlink_timer(queue, timer);
	pthread_mutex_unlock(&queue->lock);
}

static const struct clock_ops queue_ops = {
	.monotonic_ns = queue_monotonic_ns,
	.realtime_ns = queue_realtime_ns,
	.arm = queue_arm,
	.disarm = queue_disarm,
	.disarm_sync = queue_disarm_sync,
};

int timer_queue_create(struct event_loop *loop, struct timer_queue **ret)
{
	struct timer_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->clock = (struct clock){.ops = &queue_ops, .opaque = queue};
	queue->loop = loop;
	queue->source =
		(struct event_source){.fd = -1, .events = EPOLLIN, .fn = expire, .opaque = queue};
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->idle, NULL);
	*ret = queue;
	return 0;
}

void timer_queue_destroy(struct timer_queue *queue)
{
	if (!queue)
		return;
	if (queue->source.fd >= 0) {
		event_loop_remove(queue->loop, &queue->source);
		close(queue->source.fd);
	}
	pthread_cond_destroy(&queue->idle);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

const struct clock *timer_queue_clock(struct timer_queue *queue)
{
	return &queue->clock;
}

void timer_queue_pause(struct timer_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	if (!queue->paused_at_ns)
		queue->paused_at_ns = read_clock(CLOCK_MONOTONIC);
	program(queue);
	pthread_mutex_unlock(&queue->lock);
}

void timer_queue_resume(struct timer_queue *queue, bool catch_up)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->paused_at_ns && !catch_up)
		queue->lag_ns += read_clock(CLOCK_MONOTONIC) - queue->paused_at_ns;
	queue->paused_at_ns = 0;
	program(queue);
	pthread_mutex_unlock(&queue->lock);
}
