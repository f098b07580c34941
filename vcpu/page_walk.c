/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SDM vol. 3, chapter 5. Rights do not matter: whoever looks from outside may see all. Bits that
 * are reserved are not looked at, but for a large page where there is none.
 */
#include "vcpu/page_walk.h"

#include <string.h>

#include "vm/core/guest_mem.h"

enum { PTE_PRESENT = 1 << 0, PTE_LARGE = 1 << 7 };

#define CR0_PG	 (UINT64_C(1) << 31)
#define CR4_PSE	 (UINT64_C(1) << 4)
#define CR4_PAE	 (UINT64_C(1) << 5)
#define CR4_LA57 (UINT64_C(1) << 12)
#define EFER_LMA (UINT64_C(1) << 10)
#define ADDRESS	 UINT64_C(0x000ffffffffff000)

struct mode {
	unsigned int levels, large_level, entry_size, bits; /* of the address, each level */
	unsigned int width;				    /* of a whole one */
	uint64_t top_mask;
};

static const struct mode *mode_of(const struct paging_registers *regs)
{
	static const struct mode five = {5, 3, 8, 9, 57, ADDRESS}, four = {4, 3, 8, 9, 48, ADDRESS},
				 pae = {3, 2, 8, 9, 32, 0xffffffe0},
				 large = {2, 2, 4, 10, 32, 0xfffff000},
				 two = {2, 1, 4, 10, 32, 0xfffff000};

	if (regs->efer & EFER_LMA)
		return regs->cr4 & CR4_LA57 ? &five : &four;
	if (regs->cr4 & CR4_PAE)
		return &pae;
	return regs->cr4 & CR4_PSE ? &large : &two;
}

/* Nothing is above 4 GiB outside of 64-bit mode. */
static bool is_canonical(const struct mode *mode, uint64_t vaddr)
{
	const int64_t top = (int64_t)vaddr >> (mode->width - 1);

	return mode->width == 32 ? !(vaddr >> 32) : top == 0 || top == -1;
}

/* A large page of 32-bit paging has bits 32 to 39 of its address in bits 13 to 20 (PSE-36). */
static uint64_t large_page(const struct mode *mode, uint64_t entry)
{
	if (mode->entry_size == 8)
		return entry & ADDRESS;
	return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
}

/* An entry; false: its table is not in RAM. */
static bool step(const struct guest_mem *mem, const struct mode *mode, unsigned int level,
	uint64_t table, uint64_t vaddr, struct page_walk *walk)
{
	const unsigned int shift = 12 + (level - 1) * mode->bits;
	const uint64_t index = vaddr >> shift & ((1U << mode->bits) - 1);
	const uint64_t gpa = table + index * mode->entry_size;
	uint64_t entry = 0;

	if (guest_mem_read(mem, gpa, &entry, mode->entry_size) < 0)
		return false;
	walk->steps[walk->num_steps].level = level;
	walk->steps[walk->num_steps].gpa = gpa;
	walk->steps[walk->num_steps].entry = entry;
	walk->num_steps++;
	walk->size = UINT64_C(1) << shift;
	return entry & PTE_PRESENT;
}

bool page_walk(const struct guest_mem *mem, const struct paging_registers *regs, uint64_t vaddr,
	struct page_walk *ret)
{
	const struct mode *mode = mode_of(regs);
	uint64_t table = regs->cr3 & mode->top_mask;

	*ret = (struct page_walk){.gpa = vaddr, .size = 4096};
	if (!is_canonical(mode, vaddr))
		return false;
	if (!(regs->cr0 & CR0_PG))
		return true;
	for (unsigned int level = mode->levels; level; level--) {
		uint64_t entry;

		if (!step(mem, mode, level, table, vaddr, ret))
			return false;
		entry = ret->steps[ret->num_steps - 1].entry;
		table = entry & ADDRESS;
		if (level == 1 || !(entry & PTE_LARGE))
			continue;
		if (level <= mode->large_level) {
			table = large_page(mode, entry);
			break;
		}
		/* In PAE's first level the bit is reserved; in 32-bit paging it may be ignored. */
		if (mode->entry_size == 8)
			return false;
	}
	ret->gpa = ALIGN_DOWN(table, ret->size) | (vaddr & (ret->size - 1));
	return true;
}
