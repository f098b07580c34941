/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI PM registers against a model that keeps PM1 as three words: contents after each access, the
 * SCI's level, and how often the machine was switched off and reset. Ten input bytes an access.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/acpi_pm.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

#include "../unit/fakes/check.h"

enum { PRESENCE = 0x12345678, SCI_SOURCES = 0x0721 };

struct model {
	uint16_t sts, en, cnt;
	unsigned int off, reset;
};

struct seen {
	bool sci;
	unsigned int events[POWER_PANIC + 1];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sci_set(void *opaque, bool level)
{
	((struct seen *)opaque)->sci = level;
}

static void power_seen(void *opaque, enum power_event event)
{
	((struct seen *)opaque)->events[event]++;
}

/* One byte of a write, at an offset in the block. */
static void model_byte(struct model *m, uint64_t off, uint8_t byte)
{
	const unsigned int shift = off % 2 * 8;
	const uint16_t word = (uint16_t)(byte << shift), lane = (uint16_t)(0xff << shift);

	switch (off / 2) {
	case 0:
		m->sts &= (uint16_t)~word;
		break;
	case 1:
		m->en = (uint16_t)((m->en & ~lane) | (word & 0x4721));
		break;
	case 2:
		m->cnt = (uint16_t)((m->cnt & ~lane) | (word & 0x1c02));
		m->off += (word & 0x2000) && (word & 0x1c00) == LAYOUT_PM_SLP_TYP_S5 << 10;
		break;
	case 4:
		m->reset += word == 1;
		break;
	default:
		break;
	}
}

static void access_pm(struct bus *pio, struct model *m, const uint8_t *in)
{
	const unsigned int size = 1U << (in[0] >> 1 & 3);
	const uint16_t port = (uint16_t)(LAYOUT_PM_BASE - 8 + in[1] % (LAYOUT_PM_SIZE + 16));
	uint64_t value;

	memcpy(&value, in + 2, sizeof(value));
	if (in[0] & 1) {
		CHECK(!(bus_read(pio, port, size) & ~size_mask(size)));
		return;
	}
	bus_write(pio, port, size, value);
	for (unsigned int i = 0; i < size; i++)
		if (port + i >= LAYOUT_PM_BASE)
			model_byte(m, port + i - LAYOUT_PM_BASE, (uint8_t)(value >> (8 * i)));
}

static void compare(struct bus *pio, const struct model *m, const struct seen *seen)
{
	CHECK(bus_read(pio, LAYOUT_PM1_EVT, 2) == m->sts);
	CHECK(bus_read(pio, LAYOUT_PM1_EVT + 2, 2) == m->en);
	CHECK(bus_read(pio, LAYOUT_PM1_CNT, 2) == (m->cnt | 1U));
	CHECK(bus_read(pio, LAYOUT_PM_PRESENCE, 4) == PRESENCE);
	CHECK(bus_read(pio, LAYOUT_PM_RESET, 4) == 0);
	CHECK(seen->sci == !!(m->sts & m->en & SCI_SOURCES));
	CHECK(seen->events[POWER_OFF] == m->off && seen->events[POWER_RESET] == m->reset);
	CHECK(!seen->events[POWER_PANIC]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen seen = {0};
	struct model model = {0};
	struct acpi_pm_config config = {.presence = PRESENCE,
		.sci = {.set = sci_set, .opaque = &seen},
		.power = {.notify = power_seen, .opaque = &seen}};
	struct acpi_pm *pm;

	CHECK(!bus_create(0x10000, &config.pio));
	CHECK(!acpi_pm_create(&config, &pm));
	for (; size >= 10; data += 10, size -= 10) {
		if (data[0] == 0xff) {
			acpi_pm_power_button(pm);
			model.sts |= 0x100;
		} else {
			access_pm(config.pio, &model, data);
		}
		compare(config.pio, &model, &seen);
	}
	acpi_pm_destroy(pm);
	CHECK(bus_read(config.pio, LAYOUT_PM1_EVT, 4) == UINT32_MAX);
	bus_destroy(config.pio);
	return 0;
}
