/* SPDX-License-Identifier: BSD-2-Clause */
/* The initial RAM disk: files one behind the other, high in the RAM below 4 GiB. */
#ifndef BANTAM_LOADER_BOOT_INITRD_H
#define BANTAM_LOADER_BOOT_INITRD_H

#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct guest_mem;

struct initrd_config {
	const struct image *images;
	size_t count;
	uint64_t addr_max;		  /* the last address it may occupy */
	uint64_t kernel_gpa, kernel_size; /* to stay clear of */
	const char *kernel_name;	  /* for messages */
};

/* Where initrd_load would put them. */
int initrd_place(const struct guest_mem *mem, const struct initrd_config *config, uint64_t *gpa,
	uint64_t *size, struct error *err);

/*
 * Loads the files, each but the last padded with zeros to 4 bytes, as high as they fit,
 * page-aligned. *gpa and *size are 0 when there are none. -ENOSPC where they do not fit.
 */
int initrd_load(const struct guest_mem *mem, const struct initrd_config *config, uint64_t *gpa,
	uint64_t *size, struct error *err);

#endif
