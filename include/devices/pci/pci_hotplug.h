/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers by which a guest learns that PCI functions come and go, and says that one may. The
 * tables tell it where they are (loader/acpi/ssdt_hotplug.asl), and tell its slots.
 *
 *   +0x0  added   slots that have a new function; reading takes the bits back
 *   +0x4  asked   slots whose function is wanted back; the same
 *   +0x8  eject   write a one: the slot's function is not used any more; reads as 0
 *
 * A bit for each slot, bytes or wider. The interrupt is a level: up while there is a bit to read.
 *
 * An eject counts for a slot that is asked for, which it is until then, or until the device is
 * destroyed. A guest that turns a slot off by itself keeps its function.
 */
#ifndef BANTAM_DEVICES_PCI_PCI_HOTPLUG_H
#define BANTAM_DEVICES_PCI_PCI_HOTPLUG_H

#include "vm/core/base.h"
#include "vm/core/irq.h"

struct bus;
struct pci_hotplug;

struct pci_hotplug_config {
	struct bus *pio;
	struct irq_line irq; /* level */
	uint32_t slots;	     /* those that the tables have; others are left alone */
	/* The guest has let go of a slot. On a vCPU's thread, with no lock held. */
	void (*ejected)(void *opaque, unsigned int slot);
	void *opaque;
};

int pci_hotplug_create(const struct pci_hotplug_config *config, struct pci_hotplug **ret);
void pci_hotplug_destroy(struct pci_hotplug *hotplug);

/* All of these on any thread; slot < 32. */

/* Slots that could be asked for, or filled: the tables have them. */
uint32_t pci_hotplug_slots(const struct pci_hotplug *hotplug);
/* The slot has a function. */
void pci_hotplug_added(struct pci_hotplug *hotplug, unsigned int slot);
/* The slot's function is wanted back. Again is asking again. */
void pci_hotplug_ask(struct pci_hotplug *hotplug, unsigned int slot);
/* Slots that were asked for and have not been ejected. */
uint32_t pci_hotplug_asked(struct pci_hotplug *hotplug);

#endif
