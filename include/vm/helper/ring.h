/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records from one process to another, through memory that both may write to: one producer, one
 * consumer, each on one thread. Neither trusts the other. Each keeps its own position to itself and
 * only tells it; what it reads of the other's is read once, checked, and then used. A ring whose
 * positions or lengths cannot be is broken, and has neither records nor room from then on.
 *
 * What a record contains may change while the consumer looks at it: who judges it copies it first.
 *
 * Sleeping: who finds nothing to do says so in the ring, looks once more, and waits for the other's
 * signal, of a kind that this does not know. Nobody is signalled who has not said so.
 */
#ifndef BANTAM_VM_HELPER_RING_H
#define BANTAM_VM_HELPER_RING_H

#include <stdatomic.h>

#include "vm/core/base.h"

/* In shared memory, before the records. Positions only grow, and wrap at 2^32. */
struct ring_shared {
	_Alignas(64) _Atomic uint32_t tail; /* written by the producer */
	_Atomic uint32_t producer_waits;    /* for room */
	_Alignas(64) _Atomic uint32_t head; /* written by the consumer */
	_Atomic uint32_t consumer_waits;    /* for records */
};

struct ring_producer {
	struct ring_shared *shared;
	uint8_t *data;
	uint32_t size, tail;
	uint32_t next; /* the tail, when what is reserved is committed */
	bool broken;
};

struct ring_consumer {
	struct ring_shared *shared;
	const uint8_t *data;
	uint32_t size, head, max;
	uint32_t next; /* the head, when what was peeked at is popped */
	bool broken;
};

/* The memory of a ring of size bytes, a power of two from 64 to 2^30; aligned to 64 bytes. */
static inline size_t ring_memory(uint32_t size)
{
	return sizeof(struct ring_shared) + size;
}

/* Both begin with an empty ring: ring_reset comes before, while nobody uses it. */
void ring_reset(void *memory);
void ring_producer_init(struct ring_producer *ring, void *memory, uint32_t size);
/* max: the longest record, of size / 2 at most. */
void ring_consumer_init(struct ring_consumer *ring, void *memory, uint32_t size, uint32_t max);

/* ---- the producer ---- */

/* Where len bytes, up to size / 2, go; NULL: no room. The last call before commit counts. */
uint8_t *ring_reserve(struct ring_producer *ring, uint32_t len);
/* The consumer sees it. True: it waits, and must be signalled. */
bool ring_commit(struct ring_producer *ring);
/* Bytes that are in use, with all overhead. */
uint32_t ring_used(struct ring_producer *ring);
/*
 * Asks to be signalled when no more than a quarter is in use. False: so it is already. Asking again
 * is allowed.
 */
bool ring_wait_room(struct ring_producer *ring);
/* The same, but that what is in use now counts as too much. False: the consumer has taken some. */
bool ring_wait_taken(struct ring_producer *ring, uint32_t used);

/* ---- the consumer ---- */

/* The oldest record, until it is popped. NULL: there is none. */
const uint8_t *ring_peek(struct ring_consumer *ring, uint32_t *len);
/* What ring_peek has returned. True: the producer waits for this, and must be signalled. */
bool ring_pop(struct ring_consumer *ring);
/* All that is there now. True as ring_pop. */
bool ring_skip(struct ring_consumer *ring);
/* Asks to be signalled when there is a record. False: there is one already. */
bool ring_wait_record(struct ring_consumer *ring);
bool ring_empty(struct ring_consumer *ring);

#endif
