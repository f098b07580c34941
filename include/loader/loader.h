/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From files to a guest that is ready to start: chooses the boot protocol by the kernel's format,
 * puts kernel, initrd, command line, boot_params or start_info, page tables, GDT and ACPI tables
 * into guest memory, and says where the first vCPU begins.
 *
 * Pure: touches nothing but the guest memory, the images that it is given, and the directory for
 * its cache if it is given one.
 */
#ifndef BANTAM_LOADER_LOADER_H
#define BANTAM_LOADER_LOADER_H

#include "loader/entry.h"
#include "loader/image/image.h"
#include "vm/core/base.h"
#include "vm/core/error.h"

struct guest_mem;

enum kernel_format {
	KERNEL_BZIMAGE64,
	KERNEL_BZIMAGE32,
	KERNEL_UNPACKED64, /* a bzImage entered by the ELF file inside it */
	KERNEL_ELF64,
	KERNEL_PVH,
	KERNEL_MULTIBOOT,
};

enum loader_boot {
	BOOT_AUTO,    /* what is fastest: a 64-bit bzImage is unpacked here if it can be */
	BOOT_ELF,     /* the 64-bit entry of an ELF file, or of the one in a bzImage */
	BOOT_PVH,     /* the PVH entry, likewise */
	BOOT_BZIMAGE, /* a bzImage's own entry: it unpacks itself */
	BOOT_MULTIBOOT,
};

const char *kernel_format_name(enum kernel_format format);

enum { LOADER_MAX_INITRDS = 16 };

struct unpack_keep;

struct loader_config {
	const struct image *kernel;
	const struct image
		*initrds; /* concatenated, each padded to 4 bytes; for Multiboot modules */
	size_t num_initrds;
	const char *cmdline;	 /* complete; "" for none */
	const char *own_cmdline; /* for Multiboot instead: what is not meant for Linux; or NULL */
	uint64_t rsdp_gpa;	 /* of the ACPI tables, put there already; 0 for none */
	bool version;		 /* wanted in the result */
	const void *dtb;	 /* a device tree for the kernel (SETUP_DTB), or NULL */
	size_t dtb_size;
	enum loader_boot boot;
	const char
		*cache_dir; /* for unpacked kernels, see loader/cache/kernel_cache.h; NULL: none */
	struct unpack_keep *keep; /* see loader/unpack/unpack.h; or NULL */
	/*
	 * Gives a bzImage that is unpacked here a random address, as it would do it itself if it
	 * has CONFIG_RANDOMIZE_BASE, and unless the command line says nokaslr.
	 */
	bool kaslr;
	uint64_t random[2]; /* for that */
};

struct loader_result {
	enum kernel_format format;
	struct entry_state entry;
	char version[128]; /* the bzImage's own version string, printable, "" if none or not wanted
			    */
	uint64_t kernel_gpa, kernel_size; /* what the kernel occupies before it runs */
	bool kaslr;			  /* at random addresses, kernel_gpa and */
	/* Of one that is entered as an ELF file: where it maps its first byte, and by how much that
	 * is further up than its symbols say. */
	uint64_t kernel_virtual, kernel_slide;
	bool cached;			  /* KERNEL_UNPACKED64: there was nothing to unpack */
	bool is_linux;			  /* by its notes, or by what a bzImage packs */
	struct error not_unpacked;	  /* why BOOT_AUTO left that to the guest, "" otherwise */
	uint64_t initrd_gpa, initrd_size; /* 0 when there is none; Multiboot: all modules */
};

/* Finds out a kernel's format, without loading it. Refuses what is none, and says what it looks
 * like. */
int loader_probe(const struct image *kernel, enum kernel_format *format, struct error *err);

/*
 * Loads a Linux kernel (or anything that speaks its boot protocol, PVH or Multiboot) into memory
 * that nobody has used yet: it must be zeros. Returns 0 or a negative errno with a one-line reason;
 * the guest memory is then in no defined state.
 */
int loader_load(const struct guest_mem *mem, const struct loader_config *config,
	struct loader_result *result, struct error *err);

/*
 * Loads a flat binary at gpa and enters it there, in the mode given. The file must lie in RAM,
 * clear of what the mode needs in memory. Real mode: below 64 KiB the segments are 0 and ip is gpa;
 * up to 1 MiB gpa must be a multiple of 16, the segments are gpa >> 4 and ip is 0. The stack is in
 * the same segment, at 0x7c00 where that is free. Protected and long mode: gpa below 4 GiB, clear
 * of the GDT (LAYOUT_BOOT_GDT) and 0xF00 bytes below LAYOUT_BOOT_STACK; in long mode also of
 * LAYOUT_PAGE_TABLES, which map the first 4 GiB one to one.
 */
int loader_load_flat(const struct guest_mem *mem, const struct image *image, uint64_t gpa,
	enum entry_mode mode, struct entry_state *entry, struct error *err);

#endif
