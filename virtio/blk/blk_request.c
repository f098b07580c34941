/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device at work (virtio 1.2, 5.2.6).
 *
 * Requests are chains of a header, data and a status byte, cut up as the driver likes. All
 * of them go through the back end, but those that are wrong or ask for the serial number.
 *
 *	kick: handle() for each chain ─► blk_submit ─┐
 *	      blk_commit ◄───────────────────────────┘
 *	      blk_poll ────► done(): status, used ring ─► one interrupt for each queue
 *	ready: blk_poll ───► the same
 *
 * One batch to the host per kick, and a look for completions right after it: what was done at once
 * costs no turn of the loop.
 *
 * There is a request for each entry of each queue, made beforehand and chosen by the chain's slot.
 * Data moves between guest memory and the host by the chain's own iovecs: header and status are cut
 * off at their ends, so whatever the framing is, nothing is copied or counted, and a chain of any
 * number of segments fits. The ranges of DISCARD and WRITE_ZEROES are done one after the other,
 * each read from the guest when its turn comes.
 *
 * The back end is asked for stable writes (BLK_FUA) where the driver cannot or need not flush. The
 * order of writes and flushes is then the back end's business: it knows what it has completed.
 *
 * Locking: all of it under the device's lock, which is also what serialises the back end.
 */
#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "blk_private.h"

/* 5.2.6 */
enum {
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,

	S_OK = 0,
	S_IOERR = 1,
	S_UNSUPP = 2,
	PENDING = -1, /* nothing to answer: the back end is at work, or it is done already */

	RANGE_UNMAP = 1 << 0,
};

/* As they lie in guest memory, little-endian */
struct header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

struct range {
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags;
};

static_assert(sizeof(struct header) == 16 && sizeof(struct range) == 16, "as in 5.2.6");
static_assert(VIRTIO_BLK_MAX_QUEUES <= 32, "answered has a bit for each queue");

/* ---- answers ---- */

static void count(struct virtio_blk *vblk, const struct vblk_request *r, int status)
{
	struct virtio_blk_counts *counts = &vblk->counts[r->queue];

	if (status != S_OK) {
		counter_add(&counts->errors, 1);
		return;
	}
	if (r->kind == VIRTIO_BLK_NUM_KINDS)
		return;
	counter_add(&counts->requests[r->kind], 1);
	if (r->kind == VIRTIO_BLK_READ)
		counter_add(&counts->bytes_read, r->req.len);
	else if (r->kind == VIRTIO_BLK_WRITE)
		counter_add(&counts->bytes_written, r->req.len);
	if (vblk->ticks_scale)
		latencies_add(&counts->latencies[r->kind],
			ticks_to_us(ticks_now() - r->since, *vblk->ticks_scale));
}

/* written: so many bytes from the first writable one on are data. */
static void answer(struct virtio_blk *vblk, struct vblk_request *r, int status, uint64_t written)
{
	/* 2.7.8: the length may not cover a gap, so the status counts only right behind them. */
	if (written == r->chain->writable - 1)
		written++;
	count(vblk, r, status);
	*r->status = (uint8_t)status;
	virtio_device_push(vblk->vdev, r->queue, r->chain, (uint32_t)written);
	vblk->answered |= 1u << r->queue;
}

static void publish(struct virtio_blk *vblk)
{
	while (vblk->answered) {
		const unsigned int q = (unsigned int)__builtin_ctz(vblk->answered);

		vblk->answered &= vblk->answered - 1;
		virtio_device_flush(vblk->vdev, q);
	}
}

static void log_failure(struct virtio_blk *vblk, const struct blk_request *req, int error)
{
	static const char *const names[] = {[BLK_READ] = "read",
		[BLK_WRITE] = "write",
		[BLK_FLUSH] = "flush",
		[BLK_DISCARD] = "discard",
		[BLK_WRITE_ZEROES] = "write of zeros"};

	static_assert(ARRAY_SIZE(names) == BLK_NUM_OPS, "a name for each operation");
	log_limited(vblk->log, &vblk->limit, LOG_WARN,
		"%s: %s of %" PRIu64 " bytes at %" PRIu64 " failed: %s", vblk->name, names[req->op],
		req->len, req->offset, strerror(-error));
	log_notice(vblk->log, NOTICE_IO_ERROR, vblk->name, strerror(-error));
}

/* ---- requests ---- */

static int submit(
	struct vblk_request *r, enum blk_op op, uint32_t flags, uint64_t sector, uint64_t bytes)
{
	const struct virtio_blk *vblk = r->req.opaque;

	static const enum virtio_blk_kind kinds[] = {[BLK_READ] = VIRTIO_BLK_READ,
		[BLK_WRITE] = VIRTIO_BLK_WRITE,
		[BLK_FLUSH] = VIRTIO_BLK_FLUSH,
		[BLK_DISCARD] = VIRTIO_BLK_DISCARD,
		[BLK_WRITE_ZEROES] = VIRTIO_BLK_DISCARD};

	static_assert(ARRAY_SIZE(kinds) == BLK_NUM_OPS, "a kind for each operation");
	r->kind = kinds[op];
	r->req.op = op;
	r->req.flags = flags;
	r->req.offset = sector * BLK_SECTOR;
	r->req.len = bytes;
	blk_submit(vblk->blk, &r->req);
	return PENDING;
}

/* Also says no to what would overflow. */
static bool on_disk(const struct virtio_blk *vblk, uint64_t sector, uint64_t bytes)
{
	return !(bytes % BLK_SECTOR) && range_ok(sector, bytes / BLK_SECTOR, vblk->sectors);
}

static int start_read(struct virtio_blk *vblk, struct vblk_request *r, uint64_t sector)
{
	const struct virtq_chain *chain = r->chain;
	const uint64_t bytes = chain->writable - 1;

	if (!on_disk(vblk, sector, bytes))
		return S_IOERR;
	r->req.iov = chain->iov + chain->num_read;
	r->req.num_iov = chain->num_write;
	return submit(r, BLK_READ, 0, sector, bytes);
}

static int start_write(struct virtio_blk *vblk, struct vblk_request *r,
	const struct virtq_cursor *data, uint64_t sector)
{
	struct virtq_chain *chain = r->chain;
	const ptrdiff_t first = data->iov - chain->iov;
	struct iovec *iov = chain->iov + first;

	if (vblk->blk->info.read_only || !on_disk(vblk, sector, data->left))
		return S_IOERR;
	if (data->off) {
		iov->iov_base = (uint8_t *)iov->iov_base + data->off;
		iov->iov_len -= data->off;
	}
	r->req.iov = iov;
	r->req.num_iov = (int)(chain->num_read - first);
	return submit(r, BLK_WRITE, vblk->write_flags, sector, data->left);
}

/* The range at the cursor, which the guest may have changed since anybody looked: its status. */
static int read_range(const struct virtio_blk *vblk, enum blk_op op, struct virtq_cursor *cursor,
	struct range *range)
{
	const bool zeroes = op == BLK_WRITE_ZEROES;
	struct range raw = {0};

	virtq_read(cursor, &raw, sizeof(raw));
	range->sector = le64toh(raw.sector);
	range->num_sectors = le32toh(raw.num_sectors);
	range->flags = le32toh(raw.flags);
	if (range->flags & ~(uint32_t)(zeroes ? RANGE_UNMAP : 0))
		return S_UNSUPP;
	if (range->num_sectors > (zeroes ? VIRTIO_BLK_MAX_ZEROES : VIRTIO_BLK_MAX_DISCARD) ||
		!range_ok(range->sector, range->num_sectors, vblk->sectors))
		return S_IOERR;
	return S_OK;
}

static int next_range(struct virtio_blk *vblk, struct vblk_request *r, enum blk_op op)
{
	struct range range;
	const int status = read_range(vblk, op, &r->ranges, &range);
	uint32_t flags = 0;

	if (status != S_OK)
		return status;
	if (op == BLK_WRITE_ZEROES)
		flags = vblk->write_flags | (range.flags & RANGE_UNMAP ? BLK_UNMAP : 0);
	return submit(r, op, flags, range.sector, (uint64_t)range.num_sectors * BLK_SECTOR);
}

/* All are looked at first, so that a mistake in one leaves the disk alone. */
static int start_ranges(struct virtio_blk *vblk, struct vblk_request *r,
	const struct virtq_cursor *data, enum blk_op op, uint64_t feature)
{
	const uint64_t bytes = data->left;
	struct virtq_cursor cursor = *data;
	struct range range;
	int status = S_OK;

	if (vblk->blk->info.read_only)
		return S_IOERR;
	if (!(virtio_device_negotiated(vblk->vdev) & feature))
		return S_UNSUPP;
	if (!bytes || bytes % sizeof(range) || bytes / sizeof(range) > VIRTIO_BLK_MAX_RANGES)
		return S_IOERR;
	while (cursor.left && status == S_OK)
		status = read_range(vblk, op, &cursor, &range);
	r->ranges = *data;
	return status == S_OK ? next_range(vblk, r, op) : status;
}

/* Answers by itself: here data was written. */
static int give_serial(struct virtio_blk *vblk, struct vblk_request *r)
{
	struct virtq_cursor out = virtq_writer(r->chain);
	const uint64_t room = r->chain->writable - 1;

	answer(vblk, r, S_OK, virtq_write(&out, vblk->serial, MIN(room, sizeof(vblk->serial))));
	return PENDING;
}

static void done(struct blk_request *req, int error)
{
	struct vblk_request *r = container_of(req, struct vblk_request, req);
	struct virtio_blk *vblk = req->opaque;
	int status = error ? S_IOERR : S_OK;

	if (error)
		log_failure(vblk, req, error);
	else if ((req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES) && r->ranges.left)
		status = next_range(vblk, r, req->op);
	if (status != PENDING)
		answer(vblk, r, status, req->op == BLK_READ ? req->bytes : 0);
}

/* The last writable byte, which is data no more. */
static uint8_t *cut_status(struct virtq_chain *chain)
{
	struct iovec *last = &chain->iov[chain->num_read + chain->num_write - 1];

	last->iov_len--;
	chain->num_write -= !last->iov_len;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* The status, or PENDING. data is behind the header. */
static int start_request(struct virtio_blk *vblk, struct vblk_request *r,
	const struct header *header, const struct virtq_cursor *data)
{
	const uint64_t sector = le64toh(header->sector);

	switch (le32toh(header->type)) {
	case T_IN:
		return start_read(vblk, r, sector);
	case T_OUT:
		return start_write(vblk, r, data, sector);
	case T_FLUSH:
		return submit(r, BLK_FLUSH, 0, 0, 0);
	case T_GET_ID:
		return give_serial(vblk, r);
	case T_DISCARD:
		return start_ranges(vblk, r, data, BLK_DISCARD, VBLK_F_DISCARD);
	case T_WRITE_ZEROES:
		return start_ranges(vblk, r, data, BLK_WRITE_ZEROES, VBLK_F_WRITE_ZEROES);
	default:
		return S_UNSUPP;
	}
}

static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_blk *vblk = opaque;
	struct vblk_request *r = &vblk->requests[q * vblk->queue_size + chain->slot];
	struct virtq_cursor data = virtq_reader(chain);
	struct header header;
	int status;

	if (virtq_read(&data, &header, sizeof(header)) < sizeof(header) || !chain->writable) {
		virtio_device_queue_error(vblk->vdev, q, "queue %u: request without %s", q,
			chain->writable ? "a whole header" : "room for its status");
		virtio_device_release(vblk->vdev, q, chain);
		return false;
	}
	if (vblk->rate.on && !vblk_limit_admit(vblk, q, chain))
		return false;
	r->req.done = done;
	r->req.opaque = vblk;
	r->queue = q;
	r->chain = chain;
	r->status = cut_status(chain);
	r->kind = VIRTIO_BLK_NUM_KINDS;
	r->since = ticks_now();
	status = start_request(vblk, r, &header, &data);
	if (status != PENDING)
		answer(vblk, r, status, 0);
	return true;
}

void vblk_kick(void *opaque, unsigned int q)
{
	struct virtio_blk *vblk = opaque;

	if (vblk_limit_begin(vblk))
		virtio_device_process(vblk->vdev, q, handle);
	blk_commit(vblk->blk);
	blk_poll(vblk->blk);
	publish(vblk);
}

void vblk_ready(void *opaque)
{
	struct virtio_blk *vblk = opaque;

	virtio_device_lock(vblk->vdev);
	blk_poll(vblk->blk);
	publish(vblk);
	virtio_device_unlock(vblk->vdev);
}
