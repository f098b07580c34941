/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record is a length and the frame, padded so that the next one is aligned. One that does not fit
 * before the end goes to the start, and a gap record says so. An empty ring starts at 0 again: as
 * long as the guest keeps up, only its first pages are ever touched.
 */
#include "frame_ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GAP UINT32_MAX

enum { ALIGN = 8, RECORD = 8 };

static_assert(FRAME_RING_SIZE % ALIGN == 0, "a record's length always fits before the end");

void frame_ring_fini(struct frame_ring *ring)
{
	free(ring->data);
	*ring = (struct frame_ring){0};
}

void frame_ring_clear(struct frame_ring *ring)
{
	ring->head = ring->tail = ring->used = 0;
}

static uint32_t *length_at(const struct frame_ring *ring, size_t pos)
{
	return (uint32_t *)(void *)(ring->data + pos);
}

uint8_t *frame_ring_put(struct frame_ring *ring, const void *frame, size_t len)
{
	size_t need, gap = 0;
	uint8_t *copy;

	if (len > FRAME_RING_SIZE / 2)
		return NULL;
	need = ALIGN_UP(RECORD + len, ALIGN);
	if (need > FRAME_RING_SIZE - ring->tail)
		gap = FRAME_RING_SIZE - ring->tail;
	if (need + gap > FRAME_RING_SIZE - ring->used)
		return NULL;
	if (!ring->data)
		ring->data = malloc(FRAME_RING_SIZE);
	if (!ring->data)
		return NULL;
	if (gap) {
		*length_at(ring, ring->tail) = GAP;
		ring->tail = 0;
	}
	*length_at(ring, ring->tail) = (uint32_t)len;
	copy = ring->data + ring->tail + RECORD;
	memcpy(copy, frame, len);
	ring->tail = (ring->tail + need) % FRAME_RING_SIZE;
	ring->used += need + gap;
	return copy;
}

const uint8_t *frame_ring_peek(const struct frame_ring *ring, size_t *len)
{
	size_t head = ring->head;

	if (!ring->used)
		return NULL;
	if (*length_at(ring, head) == GAP)
		head = 0;
	*len = *length_at(ring, head);
	return ring->data + head + RECORD;
}

void frame_ring_pop(struct frame_ring *ring)
{
	size_t n;

	if (*length_at(ring, ring->head) == GAP) {
		ring->used -= FRAME_RING_SIZE - ring->head;
		ring->head = 0;
	}
	n = ALIGN_UP(RECORD + *length_at(ring, ring->head), ALIGN);
	ring->head = (ring->head + n) % FRAME_RING_SIZE;
	ring->used -= n;
	if (!ring->used)
		frame_ring_clear(ring);
}
