/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux's boot_params (the "zero page") at LAYOUT_BOOT_PARAMS. */
#ifndef BANTAM_LOADER_BOOT_BOOT_PARAMS_H
#define BANTAM_LOADER_BOOT_BOOT_PARAMS_H

#include "loader/boot_info.h"
#include "vm/core/base.h"

struct bzimage;
struct e820_map;
struct guest_mem;

/* bz is NULL for a kernel without a setup header (ELF). -EFAULT without RAM there. */
int boot_params_write(const struct guest_mem *mem, const struct bzimage *bz,
	const struct boot_info *info, const struct e820_map *map);

#endif
