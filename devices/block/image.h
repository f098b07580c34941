/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open, locked raw image or block device: what it is, how large, and how its I/O must be
 * aligned.
 */
#ifndef BANTAM_DEVICES_BLOCK_IMAGE_H
#define BANTAM_DEVICES_BLOCK_IMAGE_H

#include "devices/block/blk.h"

enum { IMAGE_MAX_BLOCK = 4096 };

struct blk_image {
	const struct blk_sys *sys;
	int fd;
	int plain_fd; /* without O_DIRECT; fd itself where that has none or there is no need */
	bool is_device, direct, read_only;
	bool sync_writes; /* all of them are BLK_FUA */
	bool never_sync;
	uint32_t block, align; /* see struct blk_direct; 1 without O_DIRECT */
	uint32_t range_block;  /* the same for discards and zeros of the host: 1 for files */
	uint32_t unit;	       /* of the size that a guest sees, whatever the cache mode */
	/* Less than a block is behind this place. Moves when the size does, see blk_image_size. */
	_Atomic uint64_t tail;
};

/* Of an open raw back end, for a format above it. */
struct blk_image *blk_raw_image(struct blk *raw);

/*
 * Makes its file that long, which is a multiple of all block sizes: for a format that knows how
 * long the file is. 0 or -errno; nobody is told. One at a time, any thread.
 */
int blk_raw_extend(struct blk *raw, uint64_t size);

/* Also sets info. Returns 0 or -errno with err set. */
int blk_image_open(struct blk_image *image, const struct blk_config *config, struct blk_info *info,
	struct error *err);
void blk_image_close(struct blk_image *image);

/* Bytes now, and how many of them from the start are whole sectors; or -errno. */
int blk_image_size(struct blk_image *image, uint64_t *size, uint64_t *usable);

/* Makes a file longer: 0, or -errno; see struct blk_ops. */
int blk_image_grow(struct blk_image *image, uint64_t size);

/* Whether all of it can go to the kernel as it is. -EINVAL: the iovecs are not len bytes. */
int blk_image_aligned(const struct blk_image *image, const struct blk_request *req);

/* 0, or -errno with err set: somebody else has it. */
int blk_image_lock(int fd, bool read_only, const char *path, struct log *log, struct error *err);

#endif
