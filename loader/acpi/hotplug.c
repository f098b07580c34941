/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SSDT of compiled parts: what tells slots that something has happened, and a copy of one slot
 * for each that there is. A guest looks into each of them when it starts, so there are not more
 * than may be needed.
 */
#include <assert.h>
#include <string.h>

#include "ssdt_hotplug.h"
#include "ssdt_slot.h"
#include "tables.h"
#include "vm/core/layout.h"

enum { SLOT_LEN = sizeof(ssdt_slot_aml_code) - ACPI_HEADER_LEN };

/* Where in a slot's code the len bytes end that stand in front of its number. */
static uint64_t behind(const char *bytes, size_t len)
{
	const uint8_t *code = ssdt_slot_aml_code + ACPI_HEADER_LEN;
	const uint8_t *found = memmem(code, SLOT_LEN, bytes, len);

	assert(found);
	return (uint64_t)(found - code) + len;
}

static void put_slot(struct tables *t, unsigned int slot)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint64_t at = tables_reserve(t, SLOT_LEN, 1);
	const char name[] = {digits[slot / 16], digits[slot % 16]};

	put_bytes(t, at, ssdt_slot_aml_code + ACPI_HEADER_LEN, SLOT_LEN);
	put_bytes(t, at + behind("S7E", 3) - 2, name, sizeof(name));
	put32(t, at + behind("\x08_ADR\x0C", 6), (uint32_t)slot << 16);
	put8(t, at + behind("\x08_SUN\x0A", 6), (uint8_t)slot);
}

uint64_t tables_build_hotplug(struct tables *t, uint32_t slots)
{
	const uint64_t at = tables_reserve(t, ACPI_HEADER_LEN, 16);
	const uint64_t code = tables_reserve(t, sizeof(ssdt_hotplug_aml_code) - ACPI_HEADER_LEN, 1);

	put_bytes(t, code, ssdt_hotplug_aml_code + ACPI_HEADER_LEN,
		sizeof(ssdt_hotplug_aml_code) - ACPI_HEADER_LEN);
	for (unsigned int slot = 0; slot < 32; slot++)
		if (slots >> slot & 1)
			put_slot(t, slot);
	tables_finish(t, at, "SSDT", 2, "HOTPLUG");
	return at;
}
