/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a virtual address is by a guest's page tables: pure, for any state of the registers. */
#ifndef BANTAM_VCPU_PAGE_WALK_H
#define BANTAM_VCPU_PAGE_WALK_H

#include "vcpu/user_pages.h"
#include "vm/core/base.h"

enum { PAGE_WALK_LEVELS = 5 };

struct page_walk {
	struct {
		unsigned int level; /* 1 is that of pages of 4 KiB */
		uint64_t gpa, entry;
	} steps[PAGE_WALK_LEVELS];
	unsigned int num_steps; /* entries that could be read */
	uint64_t gpa;		/* what the address is */
	uint64_t size;		/* of the page that it is in, 4 KiB without paging */
};

/* False: it is not mapped; the last step, if there is one, is where that ends. */
bool page_walk(const struct guest_mem *mem, const struct paging_registers *regs, uint64_t vaddr,
	struct page_walk *ret);

#endif
