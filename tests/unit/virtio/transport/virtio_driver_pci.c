/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio 1.2, 4.1.4 and 4.1.5, from the driver's side. Vector 0 is for configuration changes,
 * 1 + q for queue q. */
#include <stdlib.h>

#include "fakes/virtio_driver.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

uint32_t vdrv_pci_read(struct vdrv *d, unsigned int off, unsigned int size)
{
	return (uint32_t)vdrv_mmio_read(d, LAYOUT_ECAM_BASE + (RIG_SLOT << 15) + off, size);
}

void vdrv_pci_write(struct vdrv *d, unsigned int off, unsigned int size, uint32_t value)
{
	vdrv_mmio_write(d, LAYOUT_ECAM_BASE + (RIG_SLOT << 15) + off, size, value);
}

static uint64_t bar_base(struct vdrv *d, unsigned int bar, bool *pio)
{
	const uint32_t low = vdrv_pci_read(d, 0x10 + 4 * bar, 4);

	*pio = low & 1;
	if (*pio)
		return low & ~3u;
	must((low & 6) == 4);
	return (low & ~15u) | (uint64_t)vdrv_pci_read(d, 0x14 + 4 * bar, 4) << 32;
}

static void found(struct vdrv *d, unsigned int cap, uint8_t type)
{
	bool pio;
	const uint64_t at =
		bar_base(d, vdrv_pci_read(d, cap + 4, 1), &pio) + vdrv_pci_read(d, cap + 8, 4);

	switch (type) {
	case 1:
		d->common = d->common ? d->common : at;
		break;
	case 2:
		if (d->notify)
			break;
		d->notify = at;
		d->notify_pio = pio;
		d->notify_step = vdrv_pci_read(d, cap + 16, 4);
		break;
	case 3:
		d->isr = d->isr ? d->isr : at;
		break;
	case 4:
		d->device = d->device ? d->device : at;
		break;
	default:
		break;
	}
}

static void setup_msix(struct vdrv *d)
{
	const unsigned int n = (vdrv_pci_read(d, d->msix_cap + 2u, 2) & 0x7ff) + 1;

	vdrv_pci_write(d, d->msix_cap + 2u, 2, 0xc000);
	for (unsigned int v = 0; v < n; v++) {
		vdrv_mmio_write(d, d->msix_table + 16 * v, 4, RIG_MSI_ADDR);
		vdrv_mmio_write(d, d->msix_table + 16 * v + 4, 4, 0);
		vdrv_mmio_write(d, d->msix_table + 16 * v + 8, 4, v);
		vdrv_mmio_write(d, d->msix_table + 16 * v + 12, 4, 0);
	}
	vdrv_pci_write(d, d->msix_cap + 2u, 2, 0x8000);
}

void vdrv_pci_attach(struct vdrv *d)
{
	unsigned int cap = vdrv_pci_read(d, 0x34, 1);
	bool pio;

	for (unsigned int n = 0; cap; cap = vdrv_pci_read(d, cap + 1, 1), n++) {
		must(n < 48 && cap >= 0x40 && !(cap & 3));
		if (vdrv_pci_read(d, cap, 1) == 9 && vdrv_pci_read(d, cap + 3, 1) == 5)
			d->window = (uint8_t)cap;
		else if (vdrv_pci_read(d, cap, 1) == 9)
			found(d, cap, (uint8_t)vdrv_pci_read(d, cap + 3, 1));
		else if (vdrv_pci_read(d, cap, 1) == 0x11)
			d->msix_cap = (uint8_t)cap;
	}
	must(d->common && d->notify && d->isr && d->window && d->msix_cap);
	d->msix_table = bar_base(d, vdrv_pci_read(d, d->msix_cap + 4u, 1) & 7, &pio) +
			(vdrv_pci_read(d, d->msix_cap + 4u, 4) & ~7u);
	d->msix_pba = bar_base(d, vdrv_pci_read(d, d->msix_cap + 8u, 1) & 7, &pio) +
		      (vdrv_pci_read(d, d->msix_cap + 8u, 4) & ~7u);
	vdrv_pci_write(d, 4, 2, 7);
	if (d->rig->kind == RIG_PCI_MSIX)
		setup_msix(d);
}

static uint8_t status(struct vdrv *d)
{
	return (uint8_t)vdrv_mmio_read(d, d->common + 0x14, 1);
}

static void set_status(struct vdrv *d, uint8_t value)
{
	vdrv_mmio_write(d, d->common + 0x14, 1, value);
	if (value || d->rig->kind != RIG_PCI_MSIX)
		return;
	/* A reset unmaps all vectors. */
	vdrv_mmio_write(d, d->common + 0x10, 2, 0);
	must(vdrv_mmio_read(d, d->common + 0x10, 2) == 0);
}

static uint32_t features(struct vdrv *d, uint32_t select)
{
	vdrv_mmio_write(d, d->common, 4, select);
	return (uint32_t)vdrv_mmio_read(d, d->common + 4, 4);
}

static void set_features(struct vdrv *d, uint32_t select, uint32_t value)
{
	vdrv_mmio_write(d, d->common + 8, 4, select);
	vdrv_mmio_write(d, d->common + 0xc, 4, value);
}

static void select_queue(struct vdrv *d, unsigned int q)
{
	vdrv_mmio_write(d, d->common + 0x16, 2, d->first + q);
}

static uint32_t queue_max(struct vdrv *d, unsigned int q)
{
	select_queue(d, q);
	return (uint32_t)vdrv_mmio_read(d, d->common + 0x18, 2);
}

static void put64(struct vdrv *d, uint64_t off, uint64_t value)
{
	vdrv_mmio_write(d, d->common + off, 4, (uint32_t)value);
	vdrv_mmio_write(d, d->common + off + 4, 4, (uint32_t)(value >> 32));
}

static void queue_layout(struct vdrv *d, unsigned int q, const struct virtqueue_layout *l)
{
	select_queue(d, q);
	vdrv_mmio_write(d, d->common + 0x18, 2, l->size);
	put64(d, 0x20, l->desc);
	put64(d, 0x28, l->avail);
	put64(d, 0x30, l->used);
	if (d->rig->kind != RIG_PCI_MSIX)
		return;
	vdrv_mmio_write(d, d->common + 0x1a, 2, d->first + q + 1);
	must(vdrv_mmio_read(d, d->common + 0x1a, 2) == d->first + q + 1);
}

static void queue_enable(struct vdrv *d, unsigned int q)
{
	select_queue(d, q);
	vdrv_mmio_write(d, d->common + 0x1c, 2, 1);
}

static bool queue_enabled(struct vdrv *d, unsigned int q)
{
	select_queue(d, q);
	return vdrv_mmio_read(d, d->common + 0x1c, 2);
}

static void queue_reset(struct vdrv *d, unsigned int q)
{
	select_queue(d, q);
	vdrv_mmio_write(d, d->common + 0x3a, 2, 1);
}

static void notify(struct vdrv *d, unsigned int q)
{
	uint64_t at;

	select_queue(d, q);
	at = d->notify + vdrv_mmio_read(d, d->common + 0x1e, 2) * d->notify_step;
	bus_write(d->notify_pio ? d->rig->machine.pio : d->rig->machine.mmio, at, 2, d->first + q);
}

static uint32_t generation(struct vdrv *d)
{
	return (uint32_t)vdrv_mmio_read(d, d->common + 0x15, 1);
}

static uint64_t cfg_base(struct vdrv *d)
{
	return d->device;
}

static uint8_t take_msi(struct vdrv *d)
{
	uint8_t bits = 0;

	rig_run_routes(d->rig);
	for (unsigned int v = 0; v < ARRAY_SIZE(d->rig->msis); v++) {
		if (d->rig->msis[v])
			bits |= v ? VIRTIO_ISR_QUEUE : VIRTIO_ISR_CONFIG;
		d->rig->msis[v] = 0;
	}
	return bits;
}

static uint8_t take_irq(struct vdrv *d)
{
	const unsigned int line = vdrv_pci_read(d, 0x3c, 1);

	if (d->rig->kind == RIG_PCI_MSIX)
		return take_msi(d);
	return d->rig->machine.lines[line].level ? (uint8_t)vdrv_mmio_read(d, d->isr, 1) : 0;
}

const struct vdrv_transport vdrv_pci = {.status = status,
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
