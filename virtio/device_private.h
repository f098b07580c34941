/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/device.h and virtio/transport.h share. */
#ifndef BANTAM_VIRTIO_DEVICE_PRIVATE_H
#define BANTAM_VIRTIO_DEVICE_PRIVATE_H

#include <pthread.h>

#include "virtio/transport.h"
#include "vm/core/event_loop.h"
#include "vm/core/log.h"

struct vdev_queue {
	struct virtio_device *vdev;
	struct virtqueue *vq;
	uint16_t max;		      /* size */
	struct virtqueue_layout regs; /* as the driver wrote them */
	bool resetting;		      /* somebody waits for its chains */
	/* Without a loop: a kick runs; it shall run once more. */
	bool kicking, again;
	int kick_fd; /* -1 without a loop */
	bool lent;   /* kicks count there */
	struct event_source source;
	struct virtio_queue_counts counts;
};

struct virtio_device {
	/* Constant */
	struct virtio_device_config config; /* but queue_sizes */

	pthread_mutex_t lock; /* guards all below, and all queues */
	pthread_cond_t idle; /* no chain of a queue that somebody waits for is in flight, or a reset
				is over */
	const struct virtio_transport_ops *transport;
	void *transport_opaque;
	uint8_t status;
	bool running; /* between start and stop */
	bool resetting;
	bool dead;   /* quiesced */
	bool paused; /* queues give nothing */
	uint64_t driver_features;
	uint32_t generation;
	struct log_limit limit;
	struct vdev_queue queues[];
};

/* virtio/device_queue.c */
int vdev_queue_create(
	struct virtio_device *vdev, unsigned int q, uint16_t max_size, struct event_loop *loop);
void vdev_queue_destroy(struct vdev_queue *queue, struct event_loop *loop);
void vdev_queue_default(struct vdev_queue *queue);
/* Kicks q if it holds something. */
void vdev_queue_look(struct virtio_device *vdev, unsigned int q);

/* What was published may have been the last that virtio_device_pause waits for. */
void vdev_paused(struct virtio_device *vdev);

/* Tell the transport, if there is one. */
void vdev_queues_changed(struct virtio_device *vdev);
void vdev_config_irq(struct virtio_device *vdev);

#endif
