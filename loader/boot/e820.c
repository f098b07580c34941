/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map is the guest's memory regions, less what lies between conventional memory and 1 MiB, plus
 * what is to be left alone: the EBDA, the ACPI tables (plain reserved, since the FACS among them
 * must outlive the kernel's start) and SMBIOS behind them, ECAM (Linux uses it only where a map
 * reserves it) and KVM's own pages. Entries are inserted in their place, so that the table is
 * sorted by construction.
 */
#include "loader/boot/e820.h"

#include <errno.h>
#include <string.h>

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static const struct e820_entry fixed[] = {
	{LAYOUT_EBDA, 0xA0000 - LAYOUT_EBDA, E820_RESERVED},
	{LAYOUT_ACPI_BASE, LAYOUT_ACPI_SIZE + LAYOUT_SMBIOS_SIZE, E820_RESERVED},
	{LAYOUT_ECAM_BASE, LAYOUT_ECAM_SIZE, E820_RESERVED},
	{LAYOUT_KVM_IDENTITY_BASE, 0x4000, E820_RESERVED},
};

static int insert(struct e820_map *map, uint64_t addr, uint64_t size, uint32_t type)
{
	unsigned int at = map->count;
	struct e820_entry *before;

	if (size == 0)
		return 0;
	while (at > 0 && map->entries[at - 1].addr > addr)
		at--;
	before = at > 0 ? &map->entries[at - 1] : NULL;
	if (before && before->type == type && before->addr + before->size == addr) {
		before->size += size;
		return 0;
	}
	if (map->count == E820_MAX)
		return -ENOSPC;
	memmove(&map->entries[at + 1], &map->entries[at],
		(map->count - at) * sizeof(map->entries[0]));
	map->entries[at] = (struct e820_entry){addr, size, type};
	map->count++;
	return 0;
}

/* The part of [start, end) that lies in [from, to). */
static int insert_ram(
	struct e820_map *map, uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
	uint64_t lo = MAX(start, from), hi = MIN(end, to);

	return lo < hi ? insert(map, lo, hi - lo, E820_RAM) : 0;
}

int e820_build(const struct guest_mem *mem, struct e820_map *map)
{
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);
	int rc = 0;

	memset(map, 0, sizeof(*map));
	for (size_t i = 0; !rc && i < count; i++) {
		uint64_t start = regions[i].gpa, end = start + regions[i].size;

		rc = insert_ram(map, start, end, 0, LAYOUT_EBDA);
		if (!rc)
			rc = insert_ram(map, start, end, LAYOUT_KERNEL_MIN, UINT64_MAX);
	}
	for (size_t i = 0; !rc && i < ARRAY_SIZE(fixed); i++)
		rc = insert(map, fixed[i].addr, fixed[i].size, fixed[i].type);
	return rc;
}
