/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slices of tables in a bounded memory: sets of a few ways, in each the one that was used least
 * recently goes. No I/O and no lock: the owner loads and writes, see image.h.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_CACHE_H
#define BANTAM_DEVICES_BLOCK_QCOW2_CACHE_H

#include "vm/core/base.h"

enum { QCOW2_WAYS = 8 };

struct qcow2_slot {
	uint64_t key; /* one more than it; 0: empty */
	uint32_t used;
	bool dirty;
};

struct qcow2_cache {
	unsigned int slice_bits;
	size_t num_sets; /* a power of two */
	size_t num_dirty;
	uint32_t now;
	struct qcow2_slot *slots;
	uint8_t *memory; /* aligned to 4096 */
	void *allocated;
	size_t allocated_bytes;
};

/* For that many slices at least, most bytes at most: 0 or -ENOMEM. */
int qcow2_cache_init(
	struct qcow2_cache *cache, unsigned int slice_bits, uint64_t slices, uint64_t most);
void qcow2_cache_fini(struct qcow2_cache *cache);

/* The slot that has it, or NULL. */
struct qcow2_slot *qcow2_cache_find(struct qcow2_cache *cache, uint64_t key);
/*
 * An empty slot for the key, which is not there: one that was clean. NULL when all that it could be
 * are dirty. It can be found after qcow2_cache_fill.
 */
struct qcow2_slot *qcow2_cache_take(struct qcow2_cache *cache, uint64_t key);
void qcow2_cache_fill(struct qcow2_slot *slot, uint64_t key);
void qcow2_cache_set_dirty(struct qcow2_cache *cache, struct qcow2_slot *slot, bool dirty);

static inline uint8_t *qcow2_cache_data(
	const struct qcow2_cache *cache, const struct qcow2_slot *slot)
{
	return cache->memory + ((size_t)(slot - cache->slots) << cache->slice_bits);
}

/* The next dirty slot at or after *i, NULL behind the last one. */
struct qcow2_slot *qcow2_cache_next_dirty(struct qcow2_cache *cache, size_t *i);

#endif
