/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI bus with three functions that have every kind of BAR, driven through ECAM, the ports, the
 * BARs, hot plug and INTx. After each step: bits outside the write masks are what they were; a BAR
 * is mapped where its registers say or overlaps something that is there; wires are the OR of who
 * asserts them. Twelve input bytes a step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#include "../unit/fakes/check.h"

enum { FUNCTIONS = 3, STEP = 12, MAX_STEPS = 400 };

struct machine {
	struct bus *pio, *mmio;
	struct pci_bus *bus;
	struct pci_function fn[FUNCTIONS];
	uint8_t initial[FUNCTIONS][PCI_CFG_SIZE];
	bool present[FUNCTIONS], asserted[FUNCTIONS];
	bool wire[8];
	unsigned int told_mapped[FUNCTIONS]; /* bit per BAR */
};

struct probe { /* is [base, base + size) hit by a region other than self? */
	uint64_t base, size;
	const struct bus_region *self;
	bool hit, self_found;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void wire_set(void *opaque, bool level)
{
	bool *wire = opaque;

	CHECK(*wire != level); /* the bus passes on changes only */
	*wire = level;
}

static uint64_t bar_read(void *opaque, uint64_t off, unsigned int size)
{
	const struct pci_bar *bar = opaque;

	CHECK(range_ok(off, size, bar->region.size));
	return off & size_mask(size);
}

static void bar_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	const struct pci_bar *bar = opaque;

	CHECK(range_ok(off, size, bar->region.size) && !(value & ~size_mask(size)));
}

static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};

static void hook(struct pci_function *fn, uint16_t off, unsigned int size)
{
	CHECK(fn->bus && (size == 1 || size == 2 || size == 4) && !(off % size));
	CHECK(range_ok(off, size, PCI_CFG_SIZE));
}

static unsigned int *told(struct pci_function *fn);

static void bar_changed(struct pci_function *fn, unsigned int bar, bool mapped)
{
	CHECK(!!(*told(fn) & 1U << bar) != mapped);
	*told(fn) ^= 1U << bar;
}

static const struct pci_function_ops ops = {
	.cfg_read = hook, .cfg_write = hook, .bar_changed = bar_changed};

/* The name is the function's index, so that a hook finds its machine's array. */
static unsigned int *told(struct pci_function *fn)
{
	const unsigned int i = (unsigned int)(fn->name[0] - '0');
	struct machine *m = container_of(fn - i, struct machine, fn);

	return &m->told_mapped[i];
}

static void add_bar(struct pci_function *fn, unsigned int i, enum pci_bar_kind kind, uint64_t size)
{
	pci_function_bar(fn, i, kind, i & 1, size, &bar_ops, &fn->bars[i]);
}

static void init_function(struct machine *m, unsigned int i)
{
	static const struct pci_ids ids = {0x1af4, 0x1040, 0x1af4, 0x1100, 1, 0x028000};
	static const char *const names[FUNCTIONS] = {"0", "1", "2"};
	struct pci_function *fn = &m->fn[i];
	uint8_t cap;

	fn->name = names[i];
	fn->ops = &ops;
	pci_function_init(fn, &ids, i != 0);
	add_bar(fn, 0, PCI_BAR_IO, UINT64_C(4) << (4 * i));
	add_bar(fn, 1, PCI_BAR_MEM32, UINT64_C(16) << (8 * i));
	add_bar(fn, 2, PCI_BAR_MEM64, UINT64_C(0x1000) << (8 * i));
	add_bar(fn, 4, PCI_BAR_MEM64, 4 * GiB);
	cap = pci_function_cap(fn, 9, 16);
	memset(&fn->wmask[cap + 4], 0xf0, 8);
	memset(&fn->w1c[cap + 8], 0x03, 4);
	memset(&fn->cfg[cap + 8], 0x0f, 4);
}

static void add(struct machine *m, unsigned int i, unsigned int slot)
{
	int rc;

	if (m->present[i])
		return;
	rc = pci_bus_add(m->bus, &m->fn[i], slot);
	m->present[i] = !rc;
	if (!rc)
		memcpy(m->initial[i], m->fn[i].cfg, PCI_CFG_SIZE);
}

static void remove_function(struct machine *m, unsigned int i)
{
	pci_bus_remove(m->bus, &m->fn[i]);
	m->present[i] = false;
	CHECK(!m->told_mapped[i]);
}

static void set_up(struct machine *m)
{
	struct pci_bus_config config = {.log = NULL};

	memset(m, 0, sizeof(*m));
	CHECK(!bus_create(0x10000, &m->pio) && !bus_create(0, &m->mmio));
	config.pio = m->pio;
	config.mmio = m->mmio;
	for (unsigned int i = 0; i < 8; i++)
		config.intx[i] = (struct irq_line){.set = wire_set, .opaque = &m->wire[i]};
	CHECK(!pci_bus_create(&config, &m->bus));
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		init_function(m, i);
		add(m, i, i * 8); /* 1, 8, 16: two on one wire */
		CHECK(m->present[i]);
	}
}

static void tear_down(struct machine *m)
{
	for (unsigned int i = 0; i < FUNCTIONS; i++)
		if (m->present[i])
			remove_function(m, i);
	for (unsigned int i = 0; i < 8; i++)
		CHECK(!m->wire[i]);
	pci_bus_destroy(m->bus);
	CHECK(bus_read(m->mmio, LAYOUT_ECAM_BASE, 4) == UINT32_MAX);
	bus_destroy(m->pio);
	bus_destroy(m->mmio);
}

static void look(void *opaque, const struct bus_region *region)
{
	struct probe *p = opaque;

	if (region == p->self)
		p->self_found = true;
	else if (ranges_overlap(region->base, region->size, p->base, p->size))
		p->hit = true;
}

static bool in_windows(enum pci_bar_kind kind, uint64_t at, uint64_t size)
{
	const uint64_t last = at + size - 1;

	if (kind == PCI_BAR_IO)
		return at >= LAYOUT_PCI_IO_BASE && last <= LAYOUT_PCI_IO_LAST;
	return (at >= LAYOUT_MMIO32_BASE && last <= LAYOUT_MMIO32_LAST) ||
	       (kind == PCI_BAR_MEM64 && at >= LAYOUT_MMIO64_BASE && last <= LAYOUT_MMIO64_LAST);
}

static void check_bar(struct machine *m, unsigned int i, unsigned int b)
{
	struct pci_function *fn = &m->fn[i];
	const struct pci_bar *bar = &fn->bars[b];
	const bool io = bar->kind == PCI_BAR_IO;
	const uint16_t command = pci_get16(&fn->cfg[4]);
	uint64_t at = pci_get32(&fn->cfg[0x10 + 4 * b]);
	struct probe probe = {.size = bar->region.size, .self = &bar->region};
	bool wanted;

	if (bar->kind == PCI_BAR_MEM64)
		at |= (uint64_t)pci_get32(&fn->cfg[0x14 + 4 * b]) << 32;
	at &= io ? ~UINT64_C(3) : ~UINT64_C(15);
	CHECK(!(at & (bar->region.size - 1)));
	wanted = m->present[i] && (command & (io ? 1 : 2)) &&
		 in_windows(bar->kind, at, bar->region.size);
	probe.base = at;
	bus_for_each(io ? m->pio : m->mmio, look, &probe);
	CHECK(probe.self_found == bar->mapped);
	CHECK(!!(m->told_mapped[i] & 1U << b) == bar->mapped);
	if (bar->mapped)
		CHECK(wanted && bar->region.base == at && !probe.hit);
	else
		CHECK(!wanted || probe.hit);
}

static void check_image(const struct machine *m, unsigned int i, unsigned int bytes)
{
	const struct pci_function *fn = &m->fn[i];

	for (unsigned int off = 0; off < bytes; off++) {
		uint8_t may = fn->wmask[off] | fn->w1c[off];

		if (off == 6)
			may |= 8; /* interrupt status */
		CHECK(!((fn->cfg[off] ^ m->initial[i][off]) & ~may));
		/* what is cleared by ones never comes back */
		CHECK(!(fn->cfg[off] & fn->w1c[off] & ~m->initial[i][off]));
	}
}

static void check_wires(const struct machine *m)
{
	bool expected[8] = {false};

	for (unsigned int i = 0; i < FUNCTIONS; i++)
		if (m->present[i] && m->asserted[i] && m->fn[i].cfg[0x3d] && !(m->fn[i].cfg[5] & 4))
			expected[m->fn[i].slot % 8] = true;
	CHECK(!memcmp(expected, m->wire, sizeof(expected)));
}

static void check(struct machine *m)
{
	for (unsigned int i = 0; i < FUNCTIONS; i++) {
		if (m->present[i])
			check_image(m, i, 0x100);
		for (unsigned int b = 0; b < PCI_MAX_BARS; b++)
			if (m->fn[i].bars[b].kind != PCI_BAR_NONE)
				check_bar(m, i, b);
	}
	check_wires(m);
	CHECK(bus_read(m->mmio, LAYOUT_ECAM_BASE, 4) == 0x00081b36);
}

static void access_bus(struct bus *bus, uint64_t addr, unsigned int how, uint64_t value)
{
	const unsigned int size = 1U << (how & 3);

	if (how & 4)
		CHECK(!(bus_read(bus, addr, size) & ~size_mask(size)));
	else
		bus_write(bus, addr, size, value);
}

static void wr_header(
	struct machine *m, const struct pci_function *fn, unsigned int off, uint32_t v)
{
	bus_write(m->mmio, LAYOUT_ECAM_BASE + (fn->slot << 15) + off, 4, v);
}

static void step(struct machine *m, const uint8_t *in)
{
	struct pci_function *fn = &m->fn[in[0] / 16 % FUNCTIONS];
	const unsigned int i = (unsigned int)(fn - m->fn);
	const uint16_t off = (uint16_t)(in[2] | in[3] << 8);
	const struct pci_bar *bar = &fn->bars[off % PCI_MAX_BARS];
	uint64_t value;

	memcpy(&value, in + 4, sizeof(value));
	switch (in[0] % 16) {
	case 0: /* anywhere in ECAM */
		access_bus(m->mmio, LAYOUT_ECAM_BASE + (value >> 44), in[1], value);
		break;
	case 1:
		access_bus(m->pio, 0xcf0 + off % 24, in[1], value);
		break;
	case 2: /* a header, by ports */
		bus_write(m->pio, 0xcf8, 4, UINT32_C(0x80000000) | fn->slot << 11 | (off & 0xfc));
		access_bus(m->pio, 0xcfc + off % 4, in[1] & ~3U, value);
		break;
	case 3:
		if (m->present[i])
			remove_function(m, i);
		break;
	case 4:
		add(m, i, in[1] % 33);
		break;
	case 5:
		m->asserted[i] = in[1] & 1;
		pci_intx_set(fn, m->asserted[i]);
		break;
	case 6:
		if (bar->kind == PCI_BAR_IO)
			access_bus(m->pio, bar->region.base + in[1] / 8, in[1], value);
		else if (bar->kind != PCI_BAR_NONE)
			access_bus(m->mmio, bar->region.base + in[1] / 8, in[1], value);
		break;
	case 7: /* aim one BAR at another function's, and let both decode */
		bar = &m->fn[(i + 1) % FUNCTIONS].bars[1];
		wr_header(m, &m->fn[(i + 1) % FUNCTIONS], 4, 2);
		wr_header(m, fn, 4, 2);
		wr_header(m, fn, 0x14, (uint32_t)bar->region.base);
		break;
	default: /* the header of one that is there */
		access_bus(m->mmio, LAYOUT_ECAM_BASE + (fn->slot << 15) + off % 0x60, in[1], value);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine *m = malloc(sizeof(*m));

	CHECK(m);
	set_up(m);
	for (unsigned int n = 0; size >= STEP && n < MAX_STEPS; n++, data += STEP, size -= STEP) {
		step(m, data);
		check(m);
	}
	for (unsigned int i = 0; i < FUNCTIONS; i++)
		if (m->present[i])
			check_image(m, i, PCI_CFG_SIZE);
	tear_down(m);
	free(m);
	return 0;
}
