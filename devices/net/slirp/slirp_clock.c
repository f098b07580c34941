/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * To set a timer for each sleep and take it back afterwards would cost more than all else about a
 * sleep. An alarm that is too early by now stays, and is a sleep cut short; one that is too late is
 * set anew.
 */
#include "slirp_clock.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

static uint64_t now_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t monotonic_ns(void *opaque)
{
	return ((const struct slirp_clock *)opaque)->now_ns;
}

static uint64_t realtime_ns(void *opaque)
{
	(void)opaque;
	return now_of(CLOCK_REALTIME);
}

static void disarm(void *opaque, struct timer *timer)
{
	struct slirp_clock *sc = opaque;
	struct timer **p = &sc->first;

	if (!timer->armed)
		return;
	while (*p != timer)
		p = &(*p)->next;
	*p = timer->next;
	timer->armed = false;
}

static void arm(void *opaque, struct timer *timer, uint64_t deadline_ns)
{
	struct slirp_clock *sc = opaque;

	timer->deadline_ns = deadline_ns;
	if (timer->armed)
		return;
	timer->armed = true;
	timer->next = sc->first;
	sc->first = timer;
}

int slirp_clock_init(struct slirp_clock *sc)
{
	static const struct clock_ops ops = {.monotonic_ns = monotonic_ns,
		.realtime_ns = realtime_ns,
		.arm = arm,
		.disarm = disarm,
		.disarm_sync = disarm};

	*sc = (struct slirp_clock){
		.clock = {.ops = &ops, .opaque = sc}, .now_ns = now_of(CLOCK_MONOTONIC)};
	sc->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return sc->fd < 0 ? -errno : 0;
}

static struct timer *earliest(const struct slirp_clock *sc)
{
	struct timer *ret = sc->first;

	for (struct timer *t = ret; t; t = t->next)
		if (t->deadline_ns < ret->deadline_ns)
			ret = t;
	return ret;
}

void slirp_clock_set_alarm(struct slirp_clock *sc)
{
	const struct timer *next = earliest(sc);
	struct itimerspec alarm = {0};

	if (!next || (sc->alarm_ns && sc->alarm_ns <= next->deadline_ns))
		return;
	alarm.it_value.tv_sec = (time_t)(next->deadline_ns / NSEC_PER_SEC);
	alarm.it_value.tv_nsec = (long)(next->deadline_ns % NSEC_PER_SEC);
	timerfd_settime(sc->fd, TFD_TIMER_ABSTIME, &alarm, NULL);
	sc->alarm_ns = next->deadline_ns;
}

/* One that arms itself again for now has its next turn then. */
void slirp_clock_run(struct slirp_clock *sc)
{
	struct timer *next;

	sc->now_ns = now_of(CLOCK_MONOTONIC);
	if (sc->now_ns >= sc->alarm_ns)
		sc->alarm_ns = 0;
	for (next = earliest(sc); next && next->deadline_ns < sc->now_ns; next = earliest(sc)) {
		disarm(sc, next);
		next->fn(next->opaque);
	}
}
