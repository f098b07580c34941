/* SPDX-License-Identifier: BSD-2-Clause */
/* submit -> submitted -> commit -> flight -> finish -> finished -> poll -> done */
#include "virtio_blk_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void vbf_must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "block back end: %s\n", what);
	abort();
}

static struct vbf *to_vbf(struct blk *blk)
{
	return container_of(blk, struct vbf, blk);
}

static void list_add(struct vbf_list *list, struct blk_request *req)
{
	req->next = NULL;
	*list->end = req;
	list->end = &req->next;
}

static struct blk_request *list_take(struct vbf_list *list, unsigned int i)
{
	struct blk_request **link = &list->head, *req;

	while (*link && i--)
		link = &(*link)->next;
	req = *link;
	if (!req)
		return NULL;
	*link = req->next;
	if (!*link)
		list->end = link;
	return req;
}

static bool list_has(const struct vbf_list *list, const struct blk_request *req)
{
	for (const struct blk_request *r = list->head; r; r = r->next)
		if (r == req)
			return true;
	return false;
}

uint8_t vbf_pattern(uint64_t offset)
{
	return (uint8_t)(1 + (offset * 7 + offset / BLK_SECTOR) % 251);
}

/* ---- contents; the lock is held ---- */

static void move(uint8_t *disk, const struct blk_request *req, uint64_t most)
{
	uint64_t at = req->offset;

	for (int i = 0; i < req->num_iov && most; i++) {
		uint8_t *p = req->iov[i].iov_base;
		const uint64_t len = MIN(req->iov[i].iov_len, most);

		for (uint64_t k = 0; k < len; k++, at++) {
			if (req->op == BLK_READ)
				p[k] = at < VBF_BYTES ? disk[at] : 0;
			else if (at < VBF_BYTES)
				disk[at] = p[k];
		}
		most -= len;
	}
}

static void fill(struct vbf *disk, const struct blk_request *req, uint8_t byte)
{
	for (uint64_t at = req->offset; at < MIN(req->offset + req->len, (uint64_t)VBF_BYTES); at++)
		disk->data[at] = byte;
}

static void settle_sector(struct vbf *disk, uint64_t sector)
{
	memcpy(disk->stable + sector * BLK_SECTOR, disk->data + sector * BLK_SECTOR, BLK_SECTOR);
}

static void note_written(struct vbf *disk, const struct blk_request *req)
{
	const bool stable = (req->flags & BLK_FUA) || !disk->blk.info.write_cache;
	const uint64_t end = MIN(req->offset + req->len, (uint64_t)VBF_BYTES);

	for (uint64_t at = req->offset; at < end; at += BLK_SECTOR) {
		disk->written[at / BLK_SECTOR] = disk->now;
		if (stable)
			settle_sector(disk, at / BLK_SECTOR);
	}
}

/* A flush covers what was complete when it was submitted, and nothing else. */
static void flush(struct vbf *disk, const struct blk_request *req)
{
	unsigned int since;

	memcpy(&since, req->aio, sizeof(since));
	for (uint64_t sector = 0; sector < VBF_SECTORS; sector++)
		if (disk->written[sector] <= since)
			settle_sector(disk, sector);
}

static void finish(struct vbf *disk, struct blk_request *req, int error, uint64_t moved)
{
	req->error = error;
	req->bytes = error ? MIN(moved, req->len) : req->len;
	disk->now++;
	if (req->op == BLK_READ || req->op == BLK_WRITE)
		move(disk->data, req, req->bytes);
	else if (!error && req->op != BLK_FLUSH)
		fill(disk, req, req->op == BLK_DISCARD ? VBF_GARBAGE : 0);
	if (!error && req->op == BLK_FLUSH)
		flush(disk, req);
	else if (!error && req->op != BLK_READ)
		note_written(disk, req);
	list_add(&disk->finished, req);
}

/* ---- struct blk_ops ---- */

static void on_event(void *opaque, uint32_t events)
{
	struct vbf *disk = opaque;
	uint64_t count;

	(void)events;
	if (read(disk->source.fd, &count, sizeof(count)) > 0)
		disk->listener->ready(disk->opaque);
}

static int attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	struct vbf *disk = to_vbf(blk);

	vbf_must(!listener || !disk->listener, "two listeners");
	if (disk->loop)
		event_loop_remove(disk->loop, &disk->source);
	disk->loop = loop;
	pthread_mutex_lock(&disk->listener_lock);
	disk->listener = listener;
	disk->opaque = opaque;
	pthread_mutex_unlock(&disk->listener_lock);
	return loop ? event_loop_add(loop, &disk->source) : 0;
}

static void check(struct vbf *disk, const struct blk_request *req)
{
	const bool data = req->op == BLK_READ || req->op == BLK_WRITE;
	uint32_t allowed = 0;
	uint64_t total = 0;

	vbf_must((unsigned int)req->op < BLK_NUM_OPS && req->done, "not a request");
	vbf_must(!list_has(&disk->submitted, req) && !list_has(&disk->flight, req) &&
			 !list_has(&disk->finished, req),
		"a request twice");
	if (req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES)
		allowed |= BLK_FUA;
	if (req->op == BLK_WRITE_ZEROES)
		allowed |= BLK_UNMAP;
	vbf_must(!(req->flags & ~allowed), "a flag that means nothing");
	vbf_must(req->op == BLK_READ || req->op == BLK_FLUSH || !disk->blk.info.read_only,
		"a write to a read-only disk");
	vbf_must(!(req->offset % BLK_SECTOR) && !(req->len % BLK_SECTOR), "half a sector");
	for (int i = 0; data && i < req->num_iov; i++) {
		vbf_must(req->iov[i].iov_len, "an empty iovec");
		total += req->iov[i].iov_len;
	}
	vbf_must(!data || total == req->len, "iovecs of another length");
}

static void submit(struct blk *blk, struct blk_request *req)
{
	struct vbf *disk = to_vbf(blk);

	pthread_mutex_lock(&disk->lock);
	check(disk, req);
	req->bytes = 0;
	memcpy(req->aio, &disk->now, sizeof(disk->now));
	list_add(&disk->submitted, req);
	pthread_mutex_unlock(&disk->lock);
}

static void start(struct vbf *disk, struct blk_request *req)
{
	if (disk->num_log < VBF_LOG)
		disk->log[disk->num_log] = (struct vbf_entry){.op = req->op,
			.flags = req->flags,
			.offset = req->offset,
			.len = req->len,
			.num_iov = req->num_iov};
	disk->num_log++;
	if (req->op != BLK_FLUSH && !range_ok(req->offset, req->len, disk->capacity)) {
		disk->beyond++;
		finish(disk, req, -ERANGE, 0);
	} else if (disk->hold) {
		list_add(&disk->flight, req);
		disk->num_flight++;
	} else {
		finish(disk, req, req->op == disk->failing_op ? disk->error : 0, disk->moved);
	}
}

static void commit(struct blk *blk)
{
	struct vbf *disk = to_vbf(blk);
	struct blk_request *req;

	pthread_mutex_lock(&disk->lock);
	disk->commits += disk->submitted.head != NULL;
	while ((req = list_take(&disk->submitted, 0)))
		start(disk, req);
	pthread_mutex_unlock(&disk->lock);
}

static struct blk_request *take_finished(struct vbf *disk)
{
	struct blk_request *req;

	pthread_mutex_lock(&disk->lock);
	req = list_take(&disk->finished, 0);
	pthread_mutex_unlock(&disk->lock);
	return req;
}

static unsigned int poll_finished(struct blk *blk)
{
	struct blk_request *req;
	unsigned int count = 0;

	for (; (req = take_finished(to_vbf(blk))); count++) {
		req->done(req, req->error);
		commit(blk);
	}
	return count;
}

/* Nobody hears of it but the caller, who polls. */
static bool finish_one(struct vbf *disk, unsigned int i, int error, uint64_t moved)
{
	struct blk_request *req;

	pthread_mutex_lock(&disk->lock);
	req = list_take(&disk->flight, i);
	if (req) {
		disk->num_flight--;
		finish(disk, req, error, moved);
	}
	pthread_mutex_unlock(&disk->lock);
	return req;
}

static void drain(struct blk *blk)
{
	commit(blk);
	do {
		while (finish_one(to_vbf(blk), 0, 0, 0))
			;
	} while (poll_finished(blk));
}

static uint64_t capacity_of(struct blk *blk)
{
	return to_vbf(blk)->capacity;
}

static int refresh(struct blk *blk)
{
	(void)blk;
	return 0;
}

static void close_disk(struct blk *blk)
{
	struct vbf *disk = to_vbf(blk);

	vbf_must(!disk->listener, "closed with a listener");
	drain(blk);
	close(disk->source.fd);
	pthread_mutex_destroy(&disk->lock);
	pthread_mutex_destroy(&disk->listener_lock);
	free(disk);
}

static const struct blk_ops vbf_ops = {.attach = attach,
	.submit = submit,
	.commit = commit,
	.poll = poll_finished,
	.drain = drain,
	.capacity = capacity_of,
	.refresh = refresh,
	.close = close_disk};

/* ---- for tests ---- */

struct vbf *vbf_create(uint64_t capacity, bool read_only, bool write_cache)
{
	struct vbf *disk = calloc(1, sizeof(*disk));

	vbf_must(disk, "no memory");
	disk->blk.ops = &vbf_ops;
	disk->blk.info = (struct blk_info){.read_only = read_only,
		.write_cache = write_cache,
		.logical_block = 512,
		.physical_block = 4096,
		.discard_granularity = 8192};
	for (uint64_t i = 0; i < VBF_BYTES; i++)
		disk->data[i] = vbf_pattern(i);
	memcpy(disk->stable, disk->data, VBF_BYTES);
	disk->capacity = capacity;
	disk->submitted.end = &disk->submitted.head;
	disk->flight.end = &disk->flight.head;
	disk->finished.end = &disk->finished.head;
	pthread_mutex_init(&disk->lock, NULL);
	pthread_mutex_init(&disk->listener_lock, NULL);
	disk->source = (struct event_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.events = EPOLLIN,
		.fn = on_event,
		.opaque = disk};
	vbf_must(disk->source.fd >= 0, "no eventfd");
	return disk;
}

bool vbf_finish(struct vbf *disk, unsigned int i, int error, uint64_t moved)
{
	const uint64_t one = 1;

	if (!finish_one(disk, i, error, moved))
		return false;
	if (!disk->loop)
		disk->listener->ready(disk->opaque);
	else
		vbf_must(write(disk->source.fd, &one, sizeof(one)) == sizeof(one), "eventfd");
	return true;
}

void vbf_finish_all(struct vbf *disk)
{
	while (vbf_finish(disk, 0, 0, 0))
		;
}

unsigned int vbf_in_flight(struct vbf *disk)
{
	unsigned int n;

	pthread_mutex_lock(&disk->lock);
	n = disk->num_flight;
	pthread_mutex_unlock(&disk->lock);
	return n;
}

void vbf_resize(struct vbf *disk, uint64_t capacity)
{
	disk->capacity = capacity;
	pthread_mutex_lock(&disk->listener_lock);
	if (disk->listener)
		disk->listener->resized(disk->opaque);
	pthread_mutex_unlock(&disk->listener_lock);
}
