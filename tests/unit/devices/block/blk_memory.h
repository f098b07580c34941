/* SPDX-License-Identifier: BSD-2-Clause */
/* A block back end in memory: the reference that others are compared with. Single-threaded. */
#ifndef BANTAM_TESTS_BLK_MEMORY_H
#define BANTAM_TESTS_BLK_MEMORY_H

#include "devices/block/blk.h"

/* All zero. Requests take effect at commit, in order; closed by blk_close. */
struct blk *blk_memory_create(uint64_t size, bool read_only);
/* The bytes themselves. */
uint8_t *blk_memory_bytes(struct blk *blk);
/* At most the size at first; what blk_refresh finds from now on. */
void blk_memory_resize(struct blk *blk, uint64_t size);

#endif
