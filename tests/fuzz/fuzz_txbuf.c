/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The output ring under arbitrary puts, reads and passing time, against a model: what comes out is
 * what was taken while the reader was not stopped, in order; the ring is bounded; a front end that
 * was refused hears of room before CHARDEV_STALL_NS have passed without progress.
 */
#include <stdlib.h>

#include "../../devices/char/tx_buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PUT_MAX = 40000 };

struct model {
	struct tx_buffer tx;
	uint64_t now_ns;
	uint64_t kept, left; /* bytes that went into the ring, and out of it */
	uint64_t dropped;    /* in this stall */
	uint64_t waiting_ns; /* since when a refused front end has seen no progress */
	bool refused;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* The byte at a position of the stream. */
static uint8_t stream_byte(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void put(struct model *m, size_t len)
{
	static uint8_t buf[PUT_MAX];
	bool stalled = m->tx.stalled;
	size_t n;

	for (size_t i = 0; i < len; i++)
		buf[i] = stream_byte(m->kept + i);
	n = tx_buffer_put(&m->tx, buf, len, m->now_ns);
	require(n <= len);
	if (stalled) {
		require(n == len);
		m->dropped += n;
		return;
	}
	m->kept += n;
	require(n == len || m->kept - m->left == CHARDEV_TX_BUFFER);
	if (n < len && !m->refused) {
		m->refused = true;
		/* The clock has run since the last byte left; be generous by starting here. */
		m->waiting_ns = m->now_ns;
	}
}

static void get(struct model *m, size_t len)
{
	const uint8_t *piece;
	size_t n = tx_buffer_peek(&m->tx, &piece);
	uint64_t dropped;

	require(n <= m->kept - m->left);
	require((n > 0) == (m->kept > m->left));
	n = MIN(n, len);
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		require(piece[i] == stream_byte(m->left + i));
	dropped = tx_buffer_consume(&m->tx, n, m->now_ns);
	require(dropped == m->dropped);
	m->dropped = 0;
	m->left += n;
	m->waiting_ns = m->now_ns;
	require(!m->tx.stalled);
}

static void pass(struct model *m, uint64_t ns)
{
	uint64_t deadline_ns;
	bool was = m->tx.stalled;

	m->now_ns += ns;
	if (tx_buffer_deadline(&m->tx, &deadline_ns))
		require(deadline_ns <= m->waiting_ns + CHARDEV_STALL_NS);
	tx_buffer_check(&m->tx, m->now_ns);
	if (m->tx.stalled && !was)
		require(m->refused && m->kept - m->left > CHARDEV_TX_BUFFER / 2);
	if (m->refused && m->now_ns >= m->waiting_ns + CHARDEV_STALL_NS)
		require(m->tx.stalled || m->kept - m->left <= CHARDEV_TX_BUFFER / 2);
}

static void ready(struct model *m)
{
	if (!tx_buffer_take_ready(&m->tx)) {
		require(!m->refused ||
			(!m->tx.stalled && m->kept - m->left > CHARDEV_TX_BUFFER / 2));
		return;
	}
	require(m->refused);
	m->refused = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model m = {.now_ns = NSEC_PER_SEC};

	for (size_t i = 0; i + 3 <= size && i < 3 * 500; i += 3) {
		size_t arg = data[i + 1] | (size_t)data[i + 2] << 8;

		switch (data[i] % 5) {
		case 0:
			put(&m, arg % (PUT_MAX + 1));
			break;
		case 1:
			get(&m, arg);
			break;
		case 2:
			pass(&m, arg * 100000 * 2);
			ready(&m);
			break;
		case 3:
			ready(&m);
			break;
		case 4:
			if (arg % 16)
				break;
			tx_buffer_clear(&m.tx);
			m.left = m.kept;
			m.dropped = 0;
			break;
		}
		require(m.tx.count == m.kept - m.left && m.tx.count <= CHARDEV_TX_BUFFER);
	}
	tx_buffer_fini(&m.tx);
	return 0;
}
