/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRED_AT_ONE_INSTANT_MAX = 100000 };

static uint64_t fake_monotonic_ns(void *opaque)
{
	const struct fake_clock *fake = opaque;

	return fake->monotonic_ns;
}

static uint64_t fake_realtime_ns(void *opaque)
{
	const struct fake_clock *fake = opaque;

	return fake->realtime_ns;
}

static void fake_disarm(void *opaque, struct timer *timer)
{
	struct fake_clock *fake = opaque;

	for (struct timer **p = &fake->first; *p; p = &(*p)->next) {
		if (*p != timer)
			continue;
		*p = timer->next;
		break;
	}
	timer->armed = false;
}

static void fake_arm(void *opaque, struct timer *timer, uint64_t deadline_ns)
{
	struct fake_clock *fake = opaque;
	struct timer **p = &fake->first;

	fake_disarm(fake, timer);
	timer->deadline_ns = deadline_ns;
	while (*p && (*p)->deadline_ns <= deadline_ns)
		p = &(*p)->next;
	timer->next = *p;
	*p = timer;
	timer->armed = true;
}

static const struct clock_ops fake_ops = {
	.monotonic_ns = fake_monotonic_ns,
	.realtime_ns = fake_realtime_ns,
	.arm = fake_arm,
	.disarm = fake_disarm,
	.disarm_sync = fake_disarm,
};

void fake_clock_init(struct fake_clock *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->clock = (struct clock){.ops = &fake_ops, .opaque = fake};
	fake->monotonic_ns = 3600 * NSEC_PER_SEC;
	fake->realtime_ns = UINT64_C(1772366400) * NSEC_PER_SEC;
}

/* Runs the first timer if it is due. */
static bool fire_one(struct fake_clock *fake)
{
	struct timer *timer = fake->first;

	if (!timer || timer->deadline_ns > fake->monotonic_ns)
		return false;
	fake_disarm(fake, timer);
	fake->fired++;
	timer->fn(timer->opaque);
	return true;
}

static void fire_due(struct fake_clock *fake)
{
	for (unsigned int n = 0; fire_one(fake); n++) {
		if (n < FIRED_AT_ONE_INSTANT_MAX)
			continue;
		fprintf(stderr, "a timer re-arms itself without letting time pass\n");
		abort();
	}
}

static void pass(struct fake_clock *fake, uint64_t ns)
{
	fake->monotonic_ns += ns;
	fake->realtime_ns += ns;
}

void fake_clock_advance(struct fake_clock *fake, uint64_t ns)
{
	const uint64_t end = fake->monotonic_ns + ns;

	fire_due(fake);
	while (fake->first && fake->first->deadline_ns <= end) {
		pass(fake, fake->first->deadline_ns - fake->monotonic_ns);
		fire_due(fake);
	}
	pass(fake, end - fake->monotonic_ns);
}

void fake_clock_jump(struct fake_clock *fake, uint64_t ns)
{
	pass(fake, ns);
	fire_due(fake);
}

unsigned int fake_clock_armed(const struct fake_clock *fake)
{
	unsigned int n = 0;

	for (const struct timer *timer = fake->first; timer; timer = timer->next)
		n++;
	return n;
}
