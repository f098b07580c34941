/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a head index to a checked chain (virtio 1.2, 2.7.5).
 *
 * The driver's memory may change while we look, so each descriptor is read once, into a local
 * copy, and only the copy is judged and used; an indirect table is copied whole. A chain takes at
 * most as many descriptors as the queue has entries, which also ends every loop. Addresses become
 * host pointers here, once, through guest memory alone: a descriptor that points at a device's
 * registers is as wrong as one that points nowhere.
 */
#include <errno.h>

#include "virtqueue_private.h"
#include "vm/core/guest_mem.h"

/* The longest chain there may be (2.7.5.2). */
#define CHAIN_BYTES_MAX (UINT64_C(1) << 32)

struct walk {
	struct virtqueue *vq;
	struct virtq_chain *chain;
	unsigned int count; /* descriptors taken */
	int iovecs;
};

static struct desc table_desc(const struct virtqueue *vq, uint16_t i)
{
	uint64_t addr, rest;

	memcpy(&addr, vq->table + (size_t)i * DESC_SIZE, sizeof(addr));
	memcpy(&rest, vq->table + (size_t)i * DESC_SIZE + sizeof(addr), sizeof(rest));
	rest = le64toh(rest);
	return (struct desc){.addr = le64toh(addr),
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48)};
}

/* Appends the iovecs of [gpa, gpa + len); one, unless RAM is in pieces there. */
static int map(struct walk *w, uint64_t gpa, uint32_t len)
{
	const int room = w->vq->max_size + VIRTQ_SPARE_IOVECS - w->iovecs;
	struct iovec *iov = &w->chain->iov[w->iovecs];
	void *p;
	int n;

	if (room > 0 && (p = guest_mem_ptr(w->vq->mem, gpa, len)) != NULL && len) {
		*iov = (struct iovec){.iov_base = p, .iov_len = len};
		return 1;
	}
	n = guest_mem_iov(w->vq->mem, gpa, len, iov, room);
	if (n == -E2BIG)
		return virtqueue_fail(w->vq, "buffers scattered over too many pieces of RAM");
	return n < 0 ? virtqueue_fail(w->vq, "buffer outside RAM") : n;
}

/* A descriptor that describes a buffer. */
static int add_buffer(struct walk *w, const struct desc *d)
{
	struct virtq_chain *chain = w->chain;
	int n;

	if (++w->count > w->vq->size)
		return virtqueue_fail(w->vq, "chain longer than the queue");
	if (!(d->flags & DESC_F_WRITE) && chain->num_write)
		return virtqueue_fail(w->vq, "readable buffer after a writable one");
	if (chain->readable + chain->writable + d->len > CHAIN_BYTES_MAX)
		return virtqueue_fail(w->vq, "chain of more than 4 GiB");
	n = map(w, d->addr, d->len);
	if (n < 0)
		return n;
	w->iovecs += n;
	if (d->flags & DESC_F_WRITE) {
		chain->writable += d->len;
		chain->num_write += (uint16_t)n;
	} else {
		chain->readable += d->len;
		chain->num_read += (uint16_t)n;
	}
	return 0;
}

/* 2.7.5.3 */
static int walk_indirect(struct walk *w, const struct desc *d)
{
	struct virtqueue *vq = w->vq;
	const uint32_t entries = d->len / DESC_SIZE;
	struct desc e;
	uint16_t i = 0;
	int rc;

	if (!vq->indirect)
		return virtqueue_fail(vq, "indirect descriptor, not negotiated");
	if (d->flags & DESC_F_NEXT)
		return virtqueue_fail(vq, "indirect descriptor with a next one");
	if (!entries || d->len % DESC_SIZE)
		return virtqueue_fail(
			vq, "indirect table that is not a whole number of descriptors");
	if (entries > vq->size)
		return virtqueue_fail(vq, "indirect table longer than the queue");
	if (guest_mem_read(vq->mem, d->addr, vq->table, (uint64_t)entries * DESC_SIZE) < 0)
		return virtqueue_fail(vq, "indirect table outside RAM");
	for (;; i = e.next) {
		if (i >= entries)
			return virtqueue_fail(vq, "next descriptor outside the indirect table");
		e = table_desc(vq, i);
		if (e.flags & DESC_F_INDIRECT)
			return virtqueue_fail(vq, "indirect descriptor inside an indirect table");
		rc = add_buffer(w, &e);
		if (rc < 0 || !(e.flags & DESC_F_NEXT))
			return rc;
	}
}

int virtqueue_walk(struct virtqueue *vq, uint16_t head, struct virtq_chain *chain)
{
	struct walk w = {.vq = vq, .chain = chain};
	struct desc d;
	int rc;

	chain->readable = chain->writable = 0;
	chain->num_read = chain->num_write = 0;
	for (d = virtqueue_desc(vq, head);; d = virtqueue_desc(vq, d.next)) {
		if (d.flags & DESC_F_INDIRECT)
			return walk_indirect(&w, &d);
		rc = add_buffer(&w, &d);
		if (rc < 0 || !(d.flags & DESC_F_NEXT))
			return rc;
		if (!ring_index_valid(vq, d.next))
			return virtqueue_fail(vq, "next descriptor outside the table");
	}
}
