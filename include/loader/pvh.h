/* SPDX-License-Identifier: BSD-2-Clause */
/* PVH's hvm_start_info at LAYOUT_PVH_START_INFO (Xen: docs/misc/pvh.pandoc,
 * public/arch-x86/hvm/start_info.h). */
#ifndef BANTAM_LOADER_PVH_H
#define BANTAM_LOADER_PVH_H

#include "loader/boot_info.h"
#include "vm/core/base.h"

struct e820_map;
struct guest_mem;

#define PVH_MAGIC	 0x336ec578
#define PVH_MODLIST_OFF	 0x40 /* from LAYOUT_PVH_START_INFO */
#define PVH_MEMMAP_OFF	 0x80
#define PVH_MEMMAP_ENTRY 24

/* Version 1, with the memory map; the initrd is the one module. -EFAULT without RAM there. */
int pvh_write(
	const struct guest_mem *mem, const struct boot_info *info, const struct e820_map *map);

#endif
