/* SPDX-License-Identifier: BSD-2-Clause */
/* The relocations of a 64-bit Linux kernel: what to change in it for another virtual address. */
#ifndef BANTAM_LOADER_RELOCS_H
#define BANTAM_LOADER_RELOCS_H

#include "loader/elf.h"
#include "loader/image.h"
#include "vm/base.h"

struct error;

/* Where Linux maps physical address 0 of a kernel that runs where it is linked. */
#define RELOCS_KERNEL_MAP UINT64_C(0xffffffff80000000)

struct relocs {
	uint8_t *bytes; /* what was read of the file; owned */
	uint8_t *table; /* in there; NULL for none */
	size_t size;
	/* Where the zeros are that two of its lists begin with; the same one for a list less. */
	size_t inverse32, plain32;
};

/*
 * Reads the table that follows the ELF file. Without one it returns 0, and table is NULL. -EINVAL
 * for what is no such table; -ENOMEM.
 */
int relocs_read(
	const struct image *image, const struct elf *elf, struct relocs *ret, struct error *err);
void relocs_free(struct relocs *relocs);

/*
 * Moves the kernel up by slide bytes of virtual memory. kernel are the size bytes that are at the
 * physical address linked_gpa by the ELF file, wherever they are now. -EINVAL for a relocation
 * outside; the kernel is then of no use.
 */
int relocs_apply(const struct relocs *relocs, const struct image *image, uint8_t *kernel,
	uint64_t size, uint64_t linked_gpa, uint32_t slide, struct error *err);

#endif
