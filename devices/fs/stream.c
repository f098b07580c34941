/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream.h"

#include <errno.h>
#include <string.h>

struct fs_stream fs_stream(const struct iovec *iov, int num)
{
	struct fs_stream s = {.iov = iov};

	for (int i = 0; i < num; i++)
		s.left += iov[i].iov_len;
	return s;
}

/* The contiguous bytes at the place, at most len of them, which is not more than are left. */
static uint8_t *next(struct fs_stream *s, size_t len, size_t *piece)
{
	while (s->off == s->iov->iov_len) {
		s->iov++;
		s->off = 0;
	}
	*piece = MIN(len, s->iov->iov_len - s->off);
	s->off += *piece;
	s->left -= *piece;
	return (uint8_t *)s->iov->iov_base + s->off - *piece;
}

size_t fs_stream_skip(struct fs_stream *s, size_t len)
{
	size_t done = 0, piece;

	len = (size_t)MIN((uint64_t)len, s->left);
	for (; done < len; done += piece)
		next(s, len - done, &piece);
	return done;
}

size_t fs_stream_read(struct fs_stream *s, void *dst, size_t len)
{
	size_t done = 0, piece;

	len = (size_t)MIN((uint64_t)len, s->left);
	for (; done < len; done += piece) {
		const uint8_t *from = next(s, len - done, &piece);

		memcpy((uint8_t *)dst + done, from, piece);
	}
	return done;
}

size_t fs_stream_write(struct fs_stream *s, const void *src, size_t len)
{
	size_t done = 0, piece;

	len = (size_t)MIN((uint64_t)len, s->left);
	for (; done < len; done += piece) {
		uint8_t *to = next(s, len - done, &piece);

		memcpy(to, (const uint8_t *)src + done, piece);
	}
	return done;
}

size_t fs_stream_iov(const struct fs_stream *s, size_t len, struct iovec *iov, int max, int *num)
{
	struct fs_stream at = *s;
	size_t done = 0;
	int n = 0;

	len = (size_t)MIN((uint64_t)len, at.left);
	for (; done < len && n < max; n++) {
		iov[n].iov_base = next(&at, len - done, &iov[n].iov_len);
		done += iov[n].iov_len;
	}
	*num = n;
	return done;
}

int fs_stream_string(struct fs_stream *s, char *dst, size_t size)
{
	struct fs_stream at = *s;
	const size_t len = fs_stream_read(&at, dst, size);
	const char *end = memchr(dst, '\0', len);

	if (!end)
		return len < size ? -EINVAL : -ENAMETOOLONG;
	fs_stream_skip(s, (size_t)(end - dst) + 1);
	return (int)(end - dst);
}
