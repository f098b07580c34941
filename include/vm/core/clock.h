/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time as a device sees it: two clocks and one-shot timers, handed in so that tests can turn the
 * hands themselves. The real one is a timer_queue: timers on an event loop behind one timerfd.
 *
 * A timer's function runs on the loop's thread with no lock held. disarm does not wait: a function
 * that was about to run still runs, so it takes its device's lock and looks whether it is still
 * wanted (compare the deadline). disarm_sync waits; call it in destructors, holding no lock.
 */
#ifndef BANTAM_VM_CORE_CLOCK_H
#define BANTAM_VM_CORE_CLOCK_H

#include "vm/core/base.h"

struct event_loop;

struct timer {
	void (*fn)(void *opaque);
	void *opaque;
	/* private to the clock: */
	uint64_t deadline_ns;
	struct timer *next;
	bool armed;
};

struct clock_ops {
	uint64_t (*monotonic_ns)(void *opaque); /* never goes back; origin arbitrary */
	uint64_t (*realtime_ns)(void *opaque);	/* since 1970-01-01 UTC */
	/* Fires once at or after deadline_ns (monotonic); arming an armed timer moves it. */
	void (*arm)(void *opaque, struct timer *timer, uint64_t deadline_ns);
	void (*disarm)(void *opaque, struct timer *timer);
	void (*disarm_sync)(void *opaque, struct timer *timer);
};

struct clock {
	const struct clock_ops *ops;
	void *opaque;
};

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
	return clock->ops->monotonic_ns(clock->opaque);
}

static inline uint64_t clock_realtime_ns(const struct clock *clock)
{
	return clock->ops->realtime_ns(clock->opaque);
}

static inline void clock_arm(const struct clock *clock, struct timer *timer, uint64_t deadline_ns)
{
	clock->ops->arm(clock->opaque, timer, deadline_ns);
}

static inline void clock_disarm(const struct clock *clock, struct timer *timer)
{
	clock->ops->disarm(clock->opaque, timer);
}

static inline void clock_disarm_sync(const struct clock *clock, struct timer *timer)
{
	clock->ops->disarm_sync(clock->opaque, timer);
}

struct timer_queue;

/* The loop must outlive the queue. The timerfd is made with the first timer that is armed. */
int timer_queue_create(struct event_loop *loop, struct timer_queue **ret);
void timer_queue_destroy(struct timer_queue *queue);
const struct clock *timer_queue_clock(struct timer_queue *queue);

/*
 * Stops the monotonic clock of the queue, and with it its timers; resume lets both go on from where
 * they were, or, with catch_up, from now: then timers that are due fire. A function that was about
 * to run may still run. Twice is once.
 */
void timer_queue_pause(struct timer_queue *queue);
void timer_queue_resume(struct timer_queue *queue, bool catch_up);

#endif
