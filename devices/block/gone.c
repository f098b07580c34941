/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk whose medium was taken away while a driver was at work: what it asks for fails. */
#include <errno.h>
#include <stdlib.h>

#include "devices/block/blk.h"

struct gone {
	struct blk blk;
	uint64_t capacity;
	struct blk_request *first, **last;
};

static struct gone *to_gone(struct blk *blk)
{
	return container_of(blk, struct gone, blk);
}

static int attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	(void)blk, (void)loop, (void)listener, (void)opaque;
	return 0;
}

static void submit(struct blk *blk, struct blk_request *req)
{
	struct gone *gone = to_gone(blk);

	req->next = NULL;
	req->bytes = 0;
	*gone->last = req;
	gone->last = &req->next;
}

static void commit(struct blk *blk)
{
	(void)blk;
}

/* Those that are there now: done may submit. */
static unsigned int poll_gone(struct blk *blk)
{
	struct gone *gone = to_gone(blk);
	struct blk_request *req = gone->first;
	unsigned int n = 0;

	gone->first = NULL;
	gone->last = &gone->first;
	for (struct blk_request *next; req; req = next, n++) {
		next = req->next;
		req->done(req, -EIO);
	}
	return n;
}

static void drain(struct blk *blk)
{
	while (poll_gone(blk))
		continue;
}

static uint64_t capacity(struct blk *blk)
{
	return to_gone(blk)->capacity;
}

static int refresh(struct blk *blk)
{
	(void)blk;
	return 0;
}

static void close_gone(struct blk *blk)
{
	drain(blk);
	free(to_gone(blk));
}

static const struct blk_ops ops = {
	.attach = attach,
	.submit = submit,
	.commit = commit,
	.poll = poll_gone,
	.drain = drain,
	.capacity = capacity,
	.refresh = refresh,
	.close = close_gone,
};

int blk_gone_create(struct blk *like, struct blk **ret)
{
	struct gone *gone = calloc(1, sizeof(*gone));

	if (!gone)
		return -ENOMEM;
	gone->blk.ops = &ops;
	gone->blk.info = like->info;
	gone->capacity = blk_capacity(like);
	gone->last = &gone->first;
	*ret = &gone->blk;
	return 0;
}
