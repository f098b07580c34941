/* SPDX-License-Identifier: BSD-2-Clause */
/* How a device tells the VM that the guest asked for its own end. Any thread, never blocks. */
#ifndef BANTAM_DEVICES_POWER_H
#define BANTAM_DEVICES_POWER_H

#include "vm/core/base.h"

enum power_event {
	POWER_OFF,   /* ACPI S5 */
	POWER_RESET, /* ACPI reset register, i8042 pulse */
	POWER_PANIC, /* pvpanic: the guest's kernel says that it crashed */
};

struct power_sink {
	void (*notify)(void *opaque, enum power_event event);
	void *opaque;
};

static inline void power_notify(const struct power_sink *sink, enum power_event event)
{
	if (sink->notify)
		sink->notify(sink->opaque, event);
}

#endif
