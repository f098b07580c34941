/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/core/irq_or.h"

struct wire {
	bool level;
	unsigned int changes;
};

static void set(void *opaque, bool level)
{
	struct wire *wire = opaque;

	wire->level = level;
	wire->changes++;
}

static void high_while_any_input_is(void **state)
{
	struct wire wire = {0};
	struct irq_or gate;
	struct irq_line a, b;

	(void)state;
	irq_or_init(&gate, (struct irq_line){.set = set, .opaque = &wire});
	a = irq_or_input(&gate);
	b = irq_or_input(&gate);
	irq_line_set(&a, true);
	irq_line_set(&b, true);
	irq_line_set(&a, false);
	assert_true(wire.level);
	irq_line_set(&a, false); /* again: not the other's business */
	assert_true(wire.level);
	irq_line_set(&b, false);
	assert_false(wire.level);
	assert_int_equal(wire.changes, 2);
	irq_or_fini(&gate);
}

static void inputs_run_out(void **state)
{
	struct wire wire = {0};
	struct irq_or gate;
	struct irq_line line;

	(void)state;
	irq_or_init(&gate, (struct irq_line){.set = set, .opaque = &wire});
	for (int i = 0; i < IRQ_OR_MAX_INPUTS; i++)
		assert_non_null(irq_or_input(&gate).set);
	line = irq_or_input(&gate);
	irq_line_set(&line, true);
	assert_int_equal(wire.changes, 0);
	irq_or_fini(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(high_while_any_input_is),
		cmocka_unit_test(inputs_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
