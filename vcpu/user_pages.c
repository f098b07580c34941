/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk through page tables (SDM vol. 3, chapter 5) that looks for one page. An entry counts only
 * if user mode passes all levels above it: Linux itself sets the bit on tables of the lower half
 * when it patches its code, over pages that are the kernel's.
 *
 * The guest does not run, but its tables may be anything, and point at themselves: the depth is
 * that of the paging mode, and the number of entries looked at is bounded.
 */
#include "vcpu/user_pages.h"

#include <string.h>

#include "vm/core/guest_mem.h"

enum { PTE_PRESENT = 1 << 0, PTE_USER = 1 << 2, PTE_LARGE = 1 << 7, ENTRIES_MAX = 1 << 18 };

#define CR0_PG	 (UINT64_C(1) << 31)
#define CR4_PAE	 (UINT64_C(1) << 5)
#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)
#define ADDRESS	 UINT64_C(0x000ffffffffff000)

/* How a table of the top level looks, of which only the lower part is walked. */
struct paging_mode {
	unsigned int levels, large_level, entry_size, entries, top_entries;
	bool top_is_user; /* PAE: its entries have no such bit */
	uint64_t top_mask;
};

struct walk {
	const struct guest_mem *mem;
	const struct paging_mode *mode;
	unsigned int entries_left;
};

static const struct paging_mode *mode_of(const struct paging_registers *regs)
{
	static const struct paging_mode five = {5, 3, 8, 512, 256, false, ADDRESS},
					four = {4, 3, 8, 512, 256, false, ADDRESS},
					pae = {3, 2, 8, 512, 3, true, 0xffffffe0},
					two = {2, 2, 4, 1024, 768, false, 0xfffff000};

	if (regs->efer & EFER_LMA)
		return regs->cr4 & CR4_LA57 ? &five : &four;
	return regs->cr4 & CR4_PAE ? &pae : &two;
}

static uint64_t entry_at(const struct walk *walk, const uint8_t *table, unsigned int i)
{
	uint64_t entry = 0;

	memcpy(&entry, table + (size_t)i * walk->mode->entry_size, walk->mode->entry_size);
	return entry;
}

/* Levels are counted from 1, that of pages. */
static bool search(struct walk *walk, uint64_t gpa, unsigned int level)
{
	const struct paging_mode *mode = walk->mode;
	const bool top = level == mode->levels;
	const unsigned int n = top ? mode->top_entries : mode->entries;
	const uint64_t user = top && mode->top_is_user ? 0 : PTE_USER;
	const uint8_t *table = guest_mem_ptr(walk->mem, gpa, (uint64_t)n * mode->entry_size);

	for (unsigned int i = 0; table && i < n; i++) {
		uint64_t entry = entry_at(walk, table, i);

		if (!walk->entries_left--)
			return true;
		if ((entry & (PTE_PRESENT | user)) != (PTE_PRESENT | user))
			continue;
		if (level == 1 || (level <= mode->large_level && (entry & PTE_LARGE)))
			return true;
		if (search(walk, entry & ADDRESS, level - 1))
			return true;
	}
	return false;
}

bool user_pages_mapped(const struct guest_mem *mem, const struct paging_registers *regs)
{
	struct walk walk = {.mem = mem, .mode = mode_of(regs), .entries_left = ENTRIES_MAX};

	return (regs->cr0 & CR0_PG) &&
	       search(&walk, regs->cr3 & walk.mode->top_mask, walk.mode->levels);
}
