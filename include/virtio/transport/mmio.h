/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over MMIO (virtio 1.2, 4.2), version 2: a block of registers and a wire.
 */
#ifndef BANTAM_VIRTIO_TRANSPORT_MMIO_H
#define BANTAM_VIRTIO_TRANSPORT_MMIO_H

#include "vm/core/base.h"
#include "vm/core/doorbell.h"
#include "vm/core/irq.h"

struct bus;
struct virtio_device;
struct virtio_mmio;

/* Bytes of address space: 0x100 of registers and as many for the device's configuration. */
#define VIRTIO_MMIO_SIZE 0x200

struct virtio_mmio_config {
	struct virtio_device *vdev; /* outlives the transport */
	struct bus *bus;	    /* of guest-physical addresses */
	uint64_t base;		    /* a multiple of 4 KiB is what guests like */
	struct irq_line irq;	    /* level, active high; not shared */
	struct doorbell_listener doorbells;
};

/* Attaches to the device and puts it on the bus. What bus_add returns, or -ENOMEM. */
int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **ret);
/* vCPUs have stopped. The device may be running; it loses its interrupt. NULL is allowed. */
void virtio_mmio_destroy(struct virtio_mmio *vmmio);

#endif
