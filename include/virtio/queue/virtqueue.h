/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device side of a split virtqueue (virtio 1.2, 2.7), without the device: rings in guest
 * memory, chains out of them and used elements back into them.
 *
 * Devices do not call this; they use the functions of virtio/device.h, which add what a device has
 * to do around it. Nothing here locks: the caller holds its device's mutex.
 *
 * Whatever the driver does, memory outside its RAM is not touched and no loop runs longer than the
 * queue is. A broken rule is -EPROTO: the queue then gives no further chains until it is enabled
 * anew; chains in flight can still be pushed.
 */
#ifndef BANTAM_VIRTIO_QUEUE_VIRTQUEUE_H
#define BANTAM_VIRTIO_QUEUE_VIRTQUEUE_H

#include "virtio/queue/chain.h"
#include "vm/core/base.h"

struct guest_mem;
struct virtqueue;

enum {
	VIRTQ_MAX_SIZE = 1024, /* entries we take; the format ends at 32768 (2.7) */

	/* A descriptor that lies across RAM regions costs an iovec for each; a chain may have this
	 * many more iovecs than the queue has entries. */
	VIRTQ_SPARE_IOVECS = 64,
};

/* What the driver tells about a queue; guest-physical addresses. */
struct virtqueue_layout {
	uint16_t size; /* entries */
	uint64_t desc;
	uint64_t avail; /* the driver area */
	uint64_t used;	/* the device area */
};

/* max_size is a power of two, at most VIRTQ_MAX_SIZE. mem outlives the queue. -EINVAL, -ENOMEM. */
int virtqueue_create(const struct guest_mem *mem, uint16_t max_size, struct virtqueue **ret);
void virtqueue_destroy(struct virtqueue *vq);

/*
 * Checks the layout and takes it over: what happens to *layout later means nothing. features are
 * the negotiated ones. Indices start at 0. -EINVAL: the size is not a power of two or more than the
 * maximum, an area is not aligned as 2.7 wants it, or the queue is enabled already; -EFAULT: an
 * area does not lie in one piece of RAM.
 */
int virtqueue_enable(
	struct virtqueue *vq, const struct virtqueue_layout *layout, uint64_t features);
/* No chain is in flight. The rings are not touched any more. */
void virtqueue_disable(struct virtqueue *vq);
bool virtqueue_enabled(const struct virtqueue *vq);

/*
 * Takes the next available chain: 1 with *ret set, 0 when there is none, -EPROTO when the driver
 * broke a rule now or earlier. Each descriptor is read once, the copy checked. The chain belongs
 * to the queue; give it back by push, release or unpop.
 */
int virtqueue_pop(struct virtqueue *vq, struct virtq_chain **ret);
/*
 * Takes chains until they have room bytes to write in all: how many, at most max. Fewer when there
 * are no more, or the driver broke a rule (virtqueue_error).
 */
unsigned int virtqueue_pop_room(
	struct virtqueue *vq, struct virtq_chain **chains, unsigned int max, uint64_t room);
/* Undoes the latest pop that was not undone; it comes again with the next. */
void virtqueue_unpop(struct virtqueue *vq, struct virtq_chain *chain);

/*
 * Puts the chain into the used ring; the driver sees it after the next publish. written bytes,
 * counted from the first writable one, have been written by the device (2.7.8); at most
 * chain->writable. With IN_ORDER, chains must be pushed in the order they were popped.
 */
void virtqueue_push(struct virtqueue *vq, struct virtq_chain *chain, uint32_t written);
/* Pushes chains over which written bytes lie, one after the other; what is left gets 0. */
void virtqueue_push_over(struct virtqueue *vq, struct virtq_chain *const *chains, unsigned int num,
	uint64_t written);
/* Forgets the chain without telling the driver: for a queue that is about to be reset. */
void virtqueue_release(struct virtqueue *vq, struct virtq_chain *chain);

/* Shows the driver all that was pushed. Returns true when it wants an interrupt for it. */
bool virtqueue_publish(struct virtqueue *vq);
/*
 * The same for an interrupt that has time: *owed when one is wanted, which the next publish will
 * tell, unless the driver has looked at the ring meanwhile. One that was owed before is wanted now:
 * true.
 */
bool virtqueue_publish_later(struct virtqueue *vq, bool *owed);

/*
 * Notifications from the driver: off is a hint, they may still come. on returns true when chains
 * became available meanwhile, for which no notification may come: pop them first.
 */
void virtqueue_notify_off(struct virtqueue *vq);
bool virtqueue_notify_on(struct virtqueue *vq);

/* Whether a pop would find something (a chain or an error). */
bool virtqueue_has_avail(struct virtqueue *vq);

/*
 * For somebody who serves the queue in our place, while no chain of it is in flight: where the
 * areas are (the result is the size), and at which available index to begin. For us to go on
 * afterwards: the index up to which chains have been used.
 */
uint16_t virtqueue_areas(
	const struct virtqueue *vq, const void **desc, const void **avail, void **used);
uint16_t virtqueue_position(const struct virtqueue *vq);
void virtqueue_resume(struct virtqueue *vq, uint16_t position);

unsigned int virtqueue_in_flight(const struct virtqueue *vq);
/* Ends the queue over a rule, given as static text, that its user found broken; -EPROTO. */
int virtqueue_fail(struct virtqueue *vq, const char *rule);
/* What rule the driver broke first, for the log; NULL when it did not. */
const char *virtqueue_error(const struct virtqueue *vq);

#endif
