/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The chip (rtc_chip.c) behind its two ports, with one timer set to the next flag that interrupts.
 * The line is high while an enabled flag is up, that is until the guest reads register C; no timer
 * runs for that flag meanwhile, so the guest itself paces its periodic interrupt.
 *
 * The chip follows the realtime clock, timers the monotonic one. Should the first be set while a
 * timer waits, the timer comes early, finds no flag and is set again; never more than LOOK_AGAIN_NS
 * late.
 *
 * The CMOS holds what firmware would have put there: memory sizes, the equipment byte, the
 * checksum over 0x10..0x2d (IBM PC/AT technical reference; from 0x34 on as Bochs and QEMU have it).
 *
 * ACPI's fixed hardware hears of the alarm as well (ACPI 6.4, 4.8.2.4): a guest that sleeps has IRQ
 * 8 masked, and wakes by the SCI.
 *
 * Locking: one mutex, held while the lines are set.
 */
#include "devices/time/rtc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "rtc_chip.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#define LOOK_AGAIN_NS (60 * NSEC_PER_SEC)

enum {
	RTC_PORTS = 2,
	PORT_INDEX = 0, /* bit 7 masks the NMI; there is none */

	CMOS_EQUIPMENT = 0x14, /* what the BIOS's INT 11h returns */
	CMOS_EQUIPMENT_FPU = 0x02,
	CMOS_BASE_KIB = 0x15,
	CMOS_EXT_KIB = 0x17, /* from 1 MiB on */
	CMOS_EXT_KIB_FOUND = 0x30,
	CMOS_ABOVE_16M = 0x34, /* in 64 KiB */
	CMOS_ABOVE_4G = 0x5b,  /* in 64 KiB, three bytes */
	CMOS_SUM_FIRST = 0x10,
	CMOS_SUM_LAST = 0x2d,
	CMOS_SUM = 0x2e, /* high byte first */
};

struct rtc {
	struct rtc_config config;
	struct bus_region region;
	struct timer timer;
	pthread_mutex_t lock; /* guards all below */
	struct rtc_chip chip;
	uint8_t index;
	bool irq_level, alarm_level, timer_armed;
};

/* With the lock held: the line and the timer follow from the chip's state. */
static void update(struct rtc *rtc, uint64_t now)
{
	bool level = rtc_chip_irq(&rtc->chip);
	uint64_t delay;

	if (level != rtc->irq_level) {
		rtc->irq_level = level;
		irq_line_set(&rtc->config.irq, level);
	}
	if (rtc_chip_alarm(&rtc->chip) != rtc->alarm_level) {
		rtc->alarm_level = !rtc->alarm_level;
		irq_line_set(&rtc->config.alarm, rtc->alarm_level);
	}
	if (rtc_chip_next_irq(&rtc->chip, now, &delay)) {
		rtc->timer_armed = true;
		clock_arm(rtc->config.clock, &rtc->timer,
			clock_monotonic_ns(rtc->config.clock) + MIN(delay, LOOK_AGAIN_NS));
	} else if (rtc->timer_armed) {
		rtc->timer_armed = false;
		clock_disarm(rtc->config.clock, &rtc->timer);
	}
}

static void rtc_expired(void *opaque)
{
	struct rtc *rtc = opaque;
	uint64_t now;

	pthread_mutex_lock(&rtc->lock);
	now = clock_realtime_ns(rtc->config.clock);
	rtc_chip_settle(&rtc->chip, now);
	update(rtc, now);
	pthread_mutex_unlock(&rtc->lock);
}

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned int size)
{
	struct rtc *rtc = opaque;
	uint64_t now;
	uint8_t value;

	(void)size;
	pthread_mutex_lock(&rtc->lock);
	if (off == PORT_INDEX) {
		value = rtc->index;
	} else {
		now = clock_realtime_ns(rtc->config.clock);
		value = rtc_chip_read(&rtc->chip, rtc->index, now);
		if (rtc->index == RTC_C || rtc_chip_irq(&rtc->chip) != rtc->irq_level)
			update(rtc, now);
	}
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct rtc *rtc = opaque;
	uint64_t now;

	(void)size;
	pthread_mutex_lock(&rtc->lock);
	if (off == PORT_INDEX) {
		rtc->index = value & (RTC_REGS - 1);
	} else {
		now = clock_realtime_ns(rtc->config.clock);
		rtc_chip_write(&rtc->chip, rtc->index, (uint8_t)value, now);
		update(rtc, now);
	}
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ops = {.read = rtc_read, .write = rtc_write, .max_size = 1};

/* ---- what firmware would have left in the CMOS ---- */

static void put(struct rtc_chip *chip, unsigned int reg, unsigned int bytes, uint64_t value)
{
	const uint64_t max = (UINT64_C(1) << (8 * bytes)) - 1;

	value = MIN(value, max);
	for (unsigned int i = 0; i < bytes; i++)
		chip->regs[reg + i] = (uint8_t)(value >> (8 * i));
}

static uint64_t beyond(uint64_t size, uint64_t start)
{
	return size > start ? size - start : 0;
}

static void fill_cmos(struct rtc_chip *chip, const struct rtc_config *config)
{
	const uint64_t low = config->ram_below_4g;
	unsigned int sum = 0;

	put(chip, CMOS_EQUIPMENT, 1, CMOS_EQUIPMENT_FPU);
	put(chip, CMOS_BASE_KIB, 2, MIN(low / KiB, UINT64_C(640)));
	put(chip, CMOS_EXT_KIB, 2, beyond(low, MiB) / KiB);
	put(chip, CMOS_EXT_KIB_FOUND, 2, beyond(low, MiB) / KiB);
	put(chip, CMOS_ABOVE_16M, 2, beyond(low, 16 * MiB) / (64 * KiB));
	put(chip, CMOS_ABOVE_4G, 3, config->ram_above_4g / (64 * KiB));
	for (unsigned int reg = CMOS_SUM_FIRST; reg <= CMOS_SUM_LAST; reg++)
		sum += chip->regs[reg];
	chip->regs[CMOS_SUM] = (uint8_t)(sum >> 8);
	chip->regs[CMOS_SUM + 1] = (uint8_t)sum;
}

int rtc_create(const struct rtc_config *config, struct rtc **ret)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int rc;

	if (!rtc)
		return -ENOMEM;
	rtc->config = *config;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->timer = (struct timer){.fn = rtc_expired, .opaque = rtc};
	rtc_chip_reset(&rtc->chip, clock_realtime_ns(config->clock));
	fill_cmos(&rtc->chip, config);
	rtc->region = (struct bus_region){.name = "rtc",
		.base = LAYOUT_RTC_PORT,
		.size = RTC_PORTS,
		.ops = &rtc_ops,
		.opaque = rtc};
	rc = bus_add(config->pio, &rtc->region);
	if (rc)
		goto free_rtc;
	*ret = rtc;
	return 0;
free_rtc:
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
	return rc;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc)
		return;
	bus_remove(rtc->config.pio, &rtc->region);
	clock_disarm_sync(rtc->config.clock, &rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}
