/* SPDX-License-Identifier: BSD-2-Clause */
/* The notes of an ELF file that tell how it wants to be booted. */
#ifndef BANTAM_LOADER_ELF_NOTES_H
#define BANTAM_LOADER_ELF_NOTES_H

#include "loader/elf.h"

/*
 * Walks the notes in [offset, + size) of the file (the range is inside it) and fills in has_pvh,
 * pvh_entry, is_linux and is_program. align is the segment's p_align. -EINVAL for notes that
 * overrun.
 */
int elf_read_notes(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	struct elf *elf, struct error *err);

#endif
