/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A clock whose hands the test turns. Single-threaded; a timer's function runs inside
 * fake_clock_advance or fake_clock_jump.
 */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include "vm/core/base.h"
#include "vm/core/clock.h"

struct fake_clock {
	struct clock clock; /* hand &fake.clock to the device */
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
	struct timer *first; /* armed timers, earliest first */
	unsigned int fired;  /* timer functions run so far */
};

/* Monotonic starts at one hour, realtime at 2026-03-01 12:00:00 UTC. */
void fake_clock_init(struct fake_clock *fake);

/*
 * Lets ns pass on both clocks. A timer that comes due runs exactly at its deadline, with the clocks
 * showing it; aborts when a timer re-arms itself for ever without letting time pass.
 */
void fake_clock_advance(struct fake_clock *fake, uint64_t ns);

/* As advance, but a busy host: the whole time passes first, then the timers that are late run. */
void fake_clock_jump(struct fake_clock *fake, uint64_t ns);

/* Timers that are armed now. */
unsigned int fake_clock_armed(const struct fake_clock *fake);

#endif
