/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a guest's page tables hold a program's memory: pure, for any state of the registers. */
#ifndef BANTAM_VCPU_USER_PAGES_H
#define BANTAM_VCPU_USER_PAGES_H

#include "vm/core/base.h"

struct guest_mem;

struct paging_registers {
	uint64_t cr0, cr3, cr4, efer;
};

/*
 * True when a page in the lower half of the address space (the lower 3 GiB of 32-bit paging) can be
 * reached in user mode: Linux puts programs there, and nothing else that user mode may touch. Also
 * true for tables too large to be looked through.
 */
bool user_pages_mapped(const struct guest_mem *mem, const struct paging_registers *regs);

#endif
