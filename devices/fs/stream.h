/* SPDX-License-Identifier: BSD-2-Clause */
/* A place in the client's memory, and so many bytes from there on. A plain value. */
#ifndef BANTAM_DEVICES_FS_STREAM_H
#define BANTAM_DEVICES_FS_STREAM_H

#include <sys/uio.h>

#include "vm/core/base.h"

struct fs_stream {
	uint64_t left;
	const struct iovec *iov;
	size_t off; /* in *iov */
};

struct fs_stream fs_stream(const struct iovec *iov, int num);

/* These advance and return the bytes moved over: fewer than len only when no more are left. */
size_t fs_stream_skip(struct fs_stream *s, size_t len);
size_t fs_stream_read(struct fs_stream *s, void *dst, size_t len);
size_t fs_stream_write(struct fs_stream *s, const void *src, size_t len);
/* The next bytes, at most len, as at most max iovecs; *num tells how many. Does not advance. */
size_t fs_stream_iov(const struct fs_stream *s, size_t len, struct iovec *iov, int max, int *num);
/*
 * Copies a string and moves over it and its end: its length, -EINVAL when it has no end, or
 * -ENAMETOOLONG when that does not lie within the size bytes of dst.
 */
int fs_stream_string(struct fs_stream *s, char *dst, size_t size);

#endif
