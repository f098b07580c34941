/* SPDX-License-Identifier: BSD-2-Clause */
/* The surroundings of a register device: buses, a clock, interrupt lines, message and power sinks,
 * each remembering what reached it. Free of the test framework, so that fuzz targets use it too.
 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include "devices/power.h"
#include "fake_clock.h"
#include "vm/core/base.h"
#include "vm/core/irq.h"

struct bus;

struct fake_line {
	bool level;
	unsigned int raised;  /* low to high */
	unsigned int lowered; /* high to low */
	unsigned int calls;   /* of set, changes or not */
};

struct fake_msi {
	unsigned int count;
	uint64_t last_addr;
	uint32_t last_data;
};

struct fake_power {
	unsigned int count[POWER_PANIC + 1];
};

enum { FAKE_LINES = 24 };

struct fake_machine {
	struct bus *pio;  /* 64 Ki ports */
	struct bus *mmio; /* 2^64 */
	struct fake_clock clock;
	struct fake_line lines[FAKE_LINES];
	struct fake_msi msi;
	struct fake_power power;
};

/* Aborts without memory. */
void fake_machine_create(struct fake_machine *machine);
/* The devices are destroyed already. */
void fake_machine_destroy(struct fake_machine *machine);

/* What goes into a device's config. */
struct irq_line fake_machine_irq(struct fake_machine *machine, unsigned int gsi);
struct msi_sink fake_machine_msi(struct fake_machine *machine);
struct power_sink fake_machine_power(struct fake_machine *machine);

/* One byte in, one byte out. */
uint8_t fake_machine_in(struct fake_machine *machine, uint16_t port);
void fake_machine_out(struct fake_machine *machine, uint16_t port, uint8_t value);

#endif
