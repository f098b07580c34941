/* SPDX-License-Identifier: BSD-2-Clause */
/* The map of physical memory that the guest is told. */
#ifndef BANTAM_LOADER_BOOT_E820_H
#define BANTAM_LOADER_BOOT_E820_H

#include "vm/core/base.h"

struct guest_mem;

/* ACPI 6.4, table 15.2 */
enum { E820_RAM = 1, E820_RESERVED = 2 };

enum { E820_MAX = 128 };

struct e820_entry {
	uint64_t addr, size;
	uint32_t type;
};

struct e820_map {
	unsigned int count;
	struct e820_entry entries[E820_MAX]; /* ascending, not overlapping */
};

/* Returns 0, or -ENOSPC where the memory has too many pieces. */
int e820_build(const struct guest_mem *mem, struct e820_map *map);

#endif
