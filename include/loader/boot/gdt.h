/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptor table that protected and long mode start with. */
#ifndef BANTAM_LOADER_BOOT_GDT_H
#define BANTAM_LOADER_BOOT_GDT_H

#include "loader/entry.h"
#include "vm/core/base.h"

struct guest_mem;

#define GDT_SIZE 0x20 /* null, unused, code at 0x10, data at 0x18 */

/* Writes it to LAYOUT_BOOT_GDT and sets entry's gdt_gpa and gdt_limit; code is 64-bit if
 * entry->mode is ENTRY_LONG, else 32-bit. -EFAULT without RAM there. */
int gdt_build(const struct guest_mem *mem, struct entry_state *entry);

#endif
