/* SPDX-License-Identifier: BSD-2-Clause */
/* The RTC over fake time: calendar, formats, interrupts, setting the time, CMOS contents. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "devices/time/rtc.h"
#include "fakes/fake_machine.h"
#include "fakes/port_ops.h"
#include "vm/core/bus.h"

enum { INDEX = 0x70, DATA = 0x71, GSI = 8 };
enum { A = 0x0a, REG_B = 0x0b, C = 0x0c, D = 0x0d, CENTURY = 0x32 };
enum { ALARM = 15 }; /* stands for what ACPI is told */
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BINARY = 0x04, H24 = 0x02 };

struct fixture {
	struct fake_machine machine;
	struct fake_clock *clock;
	struct fake_line *line;
	struct rtc *rtc;
};

static void create(struct fixture *f, uint64_t below, uint64_t above)
{
	struct rtc_config config = {.pio = f->machine.pio,
		.irq = fake_machine_irq(&f->machine, GSI),
		.alarm = fake_machine_irq(&f->machine, ALARM),
		.clock = &f->machine.clock.clock,
		.ram_below_4g = below,
		.ram_above_4g = above};

	assert_int_equal(rtc_create(&config, &f->rtc), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_machine_create(&f->machine);
	f->clock = &f->machine.clock;
	f->line = &f->machine.lines[GSI];
	create(f, 512 * MiB, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_destroy(f->rtc);
	assert_int_equal(fake_clock_armed(f->clock), 0);
	fake_machine_destroy(&f->machine);
	free(f);
	return 0;
}

static uint8_t in(struct fixture *f, uint8_t reg)
{
	fake_machine_out(&f->machine, INDEX, reg);
	return fake_machine_in(&f->machine, DATA);
}

static void out(struct fixture *f, uint8_t reg, uint8_t value)
{
	fake_machine_out(&f->machine, INDEX, reg);
	fake_machine_out(&f->machine, DATA, value);
}

static void advance(struct fixture *f, uint64_t ns)
{
	fake_clock_advance(f->clock, ns);
}

static void host_time(struct fixture *f, int64_t seconds, uint64_t ns)
{
	f->clock->realtime_ns = (uint64_t)seconds * NSEC_PER_SEC + ns;
}

static unsigned int bcd(int value)
{
	return (unsigned int)(value / 10 * 16 + value % 10);
}

/* Compares every time register with the C library's idea, in the format that B asks for. */
static void assert_shows(struct fixture *f, int64_t seconds)
{
	const uint8_t b = in(f, REG_B);
	time_t t = (time_t)seconds;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	int hour = tm.tm_hour, year = tm.tm_year + 1900;
	int fields[] = {tm.tm_sec, tm.tm_min, hour, tm.tm_wday + 1, tm.tm_mday, tm.tm_mon + 1,
		year % 100, year / 100 % 100};
	static const uint8_t regs[] = {0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, CENTURY};

	if (!(b & H24))
		fields[2] = hour % 12 ? hour % 12 : 12;
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		unsigned int expected = b & BINARY ? (unsigned int)fields[i] : bcd(fields[i]);

		if (i == 2 && !(b & H24) && hour >= 12)
			expected |= 0x80;
		if (in(f, regs[i]) != expected)
			fail_msg("register %#x at %" PRId64 ": %#x, expected %#x", regs[i], seconds,
				in(f, regs[i]), expected);
	}
}

static void the_calendar(void **state)
{
	struct fixture *f = *state;
	static const uint8_t formats[] = {0, H24, BINARY, BINARY | H24};
	/* clang-format off */
	static const struct tm turns[] = {
		{.tm_year = 70, .tm_mon = 0, .tm_mday = 1},
		{.tm_year = 99, .tm_mon = 11, .tm_mday = 31, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 100, .tm_mon = 1, .tm_mday = 28, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 124, .tm_mon = 1, .tm_mday = 28, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 124, .tm_mon = 1, .tm_mday = 29, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 125, .tm_mon = 1, .tm_mday = 28, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 126, .tm_mon = 5, .tm_mday = 30, .tm_hour = 11, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 199, .tm_mon = 11, .tm_mday = 31, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
		{.tm_year = 200, .tm_mon = 1, .tm_mday = 28, .tm_hour = 23, .tm_min = 59, .tm_sec = 59},
	};
	/* clang-format on */

	for (unsigned int i = 0; i < ARRAY_SIZE(turns); i++) {
		struct tm tm = turns[i];
		int64_t seconds = timegm(&tm);

		host_time(f, seconds, 0);
		for (unsigned int j = 0; j < ARRAY_SIZE(formats); j++) {
			out(f, REG_B, formats[j]);
			assert_shows(f, seconds);
		}
		advance(f, NSEC_PER_SEC);
		assert_shows(f, seconds + 1);
	}
	/* Every day of four hundred years, a different hour each. */
	for (int64_t seconds = 0;
		seconds < INT64_C(146097) * 86400 && seconds < INT64_C(9000000000);
		seconds += 86400 + 3607) {
		host_time(f, seconds, 0);
		assert_shows(f, seconds);
	}
}

static void set_time(struct fixture *f, const struct tm *tm)
{
	const uint8_t b = in(f, REG_B);

	out(f, REG_B, b | SET);
	out(f, 0x00, (uint8_t)bcd(tm->tm_sec));
	out(f, 0x02, (uint8_t)bcd(tm->tm_min));
	out(f, 0x04, (uint8_t)bcd(tm->tm_hour));
	out(f, 0x06, (uint8_t)bcd(tm->tm_wday + 1));
	out(f, 0x07, (uint8_t)bcd(tm->tm_mday));
	out(f, 0x08, (uint8_t)bcd(tm->tm_mon + 1));
	out(f, 0x09, (uint8_t)bcd(tm->tm_year % 100));
	out(f, CENTURY, (uint8_t)bcd(tm->tm_year / 100 + 19));
	out(f, REG_B, b);
}

static void the_guest_sets_the_time(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 3;

	for (unsigned int i = 0; i < 2000; i++) {
		int64_t wanted;
		time_t t;
		struct tm tm;

		seed = seed * 1664525 + 1013904223;
		/* 1900 to 2100 and then some */
		wanted = (int64_t)seed * 2 - INT64_C(2208988800);
		t = (time_t)wanted;
		gmtime_r(&t, &tm);
		set_time(f, &tm);
		assert_shows(f, wanted);
		advance(f, 100 * NSEC_PER_SEC);
		assert_shows(f, wanted + 100);
		/* A correction of the host's clock moves the guest's with it. */
		f->clock->realtime_ns += NSEC_PER_SEC;
		assert_shows(f, wanted + 101);
		f->clock->realtime_ns -= NSEC_PER_SEC;
	}
}

static void single_registers_can_be_set(void **state)
{
	struct fixture *f = *state;
	struct tm tm = {.tm_year = 124, .tm_mon = 1, .tm_mday = 28, .tm_hour = 7, .tm_wday = 3};

	set_time(f, &tm);
	out(f, 0x07, 0x29);
	out(f, 0x04, 0x23);
	out(f, 0x02, 0x59);
	out(f, 0x00, 0x58);
	assert_int_equal(in(f, 0x07), 0x29);
	advance(f, 2 * NSEC_PER_SEC);
	assert_int_equal(in(f, 0x08), 0x03);
	assert_int_equal(in(f, 0x07), 0x01);
	/* The day of the week is the guest's business, and turns with the day. */
	out(f, 0x06, 0x07);
	assert_int_equal(in(f, 0x06), 0x07);
	advance(f, 86400 * NSEC_PER_SEC);
	assert_int_equal(in(f, 0x06), 0x01);
}

static void odd_values_count_on(void **state)
{
	struct fixture *f = *state;

	/* Whatever is written, the registers show a date again once time runs. */
	for (unsigned int value = 0; value < 256; value++) {
		for (unsigned int binary = 0; binary < 2; binary++) {
			out(f, REG_B, binary ? SET | BINARY : SET | H24);
			for (uint8_t reg = 0; reg < 10; reg++)
				out(f, reg, (uint8_t)value);
			out(f, CENTURY, (uint8_t)value);
			assert_int_equal(in(f, 0x08), value);
			out(f, REG_B, BINARY | H24);
			assert_in_range(in(f, 0x00), 0, 59);
			assert_in_range(in(f, 0x02), 0, 59);
			assert_in_range(in(f, 0x04), 0, 23);
			assert_in_range(in(f, 0x06), 1, 7);
			assert_in_range(in(f, 0x07), 1, 31);
			assert_in_range(in(f, 0x08), 1, 12);
			assert_in_range(in(f, 0x09), 0, 99);
			assert_in_range(in(f, CENTURY), 0, 99);
		}
	}
}

static void set_freezes(void **state)
{
	struct fixture *f = *state;
	uint8_t second;

	out(f, REG_B, H24 | UIE);
	out(f, REG_B, H24 | UIE | SET);
	assert_int_equal(in(f, REG_B), H24 | SET); /* SET takes UIE back */
	second = in(f, 0x00);
	in(f, C);
	advance(f, 10 * NSEC_PER_SEC);
	assert_int_equal(in(f, 0x00), second);
	assert_int_equal(in(f, C) & 0x30, 0);
	advance(f, NSEC_PER_SEC - 1000);
	assert_int_equal(in(f, A) & 0x80, 0);
	out(f, REG_B, H24);
	assert_int_equal(in(f, 0x00), second);
	/* The second turns with the chain that kept running. */
	advance(f, 1000);
	assert_int_equal(in(f, 0x00), second + 1);
}

static void the_divider(void **state)
{
	struct fixture *f = *state;
	uint8_t second = in(f, 0x00);

	advance(f, 300 * NSEC_PER_MSEC);
	out(f, A, 0x76);
	advance(f, 5 * NSEC_PER_SEC);
	assert_int_equal(in(f, 0x00), second);
	out(f, A, 0x26);
	/* The first second turns half a second after the reset's end. */
	advance(f, 499 * NSEC_PER_MSEC);
	assert_int_equal(in(f, 0x00), second);
	advance(f, 1 * NSEC_PER_MSEC);
	assert_int_equal(in(f, 0x00), second + 1);
	advance(f, NSEC_PER_SEC);
	assert_int_equal(in(f, 0x00), second + 2);
	/* Another crystal than ours: the clock stands, without losing its place. */
	advance(f, 300 * NSEC_PER_MSEC);
	out(f, A, 0x06);
	advance(f, 5 * NSEC_PER_SEC);
	assert_int_equal(in(f, 0x00), second + 2);
	out(f, A, 0x26);
	advance(f, 700 * NSEC_PER_MSEC);
	assert_int_equal(in(f, 0x00), second + 3);
}

static void update_in_progress(void **state)
{
	struct fixture *f = *state;
	uint8_t second = in(f, 0x00);

	assert_int_equal(in(f, A), 0x26);
	advance(f, NSEC_PER_SEC - 250 * NSEC_PER_USEC);
	assert_int_equal(in(f, A), 0x26);
	advance(f, 10 * NSEC_PER_USEC);
	assert_int_equal(in(f, A), 0xa6);
	assert_int_equal(in(f, 0x00), second);
	advance(f, 240 * NSEC_PER_USEC);
	assert_int_equal(in(f, A), 0x26);
	assert_int_equal(in(f, 0x00), second + 1);
	/* UIP cannot be written. */
	out(f, A, 0xa6);
	assert_int_equal(in(f, A), 0x26);
}

static void update_interrupt(void **state)
{
	struct fixture *f = *state;

	out(f, A, 0x20); /* no periodic flags */
	in(f, C);
	assert_int_equal(fake_clock_armed(f->clock), 0);
	out(f, REG_B, H24 | UIE);
	for (unsigned int i = 1; i <= 100; i++) {
		advance(f, NSEC_PER_SEC - 1);
		assert_false(f->line->level);
		advance(f, 1);
		assert_true(f->line->level);
		assert_int_equal(fake_clock_armed(f->clock), 0); /* until C is read */
		assert_int_equal(in(f, C), 0x90);
		assert_false(f->line->level);
		assert_int_equal(in(f, C), 0x00);
		assert_int_equal(f->line->raised, i);
	}
	out(f, REG_B, H24);
	assert_int_equal(fake_clock_armed(f->clock), 0);
	/* The flag comes without the interrupt too, and enabling it then raises the line. */
	advance(f, NSEC_PER_SEC);
	assert_false(f->line->level);
	out(f, REG_B, H24 | UIE);
	assert_true(f->line->level);
	out(f, REG_B, H24);
	assert_false(f->line->level);
	assert_int_equal(in(f, C), 0x10);
}

static void periodic_interrupt(void **state)
{
	static const unsigned int hz[16] = {
		0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};
	struct fixture *f = *state;

	out(f, REG_B, H24 | PIE);
	for (uint8_t rate = 0; rate < 16; rate++) {
		unsigned int ticks = 0;

		out(f, A, 0x20 | rate);
		in(f, C);
		for (unsigned int us = 0; us < 1000000; us += 50) {
			advance(f, 50 * NSEC_PER_USEC);
			if (!f->line->level)
				continue;
			ticks++;
			assert_int_equal(in(f, C) & 0xc0, 0xc0);
			assert_false(f->line->level);
		}
		assert_int_equal(ticks, hz[rate]);
	}
	/* Not read, it waits; stopped with the divider. */
	out(f, A, 0x26);
	in(f, C);
	f->line->raised = 0;
	advance(f, NSEC_PER_SEC);
	assert_int_equal(f->line->raised, 1);
	out(f, A, 0x66);
	in(f, C);
	advance(f, NSEC_PER_SEC);
	assert_false(f->line->level);
	assert_int_equal(fake_clock_armed(f->clock), 0);
}

/* From Sunday, 2026-03-01 12:00:00 UTC: how long until the alarm? */
static void alarms(void **state)
{
	enum { ANY = 0xff, NEVER = 200000 };
	static const struct {
		uint8_t format, hour, minute, second;
		unsigned int after;
	} table[] = {
		{H24, 0x12, 0x00, 0x01, 1},
		{H24, 0x12, 0x00, 0x00, 86400},
		{H24, 0x12, 0x01, 0x00, 60},
		{H24, 0x13, 0x00, 0x00, 3600},
		{H24, 0x11, 0x59, 0x59, 86399},
		{H24, 0x00, 0x00, 0x00, 43200},
		{H24, ANY, ANY, ANY, 1},
		{H24, ANY, ANY, 0x30, 30},
		{H24, ANY, 0x10, ANY, 600},
		{H24, ANY, 0x10, 0x30, 630},
		{H24, 0x14, ANY, ANY, 7200},
		{H24, 0xc0, 0x00, 0x00, 3600},
		{H24, 0x24, 0x00, 0x00, NEVER},
		{H24, ANY, 0x60, ANY, NEVER},
		{H24 | BINARY, 18, 30, 15, 6 * 3600 + 30 * 60 + 15},
		{H24 | BINARY, 0x12, 30, 15, 6 * 3600 + 30 * 60 + 15},
		{0, 0x92, 0x05, 0x00, 300},
		{0, 0x12, 0x00, 0x00, 43200},
		{0, 0x81, 0x00, 0x00, 3600},
		{0, 0x13, 0x00, 0x00, NEVER},
	};
	struct fixture *f = *state;
	const uint64_t noon = f->clock->realtime_ns;

	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		unsigned int after = table[i].after;

		f->clock->realtime_ns = noon;
		out(f, REG_B, table[i].format);
		out(f, 0x01, table[i].second);
		out(f, 0x03, table[i].minute);
		out(f, 0x05, table[i].hour);
		assert_int_equal(in(f, 0x05), table[i].hour);
		in(f, C);
		out(f, REG_B, table[i].format | AIE);
		if (after == NEVER) {
			advance(f, NEVER * NSEC_PER_SEC);
			assert_false(f->line->level);
			continue;
		}
		advance(f, after * NSEC_PER_SEC - 1);
		assert_false(f->line->level);
		advance(f, 1);
		assert_true(f->line->level);
		assert_true(f->machine.lines[ALARM].level);
		assert_int_equal(in(f, C) & 0xa0, 0xa0);
		assert_false(f->machine.lines[ALARM].level);
	}
	/* Other interrupts are none of ACPI's business, and a flag that does not interrupt. */
	out(f, REG_B, H24 | UIE);
	advance(f, 2 * NSEC_PER_SEC);
	assert_true(f->line->level);
	assert_false(f->machine.lines[ALARM].level);
	/* Found by polling, without a timer. */
	out(f, REG_B, H24);
	out(f, 0x01, 0x15);
	out(f, 0x03, ANY);
	out(f, 0x05, ANY);
	in(f, C);
	assert_int_equal(fake_clock_armed(f->clock), 0);
	advance(f, 61 * NSEC_PER_SEC);
	assert_int_equal(in(f, C) & 0x20, 0x20);
}

static void the_host_clock_is_set(void **state)
{
	struct fixture *f = *state;

	out(f, 0x01, 0x00);
	out(f, 0x03, 0x00);
	out(f, 0x05, 0x13);
	in(f, C);
	out(f, REG_B, H24 | AIE);
	/* Forward: seen within a minute. Back: no alarm before its hour. */
	f->clock->realtime_ns -= 1800 * NSEC_PER_SEC;
	advance(f, 3600 * NSEC_PER_SEC);
	assert_false(f->line->level);
	f->clock->realtime_ns += 1799 * NSEC_PER_SEC;
	advance(f, 61 * NSEC_PER_SEC);
	assert_true(f->line->level);
}

static void ports_and_cmos(void **state)
{
	static const struct port_op table[] = {
		OUT(INDEX, 0x8d, IRQ_LOW), /* the NMI's bit is not part of the index */
		IN(INDEX, 0x0d, IRQ_LOW),
		IN(DATA, 0x80, IRQ_LOW),
		OUT(DATA, 0x00, IRQ_LOW),
		IN(DATA, 0x80, IRQ_LOW),
		OUT(INDEX, 0x0b, IRQ_LOW),
		IN(DATA, 0x02, IRQ_LOW),
		OUT(INDEX, 0x0c, IRQ_LOW),
		OUT(DATA, 0xff, IRQ_LOW),
		IN_MASK(DATA, 0x00, 0x8f, IRQ_LOW),
		OUT(INDEX, 0x0f, IRQ_LOW), /* the shutdown status byte */
		IN(DATA, 0x00, IRQ_LOW),
		OUT(DATA, 0x0a, IRQ_LOW),
		IN(DATA, 0x0a, IRQ_LOW),
		/* both ports in one access */
		{.op = OP_WRITE, .port = INDEX, .size = 2, .value = 0x5540, .irq = IRQ_LOW},
		IN(DATA, 0x55, IRQ_LOW),
	};
	struct fixture *f = *state;

	PORT_OPS_RUN(&f->machine, GSI, table);
	for (unsigned int reg = 0x0e; reg < 0x80; reg++)
		if (reg != CENTURY)
			out(f, (uint8_t)reg, (uint8_t)(reg * 3));
	for (unsigned int reg = 0x0e; reg < 0x80; reg++)
		if (reg != CENTURY)
			assert_int_equal(in(f, (uint8_t)reg), reg * 3 & 0xff);
}

static unsigned int in16(struct fixture *f, uint8_t reg)
{
	return in(f, reg) | (unsigned int)in(f, reg + 1) << 8;
}

static void memory_sizes(void **state)
{
	static const struct {
		uint64_t below, above;
		unsigned int base, ext, above_16m, above_4g;
	} table[] = {
		{512 * KiB, 0, 512, 0, 0, 0},
		{MiB, 0, 640, 0, 0, 0},
		{16 * MiB, 0, 640, 15360, 0, 0},
		{128 * MiB, 0, 640, 65535, 1792, 0},
		{3 * GiB, 3 * GiB, 640, 65535, 48896, 49152},
		{3 * GiB, 2 * TiB, 640, 65535, 48896, 0xffffff},
	};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		unsigned int sum = 0;

		rtc_destroy(f->rtc);
		create(f, table[i].below, table[i].above);
		assert_int_equal(in16(f, 0x15), table[i].base);
		assert_int_equal(in16(f, 0x17), table[i].ext);
		assert_int_equal(in16(f, 0x30), table[i].ext);
		assert_int_equal(in16(f, 0x34), table[i].above_16m);
		assert_int_equal(
			in16(f, 0x5b) | (unsigned int)in(f, 0x5d) << 16, table[i].above_4g);
		for (uint8_t reg = 0x10; reg <= 0x2d; reg++)
			sum += in(f, reg);
		assert_int_equal(in(f, 0x2e) << 8 | in(f, 0x2f), sum);
	}
}

static void ports_taken(void **state)
{
	struct fixture *f = *state;
	struct rtc *second = (struct rtc *)f;
	struct rtc_config config = {.pio = f->machine.pio, .clock = &f->machine.clock.clock};

	assert_true(rtc_create(&config, &second) < 0);
	assert_ptr_equal(second, f);
	rtc_destroy(NULL);
}

static void random_operations(void **state)
{
	struct fixture *f = *state;
	uint32_t seed = 11;

	for (unsigned int i = 0; i < 1000000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint64_t value = seed * UINT64_C(0x9e3779b97f4a7c15) >> 20;
		unsigned int size = 1u << (seed >> 11 & 3);

		switch (seed >> 29) {
		case 0:
			advance(f, value & 0xffffff);
			break;
		case 1:
			f->clock->realtime_ns += (seed & 0xffff) * NSEC_PER_SEC;
			f->clock->realtime_ns -= (seed >> 16 & 0xfff) * NSEC_PER_SEC;
			break;
		case 2 ... 3:
			bus_read(f->machine.pio, INDEX + (seed >> 8 & 1), size);
			break;
		case 4:
			fake_machine_out(&f->machine, INDEX, value & 0x0f);
			break;
		default:
			bus_write(f->machine.pio, INDEX + (seed >> 8 & 1), size, value);
			break;
		}
		assert_true(fake_clock_armed(f->clock) <= 1);
		if ((i & 63) != 0)
			continue;
		uint8_t b = in(f, REG_B);
		bool before = f->line->level;
		uint8_t c = in(f, C);

		assert_int_equal(before, (b & c & 0x70) != 0);
		assert_int_equal(before, c >> 7);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_calendar),
		T(the_guest_sets_the_time),
		T(single_registers_can_be_set),
		T(odd_values_count_on),
		T(set_freezes),
		T(the_divider),
		T(update_in_progress),
		T(update_interrupt),
		T(periodic_interrupt),
		T(alarms),
		T(the_host_clock_is_set),
		T(ports_and_cmos),
		T(memory_sizes),
		T(ports_taken),
		T(random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
