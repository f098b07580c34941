/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first byte chooses between the device at its ports and the chip by itself.
 *
 * Device: accesses of any size, time that passes, a host clock that is set. The line is what
 * registers B and C say, at most one timer is armed, and a running clock shows a date.
 *
 * Chip: two get the same operations, one of them is looked at in between as well; both must show
 * the same. The next interrupt must come when it was foretold and not earlier.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/time/rtc_chip.h"
#include "devices/time/rtc.h"
#include "vm/core/bus.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_clock.c"
#include "../unit/fakes/fake_machine.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { OPS_MAX = 3000, INDEX = 0x70, DATA = 0x71, GSI = 8 };

/* Microseconds to days */
static uint64_t span(uint8_t byte)
{
	return (uint64_t)(byte & 15) * 1000 << (byte >> 4) * 2;
}

/* ---- the device ---- */

static uint8_t in(struct fake_machine *m, uint8_t reg)
{
	fake_machine_out(m, INDEX, reg);
	return fake_machine_in(m, DATA);
}

static void check_date(struct fake_machine *m)
{
	const uint8_t b = in(m, RTC_B);
	/* The same time again in the plain format: the stored one may be BCD or of 12 hours. */
	static const struct {
		uint8_t reg, min, max;
	} ranges[] = {{RTC_SECONDS, 0, 59}, {RTC_MINUTES, 0, 59}, {RTC_HOURS, 0, 23},
		{RTC_WEEKDAY, 1, 7}, {RTC_DAY, 1, 31}, {RTC_MONTH, 1, 12}, {RTC_YEAR, 0, 99},
		{RTC_CENTURY, 0, 99}};

	if (b & RTC_B_SET)
		return;
	fake_machine_out(m, DATA, b | RTC_B_24H | RTC_B_BINARY);
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint8_t value = in(m, ranges[i].reg);

		CHECK(value >= ranges[i].min && value <= ranges[i].max);
	}
	fake_machine_out(m, INDEX, RTC_B);
	fake_machine_out(m, DATA, b);
}

static void check_device(struct fake_machine *m)
{
	/* A host clock that was set shows with the next access: the first one brings the line up.
	 */
	uint8_t b = in(m, RTC_B);
	bool level = m->lines[GSI].level;
	uint8_t c = in(m, RTC_C);

	CHECK(level == ((b & c & 0x70) != 0) && level == c >> 7);
	CHECK(!m->lines[GSI].level && !(c & 0x0f));
	CHECK(in(m, RTC_C) == 0 && in(m, RTC_D) == 0x80);
	CHECK(fake_clock_armed(&m->clock) <= 1);
	/* No enable, no timer. */
	CHECK((b & 0x70) || !fake_clock_armed(&m->clock));
}

static void run_device(const uint8_t *data, size_t len)
{
	struct fake_machine m;
	struct rtc *rtc;

	fake_machine_create(&m);
	struct rtc_config config = {.pio = m.pio,
		.irq = fake_machine_irq(&m, GSI),
		.clock = &m.clock.clock,
		.ram_below_4g = 3 * GiB,
		.ram_above_4g = data[0] * GiB};

	CHECK(rtc_create(&config, &rtc) == 0);
	for (size_t i = 0; i + 1 < len && i < OPS_MAX; i += 2) {
		const uint8_t op = data[i], arg = data[i + 1];

		switch (op >> 5) {
		case 0:
			fake_clock_advance(&m.clock, span(arg) % (10000 * NSEC_PER_SEC));
			break;
		case 1:
			m.clock.realtime_ns += (op & 1 ? 1 : UINT64_MAX) * span(arg);
			break;
		case 2:
			bus_read(m.pio, INDEX + (op & 1), 1u << (op >> 1 & 3));
			break;
		case 3:
			bus_write(m.pio, INDEX, 2, (uint64_t)arg << 8 | (op & 0x0f));
			break;
		case 4:
			check_device(&m);
			break;
		case 5:
			check_date(&m);
			break;
		default:
			bus_write(m.pio, INDEX + (op & 1), 1u << (op >> 1 & 3), arg * 0x0101u);
			break;
		}
	}
	check_device(&m);
	rtc_destroy(rtc);
	CHECK(!fake_clock_armed(&m.clock));
	fake_machine_destroy(&m);
}

/* ---- the chip and its twin ---- */

static void look_often(struct rtc_chip *chip, uint64_t from, uint64_t to)
{
	uint64_t step = (to - from) / 7 + 1, delay;

	for (uint64_t now = from; now < to; now += step) {
		rtc_chip_settle(chip, now);
		if (rtc_chip_irq(chip) || !rtc_chip_next_irq(chip, now, &delay))
			continue;
		CHECK(delay);
		if (now + delay > to)
			continue;
		now += delay;
		rtc_chip_settle(chip, now - 1);
		CHECK(!rtc_chip_irq(chip));
		rtc_chip_settle(chip, now);
		CHECK(rtc_chip_irq(chip));
	}
}

static void run_chip(const uint8_t *data, size_t len)
{
	struct rtc_chip seldom, often;
	uint64_t now = UINT64_C(1772366400) * NSEC_PER_SEC, next;

	rtc_chip_reset(&seldom, now);
	rtc_chip_reset(&often, now);
	for (size_t i = 0; i + 2 < len && i < OPS_MAX; i += 3) {
		unsigned int reg = data[i] & 0x1f ? data[i] & 0x0f : RTC_CENTURY;

		if (data[i] & 0x20) {
			now -= span(data[i + 2]); /* the host's clock is set back */
		} else {
			next = now + span(data[i + 2]);
			look_often(&often, now, next);
			now = next;
		}
		if (data[i] & 0x80) {
			rtc_chip_write(&seldom, reg, data[i + 1], now);
			rtc_chip_write(&often, reg, data[i + 1], now);
		} else {
			CHECK(rtc_chip_read(&seldom, reg, now) == rtc_chip_read(&often, reg, now));
		}
		CHECK(rtc_chip_irq(&seldom) == rtc_chip_irq(&often));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2)
		return 0;
	if (data[0] & 1)
		run_device(data + 1, len - 1);
	else
		run_chip(data + 1, len - 1);
	return 0;
}
