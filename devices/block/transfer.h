/* SPDX-License-Identifier: BSD-2-Clause */
/* Moving bytes between iovecs and an image, waiting for it: the pool's threads do that. */
#ifndef BANTAM_DEVICES_BLOCK_TRANSFER_H
#define BANTAM_DEVICES_BLOCK_TRANSFER_H

#include "image.h"

enum { BOUNCE_SIZE = 65536 }; /* one buffer for each thread, aligned to IMAGE_MAX_BLOCK */

struct blk_transfer {
	bool write;
	uint64_t offset; /* of the first byte in the image */
	uint64_t len;
	const struct iovec *iov; /* at least len bytes */
	uint64_t done;		 /* bytes that are moved already, at the start and at the end */
};

/* 0 when everything is moved; else -errno, -EIO for the end of the file, -ENOSPC. */
int blk_transfer_run(const struct blk_image *image, struct blk_transfer *transfer, uint8_t *bounce);

#endif
