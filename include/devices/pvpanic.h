/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvpanic (QEMU docs/specs/pvpanic): one byte port. Reads as the events that are understood; a
 * write of bit 0 says that the guest panicked, bit 1 that it crashed but goes on to kdump.
 */
#ifndef BANTAM_DEVICES_PVPANIC_H
#define BANTAM_DEVICES_PVPANIC_H

#include "devices/power.h"
#include "vm/core/base.h"

struct bus;
struct log;
struct pvpanic;

struct pvpanic_config {
	struct bus *pio;
	struct power_sink power; /* for bit 0 */
	struct log *log;	 /* for bit 1 alone: a line, and NOTICE_CRASH_KERNEL; may be NULL */
};

int pvpanic_create(const struct pvpanic_config *config, struct pvpanic **ret);
void pvpanic_destroy(struct pvpanic *pvpanic);

#endif
