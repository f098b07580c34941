/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio 1.2, 4.2.2 and 4.2.3, from the driver's side. */
#include "fakes/virtio_driver.h"

static uint32_t get(struct vdrv *d, uint64_t reg)
{
	return (uint32_t)vdrv_mmio_read(d, RIG_MMIO_BASE + reg, 4);
}

static void put(struct vdrv *d, uint64_t reg, uint32_t value)
{
	vdrv_mmio_write(d, RIG_MMIO_BASE + reg, 4, value);
}

static uint8_t status(struct vdrv *d)
{
	return (uint8_t)get(d, 0x70);
}

static void set_status(struct vdrv *d, uint8_t value)
{
	put(d, 0x70, value);
}

static uint32_t features(struct vdrv *d, uint32_t select)
{
	put(d, 0x14, select);
	return get(d, 0x10);
}

static void set_features(struct vdrv *d, uint32_t select, uint32_t value)
{
	put(d, 0x24, select);
	put(d, 0x20, value);
}

static uint32_t queue_max(struct vdrv *d, unsigned int q)
{
	put(d, 0x30, d->first + q);
	return get(d, 0x34);
}

static void put64(struct vdrv *d, uint64_t reg, uint64_t value)
{
	put(d, reg, (uint32_t)value);
	put(d, reg + 4, (uint32_t)(value >> 32));
}

static void queue_layout(struct vdrv *d, unsigned int q, const struct virtqueue_layout *l)
{
	put(d, 0x30, d->first + q);
	put(d, 0x38, l->size);
	put64(d, 0x80, l->desc);
	put64(d, 0x90, l->avail);
	put64(d, 0xa0, l->used);
}

static void queue_enable(struct vdrv *d, unsigned int q)
{
	put(d, 0x30, d->first + q);
	put(d, 0x44, 1);
}

static bool queue_enabled(struct vdrv *d, unsigned int q)
{
	put(d, 0x30, d->first + q);
	return get(d, 0x44);
}

static void queue_reset(struct vdrv *d, unsigned int q)
{
	put(d, 0x30, d->first + q);
	put(d, 0xc0, 1);
}

static void notify(struct vdrv *d, unsigned int q)
{
	put(d, 0x50, d->first + q);
}

static uint32_t generation(struct vdrv *d)
{
	return get(d, 0xfc);
}

static uint64_t cfg_base(struct vdrv *d)
{
	(void)d;
	return RIG_MMIO_BASE + 0x100;
}

static uint8_t take_irq(struct vdrv *d)
{
	const bool level = d->rig->machine.lines[RIG_MMIO_IRQ].level;
	const uint32_t isr = level ? get(d, 0x60) : 0;

	put(d, 0x64, isr);
	return (uint8_t)isr;
}

const struct vdrv_transport vdrv_mmio = {.status = status,
	.set_status = set_status,
	.features = features,
	.set_features = set_features,
	.queue_max = queue_max,
	.queue_layout = queue_layout,
	.queue_enable = queue_enable,
	.queue_enabled = queue_enabled,
	.queue_reset = queue_reset,
	.notify = notify,
	.generation = generation,
	.cfg_base = cfg_base,
	.take_irq = take_irq};
