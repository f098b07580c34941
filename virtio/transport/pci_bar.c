/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BARs of a virtio function: which structure an offset belongs to, ISR and the wire
 * (virtio 1.2, 4.1.4.5), notifications (4.1.4.4).
 *
 * Which queue is notified follows from the address; the value written says the same and is not
 * looked at, nor is the width.
 */
#include "pci_private.h"

void vpci_update_intx(struct virtio_pci *vpci)
{
	/* A function with MSI-X on must not use its wire (PCI 3.0, 6.8.3.3). */
	pci_intx_set(&vpci->fn, vpci->isr && !msix_enabled(vpci_irq_msix(vpci->irq)));
}

/* Reading takes the bits back; the structure is one byte, whatever the width of the access. */
static uint32_t read_isr(struct virtio_pci *vpci, uint64_t off)
{
	const uint8_t isr = off ? 0 : vpci->isr;

	if (isr) {
		vpci->isr = 0;
		vpci_update_intx(vpci);
	}
	return isr;
}

static void notify(struct virtio_pci *vpci, uint64_t off)
{
	const uint64_t q = off / VPCI_NOTIFY_STEP;

	if (!(off % VPCI_NOTIFY_STEP) && q < vpci->num_queues)
		virtio_device_notify(vpci->vdev, (uint32_t)q);
}

static uint32_t read_locked(struct virtio_pci *vpci, uint64_t off, unsigned int size)
{
	if (off < VPCI_ISR)
		return vpci_common_read(vpci, off - VPCI_COMMON, size);
	if (off < VPCI_DEVICE)
		return read_isr(vpci, off - VPCI_ISR);
	return (uint32_t)virtio_device_cfg_load(vpci->vdev, off - VPCI_DEVICE, size);
}

uint32_t vpci_bar_read(struct virtio_pci *vpci, uint64_t off, unsigned int size)
{
	uint32_t value;

	if (off >= VPCI_MSIX_TABLE)
		return (uint32_t)msix_read(vpci_irq_msix(vpci->irq), off, size);
	if (off >= VPCI_NOTIFY)
		return 0;
	virtio_device_lock(vpci->vdev);
	value = read_locked(vpci, off, size);
	virtio_device_unlock(vpci->vdev);
	return value;
}

void vpci_bar_write(struct virtio_pci *vpci, uint64_t off, unsigned int size, uint32_t value)
{
	if (off >= VPCI_MSIX_TABLE) {
		msix_write(vpci_irq_msix(vpci->irq), off, size, value);
		return;
	}
	if (off >= VPCI_NOTIFY) {
		notify(vpci, off - VPCI_NOTIFY);
		return;
	}
	virtio_device_lock(vpci->vdev);
	if (off < VPCI_ISR)
		vpci_common_write(vpci, off - VPCI_COMMON, size, value);
	else if (off >= VPCI_DEVICE)
		virtio_device_cfg_store(vpci->vdev, off - VPCI_DEVICE, size, value);
	virtio_device_unlock(vpci->vdev);
}

static uint64_t bar_read(void *opaque, uint64_t off, unsigned int size)
{
	return vpci_bar_read(opaque, off, size);
}

static void bar_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	vpci_bar_write(opaque, off, size, (uint32_t)value);
}

/* No field is wider than 32 bits in one access; a 64-bit one arrives in halves. */
const struct bus_ops vpci_bar_ops = {.read = bar_read, .write = bar_write, .max_size = 4};

static uint64_t pio_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0;
}

static void pio_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	(void)size;
	(void)value;
	notify(opaque, off);
}

const struct bus_ops vpci_pio_ops = {.read = pio_read, .write = pio_write, .max_size = 4};
