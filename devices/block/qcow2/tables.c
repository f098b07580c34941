/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The L1 table is in memory as a whole; of L2 tables slices are, by the place on the disk that they
 * are for. Where a slice is in the file is looked up in L1 when it is read or written.
 *
 * What a table says is checked when it is used: a guest must not reach the image's own tables by an
 * entry that points at one.
 */
#include <errno.h>

#include "bytes.h"
#include "image.h"
#include "vm/core/log.h"

static uint64_t l1_entry(const struct qcow2_image *image, uint64_t offset)
{
	const uint64_t index = offset >> qcow2_table_cover_bits(&image->geometry);

	return index < image->l1.entries ? get_be64(image->l1.data + index * 8) : 0;
}

static bool table_place_ok(const struct qcow2_image *image, uint64_t table)
{
	return !(table & (image->geometry.cluster - 1)) &&
	       qcow2_set_has(&image->tables, qcow2_cluster_of(image, table));
}

static uint64_t slice_key(const struct qcow2_image *image, uint64_t offset)
{
	return offset >> qcow2_slice_cover_bits(&image->geometry);
}

/* In the file, of a slice of that table. */
static uint64_t slice_offset(const struct qcow2_image *image, uint64_t key, uint64_t table)
{
	const struct qcow2_geometry *g = &image->geometry;
	const uint64_t in_table = key & ((UINT64_C(1) << (g->cluster_bits - g->slice_bits)) - 1);

	return table + (in_table << g->slice_bits);
}

void qcow2_table_put(struct qcow2_table *table, uint64_t index, uint64_t value)
{
	const bool clean = table->dirty_from >= table->dirty_to;

	put_be64(table->data + index * 8, value);
	table->dirty_from = clean ? index * 8 : MIN(table->dirty_from, index * 8);
	table->dirty_to = clean ? index * 8 + 8 : MAX(table->dirty_to, index * 8 + 8);
}

int qcow2_image_corrupt(struct qcow2_image *image, const char *what)
{
	if (image->corrupt)
		return -EIO;
	image->corrupt = true;
	log_msg(image->log, LOG_ERROR,
		"%s: the image is damaged: %s; nothing more is written to it (look at it with "
		"qemu-img check)",
		image->path, what);
	if (image->read_only || image->scratch || image->geometry.version < 3)
		return -EIO;
	put_be64(image->sector + QCOW2_AT_INCOMPATIBLE,
		get_be64(image->sector + QCOW2_AT_INCOMPATIBLE) | QCOW2_CORRUPT);
	qcow2_file_write(image, 0, image->sector, MAX(image->io->block, (uint32_t)BLK_SECTOR));
	return -EIO;
}

/* ---- looking ---- */

/* What a run of data refers to lies in the file, and is no table. */
static void check_run(const struct qcow2_image *image, struct qcow2_run *run)
{
	uint64_t first, last;

	if (run->kind != QCOW2_DATA)
		return;
	first = qcow2_cluster_of(image, run->host);
	last = qcow2_cluster_of(image, run->host + run->len - 1);
	for (uint64_t c = first; c <= last; c++)
		if (!c || qcow2_set_has(&image->tables, c)) {
			run->kind = QCOW2_BAD;
			return;
		}
}

static void map_locked(
	struct qcow2_image *image, uint64_t offset, uint64_t len, struct qcow2_run *ret)
{
	const uint64_t word = l1_entry(image, offset), table = word & QCOW2_OFFSET_MASK;
	const uint64_t cover = UINT64_C(1) << qcow2_table_cover_bits(&image->geometry);
	const struct qcow2_slot *slot;

	*ret = (struct qcow2_run){
		.kind = QCOW2_NONE, .len = MIN(len, cover - (offset & (cover - 1)))};
	if (!table)
		return;
	slot = qcow2_cache_find(&image->l2, slice_key(image, offset));
	if (slot) {
		qcow2_slice_map(
			&image->geometry, qcow2_cache_data(&image->l2, slot), offset, len, ret);
		check_run(image, ret);
	} else {
		ret->kind = table_place_ok(image, table) ? QCOW2_COLD : QCOW2_BAD;
	}
}

void qcow2_image_map(
	struct qcow2_image *image, uint64_t offset, uint64_t len, struct qcow2_run *ret)
{
	pthread_mutex_lock(&image->lock);
	map_locked(image, offset, len, ret);
	pthread_mutex_unlock(&image->lock);
}

/* ---- loading ---- */

/* With no slot to be had, what is dirty is written first. */
static int take_slot(struct qcow2_image *image, uint64_t key, struct qcow2_slot **ret)
{
	int rc = 0;

	pthread_mutex_lock(&image->lock);
	*ret = qcow2_cache_take(&image->l2, key);
	pthread_mutex_unlock(&image->lock);
	if (*ret)
		return 0;
	rc = qcow2_image_commit(image, 0);
	if (rc)
		return rc;
	pthread_mutex_lock(&image->lock);
	*ret = qcow2_cache_take(&image->l2, key);
	pthread_mutex_unlock(&image->lock);
	return *ret ? 0 : -EIO;
}

/* *ret is NULL where L1 has no table. */
static int load_slot(struct qcow2_image *image, uint64_t offset, struct qcow2_slot **ret)
{
	const uint64_t table = l1_entry(image, offset) & QCOW2_OFFSET_MASK;
	const uint64_t key = slice_key(image, offset);
	int rc;

	*ret = NULL;
	if (!table)
		return 0;
	pthread_mutex_lock(&image->lock);
	*ret = qcow2_cache_find(&image->l2, key);
	pthread_mutex_unlock(&image->lock);
	if (*ret)
		return 0;
	if (!table_place_ok(image, table))
		return qcow2_image_corrupt(image, "the place of an L2 table cannot be");
	rc = take_slot(image, key, ret);
	/* Nobody else looks at it before it has its key. */
	if (!rc)
		rc = qcow2_file_read(image, slice_offset(image, key, table),
			qcow2_cache_data(&image->l2, *ret), UINT64_C(1) << image->l2.slice_bits);
	if (rc)
		return rc;
	pthread_mutex_lock(&image->lock);
	qcow2_cache_fill(*ret, key);
	pthread_mutex_unlock(&image->lock);
	return 0;
}

int qcow2_image_load(struct qcow2_image *image, uint64_t offset)
{
	struct qcow2_slot *slot;

	return load_slot(image, offset, &slot);
}

int qcow2_image_get(struct qcow2_image *image, uint64_t offset, struct qcow2_entry *ret)
{
	struct qcow2_slot *slot;
	int rc = load_slot(image, offset, &slot);

	*ret = (struct qcow2_entry){0};
	if (rc || !slot)
		return rc;
	rc = qcow2_slice_get(&image->geometry, qcow2_cache_data(&image->l2, slot), offset, ret);
	if (!rc && ret->host &&
		(!qcow2_cluster_of(image, ret->host) ||
			qcow2_set_has(&image->tables, qcow2_cluster_of(image, ret->host))))
		rc = -EIO;
	return rc ? qcow2_image_corrupt(image, "an L2 entry cannot be") : 0;
}

/* ---- changing ---- */

static void set_l1(struct qcow2_image *image, uint64_t offset, uint64_t table)
{
	pthread_mutex_lock(&image->lock);
	qcow2_table_put(&image->l1, offset >> qcow2_table_cover_bits(&image->geometry),
		table | QCOW2_COPIED);
	pthread_mutex_unlock(&image->lock);
	atomic_store(&image->map_dirty, true);
}

/* A table that a snapshot has, too, by way of the bounce buffer's sibling: slice by slice. */
static int copy_table(struct qcow2_image *image, uint64_t from, uint64_t to)
{
	const uint64_t step = UINT64_C(1) << image->geometry.slice_bits;
	int rc = 0;

	for (uint64_t at = 0; !rc && at < image->geometry.cluster; at += step) {
		rc = qcow2_file_read(image, from + at, image->copy, step);
		if (!rc)
			rc = qcow2_file_write(image, to + at, image->copy, step);
	}
	return rc;
}

static int fill_table(struct qcow2_image *image, uint64_t old, uint64_t offset, bool fresh)
{
	int rc = 0;

	if (old)
		rc = copy_table(image, old, offset);
	else if (!fresh)
		rc = qcow2_file_zero(image, offset, image->geometry.cluster);
	if (!rc)
		rc = qcow2_tables_add(image, qcow2_cluster_of(image, offset), 1);
	return rc;
}

int qcow2_image_prepare(struct qcow2_image *image, uint64_t offset, uint64_t epoch)
{
	const uint64_t word = l1_entry(image, offset), old = word & QCOW2_OFFSET_MASK;
	uint64_t table;
	bool fresh;
	int rc;

	if (image->corrupt)
		return -EIO;
	if (old && !table_place_ok(image, old))
		return qcow2_image_corrupt(image, "the place of an L2 table cannot be");
	if (old && word & QCOW2_COPIED)
		return 0;
	rc = qcow2_refs_alloc(image, 1, &table, &fresh);
	if (rc)
		return rc;
	rc = fill_table(image, old, table, fresh);
	if (rc) {
		qcow2_refs_cancel(image, table, 1);
		return rc;
	}
	set_l1(image, offset, table);
	if (old)
		qcow2_refs_drop(image, old, 1, epoch);
	return 0;
}

int qcow2_image_put(struct qcow2_image *image, uint64_t offset, const struct qcow2_entry *entry)
{
	struct qcow2_slot *slot;
	int rc = image->corrupt ? -EIO : load_slot(image, offset, &slot);

	if (rc)
		return rc;
	if (!slot)
		return -EIO;
	pthread_mutex_lock(&image->lock);
	qcow2_slice_put(&image->geometry, qcow2_cache_data(&image->l2, slot), offset, entry);
	qcow2_cache_set_dirty(&image->l2, slot, true);
	pthread_mutex_unlock(&image->lock);
	atomic_store(&image->map_dirty, true);
	return 0;
}

/* ---- step 3 ---- */

int qcow2_l2_write(struct qcow2_image *image)
{
	struct qcow2_slot *slot;
	size_t i = 0;

	while ((slot = qcow2_cache_next_dirty(&image->l2, &i)) != NULL) {
		const uint64_t key = slot->key - 1;
		const uint64_t offset = key << qcow2_slice_cover_bits(&image->geometry);
		const uint64_t table = l1_entry(image, offset) & QCOW2_OFFSET_MASK;
		int rc = table ? qcow2_file_write(image, slice_offset(image, key, table),
					 qcow2_cache_data(&image->l2, slot),
					 UINT64_C(1) << image->l2.slice_bits)
			       : -EIO;

		if (rc)
			return rc;
		pthread_mutex_lock(&image->lock);
		qcow2_cache_set_dirty(&image->l2, slot, false);
		pthread_mutex_unlock(&image->lock);
	}
	return 0;
}
