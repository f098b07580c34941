/* SPDX-License-Identifier: BSD-2-Clause */
/* The raw back end's way to libaio. */
#include <assert.h>
#include <errno.h>

#include "raw.h"
#include "sys.h"

enum { BATCH_MAX = 128 }; /* requests in one io_submit */

static_assert(sizeof(struct iocb) <= BLK_AIO_BYTES, "an iocb fits into a request");

static struct iocb *to_iocb(struct blk_request *req)
{
	return (struct iocb *)(void *)req->aio;
}

void raw_aio_prepare(const struct blk_raw *raw, struct blk_request *req)
{
	struct iocb *iocb = to_iocb(req);
	const int fd = req->op == BLK_FLUSH ? raw->image.plain_fd : raw->image.fd;
	const long long offset = (long long)req->offset;
	const struct iovec *iov = req->iov;

	/* One segment spares the kernel a look at the array. */
	if (req->op == BLK_FLUSH)
		io_prep_fdsync(iocb, fd);
	else if (req->op == BLK_READ && req->num_iov == 1)
		io_prep_pread(iocb, fd, iov->iov_base, iov->iov_len, offset);
	else if (req->op == BLK_READ)
		io_prep_preadv(iocb, fd, iov, req->num_iov, offset);
	else if (req->num_iov == 1)
		io_prep_pwrite(iocb, fd, iov->iov_base, iov->iov_len, offset);
	else
		io_prep_pwritev(iocb, fd, iov, req->num_iov, offset);
	if (req->op == BLK_WRITE && raw_wants_sync(raw, req))
		iocb->aio_rw_flags = RWF_DSYNC;
	io_set_eventfd(iocb, raw->source.fd);
	iocb->data = req;
}

bool raw_aio_durable(const struct blk_request *req)
{
	const struct iocb *iocb = (const struct iocb *)(const void *)req->aio;

	return iocb->aio_rw_flags & RWF_DSYNC;
}

/* Puts iocbs back to the front of the batch. */
static void put_back(struct blk_raw *raw, struct iocb **iocbs, int count)
{
	struct blk_list rest = {0};

	for (int i = 0; i < count; i++)
		blk_list_add(&rest, iocbs[i]->data);
	blk_list_move(&rest, &raw->batch);
	raw->batch = rest;
}

/* One io_submit. False: no more for now. */
static bool submit_batch(struct blk_raw *raw)
{
	const struct blk_sys *sys = raw->image.sys;
	struct iocb *iocbs[BATCH_MAX];
	int num = 0, taken;

	while (num < BATCH_MAX && raw->batch.head)
		iocbs[num++] = to_iocb(blk_list_pop(&raw->batch));
	if (!num)
		return false;
	taken = sys->aio_submit(sys, raw->aio, num, iocbs);
	if (taken > 0) {
		raw->in_aio += (unsigned int)taken;
		put_back(raw, iocbs + taken, num - taken);
		return true;
	}
	if (taken == -EAGAIN && raw->in_aio) {
		put_back(raw, iocbs, num); /* the next completion makes room */
		return false;
	}
	/* The first one is to blame, or nothing is in flight that would bring us back here. */
	blk_list_add(&raw->slow, iocbs[0]->data);
	put_back(raw, iocbs + 1, num - 1);
	return true;
}

void raw_aio_submit(struct blk_raw *raw)
{
	while (submit_batch(raw))
		;
}

unsigned int raw_aio_ready(const struct blk_raw *raw)
{
	return raw->in_aio ? raw->image.sys->aio_ready(raw->image.sys, raw->aio) : 0;
}
