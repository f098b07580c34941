/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back ends: where the sectors of a disk are. A front end (virtio/blk/blk.c) submits
 *requests, starts them in batches and collects what is finished:
 *
 *	kick, under the device's lock		ready, on the loop's thread
 *		blk_submit() for each request		lock
 *		blk_commit()				blk_poll()	-> done()...
 *		blk_poll()	-> done()...		one interrupt, unlock
 *
 * Threads: submit, commit, poll and drain are serialised by the front end, by one lock of its own
 * for instance; done is called by poll, drain and close only, on their caller's thread, so under
 * whatever lock that holds. The listener's ready is the only thing that comes by itself. No
 * function here blocks on I/O but drain and close.
 *
 * Memory: a request belongs to the front end, which makes one per ring slot beforehand, and is lent
 * to the back end from submit to done, with its iovecs and the memory that they describe. Data
 * moves straight between that memory and the kernel wherever alignment lets it.
 *
 * Durability: a request's done says that it took effect for all later requests. What was written
 * is on stable storage when done of a flush that was submitted later comes without an error, or
 * with done of the write itself where that had BLK_FUA or the disk has no write cache
 * (blk_info.write_cache). Requests in flight together have no order among themselves. After a
 * failed flush, all further ones fail: the kernel reports lost data only once, and no later flush
 * can vouch for it.
 */
#ifndef BANTAM_DEVICES_BLOCK_BLK_H
#define BANTAM_DEVICES_BLOCK_BLK_H

#include <errno.h>
#include <sys/uio.h>

#include "vm/core/base.h"

struct blk;
struct blk_request;
struct blk_sys;
struct error;
struct event_loop;
struct log;

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES, BLK_NUM_OPS };

/* Flags of a request */
enum {
	BLK_FUA = 1 << 0,   /* WRITE, WRITE_ZEROES: on stable storage before done */
	BLK_UNMAP = 1 << 1, /* WRITE_ZEROES: space may be given back to the host */
};

enum {
	BLK_SECTOR = 512,   /* unit of a disk's size */
	BLK_AIO_BYTES = 64, /* room for a struct iocb */
};

struct blk_request {
	/* Set by the front end, and left alone from submit to done */
	enum blk_op op;
	uint32_t flags;
	uint64_t offset; /* bytes; any alignment will do, 512 is fast */
	uint64_t len;	 /* bytes, 0 for FLUSH; for READ and WRITE the sum of the iovecs */
	const struct iovec *iov;
	int num_iov;
	/*
	 * error is 0 when all of it was done, else a negative errno, some of it may have been done
	 * then: -EROFS (read-only, nothing was changed), -ERANGE (not inside the disk), -EINVAL
	 * (not a request), -ECANCELED (closed before it was started), -EIO, -ENOSPC, or what else
	 * the host said. May submit, also this request, which the running poll or drain then
	 * starts; may not commit, poll, drain or close.
	 */
	void (*done)(struct blk_request *req, int error);
	void *opaque;

	/* For the front end in done: READ and WRITE, how many bytes from the start were moved, at
	 * least. len when error is 0. */
	uint64_t bytes;

	/* The back end's own */
	struct blk_request *next; /* in the list of its stage */
	int error;
	bool aligned; /* goes to the kernel as it is */
	_Alignas(8) uint8_t aio[BLK_AIO_BYTES];
};

/* What does not change while a disk is open. Sizes in bytes. */
struct blk_info {
	bool read_only;
	bool write_cache;	      /* false: flushes are not needed, with or without BLK_FUA */
	uint32_t logical_block;	      /* smallest unit a guest should use: 512 or 4096 */
	uint32_t physical_block;      /* at least logical_block; smaller writes are slower */
	uint32_t discard_granularity; /* smaller or unaligned discards may do nothing */
};

struct blk_listener {
	/*
	 * Something is finished: call blk_poll, or it comes again at once. On the loop's thread,
	 * with no lock of the back end held; may come when poll finds nothing.
	 */
	void (*ready)(void *opaque);
	/* capacity has changed; by blk_refresh, on its caller's thread. May not detach. */
	void (*resized)(void *opaque);
};

struct blk_ops {
	/*
	 * NULL detaches: returns when no function of the listener is running (elsewhere than in the
	 * caller), hold no lock that it takes. Without a loop ready is never called. Not while
	 * another listener is attached. 0 or -errno of event_loop_add.
	 */
	int (*attach)(struct blk *blk, struct event_loop *loop, const struct blk_listener *listener,
		void *opaque);
	/* Takes a request. It never calls done, and never fails: errors come by done. */
	void (*submit)(struct blk *blk, struct blk_request *req);
	/*
	 * Starts what was submitted, in one batch. Without it nothing starts. Poll after it: ready
	 * does not come for what was finished at once.
	 */
	void (*commit)(struct blk *blk);
	/* Calls done for all that is finished and returns how many; cheap when nothing is. */
	unsigned int (*poll)(struct blk *blk);
	/* Commits, and returns when nothing is in flight, having called done for everything. */
	void (*drain)(struct blk *blk);
	/* Bytes, a multiple of BLK_SECTOR. Any thread. */
	uint64_t (*capacity)(struct blk *blk);
	/*
	 * Looks how large the disk is now. Returns 1 when that has changed (after resized was
	 * called), 0, or -errno. Any thread, one at a time; not inside the listener's functions.
	 */
	int (*refresh)(struct blk *blk);
	/*
	 * Makes the disk size bytes, and refreshes. -EINVAL: it would be smaller; -EROFS,
	 * -ENOTSUP for what has a size of its own, or what the host says. NULL: not possible.
	 */
	int (*grow)(struct blk *blk, uint64_t size);
	/*
	 * The listener is detached already. What was not started is cancelled, the rest waited for,
	 * done called for all. Flushes nothing by itself.
	 */
	void (*close)(struct blk *blk);
};

/* Embedded in its back end; constant after the constructor. */
struct blk {
	const struct blk_ops *ops;
	struct blk_info info;
};

/* ---- raw images and block devices ---- */

enum blk_cache {
	/*
	 * O_DIRECT: the host's page cache is not used; flushes count, but on a block device without
	 * a volatile cache. Where the host has no O_DIRECT it is BLK_CACHE_WRITEBACK, with a
	 * warning, or refused if BLK_AIO_NATIVE was asked for.
	 */
	BLK_CACHE_NONE,
	BLK_CACHE_WRITEBACK,	/* the host's page cache; flushes count */
	BLK_CACHE_WRITETHROUGH, /* the same, each write is on stable storage when done */
	BLK_CACHE_UNSAFE,	/* the same, flushes and BLK_FUA do nothing */
};

enum blk_aio {
	BLK_AIO_AUTO,	 /* native with BLK_CACHE_NONE where the host allows, else threads */
	BLK_AIO_NATIVE,	 /* libaio; only with BLK_CACHE_NONE, it would block otherwise */
	BLK_AIO_THREADS, /* a few threads, made when they are needed */
};

struct blk_config {
	const char *path; /* a regular file or a block device, never opened as another format */
	/*
	 * NULL, or two descriptors of it, opened one by one by somebody who may, and copied: the
	 * path is a name only then.
	 */
	const int *fds;
	bool read_only;
	bool container; /* its bytes are not the disk's: nothing is said of how they look */
	bool backing;	/* the files that it is based on may be opened, if the format has such */
	enum blk_cache cache;
	enum blk_aio aio;
	struct log *log;	   /* outlives the disk */
	const struct blk_sys *sys; /* NULL: the host's system calls; others are for tests */
};

/*
 * Opens and locks: one writer, or any number of readers, among all processes that lock alike
 * (F_OFD_SETLK); the lock goes with close. Refused are, with -EISDIR or -EINVAL, whatever is
 * neither a regular file nor a block device, and what is smaller than a sector (of a device: one of
 * its own); -EBUSY: the lock, or a mounted device. A tail that is no whole sector is left out of
 * the disk, with a warning; the size does not depend on the cache mode. There is a warning for what
 * looks like an image of another format, too. err names the path, what is wrong and what to try.
 * config is not needed afterwards.
 */
int blk_raw_create(const struct blk_config *config, struct blk **ret, struct error *err);

/*
 * A qcow2 image of version 2 or 3, by way of the raw back end: what that says of locks, caches and
 * threads holds for the file. What is not supported is refused by name, so is a backing file unless
 * config->backing allows it; those are opened read-only, 15 at most. See devices/block/qcow2/.
 */
int blk_qcow2_create(const struct blk_config *config, struct blk **ret, struct error *err);

/*
 * The disk as it is now, opened read-only and shared, as a qcow2 image or raw; what is written to
 * it goes to a file without a name, in $TMPDIR or /var/tmp, and is gone when it is closed. most:
 * bytes that this file may have, 0 for no limit; beyond them writes fail with -ENOSPC. Flushes do
 * nothing.
 */
int blk_snapshot_create(const struct blk_config *config, bool qcow2, uint64_t most,
	struct blk **ret, struct error *err);

/*
 * Whether the file, or what the descriptor is open for if that is not -1, begins like a qcow2
 * image; false for what cannot be read.
 */
bool blk_qcow2_looks(const char *path, int fd);

/*
 * A disk like that one which is not there any more: every request fails with -EIO, at once.
 * -ENOMEM.
 */
int blk_gone_create(struct blk *like, struct blk **ret);

/* ---- for front ends; see struct blk_ops ---- */

static inline int blk_attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	return blk->ops->attach(blk, loop, listener, opaque);
}

static inline void blk_detach(struct blk *blk)
{
	blk->ops->attach(blk, NULL, NULL, NULL);
}

static inline void blk_submit(struct blk *blk, struct blk_request *req)
{
	blk->ops->submit(blk, req);
}

static inline void blk_commit(struct blk *blk)
{
	blk->ops->commit(blk);
}

static inline unsigned int blk_poll(struct blk *blk)
{
	return blk->ops->poll(blk);
}

static inline void blk_drain(struct blk *blk)
{
	blk->ops->drain(blk);
}

static inline uint64_t blk_capacity(struct blk *blk)
{
	return blk->ops->capacity(blk);
}

static inline int blk_refresh(struct blk *blk)
{
	return blk->ops->refresh(blk);
}

static inline int blk_grow(struct blk *blk, uint64_t size)
{
	return blk->ops->grow ? blk->ops->grow(blk, size) : -ENOTSUP;
}

/* NULL is allowed. */
static inline void blk_close(struct blk *blk)
{
	if (blk)
		blk->ops->close(blk);
}

#endif
