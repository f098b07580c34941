/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PML4 entry, four PDPT entries, four full page directories of 2 MiB pages (SDM vol. 3, 4.5;
 * 1 GiB pages would need less, but not every processor has them). Six pages in a row.
 */
#include "loader/boot/paging.h"

#include <errno.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

#define PAGE 4096ul

enum { ENTRIES = 512, DIRECTORIES = 4 };
enum { PTE_PRESENT = 1 << 0, PTE_WRITE = 1 << 1, PTE_LARGE = 1 << 7 };

int paging_build(const struct guest_mem *mem, uint64_t *cr3)
{
	const uint64_t pdpt = LAYOUT_PAGE_TABLES + PAGE, pd = pdpt + PAGE;
	const uint64_t link = PTE_PRESENT | PTE_WRITE;
	uint8_t *tables = guest_mem_ptr(mem, LAYOUT_PAGE_TABLES, PAGING_TABLES_SIZE);

	if (!tables)
		return -EFAULT;
	memset(tables, 0, 2 * PAGE);
	put_le64(tables, pdpt | link);
	for (uint64_t i = 0; i < DIRECTORIES; i++)
		put_le64(tables + PAGE + i * 8, (pd + i * PAGE) | link);
	for (uint64_t i = 0; i < (uint64_t)DIRECTORIES * ENTRIES; i++)
		put_le64(tables + 2 * PAGE + i * 8, i * 2 * MiB | link | PTE_LARGE);
	*cr3 = LAYOUT_PAGE_TABLES;
	return 0;
}
