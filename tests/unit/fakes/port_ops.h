/* SPDX-License-Identifier: BSD-2-Clause */
/* Register devices tested by tables: what is done at a port and what must be seen. */
#ifndef TESTS_PORT_OPS_H
#define TESTS_PORT_OPS_H

#include "fake_machine.h"

enum port_op_kind { OP_READ, OP_WRITE, OP_ADVANCE };
enum { IRQ_ANY, IRQ_LOW, IRQ_HIGH };

struct port_op {
	enum port_op_kind op;
	uint16_t port;
	uint8_t size;
	uint64_t value; /* written, expected to be read, or nanoseconds that pass */
	uint64_t mask;	/* bits of a read that are compared; 0: all */
	uint8_t irq;	/* level afterwards */
	const char *why;
};

/* clang-format off */
#define IN(p, v, i)	    {.op = OP_READ, .port = (p), .size = 1, .value = (v), .irq = (i)}
#define IN_MASK(p, v, m, i) {.op = OP_READ, .port = (p), .size = 1, .value = (v), .mask = (m), .irq = (i)}
#define OUT(p, v, i)	    {.op = OP_WRITE, .port = (p), .size = 1, .value = (v), .irq = (i)}
#define PASS(ns, i)	    {.op = OP_ADVANCE, .value = (ns), .irq = (i)}
/* clang-format on */

/* Fails the cmocka test, naming file, table row and both values, at the first difference. */
void port_ops_run_at(struct fake_machine *machine, unsigned int gsi, const struct port_op *ops,
	size_t count, const char *file, int line);

#define PORT_OPS_RUN(machine, gsi, table)                                                          \
	port_ops_run_at((machine), (gsi), (table), ARRAY_SIZE(table), __FILE__, __LINE__)

#endif
