/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "../sync.h"
#include "../sys.h"
#include "image.h"

enum { GROW_BY = 8 << 20 };

static int move(struct qcow2_image *image, bool write, uint64_t offset, void *buf, uint64_t len)
{
	const struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct blk_transfer transfer = {.write = write, .offset = offset, .len = len, .iov = &iov};

	return len ? blk_transfer_run(image->io, &transfer, image->bounce) : 0;
}

int qcow2_file_read(struct qcow2_image *image, uint64_t offset, void *buf, uint64_t len)
{
	const uint64_t size = image->file_size;
	const uint64_t there = offset < size ? MIN(len, size - offset) : 0;

	memset((uint8_t *)buf + there, 0, len - there);
	return move(image, false, offset, buf, there);
}

int qcow2_file_write(struct qcow2_image *image, uint64_t offset, const void *buf, uint64_t len)
{
	atomic_store_explicit(&image->unsynced, true, memory_order_relaxed);
	return move(image, true, offset, (void *)buf, len);
}

int qcow2_file_zero(struct qcow2_image *image, uint64_t offset, uint64_t len)
{
	struct blk_request req = {
		.op = BLK_WRITE_ZEROES, .flags = BLK_UNMAP, .offset = offset, .len = len};

	atomic_store_explicit(&image->unsynced, true, memory_order_relaxed);
	return blk_sync_execute(image->io, &req, image->bounce);
}

void qcow2_file_punch(struct qcow2_image *image, uint64_t offset, uint64_t len)
{
	struct blk_request req = {.op = BLK_DISCARD, .offset = offset, .len = len};

	/* A hint: where it fails, the space stays taken. */
	blk_sync_execute(image->io, &req, image->bounce);
}

int qcow2_file_sync(struct qcow2_image *image)
{
	int rc;

	if (image->failed)
		return -EIO;
	if (image->io->never_sync)
		return 0;
	/* Before: what is written meanwhile wants another one. */
	atomic_store(&image->unsynced, false);
	rc = image->io->sys->fdatasync(image->io->sys, image->io->plain_fd);
	image->failed = rc < 0;
	return rc;
}

int qcow2_file_reach(struct qcow2_image *image, uint64_t end)
{
	uint64_t size;
	int rc;

	if (end <= image->file_size)
		return 0;
	if (image->io->is_device)
		return -ENOSPC;
	/* Not cluster by cluster: a hole at the end costs nothing. */
	size = ALIGN_UP(end, MAX((uint64_t)GROW_BY, image->geometry.cluster));
	rc = blk_raw_extend(image->file, size);
	if (rc == -EFBIG) {
		size = ALIGN_UP(end, MAX(image->geometry.cluster, (uint64_t)IMAGE_MAX_BLOCK));
		rc = blk_raw_extend(image->file, size);
	}
	if (!rc)
		image->file_size = size;
	return rc == -EFBIG ? -ENOSPC : rc;
}
