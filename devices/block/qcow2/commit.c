/* SPDX-License-Identifier: BSD-2-Clause */
/* The order in which what has changed reaches the disk; image.h tells why. */
#include <errno.h>

#include "bytes.h"
#include "image.h"

/* Whole blocks of the host's. What lies between two changes is as it was. */
static int write_table(struct qcow2_image *image, struct qcow2_table *table)
{
	const uint64_t block = MAX(image->io->block, (uint32_t)BLK_SECTOR);
	const uint64_t from = ALIGN_DOWN(table->dirty_from, block);
	const uint64_t to = ALIGN_UP(table->dirty_to, block);
	int rc;

	if (table->dirty_from >= table->dirty_to)
		return 0;
	rc = qcow2_file_write(image, table->offset + from, table->data + from, to - from);
	if (!rc)
		table->dirty_from = table->dirty_to = 0;
	return rc;
}

int qcow2_header_write(struct qcow2_image *image)
{
	int rc = qcow2_file_write(
		image, 0, image->sector, MAX(image->io->block, (uint32_t)BLK_SECTOR));

	return rc ? rc : qcow2_file_sync(image);
}

static int move_reftable(struct qcow2_image *image)
{
	const struct qcow2_table *table = &image->reftable;
	int rc;

	put_be64(image->sector + QCOW2_AT_REFTABLE, table->offset);
	put_be32(image->sector + QCOW2_AT_REFTABLE_CLUSTERS,
		(uint32_t)(table->bytes >> image->geometry.cluster_bits));
	rc = qcow2_header_write(image);
	if (rc)
		return rc;
	image->reftable_moved = false;
	qcow2_refs_drop(image, image->old_reftable,
		image->old_reftable_clusters << image->geometry.cluster_bits, 0);
	return 0;
}

/* Step 2 */
static int write_reftable(struct qcow2_image *image)
{
	int rc;

	if (image->reftable.dirty_from >= image->reftable.dirty_to && !image->reftable_moved)
		return 0;
	rc = write_table(image, &image->reftable);
	if (!rc)
		rc = qcow2_file_sync(image);
	if (!rc && image->reftable_moved)
		rc = move_reftable(image);
	return rc;
}

static int write_maps(struct qcow2_image *image)
{
	int rc = qcow2_l2_write(image);

	if (!rc)
		rc = write_table(image, &image->l1);
	if (!rc)
		rc = qcow2_file_sync(image);
	if (!rc)
		atomic_store(&image->map_dirty, false);
	return rc;
}

int qcow2_image_commit(struct qcow2_image *image, uint64_t epoch)
{
	int rc = 0;

	if (image->corrupt)
		return -EIO;
	if (!image->read_only)
		rc = qcow2_refs_write(image);
	if (!rc)
		rc = qcow2_file_sync(image);
	if (!rc)
		rc = write_reftable(image);
	if (!rc && atomic_load(&image->map_dirty))
		rc = write_maps(image);
	if (!rc)
		qcow2_refs_release(image, epoch);
	return rc;
}
