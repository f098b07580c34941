/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each operation comes down to on the host.
 *
 *			regular file			block device
 *	DISCARD		PUNCH_HOLE			BLKDISCARD
 *	WRITE_ZEROES	ZERO_RANGE			ZERO_RANGE (Linux 4.9)
 *	  with UNMAP	PUNCH_HOLE, ZERO_RANGE		PUNCH_HOLE, ZERO_RANGE
 *
 * Zeros that the host does not know how to make are written; a discard, being a hint, does nothing
 * then. Devices take whole blocks only, anything else counts as not known. Ranges are cut, so that
 * no single call keeps the kernel busy for too long.
 */
#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "sys.h"

enum {
	MAX_RANGE = 128 << 20, /* bytes in one call of the host */
	ZEROS_SIZE = 4096,
	ZEROS_IOVECS = 64, /* so 256 KiB of zeros in one write */
};

static const _Alignas(IMAGE_MAX_BLOCK) uint8_t zeros[ZEROS_SIZE];

static bool lacking(int error)
{
	return error == -EOPNOTSUPP || error == -ENOTTY || error == -ENOSYS;
}

static bool whole_blocks(const struct blk_image *image, uint64_t offset, uint64_t len)
{
	return !((offset | len) & (image->range_block - 1));
}

static int allocate(const struct blk_image *image, int mode, uint64_t offset, uint64_t len)
{
	return image->sys->fallocate(
		image->sys, image->fd, mode | FALLOC_FL_KEEP_SIZE, offset, len);
}

static int discard(const struct blk_image *image, uint64_t offset, uint64_t len)
{
	int rc;

	if (!whole_blocks(image, offset, len))
		return 0;
	rc = image->is_device ? image->sys->discard(image->sys, image->fd, offset, len)
			      : allocate(image, FALLOC_FL_PUNCH_HOLE, offset, len);
	return lacking(rc) ? 0 : rc;
}

static int zero_by_hand(
	const struct blk_image *image, uint64_t offset, uint64_t len, uint8_t *bounce)
{
	const uint64_t most = (uint64_t)ZEROS_SIZE * ZEROS_IOVECS;
	struct iovec iov[ZEROS_IOVECS];
	int rc = 0;

	for (int i = 0; i < ZEROS_IOVECS; i++)
		iov[i] = (struct iovec){.iov_base = (void *)zeros, .iov_len = ZEROS_SIZE};
	while (len && !rc) {
		struct blk_transfer transfer = {
			.write = true, .offset = offset, .len = MIN(len, most), .iov = iov};

		rc = blk_transfer_run(image, &transfer, bounce);
		offset += transfer.len;
		len -= transfer.len;
	}
	return rc;
}

static int write_zeroes(
	const struct blk_image *image, bool unmap, uint64_t offset, uint64_t len, uint8_t *bounce)
{
	int rc = -EOPNOTSUPP;

	if (whole_blocks(image, offset, len)) {
		if (unmap)
			rc = allocate(image, FALLOC_FL_PUNCH_HOLE, offset, len);
		if (lacking(rc))
			rc = allocate(image, FALLOC_FL_ZERO_RANGE, offset, len);
	}
	return lacking(rc) ? zero_by_hand(image, offset, len, bounce) : rc;
}

/* DISCARD and WRITE_ZEROES */
static int do_range(const struct blk_image *image, const struct blk_request *req, uint8_t *bounce)
{
	uint64_t offset = req->offset, left = req->len;
	int rc = 0;

	while (left && !rc) {
		const uint64_t n = MIN(left, MAX_RANGE - offset % MAX_RANGE);

		rc = req->op == BLK_DISCARD
			     ? discard(image, offset, n)
			     : write_zeroes(image, req->flags & BLK_UNMAP, offset, n, bounce);
		offset += n;
		left -= n;
	}
	return rc;
}

static int move(const struct blk_image *image, struct blk_request *req, uint8_t *bounce)
{
	struct blk_transfer transfer = {
		.write = req->op == BLK_WRITE,
		.offset = req->offset,
		.len = req->len,
		.iov = req->iov,
		.done = req->bytes,
	};
	int rc = blk_transfer_run(image, &transfer, bounce);

	req->bytes = transfer.done;
	return rc;
}

int blk_sync_execute(const struct blk_image *image, struct blk_request *req, uint8_t *bounce)
{
	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		return move(image, req, bounce);
	case BLK_FLUSH:
		return image->sys->fdatasync(image->sys, image->plain_fd);
	default:
		return do_range(image, req, bounce);
	}
}
