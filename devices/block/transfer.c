/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A transfer is cut into pieces of three kinds, from front to back:
 *
 *	straight	offset, buffers and lengths are aligned as the image wants: one preadv or
 *			pwritev on the caller's iovecs
 *	odd		the rest, up to where a straight piece can begin or the bounce buffer is
 *			full: read or written as whole blocks through that buffer
 *	tail		the last sectors, where they are less than a block: moved without O_DIRECT
 *
 * so a stray segment costs a copy of its neighbourhood and no more. An odd write whose ends lie
 * inside blocks reads those two blocks first; that nobody else writes them meanwhile is for the
 * caller to see to (raw_queue.c). Without O_DIRECT a block is one byte and all pieces are straight.
 *
 * Any call may move less than asked; the next piece then starts where it ended. One that moves
 * nothing ends the transfer with an error: the file is shorter than it was, or the disk full.
 *
 * The bytes are the guest's, who may change them meanwhile: they are copied once, and never looked
 * at.
 */
#include "transfer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "sys.h"

enum {
	SLICE_IOVECS = 64,
	MAX_CALL = 0x40000000, /* bytes in one call; the kernel stops short of 2^31 */
};

/* The place in the caller's iovecs; left bytes follow. */
struct place {
	const struct iovec *iov;
	size_t off;
	uint64_t pos; /* in the image */
	uint64_t left;
};

static uint8_t *here(const struct place *place)
{
	return (uint8_t *)place->iov->iov_base + place->off;
}

/* What is left of the segment. */
static uint64_t segment(const struct place *place)
{
	return MIN(place->left, place->iov->iov_len - place->off);
}

/* Ends on a byte, so segments without any are skipped. */
static void advance(struct place *place, uint64_t len)
{
	for (;;) {
		uint64_t n = MIN(len, segment(place));

		place->off += n;
		place->pos += n;
		place->left -= n;
		len -= n;
		if (!place->left || place->off < place->iov->iov_len)
			return;
		place->iov++;
		place->off = 0;
	}
}

/* How many of the next bytes, all in one segment, can be in a straight piece. */
static uint64_t straight_bytes(const struct blk_image *image, const struct place *place)
{
	if (place->pos & (image->block - 1) || (uintptr_t)here(place) & (image->align - 1))
		return 0;
	return ALIGN_DOWN(segment(place), image->block);
}

/* Collects a straight piece; returns the number of iovecs, 0 when there is none here. */
static int slice(const struct blk_image *image, struct place place, struct iovec *iov)
{
	uint64_t total = 0;
	int num = 0;

	while (num < SLICE_IOVECS && place.left && total < MAX_CALL) {
		uint64_t n = MIN(straight_bytes(image, &place), MAX_CALL - total);

		if (!n)
			break;
		iov[num++] = (struct iovec){.iov_base = here(&place), .iov_len = n};
		total += n;
		advance(&place, n);
	}
	return num;
}

/* Length of the odd piece that starts here; at most room bytes. */
static uint64_t odd_bytes(const struct blk_image *image, struct place place, uint64_t room)
{
	uint64_t total = 0;

	while (place.left && total < room) {
		uint64_t to_block = -place.pos & (image->block - 1);
		uint64_t n = segment(&place);

		/* Is there a place in this segment where all falls into step? */
		if (to_block + image->block <= n &&
			!((uintptr_t)(here(&place) + to_block) & (image->align - 1)))
			return MIN(total + to_block, room);
		total += n;
		advance(&place, n);
	}
	return MIN(total, room);
}

/* Between the iovecs and the buffer. */
static void copy(struct place place, bool to_buf, uint8_t *buf, uint64_t len)
{
	while (len) {
		uint64_t n = MIN(segment(&place), len);

		if (to_buf)
			memcpy(buf, here(&place), n);
		else
			memcpy(here(&place), buf, n);
		buf += n;
		len -= n;
		advance(&place, n);
	}
}

/* The block at pos, of which something will be kept. */
static int read_block(const struct blk_image *image, uint8_t *buf, uint64_t pos)
{
	struct iovec iov = {.iov_base = buf, .iov_len = image->block};
	ssize_t n = image->sys->preadv(image->sys, image->fd, &iov, 1, pos);

	if (n < 0)
		return (int)n;
	return n == (ssize_t)image->block ? 0 : -EIO;
}

/* buf holds the blocks from low to high; [pos, end) of them is about to be replaced. */
static int read_edges(
	const struct blk_image *image, uint8_t *buf, uint64_t low, uint64_t pos, uint64_t end)
{
	const uint64_t high = ALIGN_UP(end, image->block), last = high - image->block;
	int rc = 0;

	if (pos != low || (end != high && last == low))
		rc = read_block(image, buf, low);
	if (!rc && end != high && last != low)
		rc = read_block(image, buf + (last - low), last);
	return rc;
}

static ssize_t move_odd(
	const struct blk_image *image, bool write, const struct place *place, uint8_t *buf)
{
	const uint64_t low = ALIGN_DOWN(place->pos, image->block), lead = place->pos - low;
	const uint64_t len = odd_bytes(image, *place, BOUNCE_SIZE - lead);
	const uint64_t high = ALIGN_UP(place->pos + len, image->block);
	struct iovec iov = {.iov_base = buf, .iov_len = high - low};
	ssize_t n;
	int rc;

	if (write) {
		rc = read_edges(image, buf, low, place->pos, place->pos + len);
		if (rc)
			return rc;
		copy(*place, true, buf + lead, len);
		n = image->sys->pwritev(image->sys, image->fd, &iov, 1, low);
	} else {
		n = image->sys->preadv(image->sys, image->fd, &iov, 1, low);
	}
	if (n < 0)
		return n;
	n = (uint64_t)n <= lead ? 0 : (ssize_t)MIN((uint64_t)n - lead, len);
	if (!write)
		copy(*place, false, buf + lead, (uint64_t)n);
	return n;
}

/* What the kernel takes as it is */
static ssize_t move_straight(const struct blk_image *image, bool write, int fd,
	const struct iovec *iov, int num, uint64_t pos)
{
	return write ? image->sys->pwritev(image->sys, fd, iov, num, pos)
		     : image->sys->preadv(image->sys, fd, iov, num, pos);
}

/* Less than a block, in as many calls as it has segments. */
static ssize_t move_tail(const struct blk_image *image, bool write, const struct place *place)
{
	struct iovec iov = {.iov_base = here(place), .iov_len = segment(place)};

	return move_straight(image, write, image->plain_fd, &iov, 1, place->pos);
}

static ssize_t move_piece(
	const struct blk_image *image, bool write, const struct place *place, uint8_t *bounce)
{
	const uint64_t tail = atomic_load_explicit(&image->tail, memory_order_relaxed);
	struct iovec iov[SLICE_IOVECS];
	struct place whole = *place;
	int num;

	if (image->block > 1 && place->pos >= tail)
		return move_tail(image, write, place);
	if (image->block > 1)
		whole.left = MIN(whole.left, tail - place->pos);
	num = slice(image, whole, iov);
	return num ? move_straight(image, write, image->fd, iov, num, place->pos)
		   : move_odd(image, write, &whole, bounce);
}

int blk_transfer_run(const struct blk_image *image, struct blk_transfer *transfer, uint8_t *bounce)
{
	struct place place = {.iov = transfer->iov, .pos = transfer->offset, .left = transfer->len};

	advance(&place, transfer->done);
	while (place.left) {
		ssize_t n = move_piece(image, transfer->write, &place, bounce);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return transfer->write ? -ENOSPC : -EIO;
		transfer->done += (uint64_t)n;
		advance(&place, (uint64_t)n);
	}
	return 0;
}
