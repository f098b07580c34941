/* SPDX-License-Identifier: BSD-2-Clause */
/* A kernel file that has been read and understood: what it is, and how it is to be entered. */
#ifndef BANTAM_LOADER_KERNEL_H
#define BANTAM_LOADER_KERNEL_H

#include "loader/bzimage.h"
#include "loader/elf.h"
#include "loader/kaslr.h"
#include "loader/loader.h"
#include "loader/relocs.h"
#include "loader/unpack/unpack.h"
#include "vm/core/base.h"
#include "vm/core/error.h"

struct guest_mem;

struct kernel {
	enum kernel_format format;
	bool is_bzimage;
	struct bzimage bz; /* if is_bzimage */
	/* The ELF file that is to be loaded: the kernel's, or the one in unpacked; NULL for none.
	 */
	const struct image *elf_image;
	struct elf elf; /* if elf_image */
	struct unpacked unpacked;
	struct relocs relocs;	   /* those that were applied, or none */
	struct kaslr kaslr;	   /* by how much it was moved */
	struct error not_unpacked; /* why BOOT_AUTO leaves that to the guest, "" otherwise */
};

/* Reads and checks the headers, without unpacking anything. To be released. */
int kernel_parse(
	const struct image *image, enum loader_boot boot, struct kernel *kernel, struct error *err);

/*
 * Unpacks a bzImage that is to be entered as an ELF file, if there is RAM for it, and parses that.
 * With BOOT_AUTO one that cannot be unpacked here is left to unpack itself.
 */
int kernel_unpack(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct error *err);

void kernel_release(struct kernel *kernel);

#endif
