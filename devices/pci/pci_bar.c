/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where BARs decode (PCI 3.0, 6.2.5). The registers say where a BAR should be, want() reads that
 * off them, and pci_bars_update() is the only one that maps and unmaps.
 *
 * A guest may point a BAR anywhere. One that lies outside the windows that the DSDT declares, or
 * over something else on the bus, does not decode; it is tried again whenever another BAR has
 * moved out of the way. That a guest can put its own BARs over each other is not an error of the
 * monitor, so it costs a line in the log at most; and none while the guest is still at it, as a
 * rescan puts one function where another is that it has not come to yet. A driver that goes to work
 * makes its function a bus master first.
 */
#include "pci_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "vm/core/layout.h"

#define NOWHERE UINT64_MAX

struct window {
	uint64_t base, size;
};

static const struct window io_window = {LAYOUT_PCI_IO_BASE, LAYOUT_PCI_IO_SIZE};
static const struct window mmio32_window = {LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_SIZE};
static const struct window mmio64_window = {LAYOUT_MMIO64_BASE, LAYOUT_MMIO64_SIZE};

/* The ACPI source gets the windows' ends as numbers of their own. */
static_assert(LAYOUT_PCI_IO_LAST == LAYOUT_PCI_IO_BASE + LAYOUT_PCI_IO_SIZE - 1, "I/O window");
static_assert(LAYOUT_MMIO32_LAST == LAYOUT_MMIO32_BASE + LAYOUT_MMIO32_SIZE - 1, "32-bit window");
static_assert(LAYOUT_MMIO64_LAST == LAYOUT_MMIO64_BASE + LAYOUT_MMIO64_SIZE - 1, "64-bit window");
static_assert(LAYOUT_MMIO64_END == LAYOUT_MMIO64_LAST + 1, "64-bit window");

static bool inside(const struct window *w, uint64_t addr, uint64_t size)
{
	return addr >= w->base && range_ok(addr - w->base, size, w->size);
}

static bool in_a_window(const struct pci_bus *bus, const struct pci_bar *bar, uint64_t addr)
{
	const uint64_t size = bar->region.size;

	if (bar->kind == PCI_BAR_IO)
		return inside(&io_window, addr, size);
	return inside(&mmio32_window, addr, size) ||
	       (bar->kind == PCI_BAR_MEM64 && !bus->config.narrow &&
		       inside(&mmio64_window, addr, size));
}

/* The address in the BAR's register or registers, decoded or not. */
static uint64_t address(const struct pci_function *fn, unsigned int i)
{
	const uint8_t *reg = &fn->cfg[PCI_BAR0 + 4 * i];
	uint64_t addr = pci_get32(reg);

	if (fn->bars[i].kind == PCI_BAR_MEM64)
		addr |= (uint64_t)pci_get32(reg + 4) << 32;
	return ALIGN_DOWN(addr, fn->bars[i].region.size);
}

/* Where BAR i is to decode, or NOWHERE. */
static uint64_t want(const struct pci_function *fn, unsigned int i)
{
	const struct pci_bar *bar = &fn->bars[i];
	uint16_t enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	uint64_t addr;

	if (bar->kind == PCI_BAR_NONE || !(pci_get16(&fn->cfg[PCI_COMMAND]) & enable))
		return NOWHERE;
	addr = address(fn, i);
	return in_a_window(fn->bus, bar, addr) ? addr : NOWHERE;
}

static struct bus *space(const struct pci_function *fn, const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? fn->bus->config.pio : fn->bus->config.mmio;
}

static void unmap(struct pci_function *fn, unsigned int i)
{
	struct pci_bar *bar = &fn->bars[i];

	bus_remove(space(fn, bar), &bar->region);
	bar->mapped = false;
	if (fn->ops && fn->ops->bar_changed)
		fn->ops->bar_changed(fn, i, false);
}

static int map(struct pci_function *fn, unsigned int i, uint64_t addr)
{
	struct pci_bar *bar = &fn->bars[i];
	int rc;

	bar->region.base = addr;
	rc = bus_add(space(fn, bar), &bar->region);
	if (rc)
		return rc;
	bar->mapped = true;
	if (fn->ops && fn->ops->bar_changed)
		fn->ops->bar_changed(fn, i, true);
	return 0;
}

/* Maps whatever of fn should be mapped and is not. */
static void map_wanted(struct pci_function *fn, bool say)
{
	say = say && (pci_get16(&fn->cfg[PCI_COMMAND]) & PCI_COMMAND_MASTER);
	for (unsigned int i = 0; i < PCI_MAX_BARS; i++) {
		uint64_t addr = want(fn, i);

		if (addr == NOWHERE || fn->bars[i].mapped || !map(fn, i, addr) || !say)
			continue;
		log_limited(fn->bus->config.log, &fn->bus->limit, LOG_WARN,
			"PCI 00:%02x.0 (%s): BAR %u at 0x%" PRIx64
			" overlaps something else, left unmapped",
			fn->slot, fn->name, i, addr);
	}
}

/* After something has gone from the bus: what stood in its shadow comes out. */
static void map_others(struct pci_bus *bus, const struct pci_function *except)
{
	for (unsigned int slot = 0; slot < PCI_MAX_DEVICES; slot++)
		if (bus->slots[slot] && bus->slots[slot] != except)
			map_wanted(bus->slots[slot], false);
}

void pci_bars_update(struct pci_function *fn)
{
	bool room = false;

	for (unsigned int i = 0; i < PCI_MAX_BARS; i++) {
		struct pci_bar *bar = &fn->bars[i];

		if (bar->mapped && bar->region.base != want(fn, i)) {
			unmap(fn, i);
			room = true;
		}
	}
	map_wanted(fn, true);
	if (room)
		map_others(fn->bus, fn);
}

/* The end of one of fn's first BARs that overlaps [addr, addr + size) in the same space, or 0. */
static uint64_t conflict(const struct pci_bus *bus, const struct pci_function *fn,
	unsigned int bars, bool io, uint64_t addr, uint64_t size)
{
	for (unsigned int i = 0; i < bars; i++) {
		const struct pci_bar *bar = &fn->bars[i];
		uint64_t at;

		if (bar->kind == PCI_BAR_NONE || (bar->kind == PCI_BAR_IO) != io)
			continue;
		at = address(fn, i);
		/* An address that no window holds may be anything and stands in nobody's way. */
		if (in_a_window(bus, bar, at) && ranges_overlap(at, bar->region.size, addr, size))
			return at + bar->region.size;
	}
	return 0;
}

static const struct window *home(const struct pci_bus *bus, const struct pci_bar *bar)
{
	switch (bar->kind) {
	case PCI_BAR_IO:
		return &io_window;
	case PCI_BAR_MEM32:
		return &mmio32_window;
	case PCI_BAR_MEM64:
		return bus->config.narrow ? &mmio32_window : &mmio64_window;
	case PCI_BAR_NONE:
		break;
	}
	return NULL;
}

/*
 * The lowest address for BAR index of fn in its window, aligned to its size, that no BAR on the bus
 * is programmed to and none of fn that has been placed before it; NOWHERE if there is none.
 */
static uint64_t find_room(
	const struct pci_bus *bus, const struct pci_function *fn, unsigned int index)
{
	const struct pci_bar *bar = &fn->bars[index];
	const uint64_t size = bar->region.size;
	const bool io = bar->kind == PCI_BAR_IO;
	const struct window *w = home(bus, bar);
	uint64_t addr = ALIGN_UP(w->base, size);

	while (inside(w, addr, size)) {
		uint64_t end = conflict(bus, fn, index, io, addr, size);

		for (unsigned int slot = 0; !end && slot < PCI_MAX_DEVICES; slot++)
			if (bus->slots[slot])
				end = conflict(bus, bus->slots[slot], PCI_MAX_BARS, io, addr, size);
		if (!end)
			return addr;
		addr = ALIGN_UP(end, size); /* always further: at most one round per BAR */
	}
	return NOWHERE;
}

int pci_bars_assign(struct pci_bus *bus, struct pci_function *fn)
{
	for (unsigned int i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &fn->bars[i];
		uint8_t *reg = &fn->cfg[PCI_BAR0 + 4 * i];
		uint64_t addr;

		if (bar->kind == PCI_BAR_NONE)
			continue;
		addr = find_room(bus, fn, i);
		if (addr == NOWHERE)
			return -ENOSPC;
		pci_set32(reg, (uint32_t)addr | (pci_get32(reg) & 0xf));
		if (bar->kind == PCI_BAR_MEM64)
			pci_set32(reg + 4, (uint32_t)(addr >> 32));
	}
	return 0;
}
