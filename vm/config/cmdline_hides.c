/* SPDX-License-Identifier: BSD-2-Clause */
/* Words that other monitors' users are used to, and that keep a kernel from finding its devices. */
#include "vm/config/cmdline.h"
#include "vm/config/cmdline_words.h"

enum { PCI = 1 << TRANSPORT_PCI, MMIO = 1 << TRANSPORT_MMIO };

/*
 * Over PCI devices need PCI itself, ACPI to tell of it, and the local APIC for their interrupts;
 * over MMIO ACPI, and both APICs. Tried with Debian 12's kernel.
 */
static const struct {
	const char *key, *item; /* item: NULL for a word without a value */
	unsigned int transports;
	struct cmdline_hidden hidden;
} table[] = {
	{"pci", "off", PCI, {"pci=off", "leave it out, or use --transport mmio"}},
	{"acpi", "off", PCI | MMIO, {"acpi=off", "leave it out"}},
	{"nolapic", NULL, PCI | MMIO, {"nolapic", "leave it out"}},
	{"noapic", NULL, MMIO, {"noapic", "leave it out"}},
};

const struct cmdline_hidden *cmdline_hides(const char *cmdline, enum transport transport)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!(table[i].transports & 1u << transport))
			continue;
		if (table[i].item ? cmdline_has_item(cmdline, table[i].key, table[i].item)
				  : cmdline_has_key(cmdline, table[i].key))
			return &table[i].hidden;
	}
	return NULL;
}
