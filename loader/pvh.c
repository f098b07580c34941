/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One page holds it all: hvm_start_info (56 bytes), the module list (one entry of 32), the memory
 * map (entries of 24). The types of the map are e820's.
 */
#include "loader/pvh.h"

#include "loader/boot/e820.h"
#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { PVH_SIZE = 4096 };

_Static_assert(PVH_MEMMAP_OFF + E820_MAX * PVH_MEMMAP_ENTRY <= PVH_SIZE, "the map fits the page");
_Static_assert(LAYOUT_PVH_START_INFO + PVH_SIZE <= LAYOUT_BOOT_PARAMS, "the page is free");

static void fill_start_info(uint8_t *p, const struct boot_info *info, const struct e820_map *map)
{
	bool initrd = info->initrd_size;

	put_le32(p, PVH_MAGIC);
	put_le32(p + 4, 1);	  /* version */
	put_le32(p + 8, 0);	  /* flags */
	put_le32(p + 12, initrd); /* modules */
	put_le64(p + 16, initrd ? LAYOUT_PVH_START_INFO + PVH_MODLIST_OFF : 0);
	put_le64(p + 24, info->cmdline_gpa);
	put_le64(p + 32, info->rsdp_gpa);
	put_le64(p + 40, LAYOUT_PVH_START_INFO + PVH_MEMMAP_OFF);
	put_le32(p + 48, map->count);
}

static void fill_module(uint8_t *p, const struct boot_info *info)
{
	put_le64(p, info->initrd_gpa);
	put_le64(p + 8, info->initrd_size);
}

int pvh_write(const struct guest_mem *mem, const struct boot_info *info, const struct e820_map *map)
{
	uint8_t page[PVH_SIZE] = {0};

	fill_start_info(page, info, map);
	if (info->initrd_size)
		fill_module(page + PVH_MODLIST_OFF, info);
	for (unsigned int i = 0; i < map->count; i++) {
		uint8_t *p = page + PVH_MEMMAP_OFF + (size_t)i * PVH_MEMMAP_ENTRY;

		put_le64(p, map->entries[i].addr);
		put_le64(p + 8, map->entries[i].size);
		put_le32(p + 16, map->entries[i].type);
	}
	return guest_mem_write(mem, LAYOUT_PVH_START_INFO, page, sizeof(page));
}
