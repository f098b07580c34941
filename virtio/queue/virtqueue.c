/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A split virtqueue's rings (virtio 1.2, 2.7.6 to 2.7.10 and 2.7.13).
 *
 *	avail.idx -> next_avail .. avail_idx   popped in order
 *	next_used -> used ring                 pushed in any order, shown by publish
 *
 * Memory for chains is made with the queue: a slot per entry, each with room for the longest chain.
 * It is touched only when used, and slots are a stack, so that a driver that keeps few requests in
 * flight costs little of it.
 *
 * The other side runs at the same time. What orders us against it, as the Linux driver names it:
 *
 *	load of avail.idx, acquire     pairs with virtio_wmb before avail.idx in virtqueue_add
 *	store of used.idx, release     pairs with virtio_rmb after used.idx in virtqueue_get_buf
 *	fence in publish               pairs with virtio_mb in virtqueue_enable_cb: either it sees
 *	                               used.idx, or we see that it wants an interrupt
 *	fence in notify_on             pairs with virtio_mb in virtqueue_kick_prepare: either it
 *sees that we want a notification, or we see avail.idx
 */
#include "virtio/queue/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "virtio/device.h"
#include "virtqueue_private.h"
#include "vm/core/guest_mem.h"
#include "vm/core/sparse_alloc.h"

static size_t iovecs_per_chain(const struct virtqueue *vq)
{
	return (size_t)vq->max_size + VIRTQ_SPARE_IOVECS;
}

static size_t iov_bytes(const struct virtqueue *vq)
{
	return vq->max_size * iovecs_per_chain(vq) * sizeof(struct iovec);
}

int virtqueue_create(const struct guest_mem *mem, uint16_t max_size, struct virtqueue **ret)
{
	struct virtqueue *vq;
	struct iovec *iov;

	if (!is_power_of_two(max_size) || max_size > VIRTQ_MAX_SIZE)
		return -EINVAL;
	vq = calloc(1, sizeof(*vq));
	if (!vq)
		return -ENOMEM;
	vq->mem = mem;
	vq->max_size = max_size;
	vq->free_slots = malloc(max_size * sizeof(*vq->free_slots));
	vq->chains = calloc(max_size, sizeof(*vq->chains));
	vq->head_used = calloc(max_size, sizeof(*vq->head_used));
	vq->table = malloc((size_t)max_size * DESC_SIZE);
	iov = sparse_alloc(iov_bytes(vq));
	if (vq->chains)
		vq->chains[0].iov = iov;
	if (!vq->free_slots || !vq->chains || !vq->head_used || !vq->table || !iov) {
		if (!vq->chains)
			sparse_free(iov, iov_bytes(vq));
		virtqueue_destroy(vq);
		return -ENOMEM;
	}
	for (uint16_t i = 0; i < max_size; i++) {
		vq->chains[i].slot = i;
		vq->chains[i].iov = iov + i * iovecs_per_chain(vq);
	}
	*ret = vq;
	return 0;
}

void virtqueue_destroy(struct virtqueue *vq)
{
	if (!vq)
		return;
	if (vq->chains)
		sparse_free(vq->chains[0].iov, iov_bytes(vq));
	free(vq->table);
	free(vq->head_used);
	free(vq->chains);
	free(vq->free_slots);
	free(vq);
}

/* 2.7: the areas' sizes, with the event fields that are there whether used or not. */
static bool map_areas(struct virtqueue *vq, const struct virtqueue_layout *l)
{
	vq->desc = guest_mem_ptr(vq->mem, l->desc, (uint64_t)l->size * DESC_SIZE);
	vq->avail = guest_mem_ptr(vq->mem, l->avail, AVAIL_RING + 2u * l->size + 2);
	vq->used = guest_mem_ptr(vq->mem, l->used, USED_RING + USED_ELEM_SIZE * l->size + 2);
	return vq->desc && vq->avail && vq->used;
}

/* Host pointers too: RAM may come from a place that is aligned to less than a page. */
static bool areas_aligned(const struct virtqueue *vq, const struct virtqueue_layout *l)
{
	return !((l->desc | (uintptr_t)vq->desc) % DESC_ALIGN) &&
	       !((l->avail | (uintptr_t)vq->avail) % AVAIL_ALIGN) &&
	       !((l->used | (uintptr_t)vq->used) % USED_ALIGN);
}

int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_layout *layout, uint64_t features)
{
	if (vq->enabled || !is_power_of_two(layout->size) || layout->size > vq->max_size)
		return -EINVAL;
	if (!map_areas(vq, layout))
		return -EFAULT;
	if (!areas_aligned(vq, layout))
		return -EINVAL;
	vq->size = layout->size;
	vq->event_idx = features & VIRTIO_F_EVENT_IDX;
	vq->indirect = features & VIRTIO_F_INDIRECT_DESC;
	vq->in_order = features & VIRTIO_F_IN_ORDER;
	vq->error = NULL;
	vq->avail_idx = vq->next_avail = 0;
	vq->next_used = vq->published = vq->settled = 0;
	vq->push_seq = 0;
	vq->notify_off = false;
	vq->num_free = vq->size;
	for (uint16_t i = 0; i < vq->size; i++)
		vq->free_slots[i] = (uint16_t)(vq->size - 1 - i);
	memset(vq->head_used, 0, vq->max_size * sizeof(*vq->head_used));
	vq->enabled = true;
	return 0;
}

void virtqueue_disable(struct virtqueue *vq)
{
	assert(!virtqueue_in_flight(vq));
	vq->enabled = false;
	vq->error = NULL;
	vq->desc = NULL;
	vq->avail = vq->used = NULL;
}

bool virtqueue_enabled(const struct virtqueue *vq)
{
	return vq->enabled;
}

uint16_t virtqueue_areas(
	const struct virtqueue *vq, const void **desc, const void **avail, void **used)
{
	*desc = vq->desc;
	*avail = vq->avail;
	*used = vq->used;
	return vq->size;
}

uint16_t virtqueue_position(const struct virtqueue *vq)
{
	return vq->next_avail;
}

/* What was taken has been used, one for one; and its interrupts have been seen to. */
void virtqueue_resume(struct virtqueue *vq, uint16_t position)
{
	assert(!virtqueue_in_flight(vq));
	vq->avail_idx = vq->next_avail = position;
	vq->next_used = vq->published = vq->settled = position;
	vq->push_seq = position;
}

unsigned int virtqueue_in_flight(const struct virtqueue *vq)
{
	return vq->enabled ? (unsigned int)(vq->size - vq->num_free) : 0;
}

const char *virtqueue_error(const struct virtqueue *vq)
{
	return vq->error;
}

int virtqueue_fail(struct virtqueue *vq, const char *rule)
{
	if (!vq->error)
		vq->error = rule;
	return -EPROTO;
}

/* Looks whether the driver has made more available. */
static void refresh_avail(struct virtqueue *vq)
{
	/* Acquire: ring entry and descriptors are read after the index that covers them. */
	vq->avail_idx = le16toh(__atomic_load_n(
		(const uint16_t *)(const void *)(vq->avail + AVAIL_IDX), __ATOMIC_ACQUIRE));
}

bool virtqueue_has_avail(struct virtqueue *vq)
{
	if (!vq->enabled || vq->error)
		return false;
	if (vq->avail_idx == vq->next_avail)
		refresh_avail(vq);
	return vq->avail_idx != vq->next_avail;
}

/* 1: there is something to take. 0, -EPROTO as virtqueue_pop. */
static int available(struct virtqueue *vq)
{
	if (!virtqueue_has_avail(vq))
		return vq->error ? -EPROTO : 0;
	if ((uint16_t)(vq->avail_idx - vq->next_avail) > vq->size)
		return virtqueue_fail(vq, "available index too far ahead");
	return 1;
}

static int take(struct virtqueue *vq, struct virtq_chain **ret)
{
	struct virtq_chain *chain;
	uint16_t head;

	head = area_load16(vq->avail + AVAIL_RING + 2 * (vq->next_avail & (vq->size - 1)));
	if (!ring_index_valid(vq, head))
		return virtqueue_fail(vq, "available descriptor outside the table");
	if (vq->head_used[head])
		return virtqueue_fail(vq, "descriptor made available twice");
	/* As many slots as heads, so one is free. */
	chain = &vq->chains[vq->free_slots[vq->num_free - 1]];
	if (!virtqueue_walk_one(vq, head, chain) && virtqueue_walk(vq, head, chain) < 0)
		return -EPROTO;
	chain->head = head;
	chain->seq = vq->next_avail++;
	vq->num_free--;
	vq->head_used[head] = true;
	*ret = chain;
	return 1;
}

unsigned int virtqueue_pop_room(
	struct virtqueue *vq, struct virtq_chain **chains, unsigned int max, uint64_t room)
{
	unsigned int n = 0;

	for (; n < max && room && available(vq) > 0 && take(vq, &chains[n]) > 0; n++)
		room -= MIN(chains[n]->writable, room);
	return n;
}

int virtqueue_pop(struct virtqueue *vq, struct virtq_chain **ret)
{
	if (virtqueue_pop_room(vq, ret, 1, 1))
		return 1;
	return vq->error ? -EPROTO : 0;
}

static inline void free_chain(struct virtqueue *vq, const struct virtq_chain *chain)
{
	assert(vq->head_used[chain->head]);
	vq->head_used[chain->head] = false;
	vq->free_slots[vq->num_free++] = chain->slot;
}

void virtqueue_unpop(struct virtqueue *vq, struct virtq_chain *chain)
{
	assert(chain->seq == (uint16_t)(vq->next_avail - 1));
	vq->next_avail--;
	free_chain(vq, chain);
}

void virtqueue_release(struct virtqueue *vq, struct virtq_chain *chain)
{
	free_chain(vq, chain);
}

static inline void push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t written)
{
	uint8_t *elem = vq->used + USED_RING + USED_ELEM_SIZE * (vq->next_used & (vq->size - 1));
	const uint32_t id = htole32(chain->head), len = htole32(written);

	assert(written <= chain->writable);
	assert(!vq->in_order || chain->seq == vq->push_seq);
	vq->push_seq++;
	memcpy(elem, &id, sizeof(id));
	memcpy(elem + sizeof(id), &len, sizeof(len));
	vq->next_used++;
	free_chain(vq, chain);
}

void virtqueue_push(struct virtqueue *vq, struct virtq_chain *chain, uint32_t written)
{
	push(vq, chain, written);
}

void virtqueue_push_over(
	struct virtqueue *vq, struct virtq_chain *const *chains, unsigned int num, uint64_t written)
{
	for (unsigned int i = 0; i < num; i++) {
		const uint64_t part = MIN(written, chains[i]->writable);

		written -= part;
		push(vq, chains[i], (uint32_t)part);
	}
}

/* Whether event lies in [from, to), modulo 2^16 (2.7.10): the driver asked to hear of it. */
static bool passes(uint16_t event, uint16_t from, uint16_t to)
{
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

/* Whether the driver asked to hear of what it was shown in [from, to). */
static bool wanted(const struct virtqueue *vq, uint16_t from, uint16_t to)
{
	if (from == to)
		return false;
	if (vq->event_idx)
		return passes(area_load16(vq->avail + AVAIL_RING + 2 * vq->size), from, to);
	return !(area_load16(vq->avail + AVAIL_FLAGS) & AVAIL_F_NO_INTERRUPT);
}

static void show(struct virtqueue *vq)
{
	vq->published = vq->next_used;
	/* Release: elements, and what the device wrote, come before the index that covers them. */
	__atomic_store_n((uint16_t *)(void *)(vq->used + USED_IDX), htole16(vq->published),
		__ATOMIC_RELEASE);
	/* See the top: index first, then the driver's wish. */
	full_fence();
}

bool virtqueue_publish(struct virtqueue *vq)
{
	const uint16_t from = vq->settled;

	if (!vq->enabled || from == vq->next_used)
		return false;
	show(vq);
	vq->settled = vq->published;
	return wanted(vq, from, vq->published);
}

bool virtqueue_publish_later(struct virtqueue *vq, bool *owed)
{
	const uint16_t before = vq->published;
	bool now;

	*owed = false;
	if (!vq->enabled || before == vq->next_used)
		return false;
	show(vq);
	now = wanted(vq, vq->settled, before);
	*owed = !now && wanted(vq, before, vq->published);
	vq->settled = *owed ? before : vq->published;
	return now;
}

/* With EVENT_IDX nothing needs to be done: the event index lies behind us until notify_on. */
void virtqueue_notify_off(struct virtqueue *vq)
{
	if (!vq->enabled || vq->event_idx || vq->notify_off)
		return;
	vq->notify_off = true;
	area_store16(vq->used + USED_FLAGS, USED_F_NO_NOTIFY);
}

bool virtqueue_notify_on(struct virtqueue *vq)
{
	if (!vq->enabled || vq->error)
		return false;
	if (vq->event_idx) {
		area_store16(vq->used + USED_RING + USED_ELEM_SIZE * vq->size, vq->next_avail);
	} else if (vq->notify_off) {
		vq->notify_off = false;
		area_store16(vq->used + USED_FLAGS, 0);
	}
	/* See the top: our wish first, then the index. */
	full_fence();
	return virtqueue_has_avail(vq);
}
