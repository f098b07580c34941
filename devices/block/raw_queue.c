/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of a request through the raw back end; raw.c tells it as a whole.
 *
 * A write of part of a block reads the block, changes it and writes it all. Another write into the
 * same block meanwhile, though none of its bytes overlap, would be undone by that. So such a write
 * is alone: it begins when no other is on its way, and those behind it wait, in order. Where guest
 * and host agree about the size of blocks, there is none. Only O_DIRECT has blocks at all.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "raw.h"
#include "sync.h"
#include "sys.h"
#include "vm/core/log.h"

enum {
	REAP_MAX = 32, /* events in one look into the ring */
	AIO_IOVECS = 1024,
	AIO_BYTES = 0x7ffff000, /* the kernel moves no more at once (MAX_RW_COUNT) */
	AT_ONCE = 32,		/* commits in a row, and the loop need not listen */
};

static struct blk_raw *to_raw(struct blk *blk)
{
	return container_of(blk, struct blk_raw, blk);
}

static bool is_write(const struct blk_request *req)
{
	return req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES || req->op == BLK_DISCARD;
}

/* A discard is a hint, and nothing is lost with it. */
bool raw_wants_sync(const struct blk_raw *raw, const struct blk_request *req)
{
	return (req->flags & BLK_FUA || raw->image.sync_writes) && !raw->image.never_sync &&
	       req->op != BLK_DISCARD;
}

static void finish(struct blk_raw *raw, struct blk_request *req, int error)
{
	req->error = error;
	blk_list_add(&raw->finished, req);
}

/* ---- submit ---- */

/* 0, or why this is no request for this disk. */
static int check(struct blk_raw *raw, const struct blk_request *req)
{
	if (raw->closing)
		return -ECANCELED;
	if ((unsigned int)req->op >= BLK_NUM_OPS || req->num_iov < 0)
		return -EINVAL;
	if (req->op == BLK_FLUSH)
		return 0;
	if (is_write(req) && raw->image.read_only)
		return -EROFS;
	return range_ok(req->offset, req->len, atomic_load(&raw->capacity)) ? 0 : -ERANGE;
}

/* Sets req->aligned. -EINVAL: the iovecs do not make up the length. */
static int look_at_iovecs(struct blk_raw *raw, struct blk_request *req)
{
	int rc;

	req->aligned = false;
	if (req->op != BLK_READ && req->op != BLK_WRITE)
		return 0;
	rc = blk_image_aligned(&raw->image, req);
	req->aligned = rc > 0 && req->num_iov <= AIO_IOVECS && req->len <= AIO_BYTES;
	return MIN(rc, 0);
}

/* Chooses the way of a request that may begin. */
static void route(struct blk_raw *raw, struct blk_request *req)
{
	if (raw->native && (req->aligned || req->op == BLK_FLUSH)) {
		raw_aio_prepare(raw, req);
		blk_list_add(&raw->batch, req);
	} else {
		blk_list_add(&raw->slow, req);
	}
}

static bool is_partial(const struct blk_raw *raw, const struct blk_request *req)
{
	return (req->offset | req->len) & (raw->image.block - 1);
}

static bool must_wait(const struct blk_raw *raw, const struct blk_request *req)
{
	return raw->partial_write || (raw->writes && is_partial(raw, req));
}

static void begin_write(struct blk_raw *raw, struct blk_request *req)
{
	raw->writes++;
	raw->partial_write = is_partial(raw, req);
	route(raw, req);
}

static void end_write(struct blk_raw *raw)
{
	raw->writes--;
	raw->partial_write = false; /* if there was one, this was it */
}

void raw_submit(struct blk *blk, struct blk_request *req)
{
	struct blk_raw *raw = to_raw(blk);
	int rc = check(raw, req);

	req->bytes = 0;
	if (!rc)
		rc = look_at_iovecs(raw, req);
	if (rc)
		finish(raw, req, rc);
	else if (req->op == BLK_FLUSH)
		blk_list_add(&raw->unflushed, req);
	else if (!req->len)
		finish(raw, req, 0);
	else if (!is_write(req))
		route(raw, req);
	else if (raw->held.head || must_wait(raw, req))
		blk_list_add(&raw->held, req);
	else
		begin_write(raw, req);
}

/* ---- commit ---- */

/* Ends the flush that was under way, or was not needed. */
static void end_flush(struct blk_raw *raw, int error)
{
	struct blk_request *req;

	if (error && !raw->flush_error) {
		raw->flush_error = error;
		log_msg(raw->log, LOG_ERROR,
			"%s: a flush failed (error %d); what the guest wrote may be lost, and no "
			"further flush will succeed",
			raw->path, -error);
	}
	while ((req = blk_list_pop(&raw->flushing)) != NULL)
		finish(raw, req, raw->flush_error);
}

static bool flush_is_due(const struct blk_raw *raw)
{
	return raw->unflushed.head && !raw->flushing.head;
}

static void start_flush(struct blk_raw *raw)
{
	if (!flush_is_due(raw))
		return;
	blk_list_move(&raw->flushing, &raw->unflushed);
	if (raw->flush_error || !raw->dirty) {
		end_flush(raw, 0);
		return;
	}
	raw->dirty = false;
	route(raw, &raw->flush);
}

static void start(struct blk_raw *raw)
{
	start_flush(raw);
	raw_aio_submit(raw);
	for (const struct blk_request *req = raw->slow.head; req; req = req->next)
		raw->in_pool++;
	blk_pool_add(&raw->pool, &raw->slow);
}

static void clear_event(struct blk_raw *raw)
{
	uint64_t count;

	if (read(raw->source.fd, &count, sizeof(count)) < 0)
		return; /* the signal is still on its way; then there will be one ready too many */
}

/* Whether ready is called for what finishes from now on. */
static void set_listening(struct blk_raw *raw, bool on)
{
	if (!raw->loop || raw->listening == on)
		return;
	raw->listening = on;
	if (on)
		clear_event(raw);
	event_loop_modify(raw->loop, &raw->source, on ? EPOLLIN : 0);
}

void raw_commit(struct blk *blk)
{
	struct blk_raw *raw = to_raw(blk);

	start(raw);
	/* What is finished already is for the poll that follows. */
	if (raw->in_pool || raw->in_aio > raw_aio_ready(raw))
		raw->at_once = 0;
	else if (raw->in_aio && raw->at_once < AT_ONCE)
		raw->at_once++;
	set_listening(raw, raw->at_once < AT_ONCE);
}

void raw_run(void *opaque, struct blk_request *req, uint8_t *bounce)
{
	const struct blk_raw *raw = opaque;

	req->error = blk_sync_execute(&raw->image, req, bounce);
}

/* ---- poll ---- */

/* What came back from libaio or the pool. durable: a write that needs no flush. */
static void complete(struct blk_raw *raw, struct blk_request *req, int error, bool durable)
{
	if (req->op == BLK_FLUSH) {
		end_flush(raw, error);
		return;
	}
	if (is_write(req)) {
		end_write(raw);
		if (!durable && !raw->image.never_sync)
			raw->dirty = true;
		if (!durable && !error && raw_wants_sync(raw, req)) {
			blk_list_add(&raw->unflushed, req);
			return;
		}
	}
	finish(raw, req, error);
}

static void complete_aio(struct blk_raw *raw, const struct io_event *event)
{
	struct blk_request *req = event->data;
	const int64_t result = (int64_t)event->res;

	raw->in_aio--;
	if (result >= 0 && (uint64_t)result == req->len) {
		req->bytes = req->len;
		complete(raw, req, 0, raw_aio_durable(req));
		return;
	}
	/* Neither done nor failed: the pool goes on where this ended. */
	if (req->op != BLK_FLUSH &&
		(result >= 0 || result == -EAGAIN || result == -EINTR || result == -EINVAL)) {
		req->bytes = result > 0 ? MIN((uint64_t)result, req->len) : 0;
		blk_list_add(&raw->slow, req);
		return;
	}
	complete(raw, req, (int)result, false);
}

static void reap(struct blk_raw *raw)
{
	const struct blk_sys *sys = raw->image.sys;
	struct io_event events[REAP_MAX];
	struct blk_list done = {0};
	struct blk_request *req;
	unsigned int n;

	while (raw->in_aio && (n = sys->aio_reap(sys, raw->aio, REAP_MAX, events)) > 0)
		for (unsigned int i = 0; i < n; i++)
			complete_aio(raw, &events[i]);
	blk_pool_take(&raw->pool, &done);
	while ((req = blk_list_pop(&done)) != NULL) {
		raw->in_pool--;
		complete(raw, req, req->error, false);
	}
	while (raw->held.head && !must_wait(raw, raw->held.head))
		begin_write(raw, blk_list_pop(&raw->held));
}

unsigned int raw_poll(struct blk *blk)
{
	struct blk_raw *raw = to_raw(blk);
	/* Exchanged only when it is set, for the sake of the usual case. */
	const bool signalled = atomic_load_explicit(&raw->signalled, memory_order_relaxed) &&
			       atomic_exchange(&raw->signalled, false);
	const uint64_t one = 1;
	unsigned int count;

	if (signalled || raw_aio_ready(raw) || blk_pool_ready(&raw->pool)) {
		if (signalled || raw->listening)
			clear_event(raw);
		reap(raw);
	}
	count = blk_list_deliver(&raw->finished);
	if (raw->batch.head || raw->slow.head || raw->finished.head || flush_is_due(raw)) {
		/* No poll follows: what is finished at once has to come by the loop, too. */
		raw->at_once = 0;
		set_listening(raw, true);
		start(raw);
	}
	if (raw->finished.head && write(raw->source.fd, &one, sizeof(one)) < 0)
		return count; /* full, which wakes the loop as well */
	return count;
}

/* ---- drain, cancel ---- */

static bool busy(const struct blk_raw *raw)
{
	return raw->in_aio || raw->in_pool || raw->batch.head || raw->slow.head || raw->held.head ||
	       raw->unflushed.head || raw->flushing.head || raw->finished.head;
}

void raw_drain(struct blk *blk)
{
	struct blk_raw *raw = to_raw(blk);

	raw_commit(blk);
	while (raw_poll(blk), busy(raw)) {
		struct pollfd pfd = {.fd = raw->source.fd, .events = POLLIN};

		if (poll(&pfd, 1, -1) > 0)
			atomic_store(&raw->signalled, true);
	}
}

/* Leaves alone what belongs to writes that were made already. */
static void cancel_list(struct blk_raw *raw, struct blk_list *list)
{
	struct blk_list all = *list;
	struct blk_request *req;

	list->head = NULL;
	while ((req = blk_list_pop(&all)) != NULL) {
		if (req == &raw->flush || (list == &raw->unflushed && is_write(req))) {
			blk_list_add(list, req);
			continue;
		}
		if (is_write(req) && list != &raw->held)
			end_write(raw);
		finish(raw, req, -ECANCELED);
	}
}

void raw_cancel(struct blk_raw *raw)
{
	struct blk_list queued = {0};

	blk_pool_cancel(&raw->pool, &queued);
	for (const struct blk_request *req = queued.head; req; req = req->next)
		raw->in_pool--;
	blk_list_move(&raw->slow, &queued);
	cancel_list(raw, &raw->slow);
	cancel_list(raw, &raw->batch);
	cancel_list(raw, &raw->held);
	cancel_list(raw, &raw->unflushed);
}
