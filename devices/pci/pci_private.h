/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind devices/pci/pci.h share: the bus itself and register offsets
 * (PCI 3.0, 6.1). */
#ifndef BANTAM_DEVICES_PCI_PCI_PRIVATE_H
#define BANTAM_DEVICES_PCI_PCI_PRIVATE_H

#include <pthread.h>

#include "devices/pci/pci.h"
#include "vm/core/log.h"

enum {
	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_PARITY = 1 << 6,
	PCI_COMMAND_SERR = 1 << 8,
	PCI_COMMAND_INTX_DISABLE = 1 << 10,
	PCI_STATUS = 0x06,
	PCI_STATUS_INTX = 1 << 3,
	PCI_STATUS_CAP_LIST = 1 << 4,
	PCI_REVISION_ID = 0x08,
	PCI_CLASS = 0x09,
	PCI_CACHE_LINE_SIZE = 0x0c,
	PCI_BAR0 = 0x10,
	PCI_BAR_IO_SPACE = 1 << 0,
	PCI_BAR_64BIT = 1 << 2,
	PCI_BAR_PREFETCH = 1 << 3,
	PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_CAP_PTR = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_FIRST_CAP = 0x40,
	PCI_CAP_END = 0x100,
};

enum { PCI_INTX_LINES = ARRAY_SIZE(((struct pci_bus_config *)0)->intx) };

struct pci_bus {
	struct pci_bus_config config;
	struct bus_region ecam, ports;
	struct log_limit limit;

	pthread_mutex_t lock; /* guards the next three and all functions but their INTx state */
	uint32_t address;     /* CONFIG_ADDRESS */
	struct pci_function *slots[PCI_MAX_DEVICES];
	struct pci_function bridge;

	pthread_mutex_t intx_lock; /* leaf; guards the next one and intx_* of all functions */
	unsigned int intx_count[PCI_INTX_LINES]; /* functions that hold the wire */
};

/* All with bus->lock held. */

/* Maps and unmaps until every BAR of fn is where its register and the command register say. */
void pci_bars_update(struct pci_function *fn);
/* Writes free addresses into fn's BARs; fn is not on the bus yet. -ENOSPC. */
int pci_bars_assign(struct pci_bus *bus, struct pci_function *fn);

/* The wire follows the command register, and the Status bit the device. */
void pci_intx_update(struct pci_function *fn);
void pci_intx_status(struct pci_function *fn);
void pci_intx_attach(struct pci_function *fn);
void pci_intx_detach(struct pci_function *fn);

#endif
