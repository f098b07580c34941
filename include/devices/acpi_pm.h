/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI PM block (ACPI 6.4, 4.8.3): PM1 event and control registers (power button, RTC alarm,
 * S5), the timer, the reset register that the FADT names, and the presence register that the DSDT's
 * _STA methods read.
 *
 *   +0x0  PM1_STS  word   +0x2 PM1_EN word   +0x4 PM1_CNT word   +0x8 reset, byte, write 1
 *   +0xC  presence, dword, read-only, LAYOUT_PRESENT_*
 *   +0x10 PM_TMR, dword, read-only: 32 bits at 3.579545 MHz, from 0 on
 */
#ifndef BANTAM_DEVICES_ACPI_PM_H
#define BANTAM_DEVICES_ACPI_PM_H

#include "devices/power.h"
#include "vm/core/base.h"
#include "vm/core/irq.h"

struct acpi_pm;
struct bus;
struct clock;

struct acpi_pm_config {
	struct bus *pio;
	struct irq_line sci; /* level */
	struct power_sink power;
	const struct clock *clock; /* of the timer, not owned; NULL: it stands still */
	uint32_t presence;
};

int acpi_pm_create(const struct acpi_pm_config *config, struct acpi_pm **ret);
void acpi_pm_destroy(struct acpi_pm *pm);

/* Presses the power button. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
/* The RTC's alarm has gone off: what wakes a guest that sleeps. Any thread. */
void acpi_pm_rtc_alarm(struct acpi_pm *pm);

#endif
