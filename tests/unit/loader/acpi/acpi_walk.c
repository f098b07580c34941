/* SPDX-License-Identifier: BSD-2-Clause */
#include "acpi_walk.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static bool fail(struct acpi_walk *walk, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool fail(struct acpi_walk *walk, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(walk->error, sizeof(walk->error), fmt, args);
	va_end(args);
	return false;
}

uint64_t acpi_get(const uint8_t *p, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = size; i--;)
		value = value << 8 | p[i];
	return value;
}

const struct acpi_table *acpi_find(const struct acpi_walk *walk, const char *signature)
{
	for (size_t i = 0; i < walk->count; i++)
		if (!strcmp(walk->table[i].signature, signature))
			return &walk->table[i];
	return NULL;
}

static bool sums_to_zero(const uint8_t *p, uint32_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return !sum;
}

/* Notes a table whose length is known. */
static bool note(struct acpi_walk *walk, const struct guest_mem *mem, const char *signature,
	uint64_t gpa, uint32_t len)
{
	struct acpi_table *t = &walk->table[walk->count];

	if (gpa < LAYOUT_ACPI_BASE || !range_ok(gpa - LAYOUT_ACPI_BASE, len, LAYOUT_ACPI_SIZE))
		return fail(walk, "%s at %#" PRIx64 " leaves the window", signature, gpa);
	if (walk->count == ACPI_WALK_MAX || acpi_find(walk, signature))
		return fail(walk, "%s is there twice", signature);
	for (size_t i = 0; i < walk->count; i++)
		if (ranges_overlap(gpa, len, walk->table[i].gpa, walk->table[i].len))
			return fail(walk, "%s lies over %s", signature, walk->table[i].signature);
	snprintf(t->signature, sizeof(t->signature), "%s", signature);
	t->gpa = gpa;
	t->len = len;
	t->data = guest_mem_ptr(mem, gpa, len);
	if (!t->data)
		return fail(walk, "%s at %#" PRIx64 " has no memory", signature, gpa);
	walk->count++;
	return true;
}

/* A table with the common header. signature NULL: any. */
static bool follow(struct acpi_walk *walk, const struct guest_mem *mem, uint64_t gpa,
	const char *signature, const struct acpi_table **ret)
{
	const uint8_t *head = guest_mem_ptr(mem, gpa, 36);
	char found[5] = "";

	if (!head || gpa % 4)
		return fail(walk, "no table can be at %#" PRIx64, gpa);
	memcpy(found, head, 4);
	if (signature && strcmp(found, signature))
		return fail(walk, "%s where %s should be", found, signature);
	/* There are two of these, told apart by the id that the header has for that. */
	if (!strcmp(found, "SSDT") && !memcmp(head + 16, "PROCESSR", 8))
		memcpy(found, "CPUS", 4);
	if (!note(walk, mem, found, gpa, (uint32_t)acpi_get(head + 4, 4)))
		return false;
	*ret = &walk->table[walk->count - 1];
	if ((*ret)->len < 36 || !sums_to_zero((*ret)->data, (*ret)->len))
		return fail(walk, "%s: bad checksum", found);
	return true;
}

static bool follow_fadt(struct acpi_walk *walk, const struct guest_mem *mem)
{
	const struct acpi_table *fadt = acpi_find(walk, "FACP"), *dsdt;
	uint64_t facs;

	if (!fadt || fadt->len < 244)
		return fail(walk, "no usable FADT");
	facs = acpi_get(fadt->data + 36, 4);
	if (facs % 64 || !note(walk, mem, "FACS", facs, 64))
		return *walk->error ? false : fail(walk, "FACS not aligned");
	if (memcmp(walk->table[walk->count - 1].data, "FACS\x40\0\0\0", 8))
		return fail(walk, "FACS damaged");
	if (acpi_get(fadt->data + 40, 4) != acpi_get(fadt->data + 140, 8))
		return fail(walk, "DSDT and X_DSDT differ");
	return follow(walk, mem, acpi_get(fadt->data + 140, 8), "DSDT", &dsdt);
}

/* ACPI 6.4, 5.2.5.1 */
static uint64_t find_rsdp(const struct guest_mem *mem)
{
	for (uint64_t gpa = 0xe0000; gpa < 0x100000; gpa += 16) {
		const uint8_t *p = guest_mem_ptr(mem, gpa, 36);

		if (p && !memcmp(p, "RSD PTR ", 8) && sums_to_zero(p, 20))
			return gpa;
	}
	return 0;
}

bool acpi_walk(const struct guest_mem *mem, struct acpi_walk *walk)
{
	const uint64_t rsdp = find_rsdp(mem);
	const struct acpi_table *xsdt, *ignored;
	const uint8_t *p;

	memset(walk, 0, sizeof(*walk));
	if (!rsdp)
		return fail(walk, "no RSDP");
	if (!note(walk, mem, "RSDP", rsdp, 36))
		return false;
	p = walk->table[0].data;
	if (p[15] != 2 || acpi_get(p + 20, 4) != 36 || !sums_to_zero(p, 36))
		return fail(walk, "RSDP damaged");
	if (!follow(walk, mem, acpi_get(p + 24, 8), "XSDT", &xsdt))
		return false;
	for (uint32_t off = 36; off + 8 <= xsdt->len; off += 8)
		if (!follow(walk, mem, acpi_get(xsdt->data + off, 8), NULL, &ignored))
			return false;
	return follow_fadt(walk, mem);
}
