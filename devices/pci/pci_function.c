/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function's configuration space: the type 0 header (PCI 3.0, 6.1), BAR registers, the list of
 * capabilities (6.7), and the INTx wire (2.2.6). All but the wire is only set up here, before the
 * guest sees it; devices/pci/pci.c does the accesses.
 *
 * BAR sizing needs no code: the bits below a BAR's size are not in the write mask, so a write of
 * all ones reads back as the size.
 */
#include <assert.h>

#include "pci_private.h"
#include "vm/core/layout.h"

uint16_t pci_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t pci_get32(const uint8_t *p)
{
	return (uint32_t)pci_get16(p) | (uint32_t)pci_get16(p + 2) << 16;
}

void pci_set16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

void pci_set32(uint8_t *p, uint32_t value)
{
	pci_set16(p, (uint16_t)value);
	pci_set16(p + 2, (uint16_t)(value >> 16));
}

void pci_function_init(struct pci_function *fn, const struct pci_ids *ids, bool intx)
{
	pci_set16(&fn->cfg[PCI_VENDOR_ID], ids->vendor);
	pci_set16(&fn->cfg[PCI_DEVICE_ID], ids->device);
	fn->cfg[PCI_REVISION_ID] = ids->revision;
	fn->cfg[PCI_CLASS] = (uint8_t)ids->class_code;
	pci_set16(&fn->cfg[PCI_CLASS + 1], (uint16_t)(ids->class_code >> 8));
	pci_set16(&fn->cfg[PCI_SUBSYSTEM_VENDOR_ID], ids->subsystem_vendor);
	pci_set16(&fn->cfg[PCI_SUBSYSTEM_ID], ids->subsystem);
	fn->cfg[PCI_INTERRUPT_PIN] = intx ? 1 : 0;

	pci_set16(&fn->wmask[PCI_COMMAND], PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
						   PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	fn->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	fn->wmask[PCI_INTERRUPT_LINE] = 0xff;
	fn->next_cap = PCI_FIRST_CAP;
}

void pci_function_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_kind kind,
	bool prefetchable, uint64_t size, const struct bus_ops *ops, void *opaque)
{
	uint8_t *reg = &fn->cfg[PCI_BAR0 + 4 * bar], *mask = &fn->wmask[PCI_BAR0 + 4 * bar];
	const bool io = kind == PCI_BAR_IO;

	assert(bar + (kind == PCI_BAR_MEM64) < PCI_MAX_BARS);
	assert(is_power_of_two(size) && size >= (io ? 4 : 16));
	assert(kind == PCI_BAR_MEM64 || size <= 2 * GiB);
	fn->bars[bar] = (struct pci_bar){.kind = kind,
		.prefetchable = prefetchable,
		.region = {.name = fn->name, .size = size, .ops = ops, .opaque = opaque}};
	fn->wmask[PCI_COMMAND] |= io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	pci_set32(reg, (io ? PCI_BAR_IO_SPACE : 0) | (prefetchable ? PCI_BAR_PREFETCH : 0) |
			       (kind == PCI_BAR_MEM64 ? PCI_BAR_64BIT : 0));
	pci_set32(mask, (uint32_t)-size);
	if (kind == PCI_BAR_MEM64)
		pci_set32(mask + 4, (uint32_t)(-size >> 32));
}

uint8_t pci_function_cap(struct pci_function *fn, uint8_t id, uint8_t len)
{
	const uint8_t at = fn->next_cap;
	uint8_t *link = &fn->cfg[PCI_CAP_PTR];

	assert(len >= 2);
	/* next_cap is 0 when the last byte is taken. */
	if (!at || at + len > PCI_CAP_END)
		return 0;
	while (*link)
		link = &fn->cfg[*link + 1];
	*link = at;
	fn->cfg[at] = id;
	fn->cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	fn->next_cap = (uint8_t)ALIGN_UP(at + len, 4);
	return at;
}

/* The DSDT's _PRT says the same. */
static unsigned int wire(const struct pci_function *fn)
{
	return (fn->slot + fn->cfg[PCI_INTERRUPT_PIN] - 1U) % PCI_INTX_LINES;
}

static_assert((int)PCI_INTX_LINES == LAYOUT_IRQ_PCI_N, "one wire per GSI");

/* With intx_lock held: brings the function's share of the wire in line with what it follows from.
 */
static void drive(struct pci_function *fn, bool level)
{
	struct pci_bus *bus = fn->bus;
	unsigned int *count;

	if (level == fn->intx_level || !fn->cfg[PCI_INTERRUPT_PIN])
		return;
	count = &bus->intx_count[wire(fn)];
	fn->intx_level = level;
	if (level ? !(*count)++ : !--*count)
		irq_line_set(&bus->config.intx[wire(fn)], level);
}

void pci_intx_set(struct pci_function *fn, bool level)
{
	if (!fn->bus) {
		fn->intx_asserted = level;
		return;
	}
	pthread_mutex_lock(&fn->bus->intx_lock);
	fn->intx_asserted = level;
	drive(fn, level && !fn->intx_disabled);
	pthread_mutex_unlock(&fn->bus->intx_lock);
}

void pci_intx_update(struct pci_function *fn)
{
	pthread_mutex_lock(&fn->bus->intx_lock);
	fn->intx_disabled = pci_get16(&fn->cfg[PCI_COMMAND]) & PCI_COMMAND_INTX_DISABLE;
	drive(fn, fn->intx_asserted && !fn->intx_disabled);
	pthread_mutex_unlock(&fn->bus->intx_lock);
}

void pci_intx_status(struct pci_function *fn)
{
	bool pending;

	pthread_mutex_lock(&fn->bus->intx_lock);
	pending = fn->intx_asserted && fn->cfg[PCI_INTERRUPT_PIN];
	pthread_mutex_unlock(&fn->bus->intx_lock);
	fn->cfg[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	fn->cfg[PCI_STATUS] |= pending ? PCI_STATUS_INTX : 0;
}

void pci_intx_attach(struct pci_function *fn)
{
	if (fn->cfg[PCI_INTERRUPT_PIN])
		fn->cfg[PCI_INTERRUPT_LINE] = (uint8_t)(LAYOUT_IRQ_PCI + wire(fn));
	pci_intx_update(fn);
}

void pci_intx_detach(struct pci_function *fn)
{
	pthread_mutex_lock(&fn->bus->intx_lock);
	fn->intx_disabled = true; /* a device that has not noticed yet may go on asserting */
	drive(fn, false);
	pthread_mutex_unlock(&fn->bus->intx_lock);
}
