/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache.h"

#include <errno.h>
#include <stdlib.h>

#include "vm/core/sparse_alloc.h"

enum { ALIGNMENT = 4096 };

int qcow2_cache_init(
	struct qcow2_cache *cache, unsigned int slice_bits, uint64_t slices, uint64_t most)
{
	const uint64_t wanted = MIN(slices, most >> slice_bits);
	size_t slots;

	*cache = (struct qcow2_cache){.slice_bits = slice_bits, .num_sets = 1};
	while (cache->num_sets * QCOW2_WAYS < wanted)
		cache->num_sets *= 2;
	slots = cache->num_sets * QCOW2_WAYS;
	cache->allocated_bytes = (slots << slice_bits) + ALIGNMENT;
	cache->allocated = sparse_alloc(cache->allocated_bytes);
	cache->slots = sparse_alloc(slots * sizeof(*cache->slots));
	if (!cache->allocated || !cache->slots) {
		qcow2_cache_fini(cache);
		return -ENOMEM;
	}
	cache->memory = (uint8_t *)ALIGN_UP((uintptr_t)cache->allocated, ALIGNMENT);
	return 0;
}

void qcow2_cache_fini(struct qcow2_cache *cache)
{
	sparse_free(cache->allocated, cache->allocated_bytes);
	sparse_free(cache->slots, cache->num_sets * QCOW2_WAYS * sizeof(*cache->slots));
	*cache = (struct qcow2_cache){0};
}

/* Keys are kept with one added: untouched memory is empty. */
static struct qcow2_slot *set_of(struct qcow2_cache *cache, uint64_t key)
{
	return cache->slots + (key & (cache->num_sets - 1)) * QCOW2_WAYS;
}

struct qcow2_slot *qcow2_cache_find(struct qcow2_cache *cache, uint64_t key)
{
	struct qcow2_slot *set = set_of(cache, key);

	for (int i = 0; i < QCOW2_WAYS; i++)
		if (set[i].key == key + 1) {
			set[i].used = ++cache->now;
			return &set[i];
		}
	return NULL;
}

struct qcow2_slot *qcow2_cache_take(struct qcow2_cache *cache, uint64_t key)
{
	struct qcow2_slot *set = set_of(cache, key), *best = NULL;

	for (int i = 0; i < QCOW2_WAYS; i++) {
		if (set[i].dirty)
			continue;
		/* Ages are differences: the count may wrap. */
		if (!best || !set[i].key ||
			(best->key && cache->now - set[i].used > cache->now - best->used))
			best = &set[i];
	}
	if (best) {
		best->key = 0;
		best->used = ++cache->now;
	}
	return best;
}

void qcow2_cache_fill(struct qcow2_slot *slot, uint64_t key)
{
	slot->key = key + 1;
}

void qcow2_cache_set_dirty(struct qcow2_cache *cache, struct qcow2_slot *slot, bool dirty)
{
	cache->num_dirty += dirty;
	cache->num_dirty -= slot->dirty;
	slot->dirty = dirty;
}

struct qcow2_slot *qcow2_cache_next_dirty(struct qcow2_cache *cache, size_t *i)
{
	const size_t slots = cache->num_sets * QCOW2_WAYS;

	if (!cache->num_dirty)
		return NULL;
	for (; *i < slots; ++*i)
		if (cache->slots[*i].dirty)
			return &cache->slots[(*i)++];
	return NULL;
}
