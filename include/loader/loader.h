/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From files to a guest that is ready to start: chooses the boot protocol by the kernel's format,
 * puts kernel, initrd, command line, boot_params or start_info, page tables, GDT and ACPI tables
 * into guest memory, and says where the first vCPU begins.
 *
 * Pure: touches nothing but the guest memory and the images it is given.
 */
#ifndef BANTAM_LOADER_LOADER_H
#define BANTAM_LOADER_LOADER_H

#include "loader/entry.h"
#include "loader/image.h"
#include "vm/base.h"

struct error;
struct guest_mem;

enum kernel_format { KERNEL_BZIMAGE64, KERNEL_BZIMAGE32, KERNEL_ELF64, KERNEL_PVH };

const char *kernel_format_name(enum kernel_format format);

enum { LOADER_MAX_INITRDS = 16 };

struct loader_config {
	const struct image *kernel;
	const struct image *initrds; /* concatenated, each padded to 4 bytes */
	size_t num_initrds;
	const char *cmdline; /* complete; "" for none */
	uint64_t rsdp_gpa;   /* of the ACPI tables, put there already; 0 for none */
	const void *dtb;     /* a device tree for the kernel (SETUP_DTB), or NULL */
	size_t dtb_size;
	bool prefer_pvh; /* use an ELF's PVH entry even where the 64-bit one would do */
};

struct loader_result {
	enum kernel_format format;
	struct entry_state entry;
	char version[128]; /* the bzImage's own version string, printable, "" if none */
	uint64_t kernel_gpa, kernel_size; /* what the kernel occupies before it runs */
	uint64_t initrd_gpa, initrd_size; /* 0 when there is none */
};

/* Finds out a kernel's format, without loading it. Refuses what is none, and says what it looks
 * like. */
int loader_probe(const struct image *kernel, enum kernel_format *format, struct error *err);

/*
 * Loads a Linux kernel (or anything that speaks its boot protocol or PVH). Returns 0 or a negative
 * errno with a one-line reason; the guest memory is then in no defined state.
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
