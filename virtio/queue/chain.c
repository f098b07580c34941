/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cursors over the iovecs of a chain. All movement goes through next(), which hands out the
 * longest contiguous piece; iovecs are never empty, so each call makes progress and a loop ends
 * after as many rounds as the chain has iovecs.
 */
#include "virtio/queue/chain.h"

#include <string.h>

struct virtq_cursor virtq_reader(const struct virtq_chain *chain)
{
	return (struct virtq_cursor){.left = chain->readable, .iov = chain->iov};
}

struct virtq_cursor virtq_writer(const struct virtq_chain *chain)
{
	return (struct virtq_cursor){.left = chain->writable, .iov = chain->iov + chain->num_read};
}

/* The contiguous bytes at the cursor, at most len, which the cursor moves over. */
static uint8_t *next(struct virtq_cursor *c, uint64_t len, size_t *piece)
{
	uint8_t *p = (uint8_t *)c->iov->iov_base + c->off;
	const size_t room = c->iov->iov_len - c->off;

	len = MIN(len, c->left);
	*piece = (size_t)MIN(len, (uint64_t)room);
	c->left -= *piece;
	c->off += *piece;
	if (c->off == c->iov->iov_len) {
		c->iov++;
		c->off = 0;
	}
	return p;
}

uint64_t virtq_skip(struct virtq_cursor *cursor, uint64_t len)
{
	uint64_t done = 0;
	size_t piece;

	for (; done < len && cursor->left; done += piece)
		next(cursor, len - done, &piece);
	return done;
}

size_t virtq_read(struct virtq_cursor *cursor, void *dst, size_t len)
{
	size_t done = 0, piece;

	for (; done < len && cursor->left; done += piece) {
		const uint8_t *from = next(cursor, len - done, &piece);

		memcpy((uint8_t *)dst + done, from, piece);
	}
	return done;
}

size_t virtq_write(struct virtq_cursor *cursor, const void *src, size_t len)
{
	size_t done = 0, piece;

	for (; done < len && cursor->left; done += piece) {
		uint8_t *to = next(cursor, len - done, &piece);

		memcpy(to, (const uint8_t *)src + done, piece);
	}
	return done;
}

uint64_t virtq_zero(struct virtq_cursor *cursor, uint64_t len)
{
	uint64_t done = 0;
	size_t piece;

	for (; done < len && cursor->left; done += piece) {
		uint8_t *to = next(cursor, len - done, &piece);

		memset(to, 0, piece);
	}
	return done;
}

uint64_t virtq_iov(struct virtq_cursor *cursor, uint64_t len, struct iovec *iov, int max, int *num)
{
	uint64_t done = 0;
	int n = 0;

	for (; done < len && cursor->left && n < max; n++) {
		iov[n].iov_base = next(cursor, len - done, &iov[n].iov_len);
		done += iov[n].iov_len;
	}
	*num = n;
	return done;
}

int virtq_iov_count(const struct virtq_cursor *cursor, uint64_t len)
{
	struct virtq_cursor c = *cursor;
	uint64_t done = 0;
	size_t piece;
	int n = 0;

	for (; done < len && c.left; done += piece, n++)
		next(&c, len - done, &piece);
	return n;
}
