/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_LOADER_UNPACK_BIG_ALLOC_H
#define BANTAM_LOADER_UNPACK_BIG_ALLOC_H

#include "vm/core/base.h"

/*
 * Memory for a whole kernel or initial RAM disk, by huge pages where the host has them to spare:
 * hundreds of page faults less for each megabyte. NULL when there is none; free() frees it.
 */
void *big_alloc(uint64_t size);

#endif
