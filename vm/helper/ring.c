/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record is a length in a header of 8 bytes, and the bytes, padded to 8. It lies in one piece:
 * one that does not fit before the end goes to the start, and a header with GAP says so.
 *
 * Producer: write the record, release tail, full fence, look at consumer_waits. Consumer: set
 * consumer_waits, full fence, look at tail. One of the two sees the other's write. Room is the same
 * with head and producer_waits.
 */
#include "vm/helper/ring.h"

#include <assert.h>

#define GAP UINT32_MAX

enum { ALIGN = 8, HEADER = 8 };

static_assert(sizeof(struct ring_shared) == 128, "two cache lines, the same in both processes");
static_assert(ATOMIC_INT_LOCK_FREE == 2, "locks would not be shared");

void ring_reset(void *memory)
{
	struct ring_shared *shared = memory;

	atomic_store(&shared->tail, 0);
	atomic_store(&shared->head, 0);
	atomic_store(&shared->producer_waits, 0);
	atomic_store(&shared->consumer_waits, 0);
}

void ring_producer_init(struct ring_producer *ring, void *memory, uint32_t size)
{
	*ring = (struct ring_producer){.shared = memory,
		.data = (uint8_t *)memory + sizeof(struct ring_shared),
		.size = size};
}

void ring_consumer_init(struct ring_consumer *ring, void *memory, uint32_t size, uint32_t max)
{
	*ring = (struct ring_consumer){.shared = memory,
		.data = (const uint8_t *)memory + sizeof(struct ring_shared),
		.size = size,
		.max = max};
}

/* Where lengths are, each read once and written once. */
static _Atomic uint32_t *header_at(const uint8_t *data, uint32_t offset)
{
	return (_Atomic uint32_t *)(uintptr_t)(data + offset);
}

static uint32_t record_size(uint32_t len)
{
	return (uint32_t)ALIGN_UP(HEADER + len, ALIGN);
}

/* Whether there are so many bytes between head and tail. */
static bool is_possible(uint32_t used, uint32_t size)
{
	return used <= size && used % ALIGN == 0;
}

/* ---- the producer ---- */

uint32_t ring_used(struct ring_producer *ring)
{
	const uint32_t head = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
	const uint32_t used = ring->tail - head;

	if (!is_possible(used, ring->size))
		ring->broken = true;
	return ring->broken ? ring->size : used;
}

uint8_t *ring_reserve(struct ring_producer *ring, uint32_t len)
{
	const uint32_t used = ring_used(ring), offset = ring->tail & (ring->size - 1);
	const uint32_t left = ring->size - offset;
	uint32_t need, gap = 0;

	if (len > ring->size / 2)
		return NULL;
	need = record_size(len);
	if (need > left)
		gap = left;
	if (need + gap > ring->size - used)
		return NULL;
	if (gap)
		atomic_store_explicit(header_at(ring->data, offset), GAP, memory_order_relaxed);
	ring->next = ring->tail + gap + need;
	atomic_store_explicit(header_at(ring->data, gap ? 0 : offset), len, memory_order_relaxed);
	return ring->data + (gap ? 0 : offset) + HEADER;
}

bool ring_commit(struct ring_producer *ring)
{
	struct ring_shared *shared = ring->shared;

	ring->tail = ring->next;
	atomic_store_explicit(&shared->tail, ring->tail, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&shared->consumer_waits, memory_order_relaxed) &&
	       atomic_exchange(&shared->consumer_waits, 0);
}

bool ring_wait_room(struct ring_producer *ring)
{
	atomic_store_explicit(&ring->shared->producer_waits, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (ring_used(ring) > ring->size / 4)
		return true;
	atomic_store_explicit(&ring->shared->producer_waits, 0, memory_order_relaxed);
	return false;
}

bool ring_wait_taken(struct ring_producer *ring, uint32_t used)
{
	atomic_store_explicit(&ring->shared->producer_waits, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return ring_used(ring) == used;
}

/* ---- the consumer ---- */

/* Bytes that are there; 0 as well when that cannot be. */
static uint32_t available(struct ring_consumer *ring)
{
	const uint32_t tail = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
	const uint32_t used = tail - ring->head;

	if (!is_possible(used, ring->size))
		ring->broken = true;
	return ring->broken ? 0 : used;
}

static const uint8_t *broken(struct ring_consumer *ring)
{
	ring->broken = true;
	return NULL;
}

const uint8_t *ring_peek(struct ring_consumer *ring, uint32_t *ret)
{
	uint32_t used = available(ring), offset = ring->head & (ring->size - 1), gap = 0, len;

	if (!used)
		return NULL;
	len = atomic_load_explicit(header_at(ring->data, offset), memory_order_relaxed);
	if (len == GAP) {
		gap = ring->size - offset;
		if (gap >= used)
			return broken(ring);
		used -= gap;
		offset = 0;
		len = atomic_load_explicit(header_at(ring->data, 0), memory_order_relaxed);
	}
	if (len > ring->max || record_size(len) > used || record_size(len) > ring->size - offset)
		return broken(ring);
	ring->next = ring->head + gap + record_size(len);
	*ret = len;
	return ring->data + offset + HEADER;
}

static bool move_head(struct ring_consumer *ring, uint32_t head)
{
	struct ring_shared *shared = ring->shared;

	ring->head = head;
	atomic_store_explicit(&shared->head, head, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&shared->producer_waits, memory_order_relaxed) ||
		available(ring) > ring->size / 4)
		return false;
	return atomic_exchange(&shared->producer_waits, 0);
}

bool ring_pop(struct ring_consumer *ring)
{
	return move_head(ring, ring->next);
}

bool ring_skip(struct ring_consumer *ring)
{
	return move_head(ring, ring->head + available(ring));
}

bool ring_wait_record(struct ring_consumer *ring)
{
	atomic_store_explicit(&ring->shared->consumer_waits, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (ring_empty(ring))
		return true;
	atomic_store_explicit(&ring->shared->consumer_waits, 0, memory_order_relaxed);
	return false;
}

bool ring_empty(struct ring_consumer *ring)
{
	return !available(ring);
}
