/* SPDX-License-Identifier: BSD-2-Clause */
/* What takes time: on a thread of the pool. */
#include <errno.h>

#include "disk.h"

bool qcow2_wants_sync(struct qcow2_disk *disk, const struct blk_request *req)
{
	const struct blk_image *io = disk->layer[0].io;

	return (req->flags & BLK_FUA || io->sync_writes) && !io->never_sync &&
	       (req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES);
}

static int commit(struct qcow2_disk *disk)
{
	struct qcow2_image *image = qcow2_top(disk);
	int rc;

	pthread_mutex_lock(&image->owner);
	rc = qcow2_image_commit(image, qcow2_quiet_epoch(disk));
	pthread_mutex_unlock(&image->owner);
	return rc;
}

/* A cluster at a time, as far as none is to be looked at again. */
static int change_clusters(struct qcow2_worker *worker, struct qcow2_part *part,
	int (*change)(
		struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n))
{
	const uint64_t cluster = qcow2_top(worker->disk)->geometry.cluster;
	const uint64_t base = part->parent->offset, end = part->pos + part->len;
	uint64_t pos = part->pos;
	int rc = 0;

	while (!rc && pos < end) {
		const uint64_t n = MIN(end - pos, cluster - ((base + pos) & (cluster - 1)));

		rc = change(worker, part, pos, n);
		if (part->again)
			break;
		pos += rc ? 0 : n;
	}
	/* What is done is done, whatever becomes of the rest. */
	part->len = pos - part->pos;
	return rc;
}

static bool in_whole_units(const struct qcow2_disk *disk, const struct qcow2_part *part)
{
	const uint64_t unit = UINT64_C(1) << disk->layer[0].image->geometry.unit_bits;

	return !((part->parent->offset + part->pos) & (unit - 1)) && !(part->len & (unit - 1));
}

static int change_part(struct qcow2_worker *worker, struct qcow2_part *part)
{
	struct qcow2_disk *disk = worker->disk;
	const struct blk_request *req = part->parent;
	const bool data = req->op == BLK_WRITE || !in_whole_units(disk, part);
	int rc = change_clusters(worker, part, data ? qcow2_write_cluster : qcow2_clear_cluster);

	if (!rc && qcow2_wants_sync(disk, req))
		rc = commit(disk);
	return rc;
}

/* Reads the tables of all layers; afterwards the front end may find all that it needs. */
static int warm(struct qcow2_worker *worker, struct qcow2_part *part)
{
	const uint64_t end = part->pos + part->len;
	uint64_t pos = part->pos;
	int rc = 0;

	while (!rc && pos < end) {
		struct qcow2_layer *layer;
		struct qcow2_run run = {.len = 0};

		rc = qcow2_chain_map(
			worker->disk, 0, part->parent->offset + pos, end - pos, true, &run, &layer);
		pos += run.len;
	}
	part->again = true;
	part->len = 0;
	return rc;
}

static int work(struct qcow2_worker *worker, struct qcow2_part *part)
{
	enum { TRIES = 3 };

	if (part->parent->op == BLK_FLUSH)
		return commit(worker->disk);
	if (part->cold && part->tries++ < TRIES)
		return warm(worker, part);
	if (part->parent->op == BLK_READ)
		return qcow2_chain_read_part(worker, part);
	return change_part(worker, part);
}

void qcow2_work(void *opaque, struct blk_request *req, uint8_t *bounce)
{
	struct qcow2_disk *disk = opaque;
	struct qcow2_part *part = container_of(req, struct qcow2_part, req);
	const size_t index = (size_t)(bounce - disk->pool.bounce) / BOUNCE_SIZE;
	struct qcow2_worker worker = {
		.disk = disk,
		.bounce = bounce,
		.copy = disk->copies + index * QCOW2_COPY,
	};

	part->again = false;
	req->error = work(&worker, part);
}
