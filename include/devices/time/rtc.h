/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RTC MC146818 with 114 bytes of CMOS RAM at ports 0x70/0x71: time in UTC, BCD or binary, 12 or 24
 * hours, alarm, periodic and update-ended interrupts. A guest that sets the time moves an offset
 * to the host's clock. Timers run only while an interrupt is enabled that needs them.
 */
#ifndef BANTAM_DEVICES_TIME_RTC_H
#define BANTAM_DEVICES_TIME_RTC_H

#include "vm/core/base.h"
#include "vm/core/clock.h"
#include "vm/core/irq.h"

struct bus;
struct rtc;

struct rtc_config {
	struct bus *pio;
	struct irq_line irq;	   /* IRQ 8 */
	struct irq_line alarm;	   /* high while the alarm is what interrupts */
	const struct clock *clock; /* not owned */
	uint64_t ram_below_4g;	   /* bytes, for the CMOS memory size registers */
	uint64_t ram_above_4g;
};

int rtc_create(const struct rtc_config *config, struct rtc **ret);
void rtc_destroy(struct rtc *rtc);

#endif
