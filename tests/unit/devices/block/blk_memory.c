/* SPDX-License-Identifier: BSD-2-Clause */
#include "blk_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
	struct blk blk;
	uint64_t size, capacity;
	uint8_t *bytes;
	const struct blk_listener *listener;
	void *opaque;
	struct blk_request *submitted, **submitted_end;
	struct blk_request *finished, **finished_end;
};

static struct memory *to_memory(struct blk *blk)
{
	return container_of(blk, struct memory, blk);
}

static int memory_attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	(void)loop;
	to_memory(blk)->listener = listener;
	to_memory(blk)->opaque = opaque;
	return 0;
}

static void memory_submit(struct blk *blk, struct blk_request *req)
{
	struct memory *m = to_memory(blk);

	req->bytes = 0;
	req->next = NULL;
	*m->submitted_end = req;
	m->submitted_end = &req->next;
}

static void move(struct memory *m, const struct blk_request *req)
{
	uint8_t *place = m->bytes + req->offset;

	for (int i = 0; i < req->num_iov; i++) {
		const struct iovec *iov = &req->iov[i];

		if (req->op == BLK_READ)
			memcpy(iov->iov_base, place, iov->iov_len);
		else
			memcpy(place, iov->iov_base, iov->iov_len);
		place += iov->iov_len;
	}
}

static int execute(struct memory *m, struct blk_request *req)
{
	uint64_t total = 0;

	if ((unsigned int)req->op >= BLK_NUM_OPS)
		return -EINVAL;
	if (req->op == BLK_FLUSH)
		return 0;
	if (req->op != BLK_READ && m->blk.info.read_only)
		return -EROFS;
	if (!range_ok(req->offset, req->len, m->capacity))
		return -ERANGE;
	if (req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES) {
		memset(m->bytes + req->offset, 0, req->len);
		return 0;
	}
	for (int i = 0; i < req->num_iov; i++)
		total += req->iov[i].iov_len;
	if (total != req->len)
		return -EINVAL;
	move(m, req);
	req->bytes = req->len;
	return 0;
}

static void memory_commit(struct blk *blk)
{
	struct memory *m = to_memory(blk);

	for (struct blk_request *req = m->submitted; req; req = req->next)
		req->error = execute(m, req);
	*m->finished_end = m->submitted;
	if (m->submitted)
		m->finished_end = m->submitted_end;
	m->submitted = NULL;
	m->submitted_end = &m->submitted;
}

static unsigned int memory_poll(struct blk *blk)
{
	struct memory *m = to_memory(blk);
	struct blk_request *req = m->finished, *next;
	unsigned int count = 0;

	m->finished = NULL;
	m->finished_end = &m->finished;
	for (; req; req = next, count++) {
		next = req->next;
		req->done(req, req->error);
	}
	memory_commit(blk);
	return count;
}

static void memory_drain(struct blk *blk)
{
	memory_commit(blk);
	while (memory_poll(blk))
		;
}

static uint64_t memory_capacity(struct blk *blk)
{
	return to_memory(blk)->capacity;
}

static int memory_refresh(struct blk *blk)
{
	(void)blk;
	return 0;
}

static void memory_close(struct blk *blk)
{
	struct memory *m = to_memory(blk);

	memory_drain(blk);
	free(m->bytes);
	free(m);
}

static const struct blk_ops memory_ops = {
	.attach = memory_attach,
	.submit = memory_submit,
	.commit = memory_commit,
	.poll = memory_poll,
	.drain = memory_drain,
	.capacity = memory_capacity,
	.refresh = memory_refresh,
	.close = memory_close,
};

struct blk *blk_memory_create(uint64_t size, bool read_only)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (m)
		m->bytes = calloc(1, size);
	if (!m || !m->bytes) {
		perror("blk_memory");
		abort();
	}
	m->blk.ops = &memory_ops;
	m->blk.info = (struct blk_info){
		.read_only = read_only,
		.write_cache = true,
		.logical_block = BLK_SECTOR,
		.physical_block = BLK_SECTOR,
		.discard_granularity = BLK_SECTOR,
	};
	m->size = m->capacity = size;
	m->submitted_end = &m->submitted;
	m->finished_end = &m->finished;
	return &m->blk;
}

uint8_t *blk_memory_bytes(struct blk *blk)
{
	return to_memory(blk)->bytes;
}

void blk_memory_resize(struct blk *blk, uint64_t size)
{
	struct memory *m = to_memory(blk);

	m->capacity = MIN(size, m->size);
	if (m->listener && m->listener->resized)
		m->listener->resized(m->opaque);
}
