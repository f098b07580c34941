/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several devices on one level-triggered wire: it is high while any of them pulls it up. Embedded
 * in its owner; each input is an irq_line of its own.
 */
#ifndef BANTAM_VM_CORE_IRQ_OR_H
#define BANTAM_VM_CORE_IRQ_OR_H

#include <pthread.h>

#include "vm/core/irq.h"

enum { IRQ_OR_MAX_INPUTS = 8 };

struct irq_or;

struct irq_or_input {
	struct irq_or *gate;
	unsigned int bit;
};

struct irq_or {
	struct irq_line out;
	pthread_mutex_t lock; /* guards high, and the order of changes to out */
	unsigned int high;    /* bit per input */
	unsigned int used;    /* inputs given away */
	struct irq_or_input inputs[IRQ_OR_MAX_INPUTS];
};

void irq_or_init(struct irq_or *gate, struct irq_line out);
void irq_or_fini(struct irq_or *gate);

/* A further input, low; an unconnected line when all are taken. */
struct irq_line irq_or_input(struct irq_or *gate);

#endif
