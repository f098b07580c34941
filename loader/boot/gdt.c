/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The selectors are those of the Linux boot protocol: __BOOT_CS 0x10, __BOOT_DS 0x18. Descriptors
 * (SDM vol. 3, 3.4.5) are flat, present, ring 0, and marked accessed, so that loading them never
 * writes to the table.
 */
#include "loader/boot/gdt.h"

#include <errno.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

#define DESC_CODE32 UINT64_C(0x00CF9B000000FFFF)
#define DESC_CODE64 UINT64_C(0x00AF9B000000FFFF)
#define DESC_DATA   UINT64_C(0x00CF93000000FFFF)

int gdt_build(const struct guest_mem *mem, struct entry_state *entry)
{
	uint8_t gdt[GDT_SIZE] = {0};
	int rc;

	put_le64(gdt + 0x10, entry->mode == ENTRY_LONG ? DESC_CODE64 : DESC_CODE32);
	put_le64(gdt + 0x18, DESC_DATA);
	rc = guest_mem_write(mem, LAYOUT_BOOT_GDT, gdt, sizeof(gdt));
	if (rc)
		return rc;
	entry->gdt_gpa = LAYOUT_BOOT_GDT;
	entry->gdt_limit = GDT_SIZE - 1;
	return 0;
}
