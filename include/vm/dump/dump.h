/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's memory and registers as an ELF core, for gdb and for crash:
 *
 *	header, program headers
 *	notes		for each vCPU NT_PRSTATUS and "QEMU" (all registers; crash looks there
 *			for what NT_PRSTATUS has not), and the kernel's VMCOREINFO, if it has one
 *	RAM		from the next page on, region after region; pages of zeros are holes
 *
 * Each region of RAM is a PT_LOAD with its physical address, and as its virtual address the one at
 * which the guest's kernel has all memory mapped, or else the physical one. Linux' own image has
 * one more, in front, with the addresses that its symbols have.
 *
 * The guest's memory and registers are hostile: what is read there is bounded and checked, and
 * wrong values make a useless file at worst.
 */
#ifndef BANTAM_VM_DUMP_DUMP_H
#define BANTAM_VM_DUMP_DUMP_H

#include <stdatomic.h>

#include "vcpu/registers.h"
#include "vm/core/base.h"

struct error;
struct guest_mem;

struct dump_config {
	const struct guest_mem *mem;
	const struct vcpu_registers *cpus; /* at least one */
	unsigned int num_cpus;
	int fd; /* a regular file, empty */
	/*
	 * What nobody has touched is left alone, and counts as zeros: for hugetlbfs, where to look
	 * at a page takes it from the pool. (Other memory may have been swapped out.)
	 */
	bool skip_untouched;
	const _Atomic bool *cancel; /* give up soon */
	_Atomic uint64_t *done;	    /* bytes of RAM that have been seen to */
};

/* Blocks for as long as it takes. -ECANCELED, or -errno, with a line. */
int dump_write(const struct dump_config *config, struct error *err);
/* What *done ends with. */
uint64_t dump_ram_size(const struct guest_mem *mem);

/* ---- parts of it, for their tests ---- */

enum { VMCOREINFO_MAX = 4096 };

/* What a Linux kernel says of itself to those who read its memory. */
struct vmcoreinfo {
	char text[VMCOREINFO_MAX];
	size_t len; /* 0: none was found */
	/* Where the kernel's image is, if it says so. */
	bool has_image;
	uint64_t image_vaddr, image_paddr, image_size; /* the size is an upper bound */
};

/*
 * Looks for the page in which Linux (4.13 and later) keeps it. Nothing vouches for it: a guest may
 * write such a page on purpose.
 */
void vmcoreinfo_find(const struct guest_mem *mem, bool skip_untouched, struct vmcoreinfo *ret);
/* Takes the page's text, and what it says, if that is well-formed. */
bool vmcoreinfo_parse(const char page[VMCOREINFO_MAX], struct vmcoreinfo *ret);

/*
 * The virtual address at which the page tables of a kernel in 64-bit mode have physical memory from
 * 0 on. False where there is no such place in the upper half.
 */
bool direct_map_find(
	const struct guest_mem *mem, const struct vcpu_registers *regs, uint64_t *vaddr);

#endif
