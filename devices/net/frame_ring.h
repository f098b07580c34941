/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that wait for the guest, in a ring of FRAME_RING_SIZE bytes, which are allocated with the
 * first frame. Each lies in one piece. Zero-initialised; no locks.
 */
#ifndef BANTAM_DEVICES_NET_FRAME_RING_H
#define BANTAM_DEVICES_NET_FRAME_RING_H

#include "vm/core/base.h"

#define FRAME_RING_SIZE (1u << 20)

struct frame_ring {
	uint8_t *data;
	size_t head; /* the oldest frame's record */
	size_t tail; /* where the next one goes */
	size_t used; /* bytes from head to tail, gaps included */
};

void frame_ring_fini(struct frame_ring *ring);
void frame_ring_clear(struct frame_ring *ring);

/* The copy in the ring, for last touches; NULL: there is no room (or memory) for it. */
uint8_t *frame_ring_put(struct frame_ring *ring, const void *frame, size_t len);

/* The oldest frame, until it is popped; NULL: there is none. */
const uint8_t *frame_ring_peek(const struct frame_ring *ring, size_t *len);
void frame_ring_pop(struct frame_ring *ring);

#endif
