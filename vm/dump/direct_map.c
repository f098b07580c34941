/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a kernel has all of physical memory mapped, by its page tables (SDM vol. 3, chapter 5).
 * Such a map begins at a multiple of 1 GiB, with the page at physical 0. So of each piece of 1 GiB
 * in the upper half only the first page is looked at. The tables may be anything, and point at
 * themselves: the depth is that of the paging mode, and the number of entries looked at is bounded.
 */
#include <string.h>

#include "vm/core/guest_mem.h"
#include "vm/dump/dump.h"

enum { PTE_PRESENT = 1 << 0, PTE_LARGE = 1 << 7, ENTRIES = 512, ENTRIES_MAX = 1 << 16 };

#define CR0_PG	 (UINT64_C(1) << 31)
#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)
#define ADDRESS	 UINT64_C(0x000ffffffffff000)
/* Linux has two tables under page table isolation, the program's one behind the kernel's. */
#define CR3_USER (UINT64_C(1) << 12)

enum { LEVEL_1G = 3, LEVEL_2M = 2 };

struct search {
	const struct guest_mem *mem;
	unsigned int entries_left;
};

static unsigned int shift_of(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static uint64_t entry_at(struct search *search, uint64_t table, unsigned int i)
{
	const uint8_t *p = guest_mem_ptr(search->mem, table, ENTRIES * sizeof(uint64_t));
	uint64_t entry;

	if (!p || !search->entries_left)
		return 0;
	search->entries_left--;
	memcpy(&entry, p + i * sizeof(entry), sizeof(entry));
	return entry;
}

/* Whether an entry of that level, LEVEL_1G at most, maps its first page to physical 0. */
static bool maps_zero(struct search *search, uint64_t entry, unsigned int level)
{
	for (; entry & PTE_PRESENT; level--) {
		if (level == 1 || (entry & PTE_LARGE)) {
			/* The attribute table's bit is among the address's of a large page. */
			return !(entry & ADDRESS & ~((UINT64_C(1) << shift_of(level)) - 1));
		}
		entry = entry_at(search, entry & ADDRESS, 0);
	}
	return false;
}

static bool look(struct search *search, uint64_t table, unsigned int level, unsigned int from,
	uint64_t vaddr, uint64_t *ret)
{
	for (unsigned int i = from; i < ENTRIES && search->entries_left; i++) {
		const uint64_t at = vaddr | (uint64_t)i << shift_of(level);
		const uint64_t entry = entry_at(search, table, i);

		if (!(entry & PTE_PRESENT))
			continue;
		if (level > LEVEL_1G) {
			if (look(search, entry & ADDRESS, level - 1, 0, at, ret))
				return true;
		} else if (maps_zero(search, entry, level)) {
			*ret = at;
			return true;
		}
	}
	return false;
}

bool direct_map_find(
	const struct guest_mem *mem, const struct vcpu_registers *regs, uint64_t *vaddr)
{
	const unsigned int levels = regs->cr4 & CR4_LA57 ? 5 : 4;
	const uint64_t sign = ~UINT64_C(0) << (shift_of(levels) + 9);
	struct search search = {.mem = mem, .entries_left = ENTRIES_MAX};
	const uint64_t table = regs->cr3 & ADDRESS;

	if (!(regs->cr0 & CR0_PG) || !(regs->efer & EFER_LMA))
		return false;
	return look(&search, table & ~CR3_USER, levels, ENTRIES / 2, sign, vaddr) ||
	       ((table & CR3_USER) && look(&search, table, levels, ENTRIES / 2, sign, vaddr));
}
