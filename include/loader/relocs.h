/* SPDX-License-Identifier: BSD-2-Clause */
/* The relocations of a 64-bit Linux kernel: what to change in it for another virtual address. */
#ifndef BANTAM_LOADER_RELOCS_H
#define BANTAM_LOADER_RELOCS_H

#include "loader/elf.h"
#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;

/* Where Linux maps physical address 0 of a kernel that runs where it is linked. */
#define RELOCS_KERNEL_MAP UINT64_C(0xffffffff80000000)

struct relocs {
	uint64_t off; /* in the file */
	size_t size;  /* 0: there is no table */
	const uint8_t *table;
	/* Where the zeros are that two of its lists begin with; the same one for a list less. */
	size_t inverse32, plain32;
};

/* Finds the table that follows the ELF file. -EINVAL for what cannot be one; -ENOMEM. */
int relocs_find(
	const struct image *image, const struct elf *elf, struct relocs *ret, struct error *err);

/* Reads it to table, which has size bytes and stays the caller's. -EINVAL for what is none. */
int relocs_read(
	const struct image *image, struct relocs *relocs, uint8_t *table, struct error *err);

/*
 * Moves the kernel up by slide bytes of virtual memory. kernel are the size bytes that are at the
 * physical address linked_gpa by the ELF file, wherever they are now. -EINVAL for a relocation
 * outside; the kernel is then of no use.
 */
int relocs_apply(const struct relocs *relocs, const struct image *image, uint8_t *kernel,
	uint64_t size, uint64_t linked_gpa, uint32_t slide, struct error *err);

#endif
