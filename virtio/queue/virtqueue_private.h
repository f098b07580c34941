/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/queue/virtqueue.h share: the queue itself and the format of its
 * areas. */
#ifndef BANTAM_VIRTIO_QUEUE_VIRTQUEUE_PRIVATE_H
#define BANTAM_VIRTIO_QUEUE_VIRTQUEUE_PRIVATE_H

#include <endian.h>
#include <string.h>

#include "virtio/queue/virtqueue.h"
#include "vm/core/guest_mem.h"

/* Offsets and sizes of 2.7.5 (descriptors), 2.7.6 (available) and 2.7.8 (used) */
enum {
	DESC_SIZE = 16,
	DESC_ALIGN = 16,
	DESC_F_NEXT = 1,
	DESC_F_WRITE = 2,
	DESC_F_INDIRECT = 4,

	AVAIL_FLAGS = 0,
	AVAIL_F_NO_INTERRUPT = 1,
	AVAIL_IDX = 2,
	AVAIL_RING = 4,
	AVAIL_ALIGN = 2,

	USED_FLAGS = 0,
	USED_F_NO_NOTIFY = 1,
	USED_IDX = 2,
	USED_RING = 4,
	USED_ELEM_SIZE = 8,
	USED_ALIGN = 4,
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct virtqueue {
	const struct guest_mem *mem;
	uint16_t max_size;

	/* The snapshot: set by enable, constant until disable. */
	bool enabled;
	bool event_idx, indirect, in_order;
	uint16_t size; /* a power of two */
	const uint8_t *desc;
	uint8_t *avail;
	uint8_t *used;

	const char *error;   /* the first rule that the driver broke */
	uint16_t avail_idx;  /* as last read */
	uint16_t next_avail; /* what to pop next */
	uint16_t next_used;  /* where to push next */
	uint16_t published;  /* what the driver was shown of that */
	uint16_t settled;    /* up to where that is, it has been interrupted if it wanted that */
	uint16_t push_seq;   /* next chain to push, with IN_ORDER */
	bool notify_off;     /* our flag in the used area, without EVENT_IDX */

	uint16_t num_free;
	uint16_t *free_slots;	    /* a stack */
	struct virtq_chain *chains; /* one per slot */
	bool *head_used;	    /* by head: it is in flight */
	uint8_t *table;		    /* copy of an indirect table */
};

static inline bool ring_index_valid(const struct virtqueue *vq, uint16_t head)
{
	return head < vq->size;
}

/* Values in an area are little-endian and naturally aligned, which enable has checked. */
static inline uint16_t area_load16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static inline void area_store16(uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(value), __ATOMIC_RELAXED);
}

/* Orders our stores before our loads. The thread sanitizer knows no fences, and need not: what they
 * order is atomic on its own. */
static inline void full_fence(void)
{
#ifdef __SANITIZE_THREAD__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#ifdef __SANITIZE_THREAD__
#pragma GCC diagnostic pop
#endif
}

/* The table is shared with the guest: an atomic load keeps the compiler from reading it again. */
static inline struct desc virtqueue_desc(const struct virtqueue *vq, uint16_t i)
{
	const uint64_t *p = (const void *)(vq->desc + (size_t)i * DESC_SIZE);
	const uint64_t addr = le64toh(__atomic_load_n(&p[0], __ATOMIC_RELAXED));
	const uint64_t rest = le64toh(__atomic_load_n(&p[1], __ATOMIC_RELAXED));

	return (struct desc){.addr = addr,
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48)};
}

/* A chain of one descriptor in one piece of RAM, as most are that are received into. */
static inline bool virtqueue_walk_one(
	const struct virtqueue *vq, uint16_t head, struct virtq_chain *chain)
{
	const struct desc d = virtqueue_desc(vq, head);
	const bool write = d.flags & DESC_F_WRITE;
	void *p;

	if (d.flags & (DESC_F_NEXT | DESC_F_INDIRECT) || !d.len)
		return false;
	p = guest_mem_ptr(vq->mem, d.addr, d.len);
	if (!p)
		return false;
	chain->iov[0] = (struct iovec){.iov_base = p, .iov_len = d.len};
	chain->readable = write ? 0 : d.len;
	chain->writable = write ? d.len : 0;
	chain->num_read = !write;
	chain->num_write = write;
	return true;
}

/* Fills chain from the descriptors that begin at head, a valid index. 0 or -EPROTO. */
int virtqueue_walk(struct virtqueue *vq, uint16_t head, struct virtq_chain *chain);

#endif
