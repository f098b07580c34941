/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot, version 1 (Multiboot Specification 0.6.96): the header in a kernel's file, and the
 * information structure at LAYOUT_MULTIBOOT_INFO that the kernel is handed.
 */
#ifndef BANTAM_LOADER_MULTIBOOT_H
#define BANTAM_LOADER_MULTIBOOT_H

#include "loader/elf.h"
#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct guest_mem;

#define MULTIBOOT_HEADER_MAGIC UINT32_C(0x1badb002) /* in the file */
#define MULTIBOOT_ENTRY_MAGIC  UINT32_C(0x2badb002) /* in EAX */

/* What bits of the information structure say is there (3.3) */
enum {
	MULTIBOOT_INFO_MEMORY = 1 << 0,
	MULTIBOOT_INFO_CMDLINE = 1 << 2,
	MULTIBOOT_INFO_MODULES = 1 << 3,
	MULTIBOOT_INFO_MMAP = 1 << 6,
	MULTIBOOT_INFO_NAME = 1 << 9,
};

#define MULTIBOOT_INFO_SIZE    116
#define MULTIBOOT_MODULES_OFF  0x80 /* from LAYOUT_MULTIBOOT_INFO; entries of 16 bytes */
#define MULTIBOOT_MODULES_STEP 16
#define MULTIBOOT_MMAP_OFF     0x200 /* entries of 24 bytes, of which the first four say 20 */
#define MULTIBOOT_MMAP_STEP    24
#define MULTIBOOT_MAX_MODULES  17

struct multiboot {
	uint32_t flags;
	uint32_t offset; /* of the header in the file */
	/* With flag 16, otherwise 0: as the file has them, not checked. */
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* What stands in the first 8 KiB of a file. MULTIBOOT_2: of the second version, and none of this.
 */
enum multiboot_version { MULTIBOOT_NONE, MULTIBOOT_1, MULTIBOOT_2 };

/* Looks for the header; MULTIBOOT_NONE also where the file cannot be read. */
enum multiboot_version multiboot_find(const struct image *image, struct multiboot *header);

/*
 * Checks the header, and turns it or, if it has no addresses, the ELF file's own headers into what
 * elf_load and elf_entry take. -EINVAL for a bad file, -ENOTSUP for what is asked in vain.
 */
int multiboot_parse(const struct image *image, const struct multiboot *header, struct elf *elf,
	struct error *err);

struct multiboot_config {
	const struct image *kernel;
	uint64_t kernel_end; /* where it ends in memory */
	const struct image *modules;
	size_t num_modules; /* at most MULTIBOOT_MAX_MODULES */
	const char *cmdline;
};

/*
 * Puts the modules behind the kernel, each on a page of its own, and writes the information
 * structure. The command line begins with the kernel's name, a module's string is its name. *gpa
 * and *size are what the modules take in all, 0 without any. -ENOSPC where they do not fit, -E2BIG
 * where the strings do not.
 */
int multiboot_tell(const struct guest_mem *mem, const struct multiboot_config *config,
	uint64_t *gpa, uint64_t *size, struct error *err);

#endif
