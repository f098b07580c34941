/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What waits for a slow reader: a ring of CHARDEV_TX_BUFFER bytes, and the judgement whether the
 * reader is slow or has stopped. Pure: no descriptor, no lock, time as a parameter.
 *
 * With the ring full, put takes less than it was given. When that has gone on for CHARDEV_STALL_NS
 * without a byte leaving, the reader counts as stopped: put takes everything and drops it, until
 * the next byte leaves.
 */
#ifndef BANTAM_DEVICES_CHAR_TX_BUFFER_H
#define BANTAM_DEVICES_CHAR_TX_BUFFER_H

#include "devices/char/chardev.h"
#include "vm/core/base.h"

/* Zero-initialised. */
struct tx_buffer {
	uint8_t *data; /* allocated when the first byte must wait, freed by tx_buffer_fini */
	size_t head, count;
	uint64_t progress_ns; /* when a byte last left, or when the ring was last empty */
	uint64_t dropped;     /* bytes, since the reader stopped */
	bool stalled;
	bool owed; /* a put was short: tx_ready is due */
};

void tx_buffer_fini(struct tx_buffer *tx);

/*
 * Returns how many bytes were taken, kept or dropped. Without memory for the ring, none are taken
 * at first, as if it were full.
 */
size_t tx_buffer_put(struct tx_buffer *tx, const uint8_t *buf, size_t len, uint64_t now_ns);

/* The longest piece that is contiguous; 0 when empty. Valid until the next call with tx. */
size_t tx_buffer_peek(const struct tx_buffer *tx, const uint8_t **ret);

/*
 * The first n bytes have left, n <= what peek said; 0 when the ring is empty and the reader would
 * take a byte. Returns the bytes that were dropped if this ends a stall, else 0.
 */
uint64_t tx_buffer_consume(struct tx_buffer *tx, size_t n, uint64_t now_ns);

/* Forgets everything that waits: the reader has gone for good. */
void tx_buffer_clear(struct tx_buffer *tx);

/* When to look at the reader again. False: nobody waits for it. */
bool tx_buffer_deadline(const struct tx_buffer *tx, uint64_t *deadline_ns);
/* Finds out whether the reader has stopped. */
void tx_buffer_check(struct tx_buffer *tx, uint64_t now_ns);

/* True once when a put was short and there is room again (or everything is dropped). */
bool tx_buffer_take_ready(struct tx_buffer *tx);

#endif
