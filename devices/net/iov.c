/* SPDX-License-Identifier: BSD-2-Clause */
#include "iov.h"

#include <string.h>

#include "devices/net/net.h"

/* The next piece of at most len bytes, or NULL when there is none. */
static uint8_t *next_piece(struct iov_cursor *cursor, size_t len, size_t *n)
{
	uint8_t *p;

	while (cursor->num_iov && cursor->off == cursor->iov->iov_len) {
		cursor->iov++;
		cursor->num_iov--;
		cursor->off = 0;
	}
	if (!cursor->num_iov)
		return NULL;
	p = (uint8_t *)cursor->iov->iov_base + cursor->off;
	*n = MIN(len, cursor->iov->iov_len - cursor->off);
	cursor->off += *n;
	return p;
}

bool iov_read(struct iov_cursor *cursor, void *dst, size_t len)
{
	uint8_t *to = dst;
	size_t n;

	for (; len; len -= n, to += n) {
		const uint8_t *from = next_piece(cursor, len, &n);

		if (!from)
			return false;
		memcpy(to, from, n);
	}
	return true;
}

bool iov_write(struct iov_cursor *cursor, const void *src, size_t len)
{
	const uint8_t *from = src;
	size_t n;

	for (; len; len -= n, from += n) {
		uint8_t *to = next_piece(cursor, len, &n);

		if (!to)
			return false;
		memcpy(to, from, n);
	}
	return true;
}

size_t iov_size(const struct iovec *iov, int num_iov, size_t enough)
{
	size_t size = 0;

	for (int i = 0; i < num_iov && size < enough; i++)
		size += MIN(iov[i].iov_len, enough - size);
	return size;
}

bool iov_put_frame(
	const struct iovec *iov, int num_iov, bool vouch, const uint8_t *frame, size_t len)
{
	const struct net_header header = {.flags = vouch ? NET_HEADER_DATA_VALID : 0};
	struct iov_cursor cursor = {.iov = iov, .num_iov = num_iov};

	return iov_size(iov, num_iov, NET_HEADER + len) == NET_HEADER + len &&
	       iov_write(&cursor, &header, NET_HEADER) && iov_write(&cursor, frame, len);
}
