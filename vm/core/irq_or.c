/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/irq_or.h"

static void set_input(void *opaque, bool level)
{
	const struct irq_or_input *input = opaque;
	struct irq_or *gate = input->gate;
	unsigned int before, bit = 1u << input->bit;

	pthread_mutex_lock(&gate->lock);
	before = gate->high;
	gate->high = level ? before | bit : before & ~bit;
	if (!before != !gate->high)
		irq_line_set(&gate->out, gate->high != 0);
	pthread_mutex_unlock(&gate->lock);
}

void irq_or_init(struct irq_or *gate, struct irq_line out)
{
	*gate = (struct irq_or){.out = out};
	pthread_mutex_init(&gate->lock, NULL);
	for (unsigned int i = 0; i < IRQ_OR_MAX_INPUTS; i++)
		gate->inputs[i] = (struct irq_or_input){.gate = gate, .bit = i};
}

void irq_or_fini(struct irq_or *gate)
{
	pthread_mutex_destroy(&gate->lock);
}

struct irq_line irq_or_input(struct irq_or *gate)
{
	const struct irq_line nothing = {0};

	if (gate->used == IRQ_OR_MAX_INPUTS)
		return nothing;
	return (struct irq_line){.set = set_input, .opaque = &gate->inputs[gate->used++]};
}
