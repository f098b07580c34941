/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes into and out of iovecs, one after the other. */
#ifndef BANTAM_DEVICES_NET_IOV_H
#define BANTAM_DEVICES_NET_IOV_H

#include <sys/uio.h>

#include "vm/core/base.h"

struct iov_cursor {
	const struct iovec *iov;
	int num_iov; /* from iov on */
	size_t off;  /* into *iov */
};

/* Both move len bytes and go on behind them; false: there are fewer, and some were moved. */
bool iov_read(struct iov_cursor *cursor, void *dst, size_t len);
bool iov_write(struct iov_cursor *cursor, const void *src, size_t len);

/* All bytes, counted up to enough. */
size_t iov_size(const struct iovec *iov, int num_iov, size_t enough);

/*
 * A frame of len bytes behind a header, for a guest: vouch says that its checksums are right.
 * False: there is no room for all of it, and nothing was written.
 */
bool iov_put_frame(
	const struct iovec *iov, int num_iov, bool vouch, const uint8_t *frame, size_t len);

#endif
