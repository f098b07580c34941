/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes that change tables, a cluster at a time. A cluster that gets another place, or units that
 * get data, is claimed meanwhile, so the owner of the tables need not wait for the data:
 *
 *	owner: claim, look, allocate ─► copy and write, nobody sees it ─► owner: entry, let go
 *
 * Data in place is left to the raw back end, but where whole blocks are written: it alone knows
 *what else goes on in a block.
 */
#include <errno.h>

#include "../sync.h"
#include "disk.h"

/* A cluster on its way to another state */
struct change {
	struct qcow2_worker *worker;
	struct qcow2_part *part;
	struct qcow2_image *image;
	uint64_t pos;	   /* in the request */
	uint64_t offset;   /* on the disk, of the cluster */
	uint64_t from, to; /* in the cluster */
	struct qcow2_entry old;
	uint64_t host; /* where it will be */
	bool moves, fresh;
	uint32_t touched, kept; /* units: that are written; that are copied to the new place */
};

/* ---- claims ---- */

static bool is_claimed(const struct qcow2_disk *disk, uint64_t cluster)
{
	for (int i = 0; i <= POOL_THREADS; i++)
		if (disk->claim[i].used && disk->claim[i].cluster == cluster)
			return true;
	return false;
}

/* The owner, who lets others be that while it waits. There is one for each thread. */
static struct qcow2_claim *claim(struct qcow2_disk *disk, uint64_t cluster)
{
	struct qcow2_claim *one = disk->claim;

	while (is_claimed(disk, cluster))
		pthread_cond_wait(&disk->unclaimed, &qcow2_top(disk)->owner);
	while (one->used)
		one++;
	*one = (struct qcow2_claim){.used = true, .cluster = cluster};
	return one;
}

static void unclaim(struct qcow2_disk *disk, struct qcow2_claim *one)
{
	one->used = false;
	pthread_cond_broadcast(&disk->unclaimed);
}

/* ---- data ---- */

static int zero_file(struct change *c, uint64_t offset, uint64_t len)
{
	struct blk_request req = {.op = BLK_WRITE_ZEROES, .offset = offset, .len = len};

	return blk_sync_execute(c->image->io, &req, c->worker->bounce);
}

static int put_file(struct change *c, uint64_t host, const uint8_t *buf, uint64_t len)
{
	const struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct blk_transfer transfer = {.write = true, .offset = host, .len = len, .iov = &iov};

	return blk_transfer_run(c->image->io, &transfer, c->worker->bounce);
}

/* What [from, to) of the cluster is now goes to the new place. */
static int copy(struct change *c, uint64_t from, uint64_t to)
{
	int rc = 0;

	while (!rc && from < to) {
		struct qcow2_layer *layer;
		struct qcow2_run run;
		uint64_t n;

		rc = qcow2_chain_map(
			c->worker->disk, 0, c->offset + from, to - from, true, &run, &layer);
		if (rc)
			break;
		n = run.kind == QCOW2_ZERO ? run.len : MIN(run.len, (uint64_t)QCOW2_COPY);
		if (run.kind == QCOW2_ZERO) {
			rc = c->fresh ? 0 : zero_file(c, c->host + from, n);
		} else {
			rc = qcow2_chain_read(c->worker, c->offset + from, c->worker->copy, n);
			if (!rc)
				rc = put_file(c, c->host + from, c->worker->copy, n);
		}
		from += n;
	}
	return rc;
}

/* The request's own bytes */
static int put_data(struct change *c, uint64_t host)
{
	const struct blk_request *req = c->part->parent;
	const uint64_t len = c->to - c->from;
	struct blk_transfer transfer = {
		.write = true,
		.offset = host + c->from - c->pos,
		.len = c->pos + len,
		.iov = req->iov,
		.done = c->pos,
	};

	atomic_store_explicit(&c->image->unsynced, true, memory_order_relaxed);
	if (req->op == BLK_WRITE)
		return blk_transfer_run(c->image->io, &transfer, c->worker->bounce);
	return c->fresh ? 0 : zero_file(c, host + c->from, len);
}

static int put_units(struct change *c)
{
	const unsigned int bits = c->image->geometry.unit_bits;
	const uint64_t unit = UINT64_C(1) << bits;
	int rc = copy(c, ALIGN_DOWN(c->from, unit), c->from);

	if (!rc)
		rc = put_data(c, c->host);
	if (!rc)
		rc = copy(c, c->to, ALIGN_UP(c->to, unit));
	for (unsigned int i = 0; !rc && i < qcow2_units(&c->image->geometry); i++)
		if (c->kept >> i & 1)
			rc = copy(c, (uint64_t)i << bits, (uint64_t)(i + 1) << bits);
	return rc;
}

/* ---- entries ---- */

static uint32_t all_units(const struct qcow2_image *image)
{
	return image->geometry.extended ? UINT32_MAX : 1;
}

static void let_go(struct change *c)
{
	const uint64_t epoch = atomic_load(&c->worker->disk->epoch);

	if (!c->old.host)
		return;
	qcow2_refs_drop(c->image, c->old.host,
		c->old.packed ? c->old.packed_len : c->image->geometry.cluster, epoch);
}

/* The owner: decides where it goes. */
static int choose(struct change *c)
{
	const struct qcow2_entry *old = &c->old;
	int rc = qcow2_image_prepare(c->image, c->offset, atomic_load(&c->worker->disk->epoch));

	c->touched = qcow2_units_touched(&c->image->geometry, c->from, c->to);
	c->moves = !old->host || !old->copied || old->packed;
	c->host = old->host;
	if (rc || !c->moves)
		return rc;
	c->kept = (old->packed ? all_units(c->image) : old->data) & ~c->touched;
	return qcow2_refs_alloc(c->image, 1, &c->host, &c->fresh);
}

/* The owner: others see it from now on. */
static int publish(struct change *c)
{
	const uint32_t data = c->moves ? c->kept : c->old.data;
	const struct qcow2_entry now = {
		.host = c->host,
		.copied = true,
		.data = data | c->touched,
		.zero = c->old.zero & ~c->touched,
	};
	int rc = qcow2_image_put(c->image, c->offset, &now);

	if (!rc && c->moves)
		let_go(c);
	return rc;
}

static int move(struct change *c)
{
	int rc = choose(c);

	if (rc)
		return rc;
	pthread_mutex_unlock(&c->image->owner);
	rc = put_units(c);
	pthread_mutex_lock(&c->image->owner);
	if (!rc)
		rc = publish(c);
	if (rc && c->moves)
		qcow2_refs_cancel(c->image, c->host, 1);
	return rc;
}

/* ---- in place ---- */

static bool is_in_place(const struct change *c)
{
	const uint32_t touched = qcow2_units_touched(&c->image->geometry, c->from, c->to);

	return !c->old.packed && c->old.copied && (c->old.data & touched) == touched;
}

/* The owner; where it is may not change meanwhile, so the claim is kept. */
static int write_in_place(struct change *c)
{
	const uint64_t host = c->old.host;
	int rc;

	if ((c->from | c->to) & (c->image->io->block - 1)) {
		c->part->again = true;
		return 0;
	}
	if (!range_ok(host, c->to, atomic_load(&c->image->file_size)))
		return qcow2_image_corrupt(c->image, "a cluster is behind the end of the file");
	pthread_mutex_unlock(&c->image->owner);
	rc = put_data(c, host);
	pthread_mutex_lock(&c->image->owner);
	return rc;
}

/* ---- */

static struct change begin(
	struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n)
{
	struct qcow2_image *image = qcow2_top(worker->disk);
	const uint64_t offset = part->parent->offset + pos;
	const uint64_t from = offset & (image->geometry.cluster - 1);

	return (struct change){
		.worker = worker,
		.part = part,
		.image = image,
		.pos = pos,
		.offset = offset - from,
		.from = from,
		.to = from + n,
	};
}

int qcow2_write_cluster(
	struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n)
{
	struct change c = begin(worker, part, pos, n);
	struct qcow2_claim *one;
	int rc;

	pthread_mutex_lock(&c.image->owner);
	one = claim(worker->disk, qcow2_cluster_of(c.image, c.offset));
	rc = qcow2_image_get(c.image, c.offset, &c.old);
	if (!rc)
		rc = is_in_place(&c) ? write_in_place(&c) : move(&c);
	unclaim(worker->disk, one);
	pthread_mutex_unlock(&c.image->owner);
	return rc;
}

/* ---- without data ---- */

/* Behind what has no backing file are zeros anyhow. */
static void clear_units(struct change *c, struct qcow2_entry *now)
{
	const struct blk_request *req = c->part->parent;
	const bool keep_place = req->op == BLK_WRITE_ZEROES && !(req->flags & BLK_UNMAP) &&
				c->old.copied && c->image->geometry.version >= 3;

	now->data &= ~c->touched;
	if (c->image->has_backing || keep_place)
		now->zero |= c->touched;
	else
		now->zero &= ~c->touched;
	if (!now->data && !keep_place) {
		now->host = 0;
		now->copied = false;
	}
}

static int clear(struct change *c)
{
	struct qcow2_entry now = c->old;
	int rc;

	c->touched = qcow2_units_inside(&c->image->geometry, c->from, c->to);
	if (!c->old.host && (!c->image->has_backing || (c->old.zero & c->touched) == c->touched))
		return 0;
	if (now.packed)
		now = (struct qcow2_entry){0};
	clear_units(c, &now);
	rc = qcow2_image_prepare(c->image, c->offset, atomic_load(&c->worker->disk->epoch));
	if (!rc)
		rc = qcow2_image_put(c->image, c->offset, &now);
	if (!rc && !now.host)
		let_go(c);
	return rc;
}

int qcow2_clear_cluster(
	struct qcow2_worker *worker, struct qcow2_part *part, uint64_t pos, uint64_t n)
{
	struct change c = begin(worker, part, pos, n);
	const bool whole = n == c.image->geometry.cluster;
	bool by_hand = false;
	struct qcow2_claim *one;
	int rc;

	pthread_mutex_lock(&c.image->owner);
	one = claim(worker->disk, qcow2_cluster_of(c.image, c.offset));
	rc = qcow2_image_get(c.image, c.offset, &c.old);
	/* Version 2 has no zeros, and nothing has a part of a compressed cluster. */
	by_hand =
		(c.image->geometry.version < 3 && c.image->has_backing) || (c.old.packed && !whole);
	if (!rc && !by_hand)
		rc = clear(&c);
	unclaim(worker->disk, one);
	pthread_mutex_unlock(&c.image->owner);
	if (rc || !by_hand || part->parent->op == BLK_DISCARD)
		return rc;
	return qcow2_write_cluster(worker, part, pos, n);
}
