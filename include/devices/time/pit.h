/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PIT i8254 (Intel 231164-005) with its three channels, and the PC's port 0x61 (speaker gate and
 * channel 2's output). Channel 0 drives IRQ 0 through a timer; the other counters are computed from
 * the clock when they are read. Missed periods of channel 0 are made up for, up to a bound, so that
 * a guest that counts ticks keeps time on a busy host.
 */
#ifndef BANTAM_DEVICES_TIME_PIT_H
#define BANTAM_DEVICES_TIME_PIT_H

#include "vm/core/base.h"
#include "vm/core/clock.h"
#include "vm/core/irq.h"

#define PIT_HZ 1193182u

struct bus;
struct pit;

struct pit_config {
	struct bus *pio;
	struct irq_line irq;	   /* IRQ 0, edge */
	const struct clock *clock; /* not owned */
};

int pit_create(const struct pit_config *config, struct pit **ret);
void pit_destroy(struct pit *pit);

#endif
