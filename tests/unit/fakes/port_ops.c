/* SPDX-License-Identifier: BSD-2-Clause */
#include "port_ops.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vm/core/bus.h"

static uint64_t run_one(struct fake_machine *machine, const struct port_op *op)
{
	switch (op->op) {
	case OP_READ:
		return bus_read(machine->pio, op->port, op->size);
	case OP_WRITE:
		bus_write(machine->pio, op->port, op->size, op->value);
		break;
	case OP_ADVANCE:
		fake_clock_advance(&machine->clock, op->value);
		break;
	}
	return op->value;
}

void port_ops_run_at(struct fake_machine *machine, unsigned int gsi, const struct port_op *ops,
	size_t count, const char *file, int line)
{
	for (size_t i = 0; i < count; i++) {
		const struct port_op *op = &ops[i];
		uint64_t mask = op->mask ? op->mask : UINT64_MAX;
		uint64_t seen = run_one(machine, op);
		bool level = machine->lines[gsi].level;

		if ((seen & mask) != (op->value & mask))
			fail_msg("table at %s:%d, row %zu%s%s: port %#x reads %#" PRIx64
				 ", expected %#" PRIx64,
				file, line, i, op->why ? ", " : "", op->why ? op->why : "",
				op->port, seen, op->value);
		if (op->irq != IRQ_ANY && level != (op->irq == IRQ_HIGH))
			fail_msg("table at %s:%d, row %zu%s%s: the line is %s", file, line, i,
				op->why ? ", " : "", op->why ? op->why : "",
				level ? "high" : "low");
	}
}
