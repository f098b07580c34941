/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_driver.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/bus.h"
#include "vm/core/guest_mem.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* x86 guests are little-endian and so are we. */
static uint16_t load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)p, value, __ATOMIC_RELEASE);
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t vdrv_mmio_read(struct vdrv *d, uint64_t addr, unsigned int size)
{
	return bus_read(d->rig->machine.mmio, addr, size);
}

void vdrv_mmio_write(struct vdrv *d, uint64_t addr, unsigned int size, uint64_t value)
{
	bus_write(d->rig->machine.mmio, addr, size, value);
}

void vdrv_attach(struct vdrv *d, struct rig *rig)
{
	memset(d, 0, sizeof(*d));
	d->rig = rig;
	d->brk = RIG_RAM_BASE;
	d->t = rig->kind == RIG_MMIO ? &vdrv_mmio : &vdrv_pci;
	if (rig->kind != RIG_MMIO)
		vdrv_pci_attach(d);
}

bool vdrv_negotiate(struct vdrv *d, uint64_t features)
{
	d->t->set_status(d, 0);
	must(d->t->status(d) == 0);
	d->t->set_status(d, VIRTIO_STATUS_ACKNOWLEDGE);
	d->t->set_status(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	d->t->set_features(d, 0, (uint32_t)features);
	d->t->set_features(d, 1, (uint32_t)(features >> 32));
	d->t->set_status(
		d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
	d->negotiated = features;
	return d->t->status(d) & VIRTIO_STATUS_FEATURES_OK;
}

uint64_t vdrv_alloc(struct vdrv *d, uint64_t size, uint64_t align)
{
	const uint64_t at = ALIGN_UP(d->brk, align);

	must(range_ok(at - RIG_RAM_BASE, size, RIG_RAM_SIZE));
	d->brk = at + size;
	return at;
}

uint8_t *vdrv_at(struct vdrv *d, uint64_t gpa, uint64_t len)
{
	uint8_t *p = guest_mem_ptr(d->rig->mem, gpa, len);

	must(p);
	return p;
}

static uint64_t alloc_used(struct vdrv *d, uint16_t entries)
{
	const uint64_t before = 4 + 8u * entries, page = 4096;

	if (!d->events_apart)
		return vdrv_alloc(d, before + 2, MAX(d->apart, UINT64_C(4)));
	return vdrv_alloc(d, 2 * page, page) + page - before;
}

uint8_t *vdrv_event(struct vdrv *d, unsigned int q)
{
	return d->q[q].used + 4 + 8 * d->q[q].layout.size;
}

void vdrv_queue_setup(struct vdrv *d, unsigned int q, uint16_t size)
{
	struct vdrv_queue *vq = &d->q[q];
	const uint64_t avail_size = 6 + 2u * size, used_size = 6 + 8u * size;

	memset(vq, 0, sizeof(*vq));
	vq->layout.size = size;
	vq->layout.desc = vdrv_alloc(d, 16u * size, 16);
	vq->layout.avail = vdrv_alloc(d, avail_size, MAX(d->apart, UINT64_C(2)));
	vq->layout.used = alloc_used(d, size);
	vq->desc = vdrv_at(d, vq->layout.desc, 16u * size);
	vq->avail = vdrv_at(d, vq->layout.avail, avail_size);
	vq->used = vdrv_at(d, vq->layout.used, used_size);
	memset(vq->desc, 0, 16u * size);
	memset(vq->avail, 0, avail_size);
	memset(vq->used, 0, used_size);
	for (uint16_t i = 0; i < size; i++)
		vdrv_set_desc(d, vq->layout.desc, i, 0, 0, 0, (uint16_t)(i + 1));
	vq->num_free = size;
	vq->event_idx = d->negotiated & VIRTIO_F_EVENT_IDX;
	d->t->queue_layout(d, q, &vq->layout);
	d->t->queue_enable(d, q);
}

void vdrv_driver_ok(struct vdrv *d)
{
	d->t->set_status(d, d->t->status(d) | VIRTIO_STATUS_DRIVER_OK);
}

void vdrv_start(struct vdrv *d, uint64_t features)
{
	must(vdrv_negotiate(d, features));
	for (unsigned int q = 0; q < TD_QUEUES; q++)
		if (d->t->queue_max(d, q))
			vdrv_queue_setup(d, q, (uint16_t)d->t->queue_max(d, q));
	vdrv_driver_ok(d);
}

void vdrv_set_desc(struct vdrv *d, uint64_t table, unsigned int i, uint64_t addr, uint32_t len,
	uint16_t flags, uint16_t next)
{
	uint8_t bytes[16];

	memcpy(bytes, &addr, 8);
	memcpy(bytes + 8, &len, 4);
	memcpy(bytes + 12, &flags, 2);
	memcpy(bytes + 14, &next, 2);
	must(guest_mem_write(d->rig->mem, table + 16 * i, bytes, sizeof(bytes)) == 0);
}

void vdrv_expose(struct vdrv *d, unsigned int q, uint16_t head)
{
	struct vdrv_queue *vq = &d->q[q];

	store16(vq->avail + 4 + 2 * (vq->avail_idx % vq->layout.size), head);
	store16(vq->avail + 2, ++vq->avail_idx);
}

static uint16_t take_free(struct vdrv_queue *vq)
{
	const uint16_t i = vq->free_head;

	must(vq->num_free);
	vq->free_head = load16(vq->desc + 16 * i + 14);
	vq->num_free--;
	return i;
}

static int add_indirect(struct vdrv *d, unsigned int q, const struct vdrv_buf *bufs,
	unsigned int out, unsigned int in)
{
	struct vdrv_queue *vq = &d->q[q];
	const unsigned int n = out + in;
	const uint64_t table = vdrv_alloc(d, 16 * n, 16);
	const uint16_t head = take_free(vq);

	for (unsigned int i = 0; i < n; i++)
		vdrv_set_desc(d, table, i, bufs[i].gpa, bufs[i].len,
			(uint16_t)((i >= out ? WRITE : 0) | (i + 1 < n ? NEXT : 0)),
			(uint16_t)(i + 1));
	vdrv_set_desc(d, vq->layout.desc, head, table, 16 * n, INDIRECT, vq->free_head);
	vq->chain_len[head] = 1;
	vdrv_expose(d, q, head);
	return head;
}

int vdrv_add(struct vdrv *d, unsigned int q, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in, bool indirect)
{
	struct vdrv_queue *vq = &d->q[q];
	const unsigned int n = out + in;
	const uint16_t head = vq->free_head;

	if (indirect)
		return add_indirect(d, q, bufs, out, in);
	for (unsigned int i = 0; i < n; i++) {
		const uint16_t at = take_free(vq);

		vdrv_set_desc(d, vq->layout.desc, at, bufs[i].gpa, bufs[i].len,
			(uint16_t)((i >= out ? WRITE : 0) | (i + 1 < n ? NEXT : 0)), vq->free_head);
	}
	vq->chain_len[head] = (uint16_t)n;
	vdrv_expose(d, q, head);
	return head;
}

void vdrv_kick(struct vdrv *d, unsigned int q)
{
	struct vdrv_queue *vq = &d->q[q];
	const uint16_t from = vq->kicked_idx, to = vq->avail_idx;
	bool wanted;

	vq->kicked_idx = to;
	/* Pairs with the fence after the device has said what it wants. */
	atomic_thread_fence(memory_order_seq_cst);
	if (vq->event_idx) {
		const uint16_t event = load16(vdrv_event(d, q));

		wanted = (uint16_t)(to - event - 1) < (uint16_t)(to - from);
	} else {
		wanted = !(load16(vq->used) & 1);
	}
	if (!wanted)
		return;
	d->notifications++;
	d->t->notify(d, q);
}

int vdrv_get(struct vdrv *d, unsigned int q, uint32_t *len)
{
	struct vdrv_queue *vq = &d->q[q];
	const uint8_t *elem;
	uint16_t head, last;

	if (load16(vq->used + 2) == vq->last_used)
		return VDRV_NO_HEAD;
	elem = vq->used + 4 + 8 * (vq->last_used++ % vq->layout.size);
	must(load32(elem) < vq->layout.size);
	head = last = (uint16_t)load32(elem);
	if (len)
		*len = load32(elem + 4);
	for (unsigned int i = 1; i < vq->chain_len[head]; i++)
		last = load16(vq->desc + 16 * last + 14);
	store16(vq->desc + 16 * last + 14, vq->free_head);
	vq->free_head = head;
	vq->num_free += vq->chain_len[head];
	return head;
}

void vdrv_want_irq(struct vdrv *d, unsigned int q, uint16_t after)
{
	struct vdrv_queue *vq = &d->q[q];

	store16(vq->avail + 4 + 2 * vq->layout.size, (uint16_t)(vq->last_used + after));
	atomic_thread_fence(memory_order_seq_cst);
}

void vdrv_no_irq(struct vdrv *d, unsigned int q, bool off)
{
	store16(d->q[q].avail, off);
	atomic_thread_fence(memory_order_seq_cst);
}

uint64_t vdrv_cfg(struct vdrv *d, uint32_t off, unsigned int size)
{
	return vdrv_mmio_read(d, d->t->cfg_base(d) + off, size);
}

void vdrv_set_cfg(struct vdrv *d, uint32_t off, unsigned int size, uint64_t value)
{
	vdrv_mmio_write(d, d->t->cfg_base(d) + off, size, value);
}
