/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MMIO transport (virtio 1.2, 4.2.2). Registers take aligned 32-bit accesses and nothing else;
 * the device's configuration behind them takes what it is made of. Registers that can only be
 * written read as 0.
 *
 * The wire is high while InterruptStatus is not zero. All state is under the device's lock.
 */
#include "virtio/transport/mmio.h"

#include <errno.h>
#include <stdlib.h>

#include "doorbells.h"
#include "virtio/transport.h"
#include "vm/core/bus.h"

enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_VENDOR_ID = 0x00c,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_NUM_MAX = 0x034,
	REG_QUEUE_NUM = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC_LO = 0x080,
	REG_QUEUE_DESC_HI = 0x084,
	REG_QUEUE_DRIVER_LO = 0x090,
	REG_QUEUE_DRIVER_HI = 0x094,
	REG_QUEUE_DEVICE_LO = 0x0a0,
	REG_QUEUE_DEVICE_HI = 0x0a4,
	REG_SHM_LEN_LO = 0x0b0,
	REG_SHM_LEN_HI = 0x0b4,
	REG_SHM_BASE_LO = 0x0b8,
	REG_SHM_BASE_HI = 0x0bc,
	REG_QUEUE_RESET = 0x0c0,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,

	MAGIC = 0x74726976,  /* "virt" */
	VENDOR = 0x4d544e42, /* "BNTM" */
};

struct virtio_mmio {
	struct virtio_device *vdev;
	struct bus *bus;
	struct bus_region region;
	struct irq_line irq;
	unsigned int num_queues;

	/* Guarded by the device's lock */
	struct doorbells doorbells;
	uint32_t device_sel, driver_sel, queue_sel;
	uint32_t isr;
};

static void update_irq(struct virtio_mmio *m)
{
	irq_line_set(&m->irq, m->isr);
}

static void set_default(struct virtio_mmio *m)
{
	m->device_sel = m->driver_sel = m->queue_sel = 0;
	m->isr = 0;
	update_irq(m);
}

static void update_doorbells(struct virtio_mmio *m)
{
	for (unsigned int q = 0; q < m->num_queues; q++) {
		const struct doorbell bell = {.addr = m->region.base + REG_QUEUE_NOTIFY,
			.len = 4,
			.match = true,
			.value = q,
			.fd = virtio_device_kick_fd(m->vdev, q)};
		const bool want =
			virtio_device_running(m->vdev) && virtio_device_queue_enabled(m->vdev, q);

		doorbells_set(&m->doorbells, q, want ? &bell : NULL);
	}
}

static uint32_t read_queue(struct virtio_mmio *m, uint64_t reg)
{
	const uint32_t q = m->queue_sel;

	if (q >= m->num_queues)
		return 0;
	switch (reg) {
	case REG_QUEUE_NUM_MAX:
		return virtio_device_queue_max(m->vdev, q);
	case REG_QUEUE_READY:
		return virtio_device_queue_enabled(m->vdev, q) &&
		       !virtio_device_queue_resetting(m->vdev, q);
	case REG_QUEUE_RESET:
		return virtio_device_queue_resetting(m->vdev, q);
	default:
		return 0;
	}
}

static uint32_t read_reg(struct virtio_mmio *m, uint64_t reg)
{
	switch (reg) {
	case REG_MAGIC:
		return MAGIC;
	case REG_VERSION:
		return 2;
	case REG_DEVICE_ID:
		return virtio_device_id(m->vdev);
	case REG_VENDOR_ID:
		return VENDOR;
	case REG_DEVICE_FEATURES:
		return virtio_device_offered_word(m->vdev, m->device_sel);
	case REG_INTERRUPT_STATUS:
		return m->isr;
	case REG_STATUS:
		return virtio_device_status(m->vdev);
	case REG_CONFIG_GENERATION:
		return virtio_device_generation(m->vdev);
	case REG_SHM_LEN_LO:
	case REG_SHM_LEN_HI:
	case REG_SHM_BASE_LO:
	case REG_SHM_BASE_HI:
		return UINT32_MAX; /* no such region, 4.2.2.1 */
	default:
		return read_queue(m, reg);
	}
}

static void set_half(uint64_t *value, bool high, uint32_t half)
{
	const unsigned int shift = high ? 32 : 0;

	*value = (*value & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)half << shift;
}

/* Dropped while the queue is in use (4.2.2.2). */
static void write_layout(struct virtio_mmio *m, uint64_t reg, uint32_t value)
{
	struct virtqueue_layout *regs = virtio_device_queue_edit(m->vdev, m->queue_sel);

	if (!regs)
		return;
	switch (reg) {
	case REG_QUEUE_NUM:
		/* 16 bits are the format's limit; more must not become less. */
		regs->size = value <= UINT16_MAX ? (uint16_t)value : 0;
		break;
	case REG_QUEUE_DESC_LO:
	case REG_QUEUE_DESC_HI:
		set_half(&regs->desc, reg == REG_QUEUE_DESC_HI, value);
		break;
	case REG_QUEUE_DRIVER_LO:
	case REG_QUEUE_DRIVER_HI:
		set_half(&regs->avail, reg == REG_QUEUE_DRIVER_HI, value);
		break;
	case REG_QUEUE_DEVICE_LO:
	case REG_QUEUE_DEVICE_HI:
		set_half(&regs->used, reg == REG_QUEUE_DEVICE_HI, value);
		break;
	}
}

static void write_queue(struct virtio_mmio *m, uint64_t reg, uint32_t value)
{
	const uint32_t q = m->queue_sel;

	if (q >= m->num_queues)
		return;
	switch (reg) {
	case REG_QUEUE_READY:
		if (value == 1)
			virtio_device_queue_enable(m->vdev, q);
		else if (value == 0)
			virtio_device_queue_disable(m->vdev, q, false);
		break;
	case REG_QUEUE_RESET:
		if (value == 1 && (virtio_device_negotiated(m->vdev) & VIRTIO_F_RING_RESET))
			virtio_device_queue_disable(m->vdev, q, true);
		break;
	default:
		write_layout(m, reg, value);
		break;
	}
}

static void write_reg(struct virtio_mmio *m, uint64_t reg, uint32_t value)
{
	switch (reg) {
	case REG_DEVICE_FEATURES_SEL:
		m->device_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		virtio_device_set_driver_word(m->vdev, m->driver_sel, value);
		break;
	case REG_DRIVER_FEATURES_SEL:
		m->driver_sel = value;
		break;
	case REG_QUEUE_SEL:
		m->queue_sel = value;
		break;
	case REG_INTERRUPT_ACK:
		m->isr &= ~value;
		update_irq(m);
		break;
	case REG_STATUS:
		if (virtio_device_set_status(m->vdev, (uint8_t)value))
			set_default(m);
		break;
	default:
		write_queue(m, reg, value);
		break;
	}
}

static bool is_register_access(uint64_t off, unsigned int size)
{
	return off < REG_CONFIG && size == 4 && !(off % 4);
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned int size)
{
	struct virtio_mmio *m = opaque;
	uint64_t value = 0;

	virtio_device_lock(m->vdev);
	if (off >= REG_CONFIG)
		value = virtio_device_cfg_load(m->vdev, off - REG_CONFIG, size);
	else if (is_register_access(off, size))
		value = read_reg(m, off);
	virtio_device_unlock(m->vdev);
	return value;
}

static void mmio_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct virtio_mmio *m = opaque;

	if (off == REG_QUEUE_NOTIFY && size == 4) {
		virtio_device_notify(m->vdev, (uint32_t)value);
		return;
	}
	virtio_device_lock(m->vdev);
	if (off >= REG_CONFIG)
		virtio_device_cfg_store(m->vdev, off - REG_CONFIG, size, value);
	else if (is_register_access(off, size))
		write_reg(m, off, (uint32_t)value);
	virtio_device_unlock(m->vdev);
}

static const struct bus_ops mmio_ops = {.read = mmio_read, .write = mmio_write};

static void queue_irq(void *opaque, unsigned int q)
{
	struct virtio_mmio *m = opaque;

	(void)q;
	m->isr |= VIRTIO_ISR_QUEUE;
	update_irq(m);
}

static void config_irq(void *opaque)
{
	struct virtio_mmio *m = opaque;

	m->isr |= VIRTIO_ISR_CONFIG;
	update_irq(m);
}

static void queues_changed(void *opaque)
{
	update_doorbells(opaque);
}

static const struct virtio_transport_ops transport_ops = {
	.queue_irq = queue_irq, .config_irq = config_irq, .queues_changed = queues_changed};

int virtio_mmio_create(const struct virtio_mmio_config *config, struct virtio_mmio **ret)
{
	struct virtio_mmio *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->vdev = config->vdev;
	m->bus = config->bus;
	m->irq = config->irq;
	m->num_queues = virtio_device_num_queues(config->vdev);
	m->doorbells.listener = config->doorbells;
	m->region = (struct bus_region){.name = virtio_device_name(config->vdev),
		.base = config->base,
		.size = VIRTIO_MMIO_SIZE,
		.ops = &mmio_ops,
		.opaque = m};
	rc = bus_add(config->bus, &m->region);
	if (rc < 0) {
		free(m);
		return rc;
	}
	virtio_device_attach(config->vdev, &transport_ops, m);
	*ret = m;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *m)
{
	if (!m)
		return;
	bus_remove(m->bus, &m->region);
	virtio_device_attach(m->vdev, NULL, NULL);
	for (unsigned int q = 0; q < m->num_queues; q++)
		doorbells_set(&m->doorbells, q, NULL);
	irq_line_set(&m->irq, false);
	free(m);
}
