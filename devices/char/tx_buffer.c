/* SPDX-License-Identifier: BSD-2-Clause */
#include "tx_buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert((CHARDEV_TX_BUFFER & (CHARDEV_TX_BUFFER - 1)) == 0, "positions wrap by a mask");

void tx_buffer_fini(struct tx_buffer *tx)
{
	free(tx->data);
	*tx = (struct tx_buffer){0};
}

static void append(struct tx_buffer *tx, const uint8_t *buf, size_t len)
{
	size_t tail = (tx->head + tx->count) & (CHARDEV_TX_BUFFER - 1);
	size_t first = MIN(len, CHARDEV_TX_BUFFER - tail);

	memcpy(tx->data + tail, buf, first);
	memcpy(tx->data, buf + first, len - first);
	tx->count += len;
}

size_t tx_buffer_put(struct tx_buffer *tx, const uint8_t *buf, size_t len, uint64_t now_ns)
{
	size_t taken = 0;

	if (!len)
		return 0;
	if (tx->stalled) {
		tx->dropped += len;
		return len;
	}
	if (!tx->data)
		tx->data = malloc(CHARDEV_TX_BUFFER);
	/* The clock starts with the first byte that waits. */
	if (!tx->count && !tx->owed)
		tx->progress_ns = now_ns;
	if (tx->data) {
		taken = MIN(len, CHARDEV_TX_BUFFER - tx->count);
		append(tx, buf, taken);
	}
	if (taken < len)
		tx->owed = true;
	return taken;
}

size_t tx_buffer_peek(const struct tx_buffer *tx, const uint8_t **ret)
{
	if (!tx->count)
		return 0;
	*ret = tx->data + tx->head;
	return MIN(tx->count, CHARDEV_TX_BUFFER - tx->head);
}

uint64_t tx_buffer_consume(struct tx_buffer *tx, size_t n, uint64_t now_ns)
{
	uint64_t dropped = tx->dropped;

	tx->head = (tx->head + n) & (CHARDEV_TX_BUFFER - 1);
	tx->count -= n;
	tx->progress_ns = now_ns;
	tx->stalled = false;
	tx->dropped = 0;
	return dropped;
}

void tx_buffer_clear(struct tx_buffer *tx)
{
	tx->head = tx->count = 0;
	tx->stalled = false;
	tx->dropped = 0;
}

/* Half a ring, so that a slow reader does not wake the front end for each byte. */
static bool has_room(const struct tx_buffer *tx)
{
	return tx->count <= CHARDEV_TX_BUFFER / 2;
}

bool tx_buffer_deadline(const struct tx_buffer *tx, uint64_t *deadline_ns)
{
	/* With room again, the front end is slow, not the reader. */
	if (!tx->owed || tx->stalled || (tx->data && has_room(tx)))
		return false;
	*deadline_ns = tx->progress_ns + CHARDEV_STALL_NS;
	return true;
}

void tx_buffer_check(struct tx_buffer *tx, uint64_t now_ns)
{
	uint64_t deadline_ns;

	if (tx_buffer_deadline(tx, &deadline_ns) && now_ns >= deadline_ns)
		tx->stalled = true;
}

bool tx_buffer_take_ready(struct tx_buffer *tx)
{
	bool ready = tx->owed && (tx->stalled || has_room(tx));

	if (ready)
		tx->owed = false;
	return ready;
}
