/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of requests.
 *
 *	submit ─► parts ─┬─ all in one place of a file ───────► raw back end of its layer ─┐
 *			 ├─ zeros to be read ─────────────────────────────────────────────┼─► done
 *			 └─ tables to read or change, flushes ─► pool ─┬───────────────────┘
 *				▲                                     │ again
 *				└─────────────────────────────────────┘
 *
 * A request becomes one part or several, each a run that the tables say lies together. Where the
 * tables are in memory and the cluster is there, the part is a request of the raw back end's, with
 * its offset in the file: no thread, no lock but for the look. What a part cannot know yet, because
 * a table is not in memory, a thread of the pool finds out, and then it begins again.
 *
 * When all parts are in use, a part takes the pieces of its request one after the other, and a
 * request without any waits.
 *
 * Epochs. A cluster that tables let go of may still be read or written by parts that looked before
 * that. Each part is counted under the epoch it began in; the epoch moves on when nothing of the
 * one before it is left, and what was let go of in an epoch is free when the next but one begins,
 *or when a flush finds nothing else on its way.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "vm/core/sparse_alloc.h"

enum { ROUNDS = 8 };

/* What is known of a request between submit and done; in its aio */
struct progress {
	uint64_t next; /* no part has it, nor what is behind it */
	uint64_t failed_at;
	uint32_t parts;
	int32_t error;
};
static_assert(sizeof(struct progress) <= BLK_AIO_BYTES, "it fits into a request");

static struct qcow2_disk *to_disk(struct blk *blk)
{
	return container_of(blk, struct qcow2_disk, blk);
}

static struct progress *progress(struct blk_request *req)
{
	return (struct progress *)(void *)req->aio;
}

static bool is_write(const struct blk_request *req)
{
	return req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES || req->op == BLK_DISCARD;
}

/* ---- epochs ---- */

uint64_t qcow2_quiet_epoch(struct qcow2_disk *disk)
{
	const uint64_t epoch = atomic_load(&disk->epoch);

	/* None but the caller's: who begins now does not find what was let go of. */
	if (atomic_load(&disk->busy[0]) + atomic_load(&disk->busy[1]) == 1)
		return epoch;
	if (atomic_load(&disk->busy[(epoch - 1) & 1]))
		return epoch - 2;
	atomic_store(&disk->epoch, epoch + 1);
	return epoch - 1;
}

static void enter_epoch(struct qcow2_disk *disk, struct qcow2_part *part)
{
	part->epoch = atomic_load(&disk->epoch);
	atomic_fetch_add(&disk->busy[part->epoch & 1], 1);
}

static void leave_epoch(struct qcow2_disk *disk, const struct qcow2_part *part)
{
	atomic_fetch_sub(&disk->busy[part->epoch & 1], 1);
}

/* ---- parts ---- */

static struct qcow2_part *get_part(struct qcow2_disk *disk, struct blk_request *req)
{
	struct qcow2_part *part = disk->free_parts;

	if (!part)
		return NULL;
	disk->free_parts = part->next_free;
	part->parent = req;
	part->tries = 0;
	progress(req)->parts++;
	return part;
}

static void finish(struct qcow2_disk *disk, struct blk_request *req)
{
	const struct progress *p = progress(req);

	req->error = p->error;
	req->bytes = p->error ? p->failed_at : req->len;
	blk_list_add(&disk->finished, req);
}

/* The part is free, and its request done if it was the last one. */
static void put_part(struct qcow2_disk *disk, struct qcow2_part *part, int error)
{
	struct blk_request *req = part->parent;
	struct progress *p = progress(req);

	if (error) {
		p->failed_at = p->error ? MIN(p->failed_at, part->pos) : part->pos;
		p->error = error;
	}
	part->next_free = disk->free_parts;
	disk->free_parts = part;
	if (--p->parts == 0 && p->next == req->len)
		finish(disk, req);
}

/* ---- where a part goes ---- */

/* The raw back end may have it, as far as this run goes. */
static bool is_direct(struct qcow2_disk *disk, const struct qcow2_part *part,
	const struct qcow2_run *run, const struct qcow2_layer *layer)
{
	const struct blk_request *req = part->parent;

	if (run->kind != QCOW2_DATA || !range_ok(run->host, run->len, blk_capacity(layer->file)))
		return false;
	if (req->op == BLK_READ)
		return true;
	return layer == &disk->layer[0] && run->copied && !layer->image->corrupt &&
	       !(qcow2_wants_sync(disk, req) && atomic_load(&layer->image->map_dirty));
}

static bool look(struct qcow2_disk *disk, const struct qcow2_part *part, uint64_t pos,
	struct qcow2_run *run, struct qcow2_layer **layer)
{
	/* COLD and BAD are for the pool. */
	return qcow2_chain_map(disk, 0, part->parent->offset + pos, part->end - pos, false, run,
		       layer) == 0 &&
	       is_direct(disk, part, run, *layer);
}

/* A part that is alike with what is behind it takes that along. */
static void extend(struct qcow2_disk *disk, struct qcow2_part *part, const struct qcow2_run *first,
	const struct qcow2_layer *layer, bool direct)
{
	while (part->pos + part->len < part->end) {
		struct qcow2_layer *next_layer = NULL;
		struct qcow2_run run;
		const bool next_direct = look(disk, part, part->pos + part->len, &run, &next_layer);

		if (next_direct != direct)
			return;
		if (direct && (next_layer != layer || run.host != first->host + part->len))
			return;
		if (!direct && (run.kind == QCOW2_ZERO) != (first->kind == QCOW2_ZERO))
			return;
		part->cold |= run.kind == QCOW2_COLD;
		part->len += run.len;
	}
}

/* The request's iovecs from pos on, at most len bytes: returns how many bytes they are. */
static uint64_t slice_iovecs(struct qcow2_part *part)
{
	const struct blk_request *req = part->parent;
	uint64_t skip = part->pos, left = part->len;
	int n = 0;

	for (int i = 0; i < req->num_iov && left && n < PART_IOVECS; i++) {
		const struct iovec *iov = &req->iov[i];

		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		part->iov[n] = (struct iovec){
			.iov_base = (uint8_t *)iov->iov_base + skip,
			.iov_len = MIN(left, iov->iov_len - skip),
		};
		left -= part->iov[n++].iov_len;
		skip = 0;
	}
	part->req.iov = part->iov;
	part->req.num_iov = n;
	return part->len - left;
}

static void on_raw_done(struct blk_request *req, int error);

static void send_raw(
	struct qcow2_disk *disk, struct qcow2_part *part, struct qcow2_layer *layer, uint64_t host)
{
	const struct blk_request *parent = part->parent;

	part->layer = layer;
	part->req.op = parent->op;
	part->req.flags = parent->flags;
	part->req.offset = host;
	part->req.len = part->len;
	part->req.done = on_raw_done;
	part->req.opaque = disk;
	layer->in_flight++;
	layer->to_commit = true;
	blk_submit(layer->file, &part->req);
}

static void send_pool(struct qcow2_disk *disk, struct qcow2_part *part)
{
	part->layer = NULL;
	part->req.op = part->parent->op;
	disk->in_pool++;
	blk_list_add(&disk->slow, &part->req);
}

/* What becomes of the next piece of a part */
enum step { SENT, DONE /* part->len of it, here and now */ };

static enum step start_data(struct qcow2_disk *disk, struct qcow2_part *part)
{
	const struct blk_request *parent = part->parent;
	struct qcow2_layer *layer = NULL;
	struct qcow2_run run;
	const bool direct = look(disk, part, part->pos, &run, &layer);

	part->len = run.len;
	part->cold = run.kind == QCOW2_COLD;
	extend(disk, part, &run, layer, direct);
	if (parent->op == BLK_READ && run.kind == QCOW2_ZERO) {
		qcow2_zero_iovecs(parent, part->pos, part->len);
		return DONE;
	}
	if (!direct) {
		send_pool(disk, part);
		return SENT;
	}
	if (part->pos == 0 && part->len == parent->len) {
		part->req.iov = parent->iov;
		part->req.num_iov = parent->num_iov;
	} else {
		part->len = slice_iovecs(part);
	}
	send_raw(disk, part, layer, run.host);
	return SENT;
}

/* Discards and zeros: whole units are for the tables, the rest for whoever has the data. */
static enum step start_range(struct qcow2_disk *disk, struct qcow2_part *part)
{
	const uint64_t unit = UINT64_C(1) << qcow2_top(disk)->geometry.unit_bits;
	const uint64_t at = part->parent->offset + part->pos, left = part->end - part->pos;
	struct qcow2_layer *layer = NULL;
	struct qcow2_run run;

	part->cold = false;
	part->len = ALIGN_DOWN(left, unit);
	if (at & (unit - 1) || !part->len) {
		part->len = MIN(left, unit - (at & (unit - 1)));
		part->req.num_iov = 0;
		if (look(disk, part, part->pos, &run, &layer) && run.len >= part->len) {
			send_raw(disk, part, layer, run.host);
			return SENT;
		}
		if (part->parent->op == BLK_DISCARD ||
			(run.kind == QCOW2_ZERO && run.len >= part->len))
			return DONE;
	}
	send_pool(disk, part);
	return SENT;
}

/* Only what was written behind the tables' back, and never a table. */
static enum step start_flush(struct qcow2_disk *disk, struct qcow2_part *part)
{
	struct qcow2_image *image = qcow2_top(disk);

	part->req.num_iov = 0;
	if (image->scratch && !atomic_load(&image->in_limbo))
		return DONE;
	if (image->io->never_sync || atomic_load(&image->map_dirty) ||
		atomic_load(&image->unsynced) || atomic_load(&image->in_limbo) ||
		atomic_load(&image->failed))
		send_pool(disk, part);
	else
		send_raw(disk, part, &disk->layer[0], 0);
	return SENT;
}

static enum step start_step(struct qcow2_disk *disk, struct qcow2_part *part)
{
	const enum blk_op op = part->parent->op;

	part->len = 0;
	if (op == BLK_FLUSH)
		return start_flush(disk, part);
	return op == BLK_READ || op == BLK_WRITE ? start_data(disk, part) : start_range(disk, part);
}

/* Until there is something to wait for. False: all is done, and the part is free. */
static bool start_part(struct qcow2_disk *disk, struct qcow2_part *part)
{
	enter_epoch(disk, part);
	while (start_step(disk, part) == DONE) {
		part->pos += part->len;
		if (part->pos < part->end)
			continue;
		leave_epoch(disk, part);
		put_part(disk, part, 0);
		return false;
	}
	return true;
}

static void part_done(struct qcow2_disk *disk, struct qcow2_part *part, int error)
{
	leave_epoch(disk, part);
	part->pos += error ? 0 : part->len;
	if (!error && part->len)
		part->tries = 0;
	if (!error && (part->pos < part->end || part->again))
		start_part(disk, part);
	else
		put_part(disk, part, error);
}

static void on_raw_done(struct blk_request *req, int error)
{
	struct qcow2_part *part = container_of(req, struct qcow2_part, req);
	struct qcow2_disk *disk = req->opaque;

	part->layer->in_flight--;
	part->again = false;
	if (error && req->op == BLK_FLUSH)
		atomic_store(&qcow2_top(disk)->failed, true);
	if (error)
		part->pos += req->bytes;
	part_done(disk, part, error);
}

/* From p->next on; a part that is on its way leaves the rest to others, if there are any. */
static void start_next(struct qcow2_disk *disk, struct blk_request *req, struct qcow2_part *part)
{
	struct progress *p = progress(req);

	part->pos = p->next;
	part->end = req->len;
	if (start_part(disk, part) && disk->free_parts)
		part->end = part->pos + part->len;
	else
		part = NULL;
	p->next = part ? part->end : req->len;
}

/* Parts for as much of a request as there are parts. False: it has to wait. */
static bool start_request(struct qcow2_disk *disk, struct blk_request *req)
{
	struct progress *p = progress(req);
	bool all = true;

	p->parts++; /* not done before the end of this */
	do {
		struct qcow2_part *part = get_part(disk, req);

		all = part;
		if (part)
			start_next(disk, req, part);
	} while (all && !p->error && p->next < req->len);
	if (p->error)
		p->next = req->len;
	if (--p->parts == 0 && p->next == req->len && (all || p->error))
		finish(disk, req);
	return all || p->error;
}

/* ---- submit, commit ---- */

static int check(struct qcow2_disk *disk, const struct blk_request *req)
{
	uint64_t total = 0;

	if (disk->closing)
		return -ECANCELED;
	if ((unsigned int)req->op >= BLK_NUM_OPS || req->num_iov < 0)
		return -EINVAL;
	if (req->op == BLK_FLUSH)
		return 0;
	if (is_write(req) && disk->blk.info.read_only)
		return -EROFS;
	if (!range_ok(req->offset, req->len, atomic_load(&qcow2_top(disk)->size)))
		return -ERANGE;
	if (req->op == BLK_READ || req->op == BLK_WRITE) {
		for (int i = 0; i < req->num_iov; i++)
			total += req->iov[i].iov_len;
		return total == req->len ? 0 : -EINVAL;
	}
	return 0;
}

static void submit(struct blk *blk, struct blk_request *req)
{
	struct qcow2_disk *disk = to_disk(blk);
	const int rc = check(disk, req);

	*progress(req) = (struct progress){.error = rc};
	if (rc || (!req->len && req->op != BLK_FLUSH))
		finish(disk, req);
	else if (disk->waiting.head || !start_request(disk, req))
		blk_list_add(&disk->waiting, req);
}

static bool start(struct qcow2_disk *disk)
{
	bool any = false;

	blk_pool_add(&disk->pool, &disk->slow);
	for (unsigned int i = 0; i < disk->num_layers; i++) {
		struct qcow2_layer *layer = &disk->layer[i];

		if (!layer->to_commit)
			continue;
		layer->to_commit = false;
		any = true;
		blk_commit(layer->file);
	}
	return any;
}

static void commit(struct blk *blk)
{
	start(to_disk(blk));
}

/* ---- poll ---- */

static void take_pool(struct qcow2_disk *disk)
{
	struct blk_list done = {0};
	struct blk_request *req;

	blk_pool_take(&disk->pool, &done);
	while ((req = blk_list_pop(&done)) != NULL) {
		struct qcow2_part *part = container_of(req, struct qcow2_part, req);

		disk->in_pool--;
		part_done(disk, part, req->error);
	}
}

static void start_waiting(struct qcow2_disk *disk)
{
	while (disk->waiting.head && disk->free_parts)
		if (start_request(disk, disk->waiting.head))
			blk_list_pop(&disk->waiting);
}

static void collect(struct qcow2_disk *disk)
{
	take_pool(disk);
	for (unsigned int i = 0; i < disk->num_layers; i++)
		if (disk->layer[i].in_flight || atomic_exchange(&disk->layer[i].ready, false))
			blk_poll(disk->layer[i].file);
	start_waiting(disk);
}

static void clear_event(struct qcow2_disk *disk)
{
	uint64_t count;

	if (read(disk->source.fd, &count, sizeof(count)) < 0)
		return;
}

static unsigned int poll_disk(struct blk *blk)
{
	struct qcow2_disk *disk = to_disk(blk);
	const uint64_t one = 1;
	unsigned int count = 0;
	bool more = true;

	if (atomic_load_explicit(&disk->signalled, memory_order_relaxed) &&
		atomic_exchange(&disk->signalled, false))
		clear_event(disk);
	/* What is started here may be finished at once, and nobody would say so. */
	for (int i = 0; more && i < ROUNDS; i++) {
		collect(disk);
		count += blk_list_deliver(&disk->finished);
		more = start(disk) || disk->finished.head;
	}
	if (more && write(disk->source.fd, &one, sizeof(one)) < 0)
		return count; /* full, which wakes the loop as well */
	return count;
}

/* ---- drain, cancel ---- */

static bool raw_busy(const struct qcow2_disk *disk)
{
	bool any = false;

	for (unsigned int i = 0; i < disk->num_layers; i++)
		any |= disk->layer[i].in_flight > 0;
	return any;
}

static bool busy(const struct qcow2_disk *disk)
{
	return disk->in_pool || disk->finished.head || disk->waiting.head || raw_busy(disk);
}

static void drain(struct blk *blk)
{
	struct qcow2_disk *disk = to_disk(blk);

	start(disk);
	while (poll_disk(blk), busy(disk)) {
		struct pollfd pfd = {.fd = disk->source.fd, .events = POLLIN};

		for (unsigned int i = 0; i < disk->num_layers; i++)
			if (disk->layer[i].in_flight)
				blk_drain(disk->layer[i].file);
		if (start(disk) || !disk->in_pool || disk->finished.head)
			continue;
		if (poll(&pfd, 1, -1) > 0)
			atomic_store(&disk->signalled, true);
	}
}

static void cancel(struct qcow2_disk *disk)
{
	struct blk_list queued = {0};
	struct blk_request *req;

	blk_pool_cancel(&disk->pool, &queued);
	blk_list_move(&disk->slow, &queued);
	while ((req = blk_list_pop(&disk->slow)) != NULL) {
		disk->in_pool--;
		part_done(disk, container_of(req, struct qcow2_part, req), -ECANCELED);
	}
	while ((req = blk_list_pop(&disk->waiting)) != NULL) {
		progress(req)->error = -ECANCELED;
		progress(req)->next = req->len;
		if (!progress(req)->parts)
			finish(disk, req);
	}
}

/* ---- the rest of the operations ---- */

void qcow2_disk_event(void *opaque, uint32_t events)
{
	struct qcow2_disk *disk = opaque;

	(void)events;
	atomic_store(&disk->signalled, true);
	disk->listener->ready(disk->opaque);
}

static void file_ready(void *opaque)
{
	struct qcow2_layer *layer = opaque;

	atomic_store(&layer->ready, true);
	layer->disk->listener->ready(layer->disk->opaque);
}

/* A file grows as it is filled: the disk does not. */
static void file_resized(void *opaque)
{
	(void)opaque;
}

static const struct blk_listener file_listener = {.ready = file_ready, .resized = file_resized};

static void set_listener(struct qcow2_disk *disk, struct event_loop *loop,
	const struct blk_listener *listener, void *opaque)
{
	pthread_mutex_lock(&disk->listener_lock);
	disk->loop = loop;
	disk->listener = listener;
	disk->opaque = opaque;
	pthread_mutex_unlock(&disk->listener_lock);
}

static void detach(struct qcow2_disk *disk, unsigned int layers)
{
	for (unsigned int i = 0; i < layers; i++)
		blk_detach(disk->layer[i].file);
	if (disk->loop)
		event_loop_remove(disk->loop, &disk->source);
	set_listener(disk, NULL, NULL, NULL);
}

static int attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	struct qcow2_disk *disk = to_disk(blk);
	int rc = 0;

	if (!listener) {
		detach(disk, disk->num_layers);
		return 0;
	}
	set_listener(disk, NULL, listener, opaque);
	if (loop)
		rc = event_loop_add(loop, &disk->source);
	if (rc) {
		set_listener(disk, NULL, NULL, NULL);
		return rc;
	}
	disk->loop = loop;
	for (unsigned int i = 0; i < disk->num_layers; i++) {
		rc = blk_attach(disk->layer[i].file, loop, &file_listener, &disk->layer[i]);
		if (rc) {
			detach(disk, i);
			return rc;
		}
	}
	return 0;
}

static uint64_t capacity(struct blk *blk)
{
	return atomic_load_explicit(&qcow2_top(to_disk(blk))->size, memory_order_relaxed);
}

static int refresh(struct blk *blk)
{
	(void)blk;
	return 0;
}

static int grow(struct blk *blk, uint64_t size)
{
	struct qcow2_disk *disk = to_disk(blk);
	struct qcow2_image *image = qcow2_top(disk);
	int rc;

	if (blk->info.read_only)
		return -EROFS;
	/* The backing file's next bytes would come to light. */
	if (disk->num_layers > 1 && qcow2_layer_size(&disk->layer[1]) > image->header.size)
		return size < image->header.size ? -EINVAL : -ENOTSUP;
	pthread_mutex_lock(&image->owner);
	rc = qcow2_image_grow(image, size, atomic_load(&disk->epoch));
	pthread_mutex_unlock(&image->owner);
	if (rc)
		return rc;
	pthread_mutex_lock(&disk->listener_lock);
	if (disk->listener)
		disk->listener->resized(disk->opaque);
	pthread_mutex_unlock(&disk->listener_lock);
	return 0;
}

static void close_disk(struct blk *blk)
{
	struct qcow2_disk *disk = to_disk(blk);

	disk->closing = true;
	cancel(disk);
	drain(blk);
	blk_pool_fini(&disk->pool);
	qcow2_disk_free(disk);
}

const struct blk_ops qcow2_disk_ops = {
	.attach = attach,
	.submit = submit,
	.commit = commit,
	.poll = poll_disk,
	.drain = drain,
	.capacity = capacity,
	.refresh = refresh,
	.grow = grow,
	.close = close_disk,
};
