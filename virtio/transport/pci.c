/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI transport: a function on the bus, between the guest's registers and a virtio device.
 *
 *	virtio/transport/pci_common.c  the common configuration structure
 *	virtio/transport/pci_bar.c     the BARs, ISR, the wire
 *	virtio/transport/pci_window.c  capabilities, and the window that one of them is
 *	virtio/transport/pci_irq.c     vectors
 *
 * Transport state is under the device's lock. The bus calls our hooks under its own mutex, and they
 * take the device's lock; so nothing that runs under the device's lock may enter the bus, and where
 * the BARs are is remembered here. What follows from state elsewhere has one function each:
 * vpci_update_intx for the wire, update_doorbells for the doorbells.
 */
#include "virtio/transport/pci.h"

#include <errno.h>
#include <stdlib.h>

#include "pci_private.h"

enum {
	VENDOR_VIRTIO = 0x1af4,
	DEVICE_BASE = 0x1040, /* plus the device's id (4.1.2.1) */
	SUBSYSTEM_BASE = 0x40,
	REVISION = 1,
};

/* PCI class codes, appendix D of PCI 3.0 */
static uint32_t class_of(enum virtio_id id)
{
	switch (id) {
	case VIRTIO_ID_NET:
		return 0x020000; /* Ethernet */
	case VIRTIO_ID_BLOCK:
	case VIRTIO_ID_FS:
		return 0x018000; /* other mass storage */
	case VIRTIO_ID_CONSOLE:
	case VIRTIO_ID_VSOCK:
		return 0x078000; /* other communication */
	default:
		return 0x00ff00; /* no class */
	}
}

static void update_doorbells(struct virtio_pci *vpci)
{
	const bool pio = vpci->mapped[VPCI_BAR_PIO];
	const bool reachable = pio || vpci->mapped[VPCI_BAR];
	const uint64_t base = pio ? vpci->base[VPCI_BAR_PIO] : vpci->base[VPCI_BAR] + VPCI_NOTIFY;

	for (unsigned int q = 0; q < vpci->num_queues; q++) {
		/* A write to memory is found faster when its width need not be known. */
		const struct doorbell bell = {.pio = pio,
			.addr = base + q * VPCI_NOTIFY_STEP,
			.len = pio ? 2 : 0,
			.fd = virtio_device_kick_fd(vpci->vdev, q)};
		const bool want = reachable && virtio_device_running(vpci->vdev) &&
				  virtio_device_queue_enabled(vpci->vdev, q);

		doorbells_set(&vpci->doorbells, q, want ? &bell : NULL);
	}
}

static void bar_changed(struct pci_function *fn, unsigned int bar, bool mapped)
{
	struct virtio_pci *vpci = container_of(fn, struct virtio_pci, fn);

	virtio_device_lock(vpci->vdev);
	vpci->mapped[bar] = mapped;
	vpci->base[bar] = fn->bars[bar].region.base;
	update_doorbells(vpci);
	virtio_device_unlock(vpci->vdev);
}

static void cfg_read(struct pci_function *fn, uint16_t off, unsigned int size)
{
	vpci_window_read(container_of(fn, struct virtio_pci, fn), off, size);
}

static void cfg_write(struct pci_function *fn, uint16_t off, unsigned int size)
{
	struct virtio_pci *vpci = container_of(fn, struct virtio_pci, fn);

	(void)off, (void)size;
	msix_cfg_write(vpci_irq_msix(vpci->irq));
	virtio_device_lock(vpci->vdev);
	vpci_update_intx(vpci);
	virtio_device_unlock(vpci->vdev);
}

static bool write_through(
	struct pci_function *fn, uint16_t off, unsigned int size, struct pci_through *ret)
{
	return vpci_window_write(container_of(fn, struct virtio_pci, fn), off, size, ret);
}

static const struct pci_function_ops function_ops = {.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.write_through = write_through,
	.bar_changed = bar_changed};

static void raise_isr(struct virtio_pci *vpci, uint8_t bit)
{
	vpci->isr |= bit;
	vpci_update_intx(vpci);
}

/* 4.1.4.5.1: with MSI-X on the queue bit stays clear. */
static void queue_irq(void *opaque, unsigned int q)
{
	struct virtio_pci *vpci = opaque;

	if (!msix_enabled(vpci_irq_msix(vpci->irq)))
		raise_isr(vpci, VIRTIO_ISR_QUEUE);
	else if (vpci->queue_vectors[q] != VPCI_NO_VECTOR)
		vpci_irq_raise(vpci->irq, vpci->queue_vectors[q]);
}

static void config_irq(void *opaque)
{
	struct virtio_pci *vpci = opaque;

	raise_isr(vpci, VIRTIO_ISR_CONFIG);
	if (vpci->config_vector != VPCI_NO_VECTOR)
		vpci_irq_raise(vpci->irq, vpci->config_vector);
}

static void queues_changed(void *opaque)
{
	struct virtio_pci *vpci = opaque;

	update_doorbells(vpci);
	vpci_irq_activate(vpci->irq, virtio_device_running(vpci->vdev));
}

static int irq_fd(void *opaque, unsigned int q)
{
	struct virtio_pci *vpci = opaque;

	if (!msix_enabled(vpci_irq_msix(vpci->irq)))
		return -1;
	return vpci_irq_fd(vpci->irq, vpci->queue_vectors[q]);
}

static const struct virtio_transport_ops transport_ops = {.queue_irq = queue_irq,
	.config_irq = config_irq,
	.queues_changed = queues_changed,
	.irq_fd = irq_fd};

static void declare(struct virtio_pci *vpci, bool pio)
{
	const enum virtio_id id = virtio_device_id(vpci->vdev);
	const struct pci_ids ids = {.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(DEVICE_BASE + id),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = (uint16_t)(SUBSYSTEM_BASE + id),
		.revision = REVISION,
		.class_code = class_of(id)};
	uint64_t ports = 4;

	vpci->fn.name = virtio_device_name(vpci->vdev);
	vpci->fn.ops = &function_ops;
	pci_function_init(&vpci->fn, &ids, true);
	pci_function_bar(
		&vpci->fn, VPCI_BAR, PCI_BAR_MEM64, false, VPCI_BAR_SIZE, &vpci_bar_ops, vpci);
	if (!pio)
		return;
	while (ports < vpci->num_queues * VPCI_NOTIFY_STEP)
		ports *= 2;
	pci_function_bar(&vpci->fn, VPCI_BAR_PIO, PCI_BAR_IO, false, ports, &vpci_pio_ops, vpci);
}

static int create_irq(struct virtio_pci *vpci, const struct virtio_pci_config *config)
{
	const struct msix_config msix = {.fn = &vpci->fn,
		.num_vectors = vpci->num_queues + 1,
		.bar = VPCI_BAR,
		.table_off = VPCI_MSIX_TABLE,
		.pba_off = VPCI_MSIX_PBA,
		.sink = config->msi};

	return vpci_irq_create(&msix, &config->router, &vpci->irq);
}

int virtio_pci_create(const struct virtio_pci_config *config, struct virtio_pci **ret)
{
	struct virtio_pci *vpci = calloc(1, sizeof(*vpci));
	int rc;

	if (!vpci)
		return -ENOMEM;
	vpci->vdev = config->vdev;
	vpci->bus = config->bus;
	vpci->num_queues = virtio_device_num_queues(config->vdev);
	vpci->doorbells.listener = config->doorbells;
	declare(vpci, !config->no_pio_notify);
	rc = vpci_add_caps(vpci, !config->no_pio_notify);
	if (rc < 0)
		goto free_vpci;
	rc = create_irq(vpci, config);
	if (rc < 0)
		goto free_vpci;
	virtio_device_attach(config->vdev, &transport_ops, vpci);
	virtio_device_lock(vpci->vdev);
	vpci_default(vpci);
	virtio_device_unlock(vpci->vdev);
	/* A guest that runs may be at it at once. */
	rc = pci_bus_add(config->bus, &vpci->fn, config->slot);
	if (rc < 0)
		goto destroy_irq;
	*ret = vpci;
	return 0;

destroy_irq:
	virtio_device_attach(config->vdev, NULL, NULL);
	vpci_irq_destroy(vpci->irq);
free_vpci:
	free(vpci);
	return rc;
}

void virtio_pci_destroy(struct virtio_pci *vpci)
{
	if (!vpci)
		return;
	pci_bus_remove(vpci->bus, &vpci->fn); /* unmaps the BARs, which takes the doorbells away */
	virtio_device_attach(vpci->vdev, NULL, NULL);
	vpci_irq_destroy(vpci->irq);
	free(vpci);
}

unsigned int virtio_pci_slot(const struct virtio_pci *vpci)
{
	return vpci->fn.slot;
}
