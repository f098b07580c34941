/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio over PCI (virtio 1.2, 4.1), the modern interface only: common configuration,
 * notifications, ISR, device configuration and the window through configuration space; MSI-X with
 * a vector of its own for each queue and one for configuration changes, INTx where the driver does
 * not turn MSI-X on.
 *
 * One 64-bit BAR holds all of it. A second one, of ports, holds the notifications once more and is
 * the one that drivers find first: on every host a port write is decoded by the CPU, where a write
 * to memory may have to be emulated.
 */
#ifndef BANTAM_VIRTIO_TRANSPORT_PCI_H
#define BANTAM_VIRTIO_TRANSPORT_PCI_H

#include "vm/core/base.h"
#include "vm/core/doorbell.h"
#include "vm/core/irq.h"
#include "vm/core/msi_router.h"

struct pci_bus;
struct virtio_device;
struct virtio_pci;

struct virtio_pci_config {
	struct virtio_device *vdev; /* outlives the transport */
	struct pci_bus *bus;
	unsigned int slot;   /* 0: the lowest free one */
	bool no_pio_notify;  /* leave out the BAR of ports */
	struct msi_sink msi; /* for messages that have no route */
	struct msi_router router;
	struct doorbell_listener doorbells;
};

/* Attaches to the device and puts it on the bus. What msix_create and pci_bus_add return. */
int virtio_pci_create(const struct virtio_pci_config *config, struct virtio_pci **ret);
/* vCPUs have stopped. The device may be running; it loses its interrupts. NULL is allowed. */
void virtio_pci_destroy(struct virtio_pci *vpci);

unsigned int virtio_pci_slot(const struct virtio_pci *vpci);

#endif
