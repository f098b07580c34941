/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_machine.h"

#include <stdlib.h>
#include <string.h>

#include "vm/core/bus.h"

static void line_set(void *opaque, bool level)
{
	struct fake_line *line = opaque;

	line->calls++;
	if (level && !line->level)
		line->raised++;
	if (!level && line->level)
		line->lowered++;
	line->level = level;
}

static void msi_received(void *opaque, uint64_t addr, uint32_t data)
{
	struct fake_msi *msi = opaque;

	msi->count++;
	msi->last_addr = addr;
	msi->last_data = data;
}

static void power_notified(void *opaque, enum power_event event)
{
	struct fake_power *power = opaque;

	power->count[event]++;
}

void fake_machine_create(struct fake_machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	if (bus_create(0x10000, &machine->pio) || bus_create(0, &machine->mmio))
		abort();
	fake_clock_init(&machine->clock);
}

void fake_machine_destroy(struct fake_machine *machine)
{
	bus_destroy(machine->pio);
	bus_destroy(machine->mmio);
}

struct irq_line fake_machine_irq(struct fake_machine *machine, unsigned int gsi)
{
	return (struct irq_line){.set = line_set, .opaque = &machine->lines[gsi]};
}

struct msi_sink fake_machine_msi(struct fake_machine *machine)
{
	return (struct msi_sink){.send = msi_received, .opaque = &machine->msi};
}

struct power_sink fake_machine_power(struct fake_machine *machine)
{
	return (struct power_sink){.notify = power_notified, .opaque = &machine->power};
}

uint8_t fake_machine_in(struct fake_machine *machine, uint16_t port)
{
	return (uint8_t)bus_read(machine->pio, port, 1);
}

void fake_machine_out(struct fake_machine *machine, uint16_t port, uint8_t value)
{
	bus_write(machine->pio, port, 1, value);
}
