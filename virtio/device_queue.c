/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's queues: registers, kicks, and the ways of chains in and out.
 *
 * A kick comes as a write to a queue's eventfd, from the kernel (a doorbell), from a transport's
 * register or from the device itself, and ends in ops->kick on the loop's thread. Kicks for a queue
 * that is not in use are dropped there, so nobody has to be told when it stops being so.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device_private.h"

static bool usable(const struct virtio_device *vdev, unsigned int q)
{
	const struct vdev_queue *queue = &vdev->queues[q];

	return vdev->running && !queue->resetting && virtqueue_enabled(queue->vq) &&
	       !virtqueue_error(queue->vq);
}

/* The queue may be asked for chains. */
static bool gives(const struct virtio_device *vdev, unsigned int q)
{
	return !vdev->paused && usable(vdev, q);
}

/* Without a loop a device that wants another kick gets it here, not on top of this one. */
static void run_kick(struct vdev_queue *queue)
{
	struct virtio_device *vdev = queue->vdev;
	const unsigned int q = (unsigned int)(queue - vdev->queues);

	counter_add(&queue->counts.kicks, 1);
	queue->kicking = true;
	do {
		queue->again = false;
		if (gives(vdev, q))
			vdev->config.ops->kick(vdev->config.opaque, q);
	} while (queue->again);
	queue->kicking = false;
}

static void kicked(void *opaque, uint32_t events)
{
	struct vdev_queue *queue = opaque;
	uint64_t count;

	(void)events;
	/* Before the queue is looked at: a later kick counts anew. */
	if (read(queue->kick_fd, &count, sizeof(count)) < 0)
		return;
	virtio_device_lock(queue->vdev);
	run_kick(queue);
	virtio_device_unlock(queue->vdev);
}

static void signal_kick(const struct vdev_queue *queue)
{
	const uint64_t one = 1;

	/* A full counter wakes the loop as well. */
	if (write(queue->kick_fd, &one, sizeof(one)) < 0)
		return;
}

void virtio_device_kick_again(struct virtio_device *vdev, unsigned int q)
{
	struct vdev_queue *queue = &vdev->queues[q];

	if (queue->kick_fd >= 0)
		signal_kick(queue);
	else if (queue->kicking)
		queue->again = true;
	else
		run_kick(queue);
}

void virtio_device_notify(struct virtio_device *vdev, uint32_t q)
{
	if (q >= vdev->config.num_queues) {
		log_limited(vdev->config.log, &vdev->limit, LOG_WARN,
			"%s: notification for queue %u, which does not exist", vdev->config.name,
			q);
		return;
	}
	if (vdev->queues[q].kick_fd >= 0) {
		signal_kick(&vdev->queues[q]);
		return;
	}
	virtio_device_lock(vdev);
	run_kick(&vdev->queues[q]);
	virtio_device_unlock(vdev);
}

void vdev_queue_look(struct virtio_device *vdev, unsigned int q)
{
	if (usable(vdev, q) && virtqueue_has_avail(vdev->queues[q].vq))
		virtio_device_kick_again(vdev, q);
}

static int add_to_loop(struct vdev_queue *queue, struct event_loop *loop)
{
	int rc;

	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0)
		return -errno;
	queue->source = (struct event_source){
		.fd = queue->kick_fd, .events = EPOLLIN, .fn = kicked, .opaque = queue};
	rc = event_loop_add(loop, &queue->source);
	if (rc < 0)
		close(queue->kick_fd);
	return rc;
}

int vdev_queue_create(
	struct virtio_device *vdev, unsigned int q, uint16_t max_size, struct event_loop *loop)
{
	struct vdev_queue *queue = &vdev->queues[q];
	int rc;

	rc = virtqueue_create(vdev->config.mem, max_size, &queue->vq);
	if (rc < 0)
		return rc;
	queue->vdev = vdev;
	queue->max = max_size;
	queue->kick_fd = -1;
	vdev_queue_default(queue);
	rc = loop ? add_to_loop(queue, loop) : 0;
	if (rc < 0)
		virtqueue_destroy(queue->vq);
	return rc;
}

void vdev_queue_destroy(struct vdev_queue *queue, struct event_loop *loop)
{
	if (queue->kick_fd >= 0) {
		event_loop_remove(loop, &queue->source);
		close(queue->kick_fd);
	}
	virtqueue_destroy(queue->vq);
}

void vdev_queue_default(struct vdev_queue *queue)
{
	queue->regs = (struct virtqueue_layout){.size = queue->max};
}

uint16_t virtio_device_queue_max(const struct virtio_device *vdev, unsigned int q)
{
	return vdev->queues[q].max;
}

int virtio_device_kick_fd(const struct virtio_device *vdev, unsigned int q)
{
	return vdev->queues[q].kick_fd;
}

const struct virtqueue_layout *virtio_device_queue(const struct virtio_device *vdev, unsigned int q)
{
	return &vdev->queues[q].regs;
}

struct virtqueue_layout *virtio_device_queue_edit(struct virtio_device *vdev, unsigned int q)
{
	struct vdev_queue *queue = &vdev->queues[q];

	if (vdev->resetting || virtqueue_enabled(queue->vq))
		return NULL;
	return &queue->regs;
}

void virtio_device_queue_enable(struct virtio_device *vdev, unsigned int q)
{
	struct vdev_queue *queue = &vdev->queues[q];
	int rc;

	if (vdev->resetting || virtqueue_enabled(queue->vq))
		return;
	if (!(vdev->status & VIRTIO_STATUS_FEATURES_OK)) {
		virtio_device_needs_reset(vdev, "queue %u enabled before FEATURES_OK", q);
		return;
	}
	rc = virtqueue_enable(queue->vq, &queue->regs, virtio_device_negotiated(vdev));
	if (rc < 0) {
		virtio_device_needs_reset(vdev, "queue %u: %s", q,
			rc == -EFAULT ? "an area outside RAM" : "wrong size or alignment");
		return;
	}
	if (!vdev->running)
		return;
	vdev_queues_changed(vdev);
	vdev_queue_look(vdev, q);
}

bool virtio_device_queue_enabled(const struct virtio_device *vdev, unsigned int q)
{
	return virtqueue_enabled(vdev->queues[q].vq);
}

void virtio_device_queue_disable(struct virtio_device *vdev, unsigned int q, bool by_reset)
{
	const struct virtio_device_ops *ops = vdev->config.ops;
	struct vdev_queue *queue = &vdev->queues[q];

	if (vdev->resetting || queue->resetting)
		return;
	if (virtqueue_enabled(queue->vq)) {
		queue->resetting = true;
		if (vdev->running && ops->queue_stop)
			ops->queue_stop(vdev->config.opaque, q);
		while (virtqueue_in_flight(queue->vq))
			pthread_cond_wait(&vdev->idle, &vdev->lock);
		virtqueue_disable(queue->vq);
		queue->resetting = false;
		vdev_queues_changed(vdev);
	}
	if (by_reset)
		vdev_queue_default(queue);
}

bool virtio_device_queue_resetting(const struct virtio_device *vdev, unsigned int q)
{
	return vdev->queues[q].resetting;
}

bool virtio_device_queue_usable(const struct virtio_device *vdev, unsigned int q)
{
	return usable(vdev, q);
}

unsigned int virtio_device_in_flight(const struct virtio_device *vdev, unsigned int q)
{
	return virtqueue_in_flight(vdev->queues[q].vq);
}

static void rule_broken(struct virtio_device *vdev, unsigned int q)
{
	virtio_device_needs_reset(vdev, "queue %u: %s", q, virtqueue_error(vdev->queues[q].vq));
}

int virtio_device_pop(struct virtio_device *vdev, unsigned int q, struct virtq_chain **ret)
{
	int rc;

	if (!gives(vdev, q))
		return 0;
	rc = virtqueue_pop(vdev->queues[q].vq, ret);
	if (rc >= 0)
		return rc;
	rule_broken(vdev, q);
	return 0;
}

unsigned int virtio_device_pop_room(struct virtio_device *vdev, unsigned int q,
	struct virtq_chain **chains, unsigned int max, uint64_t room)
{
	unsigned int n;

	if (!gives(vdev, q))
		return 0;
	n = virtqueue_pop_room(vdev->queues[q].vq, chains, max, room);
	if (virtqueue_error(vdev->queues[q].vq))
		rule_broken(vdev, q);
	return n;
}

void virtio_device_unpop(struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain)
{
	virtqueue_unpop(vdev->queues[q].vq, chain);
}

void virtio_device_release(struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain)
{
	struct virtqueue *vq = vdev->queues[q].vq;

	virtqueue_release(vq, chain);
	if (!virtqueue_in_flight(vq))
		pthread_cond_broadcast(&vdev->idle);
}

static bool going_away(const struct virtio_device *vdev, unsigned int q)
{
	return vdev->resetting || vdev->queues[q].resetting;
}

void virtio_device_push(
	struct virtio_device *vdev, unsigned int q, struct virtq_chain *chain, uint32_t written)
{
	if (going_away(vdev, q))
		virtio_device_release(vdev, q, chain);
	else
		virtqueue_push(vdev->queues[q].vq, chain, written);
}

void virtio_device_push_over(struct virtio_device *vdev, unsigned int q,
	struct virtq_chain *const *chains, unsigned int num, uint64_t written)
{
	if (!going_away(vdev, q)) {
		virtqueue_push_over(vdev->queues[q].vq, chains, num, written);
		return;
	}
	for (unsigned int i = 0; i < num; i++)
		virtio_device_release(vdev, q, chains[i]);
}

static void queue_irq(struct virtio_device *vdev, unsigned int q)
{
	counter_add(&vdev->queues[q].counts.interrupts, 1);
	if (vdev->transport)
		vdev->transport->queue_irq(vdev->transport_opaque, q);
}

void virtio_device_flush(struct virtio_device *vdev, unsigned int q)
{
	if (!going_away(vdev, q) && virtqueue_publish(vdev->queues[q].vq))
		queue_irq(vdev, q);
	if (vdev->paused)
		vdev_paused(vdev);
}

bool virtio_device_flush_later(struct virtio_device *vdev, unsigned int q)
{
	bool owed = false;

	if (!going_away(vdev, q) && virtqueue_publish_later(vdev->queues[q].vq, &owed))
		queue_irq(vdev, q);
	if (vdev->paused)
		vdev_paused(vdev);
	return owed;
}

const struct virtio_queue_counts *virtio_device_counts(
	const struct virtio_device *vdev, unsigned int q)
{
	return &vdev->queues[q].counts;
}

/* ---- queues that somebody else serves ---- */

/* A kick that is being answered was the last one: the loop has no more of this queue in hand. */
int virtio_device_lend(struct virtio_device *vdev, unsigned int q, struct virtio_lent *ret)
{
	struct vdev_queue *queue = &vdev->queues[q];
	const int rc = event_loop_modify(vdev->config.loop, &queue->source, 0);

	if (rc < 0)
		return rc;
	queue->lent = true;
	ret->size = virtqueue_areas(queue->vq, &ret->desc, &ret->avail, &ret->used);
	ret->position = virtqueue_position(queue->vq);
	ret->kick_fd = queue->kick_fd;
	ret->irq_fd = virtio_device_irq_fd(vdev, q);
	return 0;
}

void virtio_device_take_back(struct virtio_device *vdev, unsigned int q, uint16_t position)
{
	struct vdev_queue *queue = &vdev->queues[q];

	if (!queue->lent)
		return;
	event_loop_modify(vdev->config.loop, &queue->source, EPOLLIN);
	queue->lent = false;
	virtqueue_resume(queue->vq, position);
}

int virtio_device_irq_fd(const struct virtio_device *vdev, unsigned int q)
{
	if (!vdev->transport || !vdev->transport->irq_fd)
		return -1;
	return vdev->transport->irq_fd(vdev->transport_opaque, q);
}

void virtio_device_irq_moved(struct virtio_device *vdev, unsigned int q)
{
	if (vdev->queues[q].lent && vdev->config.ops->irq_moved)
		vdev->config.ops->irq_moved(vdev->config.opaque, q);
}

void virtio_device_interrupt(struct virtio_device *vdev, unsigned int q)
{
	if (vdev->running && !going_away(vdev, q))
		queue_irq(vdev, q);
}

void virtio_device_notify_off(struct virtio_device *vdev, unsigned int q)
{
	if (usable(vdev, q))
		virtqueue_notify_off(vdev->queues[q].vq);
}

bool virtio_device_notify_on(struct virtio_device *vdev, unsigned int q)
{
	return gives(vdev, q) && virtqueue_notify_on(vdev->queues[q].vq);
}

unsigned int virtio_device_drain(struct virtio_device *vdev, unsigned int q,
	bool (*fn)(void *opaque, unsigned int q, struct virtq_chain *chain))
{
	struct virtq_chain *chain;
	unsigned int n = 0;
	bool more = true;

	virtio_device_notify_off(vdev, q);
	while (more && n < VIRTIO_PASS_BUDGET) {
		if (virtio_device_pop(vdev, q, &chain)) {
			n++;
			more = fn(vdev->config.opaque, q, chain);
		} else {
			more = virtio_device_notify_on(vdev, q);
		}
	}
	if (more)
		virtio_device_kick_again(vdev, q);
	return n;
}

unsigned int virtio_device_process(struct virtio_device *vdev, unsigned int q,
	bool (*fn)(void *opaque, unsigned int q, struct virtq_chain *chain))
{
	const unsigned int n = virtio_device_drain(vdev, q, fn);

	virtio_device_flush(vdev, q);
	return n;
}
