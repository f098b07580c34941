/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Refcounts, and the clusters that have none.
 *
 * Free clusters are looked for from the hint on, so a file is filled from front to back. What was
 * dropped is in limbo until the tables that let go of it are on the disk and nobody can still be
 * busy with it; its count is what keeps it from being handed out. Its space goes back to the host
 * before the count falls: a hole that is punched later could hit the next owner's data.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "image.h"

static unsigned int slice_counts_bits(const struct qcow2_geometry *g)
{
	return g->slice_bits + 3 - g->refcount_order;
}

/* Where the block is whose refcounts have that of the cluster; 0: there is none. */
static int block_of(struct qcow2_image *image, uint64_t cluster, uint64_t *ret)
{
	const uint64_t block = cluster >> image->geometry.refblock_bits;

	*ret = 0;
	if (block >= image->reftable.entries)
		return 0;
	*ret = get_be64(image->reftable.data + block * 8);
	if (*ret & (image->geometry.cluster - 1) || *ret >= image->file_size)
		return qcow2_image_corrupt(image, "a place of refcounts cannot be");
	return 0;
}

static uint64_t slice_offset(const struct qcow2_image *image, uint64_t key, uint64_t block_offset)
{
	const struct qcow2_geometry *g = &image->geometry;
	const unsigned int slices_bits = g->cluster_bits - g->slice_bits;

	return block_offset + ((key & ((UINT64_C(1) << slices_bits) - 1)) << g->slice_bits);
}

/* NULL in *ret: there is no block. */
static int load(struct qcow2_image *image, uint64_t cluster, struct qcow2_slot **ret)
{
	const uint64_t key = cluster >> slice_counts_bits(&image->geometry);
	struct qcow2_cache *cache = &image->refcounts;
	uint64_t block;
	int rc;

	*ret = qcow2_cache_find(cache, key);
	if (*ret)
		return 0;
	rc = block_of(image, cluster, &block);
	if (rc || !block)
		return rc;
	*ret = qcow2_cache_take(cache, key);
	if (!*ret) {
		/* Written at any time: counts that are too high do no harm. */
		rc = qcow2_refs_write(image);
		*ret = rc ? NULL : qcow2_cache_take(cache, key);
	}
	if (rc)
		return rc;
	rc = qcow2_file_read(image, slice_offset(image, key, block), qcow2_cache_data(cache, *ret),
		UINT64_C(1) << cache->slice_bits);
	if (!rc)
		qcow2_cache_fill(*ret, key);
	return rc;
}

int qcow2_refs_write(struct qcow2_image *image)
{
	struct qcow2_cache *cache = &image->refcounts;
	struct qcow2_slot *slot;
	size_t i = 0;

	while ((slot = qcow2_cache_next_dirty(cache, &i)) != NULL) {
		const uint64_t key = slot->key - 1;
		uint64_t block;
		int rc = block_of(image, key << slice_counts_bits(&image->geometry), &block);

		if (!rc && !block)
			rc = -EIO;
		if (!rc)
			rc = qcow2_file_write(image, slice_offset(image, key, block),
				qcow2_cache_data(cache, slot), UINT64_C(1) << cache->slice_bits);
		if (rc)
			return rc;
		qcow2_cache_set_dirty(cache, slot, false);
	}
	return 0;
}

static size_t place(const struct qcow2_image *image, uint64_t cluster)
{
	return cluster & ((UINT64_C(1) << slice_counts_bits(&image->geometry)) - 1);
}

int qcow2_refs_get(struct qcow2_image *image, uint64_t cluster, uint64_t *ret)
{
	struct qcow2_slot *slot;
	int rc = load(image, cluster, &slot);

	*ret = 0;
	if (!rc && slot)
		*ret = qcow2_refcount_get(image->geometry.refcount_order,
			qcow2_cache_data(&image->refcounts, slot), place(image, cluster));
	return rc;
}

int qcow2_refs_set(struct qcow2_image *image, uint64_t cluster, uint64_t count)
{
	struct qcow2_slot *slot;
	int rc = load(image, cluster, &slot);

	if (rc || !slot)
		return rc ? rc : -EIO;
	qcow2_refcount_put(image->geometry.refcount_order,
		qcow2_cache_data(&image->refcounts, slot), place(image, cluster), count);
	qcow2_cache_set_dirty(&image->refcounts, slot, true);
	return 0;
}

/* A new block is the first of the clusters that it counts: without it, none of them is in use. */
int qcow2_refs_cover(struct qcow2_image *image, uint64_t cluster)
{
	const struct qcow2_geometry *g = &image->geometry;
	const uint64_t block = cluster >> g->refblock_bits, first = block << g->refblock_bits;
	const uint64_t offset = first << g->cluster_bits;
	uint64_t there;
	int rc = block_of(image, cluster, &there);

	if (rc || there)
		return rc;
	if (block >= image->reftable.entries)
		return qcow2_reftable_grow(image, block);
	if (first >= image->most_clusters)
		return -ENOSPC;
	if (qcow2_set_has(&image->tables, first))
		return qcow2_image_corrupt(image, "a table is not counted");
	rc = qcow2_file_reach(image, offset + g->cluster);
	if (!rc && offset < image->fresh)
		rc = qcow2_file_zero(image, offset, g->cluster);
	if (!rc)
		rc = qcow2_tables_add(image, first, 1);
	if (rc)
		return rc;
	image->fresh = MAX(image->fresh, offset + g->cluster);
	qcow2_table_put(&image->reftable, block, offset);
	rc = qcow2_refs_set(image, first, 1);
	return rc ? rc : 1;
}

/* ---- finding ---- */

static int is_free(struct qcow2_image *image, uint64_t cluster, bool *ret)
{
	uint64_t count;
	int rc = qcow2_refs_get(image, cluster, &count);

	*ret = !rc && !count;
	if (*ret && (!cluster || qcow2_set_has(&image->tables, cluster)))
		return qcow2_image_corrupt(image, "a table is counted as free");
	return rc;
}

/* The first of num free clusters in a row, from the hint on. */
static int find(struct qcow2_image *image, uint64_t num, uint64_t *ret)
{
	uint64_t row = 0, cluster = image->hint;

	while (row < num) {
		bool free_one;
		int rc;

		if (cluster >= image->most_clusters)
			return -ENOSPC;
		rc = is_free(image, cluster, &free_one);
		if (rc)
			return rc;
		if (!free_one && !row && cluster == image->hint)
			image->hint++;
		row = free_one ? row + 1 : 0;
		cluster++;
	}
	*ret = cluster - num;
	return 0;
}

/* 1 when something had to be allocated for that: then it is to be looked for again. */
static int cover_all(struct qcow2_image *image, uint64_t cluster, uint64_t num)
{
	const unsigned int bits = image->geometry.refblock_bits;
	int rc = 0;

	for (uint64_t block = cluster >> bits; !rc && block <= (cluster + num - 1) >> bits; block++)
		rc = qcow2_refs_cover(image, block << bits);
	return rc;
}

static int count_once(struct qcow2_image *image, uint64_t cluster, uint64_t num)
{
	for (uint64_t i = 0; i < num; i++) {
		int rc = qcow2_refs_set(image, cluster + i, 1);

		if (rc) {
			qcow2_refs_cancel(image, cluster << image->geometry.cluster_bits, i);
			return rc;
		}
	}
	return 0;
}

int qcow2_refs_alloc(struct qcow2_image *image, uint64_t num, uint64_t *offset, bool *fresh)
{
	const unsigned int bits = image->geometry.cluster_bits;
	uint64_t cluster = 0, end;
	int rc;

	do {
		rc = find(image, num, &cluster);
		if (!rc)
			rc = cover_all(image, cluster, num);
	} while (rc == 1);
	if (rc)
		return rc;
	end = (cluster + num) << bits;
	rc = qcow2_file_reach(image, end);
	if (!rc)
		rc = count_once(image, cluster, num);
	if (rc)
		return rc;
	*offset = cluster << bits;
	*fresh = *offset >= image->fresh;
	image->fresh = MAX(image->fresh, end);
	if (image->hint == cluster)
		image->hint += num;
	return 0;
}

void qcow2_refs_cancel(struct qcow2_image *image, uint64_t offset, uint64_t num)
{
	const uint64_t cluster = offset >> image->geometry.cluster_bits;

	/* An error here leaves them counted, which is a leak. */
	for (uint64_t i = 0; i < num; i++)
		qcow2_refs_set(image, cluster + i, 0);
	image->hint = MIN(image->hint, cluster);
}

/* ---- limbo ---- */

static bool reserve(struct qcow2_image *image)
{
	const size_t room = MAX(2 * image->room_limbo, (size_t)64);
	struct qcow2_limbo *limbo;

	if (image->num_limbo < image->room_limbo)
		return true;
	limbo = realloc(image->limbo, room * sizeof(*limbo));
	if (!limbo)
		return false;
	image->limbo = limbo;
	image->room_limbo = room;
	return true;
}

void qcow2_refs_drop(struct qcow2_image *image, uint64_t offset, uint64_t len, uint64_t epoch)
{
	const unsigned int bits = image->geometry.cluster_bits;

	for (uint64_t c = offset >> bits; c <= (offset + len - 1) >> bits; c++) {
		if (!reserve(image))
			return;
		image->limbo[image->num_limbo++] = (struct qcow2_limbo){c, epoch};
		atomic_store(&image->in_limbo, true);
	}
}

static void release(struct qcow2_image *image, uint64_t cluster)
{
	const struct qcow2_geometry *g = &image->geometry;
	uint64_t count;

	if (qcow2_refs_get(image, cluster, &count) || !count)
		return;
	if (count == 1) {
		qcow2_file_punch(image, cluster << g->cluster_bits, g->cluster);
		qcow2_tables_remove(image, cluster, 1);
		image->hint = MIN(image->hint, cluster);
	}
	qcow2_refs_set(image, cluster, count - 1);
}

void qcow2_refs_release(struct qcow2_image *image, uint64_t epoch)
{
	size_t kept = 0;

	for (size_t i = 0; i < image->num_limbo; i++) {
		const struct qcow2_limbo one = image->limbo[i];

		if (one.epoch <= epoch)
			release(image, one.cluster);
		else
			image->limbo[kept++] = one;
	}
	image->num_limbo = kept;
	atomic_store(&image->in_limbo, kept > 0);
}
