/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The side of a virtio device that a transport sees: registers without an address. A transport
 * decodes its own register layout, takes the device's lock (virtio_device_lock) around each access
 * and calls what is here; its own state lives under the same lock.
 *
 * Everything wants the lock held unless it says otherwise. Queue numbers are below the number of
 * queues; it is for the transport to check what the guest selected.
 */
#ifndef BANTAM_VIRTIO_TRANSPORT_H
#define BANTAM_VIRTIO_TRANSPORT_H

#include "virtio/device.h"
#include "virtio/queue/virtqueue.h"

/* Device status (2.1) */
enum {
	VIRTIO_STATUS_ACKNOWLEDGE = 1,
	VIRTIO_STATUS_DRIVER = 2,
	VIRTIO_STATUS_DRIVER_OK = 4,
	VIRTIO_STATUS_FEATURES_OK = 8,
	VIRTIO_STATUS_NEEDS_RESET = 64,
	VIRTIO_STATUS_FAILED = 128,
};

/* Interrupt status, the same bits on PCI (4.1.4.5) and MMIO (4.2.2) */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

/* Called with the device's lock held; neither blocks nor calls back. */
struct virtio_transport_ops {
	/* Used buffer notification for q, configuration change notification (2.3). */
	void (*queue_irq)(void *opaque, unsigned int q);
	void (*config_irq)(void *opaque);
	/*
	 * virtio_device_running or virtio_device_queue_enabled may say something else than before:
	 * time to arrange for doorbells and interrupt routes.
	 */
	void (*queues_changed)(void *opaque);
	/*
	 * An eventfd that does the same as queue_irq for q, for the kernel to signal; -1: there is
	 * none. May be NULL. When the answer changes, the transport calls virtio_device_irq_moved.
	 */
	int (*irq_fd)(void *opaque, unsigned int q);
};

/* Connects the transport; NULL disconnects it, after which no op is called. Takes the lock. */
void virtio_device_attach(
	struct virtio_device *vdev, const struct virtio_transport_ops *ops, void *opaque);

/* Fixed; no lock needed. */
enum virtio_id virtio_device_id(const struct virtio_device *vdev);
const char *virtio_device_name(const struct virtio_device *vdev);
unsigned int virtio_device_num_queues(const struct virtio_device *vdev);
uint16_t virtio_device_queue_max(const struct virtio_device *vdev, unsigned int q);
uint32_t virtio_device_cfg_size(const struct virtio_device *vdev);
struct log *virtio_device_log(const struct virtio_device *vdev);

/*
 * The eventfd that stands for a notification of q, for the kernel to signal; -1 when kicks do not
 * run on a loop. No lock needed.
 */
int virtio_device_kick_fd(const struct virtio_device *vdev, unsigned int q);
/* The driver notified q, which may be any number: out of range is logged and dropped. No lock. */
void virtio_device_notify(struct virtio_device *vdev, uint32_t q);

/* irq_fd may say something else for q than before. */
void virtio_device_irq_moved(struct virtio_device *vdev, unsigned int q);

/* 32 bits at a time; words past the second read as 0 and drop writes (4.1.4.3.1). */
uint32_t virtio_device_offered_word(const struct virtio_device *vdev, uint32_t select);
uint32_t virtio_device_driver_word(const struct virtio_device *vdev, uint32_t select);
void virtio_device_set_driver_word(struct virtio_device *vdev, uint32_t select, uint32_t word);

uint8_t virtio_device_status(const struct virtio_device *vdev);
/*
 * The driver writes device_status. 0 resets: waits, with the lock released, until nothing is in
 * flight; the status reads as before until then. Returns true when the device was reset, upon
 * which the transport restores its own registers.
 */
bool virtio_device_set_status(struct virtio_device *vdev, uint8_t status);

uint32_t virtio_device_generation(const struct virtio_device *vdev);
/* Any off and len up to 8; what lies past the end reads as 0 and drops writes. */
uint64_t virtio_device_cfg_load(struct virtio_device *vdev, uint64_t off, unsigned int len);
void virtio_device_cfg_store(
	struct virtio_device *vdev, uint64_t off, unsigned int len, uint64_t value);

/*
 * The registers of q as the driver wrote them, unchecked, for the transport to show and to change.
 * NULL instead while changes mean nothing: the queue is enabled, or the device being reset.
 */
const struct virtqueue_layout *virtio_device_queue(
	const struct virtio_device *vdev, unsigned int q);
struct virtqueue_layout *virtio_device_queue_edit(struct virtio_device *vdev, unsigned int q);

/* Takes a snapshot of the registers and enables q. A mistake in them is the driver's: NEEDS_RESET.
 */
void virtio_device_queue_enable(struct virtio_device *vdev, unsigned int q);
bool virtio_device_queue_enabled(const struct virtio_device *vdev, unsigned int q);
/*
 * Stops q: waits, with the lock released, until none of its chains is in flight, then disables it.
 * With reset its registers are as after a device reset (2.6.1), else they stay.
 */
void virtio_device_queue_disable(struct virtio_device *vdev, unsigned int q, bool reset);
/* queue_disable with reset has begun and not ended, on another vCPU. */
bool virtio_device_queue_resetting(const struct virtio_device *vdev, unsigned int q);

#endif
