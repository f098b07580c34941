/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keyboard controller and pvpanic: accesses of any size at their ports. The machine is reset
 * exactly when a command says so, the controller is never busy, the line is high only while a byte
 * of the first port waits with its interrupt enabled, and a read takes that byte away.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/i8042.h"
#include "devices/pvpanic.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_clock.c"
#include "../unit/fakes/fake_machine.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { DATA = 0x60, CMD = 0x64, GSI = 1, OPS_MAX = 4096 };

struct model {
	struct fake_machine machine;
	uint8_t last_command; /* that waits for its byte; 0: none */
	unsigned int resets, panics;
};

static void model_command(struct model *m, uint8_t value)
{
	m->last_command = value;
	m->resets += value >= 0xf0 && !(value & 1);
}

static void model_data(struct model *m, uint8_t value)
{
	m->resets += m->last_command == 0xd1 && !(value & 1);
	m->last_command = 0;
}

static void check(struct model *m)
{
	const struct fake_line *line = &m->machine.lines[GSI];
	uint8_t status = fake_machine_in(&m->machine, CMD);

	CHECK(!(status & 0x82) && (status & 0x10));
	CHECK(!line->level || (status & 0x21) == 0x01);
	CHECK((status & 0x01) || !(status & 0x60));
	CHECK(m->machine.power.count[POWER_RESET] == m->resets);
	CHECK(m->machine.power.count[POWER_PANIC] == m->panics);
	CHECK(!m->machine.power.count[POWER_OFF]);
}

/* The command byte, through the guest's own eyes; takes the place of a byte that waits. */
static void check_line(struct model *m)
{
	const struct fake_line *line = &m->machine.lines[GSI];
	bool level = line->level;
	uint8_t ctr;

	model_command(m, 0x20);
	fake_machine_out(&m->machine, CMD, 0x20);
	CHECK(!line->level);
	ctr = fake_machine_in(&m->machine, DATA);
	CHECK(!level || (ctr & 1));
	/* A byte for the keyboard is not answered by it: the line is then what CTR says. */
	fake_machine_out(&m->machine, DATA, 0xf2);
	m->last_command = 0;
	CHECK(line->level == (ctr & 1));
	CHECK(fake_machine_in(&m->machine, DATA) == 0xfe && !line->level);
}

static void operate(struct model *m, uint8_t op, uint8_t arg)
{
	unsigned int size = 1u << (op >> 2 & 3);
	uint16_t port = op & 1 ? CMD : DATA;
	uint64_t value = arg * UINT64_C(0x0101010101010101);

	switch (op >> 5) {
	case 0:
	case 1:
		/* A wide access at the data port reaches the command port too, from 8 bytes on. */
		bus_read(m->machine.pio, port, size);
		break;
	case 2:
		check_line(m);
		break;
	case 3:
		m->panics += arg & 1;
		bus_write(m->machine.pio, LAYOUT_PVPANIC_PORT, size, value);
		CHECK(fake_machine_in(&m->machine, LAYOUT_PVPANIC_PORT) == 3);
		break;
	default:
		if (port == DATA)
			model_data(m, arg);
		if (port == CMD || size == 8)
			model_command(m, arg);
		bus_write(m->machine.pio, port, size, value);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct model m;
	struct i8042 *kbd;
	struct pvpanic *pvpanic;

	memset(&m, 0, sizeof(m));
	fake_machine_create(&m.machine);
	struct i8042_config config = {.pio = m.machine.pio,
		.irq = fake_machine_irq(&m.machine, GSI),
		.power = fake_machine_power(&m.machine)};
	struct pvpanic_config panic_config = {
		.pio = m.machine.pio, .power = fake_machine_power(&m.machine)};

	CHECK(i8042_create(&config, &kbd) == 0);
	CHECK(pvpanic_create(&panic_config, &pvpanic) == 0);
	for (size_t i = 0; i + 1 < len && i < OPS_MAX; i += 2) {
		operate(&m, data[i], data[i + 1]);
		check(&m);
	}
	pvpanic_destroy(pvpanic);
	i8042_destroy(kbd);
	fake_machine_destroy(&m.machine);
	return 0;
}
