/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A larger disk. Its L1 table is copied to a new place when it has too few entries; the header, in
 * one sector, changes from old to new at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "image.h"

static uint64_t entries_for(const struct qcow2_image *image, uint64_t size)
{
	const unsigned int cover = qcow2_table_cover_bits(&image->geometry);

	return (size + (UINT64_C(1) << cover) - 1) >> cover;
}

static int write_l1(struct qcow2_image *image, struct qcow2_table *table)
{
	const struct qcow2_geometry *g = &image->geometry;
	const uint64_t num = table->bytes >> g->cluster_bits;
	bool fresh;
	int rc = qcow2_refs_alloc(image, num, &table->offset, &fresh);

	if (rc)
		return rc;
	rc = qcow2_file_write(image, table->offset, table->data, table->bytes);
	if (!rc)
		rc = qcow2_tables_add(image, qcow2_cluster_of(image, table->offset), num);
	if (rc)
		qcow2_refs_cancel(image, table->offset, num);
	return rc;
}

/* It is on the disk, and so is all that it refers to; nothing names it yet. */
static int make_l1(struct qcow2_image *image, uint64_t entries, struct qcow2_table *ret)
{
	const uint64_t bytes = ALIGN_UP(entries * 8, image->geometry.cluster);
	struct qcow2_table table = {.entries = entries, .bytes = bytes};
	int rc = qcow2_image_commit(image, 0);

	if (rc)
		return rc;
	table.data = aligned_alloc(4096, ALIGN_UP(bytes, 4096));
	if (!table.data)
		return -ENOMEM;
	memset(table.data, 0, bytes);
	memcpy(table.data, image->l1.data, image->l1.entries * 8);
	rc = write_l1(image, &table);
	if (!rc)
		rc = qcow2_image_commit(image, 0);
	if (rc)
		free(table.data);
	else
		*ret = table;
	return rc;
}

static void replace_l1(struct qcow2_image *image, const struct qcow2_table *table, uint64_t epoch)
{
	const struct qcow2_table old = image->l1;

	pthread_mutex_lock(&image->lock);
	image->l1 = *table;
	pthread_mutex_unlock(&image->lock);
	if (old.entries)
		qcow2_refs_drop(image, old.offset, old.bytes, epoch);
	free(old.data);
}

static void put_header(struct qcow2_image *image, uint64_t size, const struct qcow2_table *l1)
{
	put_be64(image->sector + QCOW2_AT_SIZE, size);
	put_be32(image->sector + QCOW2_AT_L1_SIZE, (uint32_t)l1->entries);
	put_be64(image->sector + QCOW2_AT_L1, l1->offset);
}

int qcow2_image_grow(struct qcow2_image *image, uint64_t size, uint64_t epoch)
{
	const uint64_t entries = entries_for(image, size);
	struct qcow2_table l1 = image->l1;
	const uint64_t old_size = image->header.size;
	const bool new_l1 = entries > image->l1.entries;
	int rc = 0;

	if (image->corrupt)
		return -EIO;
	if (size < old_size || size % BLK_SECTOR || size > INT64_MAX)
		return -EINVAL;
	/* A snapshot of version 2 does not say how large the disk was. */
	if (image->geometry.version < 3 && image->header.num_snapshots)
		return -ENOTSUP;
	if (entries * 8 > QCOW2_MAX_L1)
		return -EFBIG;
	if (new_l1)
		rc = make_l1(image, entries, &l1);
	if (rc)
		return rc;
	put_header(image, size, &l1);
	rc = qcow2_header_write(image);
	if (rc) {
		/* Which of the two the disk has is not known. */
		put_header(image, old_size, &image->l1);
		image->failed = true;
		if (new_l1)
			free(l1.data);
		return rc;
	}
	if (new_l1)
		replace_l1(image, &l1, epoch);
	image->header.size = size;
	atomic_store(&image->size, size);
	return 0;
}
