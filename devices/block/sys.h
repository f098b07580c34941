/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that move a disk's data, as a table, so that a test can be the kernel and the
 * disk below it: fail, fall short, complete late and out of order, lose power. All return what the
 * call returns, but a negative errno instead of -1; none returns -EINTR.
 */
#ifndef BANTAM_DEVICES_BLOCK_SYS_H
#define BANTAM_DEVICES_BLOCK_SYS_H

#include <libaio.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vm/core/base.h"

/* A file under O_DIRECT. */
struct blk_direct {
	uint32_t block, align; /* offsets and lengths, and buffers, must be multiples of these */
	bool write_through;    /* a device that has no volatile cache */
};

struct blk_aio_queue; /* of whoever made it */

struct blk_sys {
	/* Sets O_DIRECT; where that fails, nothing has changed. */
	int (*set_direct)(const struct blk_sys *sys, int fd, struct blk_direct *ret);
	ssize_t (*preadv)(const struct blk_sys *sys, int fd, const struct iovec *iov, int num,
		uint64_t offset);
	ssize_t (*pwritev)(const struct blk_sys *sys, int fd, const struct iovec *iov, int num,
		uint64_t offset);
	int (*fdatasync)(const struct blk_sys *sys, int fd);
	int (*fallocate)(
		const struct blk_sys *sys, int fd, int mode, uint64_t offset, uint64_t len);
	int (*discard)(const struct blk_sys *sys, int fd, uint64_t offset, uint64_t len);

	int (*aio_setup)(const struct blk_sys *sys, int num, struct blk_aio_queue **ret);
	int (*aio_submit)(const struct blk_sys *sys, struct blk_aio_queue *aio, long num,
		struct iocb **iocbs);
	/* How many events are there to be taken. No system call. */
	unsigned int (*aio_ready)(const struct blk_sys *sys, struct blk_aio_queue *aio);
	/* Takes up to max of them, the oldest first. No system call. */
	unsigned int (*aio_reap)(const struct blk_sys *sys, struct blk_aio_queue *aio,
		unsigned int max, struct io_event *events);
	void (*aio_destroy)(const struct blk_sys *sys, struct blk_aio_queue *aio);
};

extern const struct blk_sys blk_sys_host;

#endif
