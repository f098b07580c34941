/* SPDX-License-Identifier: BSD-2-Clause */
/* struct setup_data: what a kernel is handed beside boot_params (Linux: boot.rst, setup_data). */
#ifndef BANTAM_LOADER_BOOT_SETUP_DATA_H
#define BANTAM_LOADER_BOOT_SETUP_DATA_H

#include "vm/core/base.h"

struct guest_mem;

#define SETUP_DATA_NEXT	  0x00 /* u64, of the next one, 0 for none */
#define SETUP_DATA_TYPE	  0x08 /* u32 */
#define SETUP_DATA_LEN	  0x0c /* u32, of what follows */
#define SETUP_DATA_HEADER 0x10

enum { SETUP_DATA_DTB = 2 };

/*
 * Writes a list of one to LAYOUT_SETUP_DATA and returns its address. Linux reserves the memory
 * itself. -ENOSPC for more than LAYOUT_SETUP_DATA_MAX, -EFAULT without RAM there.
 */
int setup_data_write(
	const struct guest_mem *mem, uint32_t type, const void *data, size_t len, uint64_t *gpa);

#endif
