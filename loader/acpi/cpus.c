/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SSDT with a Device (\\_SB.Cnnn) for each processor, which the MADT's entry of the same _UID
 * belongs to (ACPI 6.4, 8.4). There is nothing in it but that: no states, no throttling. AML as in
 * 20.2; it is generated, since guests would have to go through all that a static table could hold.
 */
#include <string.h>

#include "tables.h"

/* Name (_HID, "ACPI0007") Name (_UID, a double word) */
static const uint8_t body[] = "\x08_HID\x0d"
			      "ACPI0007\0"
			      "\x08_UID\x0c";

enum {
	NAME_LEN = 4,
	BODY_LEN = sizeof(body) - 1 + 4,      /* with the double word */
	DEVICE_LEN = 1 + NAME_LEN + BODY_LEN, /* from its PkgLength on */
	SCOPE_NAME_LEN = 5,
	SCOPE_LEN = 4 + SCOPE_NAME_LEN, /* from its PkgLength on, without what is in it */

	AML_SCOPE = 0x10,
	AML_EXT = 0x5b,
	AML_DEVICE = 0x82,
	AML_PKG_4_BYTES = 3 << 6,
};

static void put_cpu(struct tables *t, unsigned int id)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint64_t at = tables_reserve(t, 2 + DEVICE_LEN, 1);
	const char name[NAME_LEN] = {
		'C', digits[id >> 8 & 15], digits[id >> 4 & 15], digits[id & 15]};

	put8(t, at, AML_EXT);
	put8(t, at + 1, AML_DEVICE);
	put8(t, at + 2, DEVICE_LEN); /* below 64: one byte */
	put_bytes(t, at + 3, name, NAME_LEN);
	put_bytes(t, at + 3 + NAME_LEN, body, sizeof(body) - 1);
	put32(t, at + 3 + NAME_LEN + sizeof(body) - 1, id);
}

uint64_t tables_build_cpus(struct tables *t, unsigned int num_cpus)
{
	const uint64_t start = tables_reserve(t, ACPI_HEADER_LEN + 1 + SCOPE_LEN, 16);
	const uint64_t scope = start + ACPI_HEADER_LEN;
	uint32_t len;

	for (unsigned int id = 0; id < num_cpus; id++)
		put_cpu(t, id);
	len = (uint32_t)(t->used - scope - 1);
	put8(t, scope, AML_SCOPE);
	put32(t, scope + 1, AML_PKG_4_BYTES | (len & 15) | (len >> 4) << 8);
	put_bytes(t, scope + 5, "\\_SB_", SCOPE_NAME_LEN);
	tables_finish(t, start, "SSDT", 2, "PROCESSR");
	return start;
}
