/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSI-X vectors of a virtio function, delivered by the kernel through eventfds where there is
 * a router, else as messages. Routes exist only while the device runs: a driver sets its vectors up
 * one by one before that, and all of them then cost one change of the kernel's table.
 */
#ifndef BANTAM_VIRTIO_TRANSPORT_PCI_IRQ_H
#define BANTAM_VIRTIO_TRANSPORT_PCI_IRQ_H

#include "devices/pci/msix.h"
#include "vm/core/msi_router.h"

struct vpci_irq;

/* msix: the rest of what msix_create needs; routes are filled in. Errors are its too. */
int vpci_irq_create(
	const struct msix_config *msix, const struct msi_router *router, struct vpci_irq **ret);
void vpci_irq_destroy(struct vpci_irq *irq);

struct msix *vpci_irq_msix(struct vpci_irq *irq);

/* The device runs or does not. Any thread. */
void vpci_irq_activate(struct vpci_irq *irq, bool active);
/* Any thread. A vector out of range is dropped. */
/*
 * The vector's eventfd: signalled, it raises the vector, also when that is masked and unmasked
 * later. -1: it has none, or no route now.
 */
int vpci_irq_fd(struct vpci_irq *irq, unsigned int vector);

void vpci_irq_raise(struct vpci_irq *irq, unsigned int vector);

#endif
