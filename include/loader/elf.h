/* SPDX-License-Identifier: BSD-2-Clause */
/* An ELF kernel: 64-bit x86 (vmlinux), or anything for x86 that carries a PVH entry note. */
#ifndef BANTAM_LOADER_ELF_H
#define BANTAM_LOADER_ELF_H

#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct guest_mem;

enum { ELF_MAX_PHDRS = 64 };

struct elf_segment {
	uint64_t offset, filesz; /* inside the file; filesz <= memsz */
	uint64_t vaddr, paddr;	 /* vaddr + memsz and paddr + memsz do not wrap */
	uint64_t memsz;		 /* not 0 */
};

struct elf {
	bool is64;
	bool is_linux;	 /* by its notes */
	bool is_program; /* for an operating system, by its notes */
	bool has_interp; /* names an interpreter */
	bool has_pvh;	 /* XEN_ELFNOTE_PHYS32_ENTRY is there */
	uint64_t entry;	 /* e_entry: physical or virtual */
	uint64_t pvh_entry;
	uint64_t start, end; /* physical, over all segments */
	uint64_t shoff;	     /* section headers, as the file has it: not checked */
	uint16_t shentsize, shnum;
	unsigned int num_segments;
	struct elf_segment segments[ELF_MAX_PHDRS];
};

bool elf_detect(const uint8_t *head, size_t len);

/*
 * Reads and checks headers and notes, whatever the file is for. There may be no segment, and the
 * entries may be anywhere. -EINVAL for a bad file, -ENOTSUP for one of another kind.
 */
int elf_read(const struct image *image, struct elf *elf, struct error *err);

/* What elf_read leaves open: the same errors where it cannot be booted as Linux or by PVH. */
int elf_check(const struct image *image, const struct elf *elf, struct error *err);

/* Both: headers and notes of a kernel. */
int elf_parse(const struct image *image, struct elf *elf, struct error *err);

/* Moves the kernel up by so many bytes of physical memory: segments, start, end and entry. Nothing
 * wraps where end + by does not. */
void elf_slide(struct elf *elf, uint64_t by);

/* Reads the segments to their physical addresses, in memory that is zeros, and clears the rest of
 * each. -ENOSPC where they do not fit. */
int elf_load(const struct guest_mem *mem, const struct image *image, const struct elf *elf,
	struct error *err);

/*
 * The physical address of the entry: e_entry itself where a segment lies there, or else converted
 * through the segment whose virtual addresses hold it. -EINVAL where none does.
 */
int elf_entry(const struct elf *elf, uint64_t *gpa);

/* True when the file puts a byte at gpa, so that there is something to run. */
bool elf_has_code_at(const struct elf *elf, uint64_t gpa);

#endif
