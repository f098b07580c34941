/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/transport/pci.h share. */
#ifndef BANTAM_VIRTIO_TRANSPORT_PCI_PRIVATE_H
#define BANTAM_VIRTIO_TRANSPORT_PCI_PRIVATE_H

#include "devices/pci/pci.h"
#include "doorbells.h"
#include "pci_irq.h"
#include "virtio/transport.h"
#include "virtio/transport/pci.h"

enum {
	VPCI_BAR = 0,	  /* memory, 64 bits: takes registers 0 and 1 */
	VPCI_BAR_PIO = 2, /* ports */

	/* In VPCI_BAR */
	VPCI_COMMON = 0x0000,
	VPCI_COMMON_SIZE = 0x40,
	VPCI_ISR = 0x1000,
	VPCI_ISR_SIZE = 1,
	VPCI_DEVICE = 0x2000,
	VPCI_NOTIFY = 0x3000,
	VPCI_MSIX_TABLE = 0x4000,
	VPCI_MSIX_PBA = 0x6000,
	VPCI_BAR_SIZE = 0x8000,

	VPCI_NOTIFY_STEP = 4, /* notify_off_multiplier */

	VPCI_NO_VECTOR = 0xffff,
};

struct virtio_pci {
	struct pci_function fn;
	struct virtio_device *vdev;
	struct pci_bus *bus;
	struct vpci_irq *irq;
	unsigned int num_queues;
	uint8_t window; /* offset of the capability that is the window */

	/* Guarded by the device's lock */
	struct doorbells doorbells;
	bool mapped[PCI_MAX_BARS]; /* as the bus told */
	uint64_t base[PCI_MAX_BARS];
	uint8_t isr;
	uint32_t feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t queue_vectors[VIRTIO_MAX_QUEUES];
};

/* virtio/transport/pci_common.c; with the lock held */
uint32_t vpci_common_read(struct virtio_pci *vpci, uint64_t off, unsigned int size);
void vpci_common_write(struct virtio_pci *vpci, uint64_t off, unsigned int size, uint32_t value);
/* The transport's own registers as at the start. */
void vpci_default(struct virtio_pci *vpci);

/* virtio/transport/pci_bar.c: accesses inside the BARs, size 1, 2 or 4; lock not held */
uint32_t vpci_bar_read(struct virtio_pci *vpci, uint64_t off, unsigned int size);
void vpci_bar_write(struct virtio_pci *vpci, uint64_t off, unsigned int size, uint32_t value);
extern const struct bus_ops vpci_bar_ops, vpci_pio_ops;
/* With the lock held: the wire follows ISR and MSI-X. */
void vpci_update_intx(struct virtio_pci *vpci);

/* virtio/transport/pci_window.c */
int vpci_add_caps(struct virtio_pci *vpci, bool pio);
void vpci_window_read(struct virtio_pci *vpci, uint16_t off, unsigned int size);
/* As struct pci_function_ops' write_through. */
bool vpci_window_write(
	struct virtio_pci *vpci, uint16_t off, unsigned int size, struct pci_through *ret);

#endif
