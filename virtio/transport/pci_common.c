/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common configuration structure (virtio 1.2, 4.1.4.3). 64-bit fields are two of 32 bits here,
 * which is how drivers have to access them (4.1.3.1).
 *
 * Reads take any offset and size and are put together byte by byte; none has a side effect. Writes
 * must hit one field with its own width, all others are dropped.
 */
#include <assert.h>

#include "pci_private.h"

enum field {
	FEATURE_SELECT,
	FEATURE,
	DRIVER_FEATURE_SELECT,
	DRIVER_FEATURE,
	CONFIG_VECTOR,
	NUM_QUEUES,
	STATUS,
	GENERATION,
	QUEUE_SELECT,
	QUEUE_SIZE,
	QUEUE_VECTOR,
	QUEUE_ENABLE,
	QUEUE_NOTIFY_OFF,
	QUEUE_DESC_LO,
	QUEUE_DESC_HI,
	QUEUE_DRIVER_LO,
	QUEUE_DRIVER_HI,
	QUEUE_DEVICE_LO,
	QUEUE_DEVICE_HI,
	QUEUE_NOTIFY_DATA,
	QUEUE_RESET,
	NUM_FIELDS,
};

static const struct {
	uint8_t off, size;
} fields[] = {
	[FEATURE_SELECT] = {0x00, 4},
	[FEATURE] = {0x04, 4},
	[DRIVER_FEATURE_SELECT] = {0x08, 4},
	[DRIVER_FEATURE] = {0x0c, 4},
	[CONFIG_VECTOR] = {0x10, 2},
	[NUM_QUEUES] = {0x12, 2},
	[STATUS] = {0x14, 1},
	[GENERATION] = {0x15, 1},
	[QUEUE_SELECT] = {0x16, 2},
	[QUEUE_SIZE] = {0x18, 2},
	[QUEUE_VECTOR] = {0x1a, 2},
	[QUEUE_ENABLE] = {0x1c, 2},
	[QUEUE_NOTIFY_OFF] = {0x1e, 2},
	[QUEUE_DESC_LO] = {0x20, 4},
	[QUEUE_DESC_HI] = {0x24, 4},
	[QUEUE_DRIVER_LO] = {0x28, 4},
	[QUEUE_DRIVER_HI] = {0x2c, 4},
	[QUEUE_DEVICE_LO] = {0x30, 4},
	[QUEUE_DEVICE_HI] = {0x34, 4},
	[QUEUE_NOTIFY_DATA] = {0x38, 2},
	[QUEUE_RESET] = {0x3a, 2},
};

static_assert(ARRAY_SIZE(fields) == NUM_FIELDS, "a place for each field");

static uint32_t load_queue(struct virtio_pci *vpci, enum field field)
{
	const unsigned int q = vpci->queue_select;
	const struct virtqueue_layout *regs;

	/* A queue that does not exist has size 0 (4.1.4.3.1). */
	if (q >= vpci->num_queues)
		return 0;
	regs = virtio_device_queue(vpci->vdev, q);
	switch (field) {
	case QUEUE_SIZE:
		return regs->size;
	case QUEUE_VECTOR:
		return vpci->queue_vectors[q];
	case QUEUE_ENABLE:
		return virtio_device_queue_enabled(vpci->vdev, q) &&
		       !virtio_device_queue_resetting(vpci->vdev, q);
	case QUEUE_NOTIFY_OFF:
		return q;
	case QUEUE_DESC_LO:
		return (uint32_t)regs->desc;
	case QUEUE_DESC_HI:
		return (uint32_t)(regs->desc >> 32);
	case QUEUE_DRIVER_LO:
		return (uint32_t)regs->avail;
	case QUEUE_DRIVER_HI:
		return (uint32_t)(regs->avail >> 32);
	case QUEUE_DEVICE_LO:
		return (uint32_t)regs->used;
	case QUEUE_DEVICE_HI:
		return (uint32_t)(regs->used >> 32);
	case QUEUE_RESET:
		return virtio_device_queue_resetting(vpci->vdev, q);
	default:
		return 0;
	}
}

static uint32_t load(struct virtio_pci *vpci, enum field field)
{
	switch (field) {
	case FEATURE_SELECT:
		return vpci->feature_select;
	case FEATURE:
		return virtio_device_offered_word(vpci->vdev, vpci->feature_select);
	case DRIVER_FEATURE_SELECT:
		return vpci->driver_feature_select;
	case DRIVER_FEATURE:
		return virtio_device_driver_word(vpci->vdev, vpci->driver_feature_select);
	case CONFIG_VECTOR:
		return vpci->config_vector;
	case NUM_QUEUES:
		return vpci->num_queues;
	case STATUS:
		return virtio_device_status(vpci->vdev);
	case GENERATION:
		return (uint8_t)virtio_device_generation(vpci->vdev);
	case QUEUE_SELECT:
		return vpci->queue_select;
	default:
		return load_queue(vpci, field);
	}
}

uint32_t vpci_common_read(struct virtio_pci *vpci, uint64_t off, unsigned int size)
{
	uint32_t value = 0;

	for (unsigned int f = 0; f < NUM_FIELDS; f++) {
		const uint64_t at = fields[f].off;
		uint32_t field;

		if (!ranges_overlap(at, fields[f].size, off, size))
			continue;
		field = load(vpci, (enum field)f);
		value |= at < off ? field >> (8 * (off - at)) : field << (8 * (at - off));
	}
	return value & (uint32_t)size_mask(size);
}

/* 4.1.5.1.2: a vector that there is not reads back as none. */
static uint16_t checked_vector(const struct virtio_pci *vpci, uint32_t value)
{
	return value <= vpci->num_queues ? (uint16_t)value : VPCI_NO_VECTOR;
}

static void reset_queue(struct virtio_pci *vpci, unsigned int q)
{
	if (!(virtio_device_negotiated(vpci->vdev) & VIRTIO_F_RING_RESET))
		return;
	virtio_device_queue_disable(vpci->vdev, q, true);
	vpci->queue_vectors[q] = VPCI_NO_VECTOR;
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
	const unsigned int shift = high ? 32 : 0;

	*reg = (*reg & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

/* What the queue's layout is made of; writes to an enabled queue are dropped (4.1.4.3.2). */
static void store_layout(struct virtio_pci *vpci, enum field field, uint32_t value)
{
	struct virtqueue_layout *regs = virtio_device_queue_edit(vpci->vdev, vpci->queue_select);

	if (!regs)
		return;
	switch (field) {
	case QUEUE_SIZE:
		regs->size = (uint16_t)value;
		break;
	case QUEUE_DESC_LO:
	case QUEUE_DESC_HI:
		set_half(&regs->desc, field == QUEUE_DESC_HI, value);
		break;
	case QUEUE_DRIVER_LO:
	case QUEUE_DRIVER_HI:
		set_half(&regs->avail, field == QUEUE_DRIVER_HI, value);
		break;
	case QUEUE_DEVICE_LO:
	case QUEUE_DEVICE_HI:
		set_half(&regs->used, field == QUEUE_DEVICE_HI, value);
		break;
	default:
		break;
	}
}

static void store_queue(struct virtio_pci *vpci, enum field field, uint32_t value)
{
	const unsigned int q = vpci->queue_select;

	if (q >= vpci->num_queues)
		return;
	switch (field) {
	case QUEUE_VECTOR:
		vpci->queue_vectors[q] = checked_vector(vpci, value);
		virtio_device_irq_moved(vpci->vdev, q);
		break;
	case QUEUE_ENABLE:
		if (value == 1)
			virtio_device_queue_enable(vpci->vdev, q);
		break;
	case QUEUE_RESET:
		if (value == 1)
			reset_queue(vpci, q);
		break;
	default:
		store_layout(vpci, field, value);
		break;
	}
}

static void store(struct virtio_pci *vpci, enum field field, uint32_t value)
{
	switch (field) {
	case FEATURE_SELECT:
		vpci->feature_select = value;
		break;
	case DRIVER_FEATURE_SELECT:
		vpci->driver_feature_select = value;
		break;
	case DRIVER_FEATURE:
		virtio_device_set_driver_word(vpci->vdev, vpci->driver_feature_select, value);
		break;
	case CONFIG_VECTOR:
		vpci->config_vector = checked_vector(vpci, value);
		break;
	case STATUS:
		if (virtio_device_set_status(vpci->vdev, (uint8_t)value))
			vpci_default(vpci);
		break;
	case QUEUE_SELECT:
		vpci->queue_select = (uint16_t)value;
		break;
	default:
		store_queue(vpci, field, value);
		break;
	}
}

void vpci_common_write(struct virtio_pci *vpci, uint64_t off, unsigned int size, uint32_t value)
{
	for (unsigned int f = 0; f < NUM_FIELDS; f++)
		if (fields[f].off == off && fields[f].size == size)
			store(vpci, (enum field)f, value);
}

void vpci_default(struct virtio_pci *vpci)
{
	vpci->feature_select = vpci->driver_feature_select = 0;
	vpci->queue_select = 0;
	vpci->config_vector = VPCI_NO_VECTOR;
	for (unsigned int q = 0; q < vpci->num_queues; q++)
		vpci->queue_vectors[q] = VPCI_NO_VECTOR;
	vpci->isr = 0;
	vpci_update_intx(vpci);
}
