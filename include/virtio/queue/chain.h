/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A descriptor chain as a device sees it: bytes to read, then bytes to write, at offsets from 0.
 * How the driver cut them into descriptors (virtio 1.2, 2.7.4: any framing) is nobody's business,
 * so nothing here tells.
 *
 * The chain was copied and checked when it was popped: iovecs point into guest RAM and nowhere
 * else, and stay valid until the chain is pushed or released. The bytes themselves belong to the
 * guest, which may change them at any moment: read a structure once, then use the copy.
 *
 * A cursor is a plain value: copy it to remember a place. No locks; one thread at a time per chain.
 */
#ifndef BANTAM_VIRTIO_QUEUE_CHAIN_H
#define BANTAM_VIRTIO_QUEUE_CHAIN_H

#include <sys/uio.h>

#include "vm/core/base.h"

struct virtq_chain {
	uint16_t slot;	   /* below the queue's maximum size; no other chain in flight has it, and
			    * low ones are used first: the index of a device's per-request memory */
	uint64_t readable; /* bytes in all, each at most 2^32 */
	uint64_t writable;

	/* For virtio/ only */
	uint16_t head;	    /* what goes into the used ring */
	uint16_t seq;	    /* place among all chains popped */
	uint16_t num_read;  /* iovecs */
	uint16_t num_write; /* behind them */
	struct iovec *iov;
};

struct virtq_cursor {
	uint64_t left; /* bytes to the end */
	const struct iovec *iov;
	size_t off; /* in *iov */
};

/* At the first byte that the device may read, or may write. */
struct virtq_cursor virtq_reader(const struct virtq_chain *chain);
struct virtq_cursor virtq_writer(const struct virtq_chain *chain);

/*
 * All of these advance the cursor, stop at its end, and return the bytes moved over: fewer than
 * len only when no more are left.
 */
uint64_t virtq_skip(struct virtq_cursor *cursor, uint64_t len);
size_t virtq_read(struct virtq_cursor *cursor, void *dst, size_t len);
size_t virtq_write(struct virtq_cursor *cursor, const void *src, size_t len);
uint64_t virtq_zero(struct virtq_cursor *cursor, uint64_t len);

/*
 * Describes the next bytes, at most len, by at most max iovecs, for I/O straight from or to guest
 * RAM; *num tells how many were used. Returns the bytes described, which is less than len when
 * either the chain or iov ends. Empty iovecs are never made.
 */
uint64_t virtq_iov(struct virtq_cursor *cursor, uint64_t len, struct iovec *iov, int max, int *num);

/*
 * How many iovecs virtq_iov would need for the next bytes, at most len. Does not advance.
 */
int virtq_iov_count(const struct virtq_cursor *cursor, uint64_t len);

#endif
