/* SPDX-License-Identifier: BSD-2-Clause */
/* The RAM that kernels and initrds are loaded to. */
#ifndef BANTAM_LOADER_BOOT_LOWRAM_H
#define BANTAM_LOADER_BOOT_LOWRAM_H

#include "vm/core/base.h"

struct guest_mem;

/* The end of the region that holds LAYOUT_KERNEL_MIN, at most 4 GiB; LAYOUT_KERNEL_MIN if none
 * does. */
uint64_t lowram_end(const struct guest_mem *mem);

/* How much RAM there is in all, in MiB, for messages. */
uint64_t ram_mib(const struct guest_mem *mem);

/* Bytes as MiB, rounded up. */
static inline uint64_t to_mib(uint64_t bytes)
{
	return (bytes >> 20) + !!(bytes & (MiB - 1));
}

#endif
