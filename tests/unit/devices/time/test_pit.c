/* SPDX-License-Identifier: BSD-2-Clause */
/* The PIT over fake time: counts and outputs in every mode, interrupts, port 0x61. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/time/pit.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

enum { CH0 = 0x40, CH1 = 0x41, CH2 = 0x42, CTL = 0x43, P61 = 0x61, GSI = 0 };

struct fixture {
	struct fake_machine machine;
	struct pit *pit;
	uint64_t origin;
	struct fake_line *line;
};

#include "fakes/port_rig.h"

static int setup(void **state)
{
	struct fixture *f = fixture_create();
	struct pit_config config = {.pio = f->machine.pio,
		.irq = fake_machine_irq(&f->machine, GSI),
		.clock = &f->machine.clock.clock};

	f->origin = f->machine.clock.monotonic_ns;
	f->line = &f->machine.lines[GSI];
	if (pit_create(&config, &f->pit))
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pit_destroy(f->pit);
	fixture_destroy(f);
	return 0;
}

/* Nanoseconds from creation until the middle of a tick. */
static uint64_t tick_ns(uint64_t tick)
{
	return (uint64_t)(((__uint128_t)tick * 2 + 1) * NSEC_PER_SEC / (2 * PIT_HZ));
}

/* Goes to the middle of the tick, counted from creation. */
static void go_to(struct fixture *f, uint64_t tick)
{
	uint64_t ns = f->origin + tick_ns(tick);

	assert_true(ns >= f->machine.clock.monotonic_ns);
	fake_clock_advance(&f->machine.clock, ns - f->machine.clock.monotonic_ns);
}

static uint16_t read16(struct fixture *f, uint16_t port)
{
	uint16_t low = in(f, port);

	return (uint16_t)(low | in(f, port) << 8);
}

static void write16(struct fixture *f, uint16_t port, uint16_t value)
{
	out(f, port, value & 0xff);
	out(f, port, value >> 8);
}

static bool out2(struct fixture *f)
{
	return in(f, P61) & 0x20;
}

static uint8_t status(struct fixture *f, unsigned int channel)
{
	out(f, CTL, (uint8_t)(0xe0 | 2u << channel));
	return in(f, (uint16_t)(CH0 + channel));
}

/* Programs channel 2 at tick 0; its count is loaded at tick 1. */
static void program2(struct fixture *f, unsigned int mode, uint16_t count, bool gate)
{
	go_to(f, 0);
	out(f, P61, gate);
	out(f, CTL, (uint8_t)(0xb0 | mode << 1));
	write16(f, CH2, count);
}

/* A reference that steps tick by tick, written from the data sheet's wave forms. */
struct wave {
	unsigned int mode;
	int64_t n, count;
	bool out, low_half;
};

static void wave_load(struct wave *w)
{
	w->count = w->mode == 3 ? w->n & ~1 : w->n;
	w->out = w->mode != 0 && w->mode != 1;
}

static void wave_tick(struct wave *w)
{
	switch (w->mode) {
	case 0:
	case 1:
		if (--w->count == 0)
			w->out = true;
		break;
	case 2:
		w->count--;
		w->out = w->count != 1;
		if (w->count == 0) {
			w->count = w->n;
			w->out = true;
		}
		break;
	case 3:
		/* An odd count gives the high half one tick more, at 0. */
		if (w->count == 2 && (w->low_half || !(w->n & 1))) {
			w->count = w->n & ~1;
			w->low_half = !w->low_half;
		} else if (w->count == 0) {
			w->count = w->n & ~1;
			w->low_half = true;
		} else {
			w->count -= 2;
		}
		w->out = !w->low_half;
		break;
	default:
		w->count--;
		w->out = w->count != 0;
		break;
	}
}

static void every_mode_counts_as_drawn(void **state)
{
	static const uint16_t counts[] = {2, 3, 4, 7, 8, 100, 0x1235};

	(void)state;
	for (unsigned int mode = 0; mode < 6; mode++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
			struct wave wave = {.mode = mode, .n = counts[i]};
			struct fixture *f;
			bool triggered = mode == 1 || mode == 5;

			setup((void **)&f);
			program2(f, mode, counts[i], !triggered);
			assert_int_equal(out2(f), mode != 0);
			if (triggered)
				out(f, P61, 1);
			wave_load(&wave);
			for (uint64_t tick = 1; tick < 3u * counts[i]; tick++) {
				go_to(f, tick);
				assert_int_equal(out2(f), wave.out);
				assert_int_equal(read16(f, CH2), wave.count & 0xffff);
				wave_tick(&wave);
			}
			teardown((void **)&f);
		}
	}
}

static void the_longest_count(void **state)
{
	struct fixture *f = *state;

	program2(f, 0, 0, true);
	go_to(f, 1);
	assert_int_equal(read16(f, CH2), 0);
	go_to(f, 2);
	assert_int_equal(read16(f, CH2), 0xffff);
	go_to(f, 0x10000);
	assert_false(out2(f));
	go_to(f, 0x10001);
	assert_true(out2(f));
	/* After its end the counter goes round, the output stays. */
	go_to(f, 0x30003);
	assert_int_equal(read16(f, CH2), 0xfffe);
	assert_true(out2(f));
}

static void bcd(void **state)
{
	struct fixture *f = *state;

	go_to(f, 0);
	out(f, P61, 1);
	out(f, CTL, 0xb1);
	write16(f, CH2, 0x1000);
	go_to(f, 2);
	assert_int_equal(read16(f, CH2), 0x0999);
	go_to(f, 1001);
	assert_true(out2(f));
	go_to(f, 1002);
	assert_int_equal(read16(f, CH2), 0x9999);
	out(f, CTL, 0xb5);
	write16(f, CH2, 0);
	go_to(f, 1003);
	assert_int_equal(read16(f, CH2), 0); /* 10000 */
	go_to(f, 1003 + 9999);
	assert_int_equal(read16(f, CH2), 1);
}

static void access_by_bytes(void **state)
{
	struct fixture *f = *state;

	go_to(f, 0);
	/* LSB only: the other byte is 0 */
	out(f, CTL, 0x54);
	out(f, CH1, 0x80);
	go_to(f, 1 + 0x10);
	assert_int_equal(in(f, CH1), 0x70);
	assert_int_equal(in(f, CH1), 0x70);
	/* MSB only */
	out(f, CTL, 0x64);
	out(f, CH1, 0x80);
	go_to(f, 0x12 + 0x110);
	assert_int_equal(in(f, CH1), 0x7e);
	/* Latched while time goes on, and a second latch changes nothing. */
	out(f, CTL, 0x74);
	write16(f, CH1, 0x1000);
	go_to(f, 0x200);
	out(f, CTL, 0x40);
	go_to(f, 0x300);
	out(f, CTL, 0x40);
	assert_int_equal(read16(f, CH1), 0x1000 - (0x200 - 0x123));
	assert_int_equal(read16(f, CH1), 0x1000 - (0x300 - 0x123));
	/* A control word forgets the latch and the byte order. */
	out(f, CTL, 0x40);
	out(f, CTL, 0x74);
	out(f, CH1, 0x34);
	out(f, CTL, 0x74);
	write16(f, CH1, 0x5678);
	go_to(f, 0x301);
	assert_int_equal(read16(f, CH1), 0x5678);
	/* The control port is write-only. */
	assert_int_equal(in(f, CTL), 0xff);
}

static void read_back(void **state)
{
	struct fixture *f = *state;

	go_to(f, 0);
	out(f, CTL, 0xb4);
	assert_int_equal(status(f, 2), 0xf4); /* no count yet */
	write16(f, CH2, 0x20);
	assert_int_equal(status(f, 2), 0xf4); /* not loaded yet */
	go_to(f, 1);
	assert_int_equal(status(f, 2), 0xb4);
	out(f, P61, 1);
	go_to(f, 2 + 0x1f);
	assert_int_equal(status(f, 2), 0x34); /* the low tick */
	/* A count that waits for the period's end is null until then. */
	go_to(f, 0x30);
	write16(f, CH2, 0x100);
	go_to(f, 0x41);
	assert_int_equal(status(f, 2) & 0x40, 0x40);
	go_to(f, 0x42);
	assert_int_equal(status(f, 2) & 0x40, 0);
	assert_int_equal(read16(f, CH2), 0x100);
	/* Status first, then the count, both of the moment of the command; all channels at once. */
	out(f, CTL, 0x16);
	out(f, CH0, 9);
	go_to(f, 0x50);
	out(f, CTL, 0xce);
	go_to(f, 0x60);
	assert_int_equal(in(f, CH2), 0xb4);
	assert_int_equal(read16(f, CH2), 0x100 - 14);
	assert_int_equal(read16(f, CH2), 0x100 - 30);
	assert_int_equal(in(f, CH0) & 0x7f, 0x16);
	/* Neither asked for: nothing is latched. */
	out(f, CTL, 0xf8);
	assert_int_equal(read16(f, CH2), 0x100 - 30);
	/* Modes 6 and 7 are 2 and 3. */
	out(f, CTL, 0xbe);
	assert_int_equal(status(f, 2) & 0x0e, 0x06);
}

static void the_gate(void **state)
{
	struct fixture *f = *state;

	/* Mode 0 stands still and goes on. */
	program2(f, 0, 100, false);
	go_to(f, 50);
	assert_int_equal(read16(f, CH2), 100);
	out(f, P61, 1);
	go_to(f, 60);
	assert_int_equal(read16(f, CH2), 90);
	out(f, P61, 0);
	go_to(f, 500);
	assert_int_equal(read16(f, CH2), 90);
	out(f, P61, 1);
	go_to(f, 589);
	assert_false(out2(f));
	go_to(f, 590);
	assert_true(out2(f));
	/* Mode 2 starts anew. */
	out(f, CTL, 0xb4);
	write16(f, CH2, 100);
	go_to(f, 591 + 30);
	out(f, P61, 0);
	assert_int_equal(read16(f, CH2), 70);
	go_to(f, 700);
	assert_int_equal(read16(f, CH2), 70);
	assert_true(out2(f));
	out(f, P61, 1);
	go_to(f, 711);
	assert_int_equal(read16(f, CH2), 90);
	/* Mode 1 is triggered, again before its end, and not by the falling edge. */
	out(f, P61, 0);
	out(f, CTL, 0xb2);
	write16(f, CH2, 100);
	go_to(f, 800);
	assert_true(out2(f));
	out(f, P61, 1);
	go_to(f, 801);
	assert_false(out2(f));
	out(f, P61, 0);
	go_to(f, 850);
	assert_false(out2(f));
	out(f, P61, 1);
	go_to(f, 950);
	assert_false(out2(f));
	go_to(f, 951);
	assert_true(out2(f));
}

static void new_counts_wait_for_their_turn(void **state)
{
	struct fixture *f = *state;

	/* Mode 3: the end of the half period */
	program2(f, 3, 100, true);
	go_to(f, 1 + 60);
	assert_false(out2(f));
	write16(f, CH2, 20);
	go_to(f, 1 + 99);
	assert_false(out2(f));
	assert_int_equal(read16(f, CH2), 2);
	go_to(f, 1 + 100);
	assert_true(out2(f));
	assert_int_equal(read16(f, CH2), 20);
	go_to(f, 1 + 110);
	assert_false(out2(f));
	/* now from the high half: the low one is of the new length */
	go_to(f, 1 + 120);
	write16(f, CH2, 40);
	go_to(f, 1 + 130);
	assert_false(out2(f));
	assert_int_equal(read16(f, CH2), 40);
	go_to(f, 1 + 149);
	assert_false(out2(f));
	go_to(f, 1 + 150);
	assert_true(out2(f));
	go_to(f, 1 + 169);
	assert_true(out2(f));
	go_to(f, 1 + 170);
	assert_false(out2(f));
	/* Mode 4: the next tick, from the second byte on */
	out(f, CTL, 0xb8);
	write16(f, CH2, 100);
	go_to(f, 200);
	out(f, CH2, 50);
	go_to(f, 210);
	assert_int_equal(read16(f, CH2), 100 - (210 - 172));
	out(f, CH2, 0);
	go_to(f, 211 + 49);
	assert_true(out2(f));
	go_to(f, 211 + 50);
	assert_false(out2(f));
	go_to(f, 211 + 51);
	assert_true(out2(f));
	/* Mode 0: the first byte stops it, output low */
	out(f, CTL, 0xb0);
	write16(f, CH2, 10);
	go_to(f, 300);
	assert_true(out2(f));
	out(f, CH2, 20);
	assert_false(out2(f));
	go_to(f, 400);
	assert_false(out2(f));
	out(f, CH2, 0);
	go_to(f, 420);
	assert_false(out2(f));
	go_to(f, 421);
	assert_true(out2(f));
}

static void port_61(void **state)
{
	struct fixture *f = *state;
	unsigned int toggles = 0, was = 0, now;

	go_to(f, 0);
	out(f, P61, 0xff);
	assert_int_equal(in(f, P61) & 0xcf, 0x0f);
	out(f, P61, 0x02);
	assert_int_equal(in(f, P61) & 0xcf, 0x02);
	for (uint64_t tick = 1; tick <= 18000; tick++) {
		go_to(f, tick);
		now = in(f, P61) & 0x10;
		toggles += now != was;
		was = now;
	}
	assert_int_equal(toggles, 1000);
}

/* Linux's pit_calibrate_tsc: channel 2 in mode 0, then OUT2 is polled. */
static void linux_calibrates(void **state)
{
	struct fixture *f = *state;
	const uint16_t latch = PIT_HZ / 100; /* 10 ms */
	uint64_t start;
	unsigned int polls = 0;

	out(f, P61, (in(f, P61) & ~0x02) | 0x01);
	out(f, CTL, 0xb0);
	write16(f, CH2, latch);
	start = f->machine.clock.monotonic_ns;
	for (; !out2(f); polls++)
		fake_clock_advance(&f->machine.clock, 1000);
	assert_in_range(f->machine.clock.monotonic_ns - start, 9999000, 10002000);
	/* quick_pit_calibrate: the high byte of a running count, without a latch */
	out(f, CTL, 0xb0);
	write16(f, CH2, 0xffff);
	fake_clock_advance(&f->machine.clock, 1000);
	in(f, CH2);
	assert_int_equal(in(f, CH2), 0xff);
	fake_clock_advance(&f->machine.clock, 256 * NSEC_PER_SEC / PIT_HZ);
	in(f, CH2);
	assert_int_equal(in(f, CH2), 0xfe);
}

static void periodic_interrupts_do_not_drift(void **state)
{
	static const uint16_t counts[] = {1193, 11932, 0, 4773};
	struct fixture *f = *state;

	for (unsigned int mode = 2; mode <= 3; mode++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
			uint64_t n = counts[i] ? counts[i] : 65536, before, ticks;

			out(f, CTL, (uint8_t)(0x30 | mode << 1));
			write16(f, CH0, counts[i]);
			before = f->line->raised;
			fake_clock_advance(&f->machine.clock, 1000 * NSEC_PER_SEC);
			ticks = f->line->raised - before;
			assert_in_range(ticks, UINT64_C(1000) * PIT_HZ / n - 1,
				UINT64_C(1000) * PIT_HZ / n);
			assert_int_equal(f->line->raised, f->line->lowered);
		}
	}
}

static void one_shot_interrupts(void **state)
{
	struct fixture *f = *state;

	go_to(f, 0);
	assert_int_equal(fake_clock_armed(&f->machine.clock), 0);
	out(f, CTL, 0x30);
	assert_int_equal(fake_clock_armed(&f->machine.clock), 0);
	write16(f, CH0, 1000);
	go_to(f, 1000);
	assert_int_equal(f->line->raised, 0);
	go_to(f, 1001);
	assert_int_equal(f->line->raised, 1);
	assert_int_equal(fake_clock_armed(&f->machine.clock), 0);
	go_to(f, 1000000);
	assert_int_equal(f->line->raised, 1);
	/* Mode 4, as Linux's clock event uses it: OUT rises one tick after 0 */
	out(f, CTL, 0x38);
	for (unsigned int i = 1; i <= 5; i++) {
		uint64_t start = 1000000 + 10000 * i;

		go_to(f, start);
		write16(f, CH0, 1000);
		go_to(f, start + 1001);
		assert_int_equal(f->line->raised, i);
		go_to(f, start + 1002);
		assert_int_equal(f->line->raised, i + 1);
	}
	/* Re-programmed before its end, only the later one comes; a control word stops it. */
	go_to(f, 2000000);
	write16(f, CH0, 1000);
	go_to(f, 2000500);
	write16(f, CH0, 1000);
	go_to(f, 2001400);
	assert_int_equal(f->line->raised, 6);
	go_to(f, 2002000);
	assert_int_equal(f->line->raised, 7);
	write16(f, CH0, 1000);
	out(f, CTL, 0x30);
	go_to(f, 3000000);
	assert_int_equal(f->line->raised, 7);
	assert_int_equal(fake_clock_armed(&f->machine.clock), 0);
	/* Modes 1 and 5 wait for a gate that channel 0 does not have. */
	out(f, CTL, 0x32);
	write16(f, CH0, 10);
	go_to(f, 3100000);
	assert_int_equal(f->line->raised, 7);
}

static void missed_periods_are_made_up_for(void **state)
{
	struct fixture *f = *state;
	const uint64_t ms = NSEC_PER_MSEC;

	out(f, CTL, 0x34);
	write16(f, CH0, 1193); /* 1 ms, a little less */
	fake_clock_advance(&f->machine.clock, 10 * ms + ms / 2);
	assert_int_equal(f->line->raised, 10);
	fake_clock_jump(&f->machine.clock, 20 * ms);
	assert_int_equal(f->line->raised, 11); /* one at a time */
	fake_clock_advance(&f->machine.clock, 5 * ms);
	assert_in_range(f->line->raised, 20, 22); /* at twice the rate */
	fake_clock_advance(&f->machine.clock, 25 * ms);
	assert_int_equal(f->line->raised, 60);
	/* Not more than a second's worth. */
	fake_clock_jump(&f->machine.clock, 3600 * NSEC_PER_SEC);
	fake_clock_advance(&f->machine.clock, 3 * NSEC_PER_SEC);
	assert_in_range(f->line->raised, 60 + 3999, 60 + 4002);
	/* Re-programming forgets what is owed. */
	fake_clock_jump(&f->machine.clock, 500 * ms);
	out(f, CTL, 0x30);
	f->line->raised = 0;
	fake_clock_advance(&f->machine.clock, NSEC_PER_SEC);
	assert_int_equal(f->line->raised, 0);
}

static void short_counts_are_bounded(void **state)
{
	struct fixture *f = *state;

	for (unsigned int count = 1; count < 4; count++) {
		out(f, CTL, 0x14);
		out(f, CH0, (uint8_t)count);
		f->machine.clock.fired = 0;
		f->line->raised = 0;
		fake_clock_advance(&f->machine.clock, NSEC_PER_SEC);
		assert_in_range(f->line->raised, 9900, 10001);
		assert_in_range(f->machine.clock.fired, 9900, 10010);
	}
}

static void register_traffic_does_not_rearm(void **state)
{
	struct fixture *f = *state;
	struct timer *timer;

	out(f, CTL, 0x34);
	write16(f, CH0, 1193);
	timer = f->machine.clock.first;
	assert_non_null(timer);
	uint64_t deadline = timer->deadline_ns;

	timer->deadline_ns = 1; /* would be put right by arming */
	for (unsigned int i = 0; i < 100; i++) {
		out(f, CTL, 0x00);
		read16(f, CH0);
		out(f, CTL, 0xb0);
		write16(f, CH2, 77);
	}
	assert_int_equal(timer->deadline_ns, 1);
	timer->deadline_ns = deadline;
}

static void ports_taken(void **state)
{
	struct fixture *f = *state;
	struct pit *second = (struct pit *)f;
	struct pit_config config = {.pio = f->machine.pio, .clock = &f->machine.clock.clock};

	assert_true(pit_create(&config, &second) < 0);
	assert_ptr_equal(second, f);
	pit_destroy(NULL);
}

static void random_operations(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 7;

	for (unsigned int i = 0; i < 1000000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint16_t port = seed >> 8 & 7;
		uint64_t value = seed * UINT64_C(0x9e3779b97f4a7c15) >> 20;

		port = port < 4 ? CH0 + port : port < 6 ? CTL : P61;
		switch (seed >> 30) {
		case 0:
			fake_clock_advance(&f->machine.clock, value & 0xffff);
			break;
		case 1:
			bus_read(f->machine.pio, port, 1u << (seed >> 11 & 3));
			break;
		default:
			bus_write(f->machine.pio, port, 1u << (seed >> 11 & 3), value);
			break;
		}
		assert_false(f->line->level);
		assert_true(fake_clock_armed(&f->machine.clock) <= 1);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mode_counts_as_drawn),
		T(the_longest_count),
		T(bcd),
		T(access_by_bytes),
		T(read_back),
		T(the_gate),
		T(new_counts_wait_for_their_turn),
		T(port_61),
		T(linux_calibrates),
		T(periodic_interrupts_do_not_drift),
		T(one_shot_interrupts),
		T(missed_periods_are_made_up_for),
		T(short_counts_are_bounded),
		T(register_traffic_does_not_rearm),
		T(ports_taken),
		T(random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
