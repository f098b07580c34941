/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening an image: its tables are read and their places looked at before anybody uses it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/core/sparse_alloc.h"
#include "walk.h"

#include "../transfer.h"

#define L2_MEMORY	(32 * MiB)
#define REFCOUNT_MEMORY (4 * MiB)
enum { ALIGNMENT = 4096, SCRATCH_BYTES = BOUNCE_SIZE + 2 * ALIGNMENT };

/* ---- memory ---- */

static uint8_t *aligned(uint64_t bytes)
{
	uint8_t *p = aligned_alloc(ALIGNMENT, ALIGN_UP(MAX(bytes, UINT64_C(1)), ALIGNMENT));

	if (p)
		memset(p, 0, ALIGN_UP(MAX(bytes, UINT64_C(1)), ALIGNMENT));
	return p;
}

static int make_caches(struct qcow2_image *image)
{
	const struct qcow2_geometry *g = &image->geometry;
	const unsigned int cover = qcow2_slice_cover_bits(g);
	/* A disk that will grow has more later. */
	const uint64_t slices = (image->header.size >> cover) + 64;
	int rc = qcow2_cache_init(&image->l2, g->slice_bits, slices, L2_MEMORY);

	if (!rc)
		rc = qcow2_cache_init(&image->refcounts, g->slice_bits,
			(image->file_size >>
				(g->cluster_bits + g->slice_bits + 3 - g->refcount_order)) +
				128,
			REFCOUNT_MEMORY);
	return rc;
}

static int make_memory(struct qcow2_image *image)
{
	int rc = make_caches(image);

	image->bounce = aligned(SCRATCH_BYTES);
	if (rc || !image->bounce)
		return -ENOMEM;
	image->copy = image->bounce + BOUNCE_SIZE;
	image->sector = image->copy + ALIGNMENT;
	return 0;
}

static int read_table(
	struct qcow2_image *image, struct qcow2_table *table, uint64_t offset, uint64_t entries)
{
	*table = (struct qcow2_table){
		.offset = offset,
		.entries = entries,
		.bytes = ALIGN_UP(entries * 8, image->geometry.cluster),
	};
	if (entries &&
		!range_ok(offset, entries * 8, ALIGN_UP(image->file_size, image->geometry.cluster)))
		return -EINVAL;
	table->data = aligned(table->bytes);
	if (!table->data)
		return -ENOMEM;
	return qcow2_file_read(image, offset, table->data, table->bytes);
}

/* ---- places ---- */

struct marking {
	struct qcow2_image *image;
	bool bad, twice;
	int rc;
};

static bool mark(void *opaque, enum qcow2_part part, uint64_t offset, uint64_t len)
{
	struct marking *marking = opaque;
	struct qcow2_image *image = marking->image;
	const uint64_t first = qcow2_cluster_of(image, offset);
	const uint64_t last = qcow2_cluster_of(image, offset + len - 1);
	int rc;

	/* Snapshots share tables with the disk, and with each other. */
	if (part == QCOW2_PART_L2 && marking->image->marked_active &&
		qcow2_set_has(&image->tables, first))
		return true;
	if (part == QCOW2_PART_SNAPSHOTS)
		image->marked_active = true;
	rc = qcow2_set_add(&image->tables, first, last - first + 1);
	if (rc == -EEXIST)
		marking->twice = true;
	else if (rc)
		marking->rc = rc;
	return true;
}

static void mark_bad(void *opaque, enum qcow2_part part)
{
	struct marking *marking = opaque;

	(void)part;
	marking->bad = true;
}

static int mark_tables(struct qcow2_image *image, struct error *err)
{
	struct marking marking = {.image = image};
	const struct qcow2_walk walk = {
		.image = image,
		.used = mark,
		.bad = mark_bad,
		.opaque = &marking,
	};
	int rc = qcow2_walk(&walk);

	if (!rc)
		rc = marking.rc;
	if (rc)
		return error_set_errno(err, rc, "%s", image->path);
	/* Who only reads cannot do any harm by that. */
	if ((marking.bad || marking.twice) && !image->read_only)
		return error_set(err, -EINVAL,
			"%s: the image is damaged: %s; add ro, or repair a copy of it (qemu-img "
			"check "
			"-r all)",
			image->path,
			marking.twice ? "tables are at the same place"
				      : "the place of a table cannot be");
	return 0;
}

/* ---- what a writer does first ---- */

static int repair(struct qcow2_image *image, struct error *err)
{
	struct qcow2_findings found;
	int rc;

	log_msg(image->log, LOG_INFO, "%s was not closed: its refcounts are made anew",
		image->path);
	rc = qcow2_image_check(image, true, &found, err);
	if (!rc && found.errors > found.repaired)
		rc = error_set(err, -EINVAL,
			"%s was not closed, and is damaged; repair a copy of it (qemu-img check -r "
			"all)",
			image->path);
	return rc;
}

/* Bits that say what only those who know them may keep true; and that it was closed. */
static int clear_bits(struct qcow2_image *image, struct error *err)
{
	struct qcow2_header *h = &image->header;
	int rc;

	if (image->geometry.version < 3 || !(h->autoclear || h->incompatible & QCOW2_DIRTY))
		return 0;
	h->autoclear = 0;
	h->incompatible &= ~QCOW2_DIRTY;
	put_be64(image->sector + QCOW2_AT_AUTOCLEAR, 0);
	put_be64(image->sector + QCOW2_AT_INCOMPATIBLE, h->incompatible);
	rc = qcow2_header_write(image);
	return rc ? error_set_errno(err, rc, "%s", image->path) : 0;
}

static int make_whole(struct qcow2_image *image, struct error *err)
{
	const uint64_t size = ALIGN_UP(image->file_size, MAX(image->geometry.cluster, 4096));
	int rc;

	image->fresh = image->io->is_device ? UINT64_MAX : size;
	if (image->io->is_device || size == image->file_size)
		return 0;
	rc = blk_raw_extend(image->file, size);
	if (rc)
		return error_set_errno(err, rc, "%s", image->path);
	image->file_size = size;
	return 0;
}

static int prepare_writing(struct qcow2_image *image, struct error *err)
{
	int rc;

	if (image->header.incompatible & QCOW2_CORRUPT)
		return error_set(err, -EINVAL,
			"%s is marked as damaged; add ro, or repair a copy of it (qemu-img check "
			"-r "
			"all)",
			image->path);
	rc = make_whole(image, err);
	if (!rc && image->header.incompatible & QCOW2_DIRTY)
		rc = repair(image, err);
	return rc ? rc : clear_bits(image, err);
}

/* ---- life ---- */

static int read_all(struct qcow2_image *image, struct error *err)
{
	const struct qcow2_header *h = &image->header;
	const unsigned int bits = image->geometry.cluster_bits;
	uint64_t size, usable;
	int rc = blk_image_size(image->io, &size, &usable);

	image->file_size = size;
	image->most_clusters = (UINT64_C(1) << 56) >> bits;
	if (image->io->is_device)
		image->most_clusters = size >> bits;
	if (!rc)
		rc = make_memory(image);
	if (!rc)
		rc = qcow2_file_read(
			image, 0, image->sector, MAX(image->io->block, (uint32_t)BLK_SECTOR));
	if (!rc)
		rc = read_table(image, &image->l1, h->l1_offset, h->l1_entries);
	if (!rc)
		rc = read_table(image, &image->reftable, h->reftable_offset,
			((uint64_t)h->reftable_clusters << bits) / 8);
	if (rc == -EINVAL)
		return error_set(
			err, rc, "%s: a table is outside the file: is it cut short?", image->path);
	if (rc)
		return error_set_errno(err, rc, "%s", image->path);
	return mark_tables(image, err);
}

static void free_image(struct qcow2_image *image)
{
	qcow2_cache_fini(&image->l2);
	qcow2_cache_fini(&image->refcounts);
	free(image->l1.data);
	free(image->reftable.data);
	free(image->tables.bits);
	free(image->limbo);
	free(image->bounce);
	pthread_mutex_destroy(&image->owner);
	pthread_mutex_destroy(&image->lock);
	free(image);
}

int qcow2_image_open(struct blk *file, struct blk_image *io, const struct qcow2_header *header,
	const char *path, bool has_backing, bool scratch, struct log *log, struct qcow2_image **ret,
	struct error *err)
{
	struct qcow2_image *image = calloc(1, sizeof(*image));
	int rc;

	if (!image)
		return error_set_errno(err, -ENOMEM, "%s", path);
	image->path = path;
	image->log = log;
	image->file = file;
	image->io = io;
	image->geometry = header->geometry;
	image->header = *header;
	image->has_backing = has_backing;
	image->read_only = io->read_only;
	image->scratch = scratch;
	atomic_init(&image->size, ALIGN_DOWN(header->size, BLK_SECTOR));
	pthread_mutex_init(&image->owner, NULL);
	pthread_mutex_init(&image->lock, NULL);
	rc = read_all(image, err);
	if (!rc && !image->read_only)
		rc = prepare_writing(image, err);
	if (rc) {
		free_image(image);
		return rc;
	}
	*ret = image;
	return 0;
}

void qcow2_image_close(struct qcow2_image *image)
{
	if (!image)
		return;
	pthread_mutex_lock(&image->owner);
	if (!image->read_only && !image->scratch && !image->corrupt) {
		int rc = qcow2_image_commit(image, UINT64_MAX);

		/* The counts that fell at the end of that. */
		if (!rc)
			rc = qcow2_image_commit(image, UINT64_MAX);
		if (rc)
			log_msg(image->log, LOG_ERROR,
				"%s: what was written since the latest flush is lost (error %d)",
				image->path, -rc);
	}
	pthread_mutex_unlock(&image->owner);
	free_image(image);
}
