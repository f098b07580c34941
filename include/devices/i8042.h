/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * i8042 keyboard controller: enough to be probed at once, to report that nothing is plugged in, and
 * to reset the machine (command 0xFE, output port bit 0). Every command answers immediately.
 */
#ifndef BANTAM_DEVICES_I8042_H
#define BANTAM_DEVICES_I8042_H

#include "devices/power.h"
#include "vm/core/base.h"
#include "vm/core/irq.h"

struct bus;
struct i8042;

struct i8042_config {
	struct bus *pio;
	struct irq_line irq; /* IRQ 1 */
	struct power_sink power;
};

int i8042_create(const struct i8042_config *config, struct i8042 **ret);
void i8042_destroy(struct i8042 *kbd);

#endif
