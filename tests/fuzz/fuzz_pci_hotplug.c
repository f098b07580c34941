/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of hot-plug against a model that has an array of slots: what reads say, which slots
 * are ejected and when, the line's level. Ten input bytes an access, or what the host does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci_hotplug.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#include "../unit/fakes/check.h"

struct model {
	uint32_t slots;
	bool added[32], asked[32], wanted[32];
};

struct seen {
	bool level;
	uint32_t ejected;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line_set(void *opaque, bool level)
{
	((struct seen *)opaque)->level = level;
}

static void on_eject(void *opaque, unsigned int slot)
{
	struct seen *seen = opaque;

	CHECK(slot < 32 && !(seen->ejected >> slot & 1));
	seen->ejected |= UINT32_C(1) << slot;
}

/* One bit, by its number in the block. */
static bool model_read(struct model *m, unsigned int bit)
{
	bool *mask = bit < 32 ? m->added : m->asked, value;

	if (bit >= 64)
		return false;
	value = mask[bit % 32];
	mask[bit % 32] = false;
	return value;
}

static uint32_t model_write(struct model *m, unsigned int bit)
{
	const unsigned int slot = bit % 32;

	if (bit < 64 || !m->wanted[slot])
		return 0;
	m->wanted[slot] = m->asked[slot] = false;
	return UINT32_C(1) << slot;
}

static void access_ports(struct bus *pio, struct model *m, struct seen *seen, const uint8_t *in)
{
	const unsigned int size = 1U << (in[0] >> 1 & 3);
	const uint16_t port = (uint16_t)(LAYOUT_HOTPLUG_BASE - 8 + in[1] % 24);
	uint64_t value, want = 0;
	uint32_t ejected = 0;

	memcpy(&value, in + 2, sizeof(value));
	for (unsigned int i = 0; i < size * 8; i++) {
		const unsigned int bit = (port - (LAYOUT_HOTPLUG_BASE - 8U)) * 8 + i - 64;
		const bool inside = bit < LAYOUT_HOTPLUG_SIZE * 8;

		if ((in[0] & 1) && (!inside || model_read(m, bit)))
			want |= UINT64_C(1) << i;
		if (!(in[0] & 1) && inside && (value >> i & 1))
			ejected |= model_write(m, bit);
	}
	seen->ejected = 0;
	if (in[0] & 1)
		CHECK(bus_read(pio, port, size) == want);
	else
		bus_write(pio, port, size, value & size_mask(size));
	CHECK(seen->ejected == ejected);
}

static void by_host(struct pci_hotplug *hotplug, struct model *m, bool ask, unsigned int slot)
{
	const bool there = m->slots >> slot & 1;

	if (ask) {
		pci_hotplug_ask(hotplug, slot);
		m->asked[slot] |= there;
		m->wanted[slot] |= there;
		m->added[slot] = false;
	} else {
		pci_hotplug_added(hotplug, slot);
		m->added[slot] |= there;
	}
}

static void compare(struct pci_hotplug *hotplug, const struct model *m, const struct seen *seen)
{
	uint32_t wanted = 0;
	bool news = false;

	for (unsigned int slot = 0; slot < 32; slot++) {
		wanted |= (uint32_t)m->wanted[slot] << slot;
		news |= m->added[slot] || m->asked[slot];
	}
	CHECK(pci_hotplug_asked(hotplug) == wanted);
	CHECK(seen->level == news);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = {0};
	struct model model = {0};
	struct pci_hotplug_config config = {
		.irq = {.set = line_set, .opaque = &seen}, .ejected = on_eject, .opaque = &seen};
	struct pci_hotplug *hotplug;

	if (size < sizeof(model.slots))
		return 0;
	memcpy(&model.slots, data, sizeof(model.slots));
	config.slots = model.slots;
	CHECK(!bus_create(0x10000, &config.pio));
	CHECK(!pci_hotplug_create(&config, &hotplug));
	for (data += 4, size -= 4; size >= 10; data += 10, size -= 10) {
		if (data[0] & 0x80)
			by_host(hotplug, &model, data[0] & 1, data[1] % 32);
		else
			access_ports(config.pio, &model, &seen, data);
		compare(hotplug, &model, &seen);
	}
	pci_hotplug_destroy(hotplug);
	bus_destroy(config.pio);
	return 0;
}
