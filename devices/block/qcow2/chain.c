/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading through the layers. */
#include <errno.h>
#include <string.h>

#include "../transfer.h"
#include "disk.h"

enum { LOADS = 16 /* of one table that others push out again */ };

uint64_t qcow2_layer_size(const struct qcow2_layer *layer)
{
	return layer->image ? atomic_load_explicit(&layer->image->size, memory_order_relaxed)
			    : blk_capacity(layer->file);
}

static int map_loaded(
	struct qcow2_image *image, uint64_t offset, uint64_t len, struct qcow2_run *run)
{
	int rc = 0;

	for (int i = 0; !rc && i < LOADS; i++) {
		qcow2_image_map(image, offset, len, run);
		if (run->kind != QCOW2_COLD && run->kind != QCOW2_BAD)
			return 0;
		pthread_mutex_lock(&image->owner);
		rc = run->kind == QCOW2_BAD
			     ? qcow2_image_corrupt(image, "an entry of a table cannot be")
			     : qcow2_image_load(image, offset);
		pthread_mutex_unlock(&image->owner);
	}
	return rc ? rc : -EIO;
}

int qcow2_chain_map(struct qcow2_disk *disk, unsigned int from, uint64_t offset, uint64_t len,
	bool load, struct qcow2_run *run, struct qcow2_layer **ret)
{
	for (unsigned int i = from; i < disk->num_layers; i++) {
		struct qcow2_layer *layer = &disk->layer[i];
		const uint64_t size = qcow2_layer_size(layer);
		int rc = 0;

		*ret = layer;
		/* A backing file that is too short goes on with zeros. */
		if (offset >= size)
			break;
		len = MIN(len, size - offset);
		if (!layer->image) {
			*run = (struct qcow2_run){.kind = QCOW2_DATA, .len = len, .host = offset};
			return 0;
		}
		if (load)
			rc = map_loaded(layer->image, offset, len, run);
		else
			qcow2_image_map(layer->image, offset, len, run);
		if (rc || run->kind != QCOW2_NONE)
			return rc;
		len = run->len;
	}
	*run = (struct qcow2_run){.kind = QCOW2_ZERO, .len = len};
	return 0;
}

/* ---- compressed clusters ---- */

static uint64_t file_size(const struct qcow2_layer *layer)
{
	return layer->image ? atomic_load(&layer->image->file_size) : blk_capacity(layer->file);
}

/* Like blk_transfer_run, with zeros behind the end of the file. */
static int read_file(struct qcow2_worker *worker, const struct qcow2_layer *layer, uint64_t host,
	const struct blk_request *req, uint64_t pos, uint64_t len)
{
	const uint64_t size = file_size(layer);
	const uint64_t there = host < size ? MIN(len, size - host) : 0;
	struct blk_transfer transfer = {
		.offset = host - pos, /* of the request's first byte; it may wrap */
		.len = pos + there,
		.iov = req->iov,
		.done = pos,
	};

	if (there < len)
		qcow2_zero_iovecs(req, pos + there, len - there);
	return there ? blk_transfer_run(layer->io, &transfer, worker->bounce) : 0;
}

static int unpack(
	struct qcow2_worker *worker, const struct qcow2_layer *layer, const struct qcow2_run *run)
{
	struct qcow2_disk *disk = worker->disk;
	const uint64_t cluster = layer->image->geometry.cluster;
	const struct iovec iov = {.iov_base = disk->packed, .iov_len = run->packed_len};
	const struct blk_request req = {.iov = &iov, .num_iov = 1, .len = run->packed_len};
	int rc;

	if (disk->packed_layer == layer && disk->packed_host == run->host)
		return 0;
	disk->packed_layer = NULL;
	if (!layer->codec || run->packed_len > disk->packed_bytes)
		return -EIO;
	rc = read_file(worker, layer, run->host, &req, 0, run->packed_len);
	if (!rc)
		rc = qcow2_unpack(
			layer->codec, disk->packed, run->packed_len, disk->unpacked, cluster);
	if (rc)
		return rc;
	/* A place of the top file may have other data next time. */
	if (layer->image->read_only) {
		disk->packed_layer = layer;
		disk->packed_host = run->host;
	}
	return 0;
}

static void copy_out(const struct blk_request *req, uint64_t pos, const uint8_t *from, uint64_t len)
{
	for (int i = 0; i < req->num_iov && len; i++) {
		const struct iovec *iov = &req->iov[i];
		uint64_t n;

		if (pos >= iov->iov_len) {
			pos -= iov->iov_len;
			continue;
		}
		n = MIN(len, iov->iov_len - pos);
		if (from)
			memcpy((uint8_t *)iov->iov_base + pos, from, n);
		else
			memset((uint8_t *)iov->iov_base + pos, 0, n);
		from = from ? from + n : NULL;
		len -= n;
		pos = 0;
	}
}

void qcow2_zero_iovecs(const struct blk_request *req, uint64_t pos, uint64_t len)
{
	copy_out(req, pos, NULL, len);
}

static int read_packed(struct qcow2_worker *worker, const struct qcow2_layer *layer,
	const struct qcow2_run *run, uint64_t offset, const struct blk_request *req, uint64_t pos)
{
	struct qcow2_disk *disk = worker->disk;
	const uint64_t at = offset & (layer->image->geometry.cluster - 1);
	int rc;

	pthread_mutex_lock(&disk->packed_lock);
	rc = unpack(worker, layer, run);
	if (!rc)
		copy_out(req, pos, disk->unpacked + at, run->len);
	pthread_mutex_unlock(&disk->packed_lock);
	return rc;
}

/* ---- reading ---- */

/* [pos, end) of a request that begins at base on the disk. */
static int read_range(struct qcow2_worker *worker, const struct blk_request *req, uint64_t base,
	uint64_t pos, uint64_t end)
{
	int rc = 0;

	while (!rc && pos < end) {
		struct qcow2_layer *layer;
		struct qcow2_run run;

		rc = qcow2_chain_map(worker->disk, 0, base + pos, end - pos, true, &run, &layer);
		if (rc)
			break;
		if (run.kind == QCOW2_DATA)
			rc = read_file(worker, layer, run.host, req, pos, run.len);
		else if (run.kind == QCOW2_PACKED)
			rc = read_packed(worker, layer, &run, base + pos, req, pos);
		else
			qcow2_zero_iovecs(req, pos, run.len);
		pos += run.len;
	}
	return rc;
}

int qcow2_chain_read(struct qcow2_worker *worker, uint64_t offset, uint8_t *buf, uint64_t len)
{
	const struct iovec iov = {.iov_base = buf, .iov_len = len};
	const struct blk_request req = {.iov = &iov, .num_iov = 1, .len = len};

	return read_range(worker, &req, offset, 0, len);
}

int qcow2_chain_read_part(struct qcow2_worker *worker, struct qcow2_part *part)
{
	return read_range(
		worker, part->parent, part->parent->offset, part->pos, part->pos + part->len);
}
