/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of a block device for a fuzz target: it has a small memory of its own, makes requests
 * out of eight bytes of input each, right ones, nearly right ones and wild ones, and knows what the
 * device may do to them. Free of the test framework; a breach ends the run.
 *
 * Each request has a slot: descriptors, an indirect table and a buffer that no other has, so that
 * what the device writes where can be checked.
 */
#ifndef TESTS_VIRTIO_BLK_GUEST_H
#define TESTS_VIRTIO_BLK_GUEST_H

#include "fakes/check.h"
#include "virtio/queue/virtqueue.h"

enum {
	VBG_QUEUES = 2,
	VBG_SLOTS = 8, /* requests of a queue, at most */
	VBG_STEP = 8,  /* bytes of input for a request */
	VBG_HEADER = 16,

	/* Guest memory, from 0 on */
	VBG_RINGS = 0x0000, /* of each queue: descriptors, available, used */
	VBG_RING_SIZE = 0x1000,
	VBG_AVAIL = 0x400,
	VBG_USED = 0x600,
	VBG_TABLES = 0x4000, /* of each slot */
	VBG_TABLE_SIZE = 0x100,
	VBG_WILD = 0x5000, /* what wild descriptors point at */
	VBG_BUFFERS = 0x8000,
	VBG_BUFFER_SIZE = 0x800,
	VBG_MEM = 0x10000,
};

struct vbg_slot {
	bool busy, wild;
	uint32_t type, num_out, num_in;
	uint64_t writable;
	uint8_t out[VBG_BUFFER_SIZE]; /* as the device should have left it */
};

struct vbg_queue {
	uint16_t size, avail, used;
	unsigned int per_slot; /* descriptors */
	struct vbg_slot slots[VBG_SLOTS];
};

struct vbg {
	struct guest_mem *mem;
	uint8_t *ram;
	bool loose; /* rings and buffers may hold anything, since a wild chain */
	/* All answers can be foretold: the driver was not wild, the disk did not fail. */
	bool exact;
	unsigned int started; /* requests that have reached the disk then */

	/* What the device said about itself */
	bool read_only;
	uint64_t sectors, features;

	struct vbg_queue queues[VBG_QUEUES];
};

void vbg_create(struct vbg *g, uint16_t queue_size);
void vbg_destroy(struct vbg *g);
/* Empty rings for queue q, which is disabled; what was in them is forgotten. */
struct virtqueue_layout vbg_new_rings(struct vbg *g, unsigned int q);

/* Make a request available, if there is a slot for it: queue op[1] & 1; the rest says what. */
void vbg_send(struct vbg *g, const uint8_t *op);
void vbg_send_wild(struct vbg *g, const uint8_t *op);
/* From now on the disk has that many. */
void vbg_resized(struct vbg *g, uint64_t sectors);
/* The guest has second thoughts about a request. */
void vbg_poke(struct vbg *g, const uint8_t *op);

/* Takes what is used. Each head that was given away comes back once, its bytes as they should be.
 */
void vbg_take_used(struct vbg *g, unsigned int q);
/* Something was made available that did not come back. */
bool vbg_busy(const struct vbg *g, unsigned int q);

#endif
