/* SPDX-License-Identifier: BSD-2-Clause */
/* The page tables that long mode starts with. */
#ifndef BANTAM_LOADER_BOOT_PAGING_H
#define BANTAM_LOADER_BOOT_PAGING_H

#include "vm/core/base.h"

struct guest_mem;

#define PAGING_TABLES_SIZE 0x6000 /* PML4, PDPT, four page directories */

/*
 * Maps the first 4 GiB one to one, by pages of 2 MiB, with tables at LAYOUT_PAGE_TABLES; *cr3 is
 * their root. -EFAULT without RAM there.
 */
int paging_build(const struct guest_mem *mem, uint64_t *cr3);

#endif
