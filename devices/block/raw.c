/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw images and block devices: a disk's bytes are the file's.
 *
 *	submit ─┬─ nothing to do, or wrong ──────────────► finished ─┐
 *		├─ aligned read, write ─► batch ─► libaio ─►─────────┤
 *		├─ anything else ───────► slow ──► pool ───►─────────┼─► poll: done()
 *		└─ FLUSH ──► unflushed ─► flushing ──────────────►───┘
 *			(commit moves things from the second column to the third)
 *
 * libaio refuses or cuts short what it cannot do asynchronously (alignment other than announced, a
 * full ring with nothing in it, the end of the file): all that goes to the pool as well, where
 * plain system calls tell what the matter is. A full ring leaves the rest of the batch for later.
 *
 * Completions. libaio and the pool write the same eventfd. poll looks into the ring and at a flag
 * in user space first; only when something is there does it read the eventfd, and then collects:
 * what finishes after the read writes the eventfd again, so nothing is forgotten, and a poll right
 * after commit spares the loop a turn.
 *
 * A RAM disk, or any that has finished when io_submit returns, does not even need that read: after
 * some commits in a row that left nothing to wait for, the loop is told not to listen to the
 * eventfd, so nobody needs to keep it quiet, and a request costs one system call. The first commit
 * that does leave something makes the loop listen again. The eventfd itself stays in the iocbs: one
 * that nobody listens to costs the kernel next to nothing, while a request without it could not be
 * waited for but by a thread of its own.
 *
 * Flushes. At most one fdatasync is under way, for all that asked for it before it began: that
 * saves most of them when a guest's processes each sync their own, and the kernel reports lost data
 * to one caller only, so two at a time would give one a good conscience at the other's expense. It
 * goes the way of other requests, by libaio (a thread of the kernel, then) or the pool, as it may
 * take seconds. When nothing was written since the latest one began, there is nothing to flush. A
 * flush covers the writes whose done was called before it was submitted (virtio 1.2, 5.2.6.2), so
 * it need not wait for those in flight.
 *
 * BLK_FUA is RWF_DSYNC with libaio; a write of the pool joins the next flush instead. The writes to
 * a device without a volatile cache are BLK_FUA, which costs them nothing, and the guest is told
 * that it need not flush.
 *
 * Rejected: io_uring (not in all kernels that matter, and forbidden on many hosts); preadv2 with
 * RWF_NOWAIT before libaio (only block devices and some file systems know it).
 */
#include "raw.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sys.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

enum { AIO_EVENTS = 128 }; /* the kernel allows at least as many in flight */

static struct blk_raw *to_raw(struct blk *blk)
{
	return container_of(blk, struct blk_raw, blk);
}

struct blk_image *blk_raw_image(struct blk *raw)
{
	return &to_raw(raw)->image;
}

int blk_raw_extend(struct blk *blk, uint64_t size)
{
	struct blk_raw *raw = to_raw(blk);

	if (ftruncate(raw->image.fd, (off_t)size) < 0)
		return -errno;
	atomic_store(&raw->image.tail, size);
	atomic_store(&raw->capacity, size);
	return 0;
}

static void on_event(void *opaque, uint32_t events)
{
	struct blk_raw *raw = opaque;

	(void)events;
	atomic_store(&raw->signalled, true);
	raw->listener->ready(raw->opaque);
}

static void set_listener(struct blk_raw *raw, const struct blk_listener *listener, void *opaque)
{
	pthread_mutex_lock(&raw->listener_lock);
	raw->listener = listener;
	raw->opaque = opaque;
	pthread_mutex_unlock(&raw->listener_lock);
}

static int raw_attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	struct blk_raw *raw = to_raw(blk);
	int rc = 0;

	if (raw->loop)
		event_loop_remove(raw->loop, &raw->source);
	set_listener(raw, listener, opaque);
	raw->loop = listener ? loop : NULL;
	raw->listening = true;
	raw->source.events = EPOLLIN;
	if (raw->loop)
		rc = event_loop_add(loop, &raw->source);
	if (rc) {
		raw->loop = NULL;
		set_listener(raw, NULL, NULL);
	}
	return rc;
}

static uint64_t raw_capacity(struct blk *blk)
{
	return atomic_load_explicit(&to_raw(blk)->capacity, memory_order_relaxed);
}

static int raw_refresh(struct blk *blk)
{
	struct blk_raw *raw = to_raw(blk);
	uint64_t size, usable;
	int rc = blk_image_size(&raw->image, &size, &usable);

	if (rc)
		return rc;
	if (atomic_exchange(&raw->capacity, usable) == usable)
		return 0;
	pthread_mutex_lock(&raw->listener_lock);
	if (raw->listener)
		raw->listener->resized(raw->opaque);
	pthread_mutex_unlock(&raw->listener_lock);
	return 1;
}

static int raw_grow(struct blk *blk, uint64_t size)
{
	int rc = blk_image_grow(&to_raw(blk)->image, size);

	return rc < 0 ? rc : MIN(raw_refresh(blk), 0);
}

static void raw_close(struct blk *blk)
{
	struct blk_raw *raw = to_raw(blk);

	raw->closing = true;
	raw_cancel(raw);
	raw_drain(blk);
	if (raw->native)
		raw->image.sys->aio_destroy(raw->image.sys, raw->aio);
	blk_pool_fini(&raw->pool);
	close(raw->source.fd);
	blk_image_close(&raw->image);
	pthread_mutex_destroy(&raw->listener_lock);
	free(raw->path);
	free(raw);
}

static const struct blk_ops raw_ops = {
	.attach = raw_attach,
	.submit = raw_submit,
	.commit = raw_commit,
	.poll = raw_poll,
	.drain = raw_drain,
	.capacity = raw_capacity,
	.refresh = raw_refresh,
	.grow = raw_grow,
	.close = raw_close,
};

static int set_up_native(struct blk_raw *raw, const struct blk_config *config, struct error *err)
{
	const struct blk_sys *sys = raw->image.sys;
	int rc;

	if (config->aio == BLK_AIO_THREADS || !raw->image.direct)
		return 0;
	rc = sys->aio_setup(sys, AIO_EVENTS, &raw->aio);
	raw->native = !rc;
	if (!rc)
		return 0;
	if (config->aio == BLK_AIO_AUTO) {
		log_msg(config->log, LOG_WARN,
			"%s: no native asynchronous I/O (error %d), threads are used", config->path,
			-rc);
		return 0;
	}
	if (rc == -EAGAIN)
		return error_set(err, rc,
			"%s: the host allows no more native asynchronous I/O "
			"(/proc/sys/fs/aio-max-nr); use aio=threads",
			config->path);
	return error_set_errno(
		err, rc, "%s: aio=native is not possible; use aio=threads", config->path);
}

/* What can fail behind an open image */
static int set_up_queue(struct blk_raw *raw, const struct blk_config *config, struct error *err)
{
	uint64_t size, usable;
	int rc = blk_image_size(&raw->image, &size, &usable), fd;

	if (rc)
		return error_set_errno(err, rc, "%s", config->path);
	atomic_init(&raw->capacity, usable);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return error_set_errno(err, -errno, "%s: eventfd", config->path);
	raw->source =
		(struct event_source){.fd = fd, .events = EPOLLIN, .fn = on_event, .opaque = raw};
	raw->pool.run = raw_run;
	raw->pool.opaque = raw;
	raw->pool.event_fd = fd;
	rc = blk_pool_init(&raw->pool);
	if (rc) {
		error_set_errno(err, rc, "%s", config->path);
		goto close_fd;
	}
	rc = set_up_native(raw, config, err);
	if (!rc)
		return 0;
	blk_pool_fini(&raw->pool);
close_fd:
	close(fd);
	return rc;
}

int blk_raw_create(const struct blk_config *config, struct blk **ret, struct error *err)
{
	struct blk_raw *raw;
	int rc = -ENOMEM;

	if (config->aio == BLK_AIO_NATIVE && config->cache != BLK_CACHE_NONE)
		return error_set(err, -EINVAL,
			"%s: aio=native needs cache=none, it would block otherwise", config->path);
	raw = calloc(1, sizeof(*raw));
	if (!raw || !(raw->path = strdup(config->path))) {
		error_set_errno(err, rc, "%s", config->path);
		goto free_raw;
	}
	rc = blk_image_open(&raw->image, config, &raw->blk.info, err);
	if (rc)
		goto free_path;
	rc = set_up_queue(raw, config, err);
	if (rc)
		goto close_image;
	raw->blk.ops = &raw_ops;
	raw->log = config->log;
	raw->listening = true;
	raw->flush.op = BLK_FLUSH;
	/* Whoever wrote the image before may not have flushed it. */
	raw->dirty = !config->read_only && !raw->image.never_sync;
	pthread_mutex_init(&raw->listener_lock, NULL);
	*ret = &raw->blk;
	return 0;

close_image:
	blk_image_close(&raw->image);
free_path:
	free(raw->path);
free_raw:
	free(raw);
	return rc;
}
