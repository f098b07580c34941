/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts as a device sees them: a wire it can raise and lower, and a sink for messages. What
 * is behind them (KVM's irqchip, a test) is not its business. Both may be called from any thread
 * and never block. A zeroed line or sink is not connected.
 */
#ifndef BANTAM_VM_CORE_IRQ_H
#define BANTAM_VM_CORE_IRQ_H

#include "vm/core/base.h"

struct irq_line {
	void (*set)(void *opaque, bool level);
	void *opaque;
};

static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->opaque, level);
}

struct msi_sink {
	void (*send)(void *opaque, uint64_t addr, uint32_t data);
	void *opaque;
};

static inline void msi_send(const struct msi_sink *sink, uint64_t addr, uint32_t data)
{
	if (sink->send)
		sink->send(sink->opaque, addr, data);
}

#endif
