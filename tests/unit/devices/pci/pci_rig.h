/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI bus in a fake machine, devices for it, and a guest's way to their configuration space. */
#ifndef TESTS_PCI_RIG_H
#define TESTS_PCI_RIG_H

#include "devices/pci/pci.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"

enum {
	COMMAND = 4,
	STATUS = 6,
	BAR0 = 0x10,
	CAP_PTR = 0x34,
	LINE = 0x3c,
	PIN = 0x3d,
	CMD_IO = 1,
	CMD_MEM = 2,
	CMD_MASTER = 4,
	CMD_INTX_OFF = 1 << 10,
	STATUS_INTX = 1 << 3,
};

struct device {
	struct pci_function fn;
	unsigned int hook_reads, hook_writes, maps, unmaps;
	uint64_t last_write;
};

struct pci_rig {
	struct fake_machine machine;
	struct pci_bus *bus;
};

extern struct pci_rig rig; /* of the test that runs */

/* For cmocka */
int pci_rig_set_up(void **state);
int pci_rig_tear_down(void **state);
/* A new bus, for a test that wants another than those have. */
struct log;
void pci_rig_restart(struct log *log, bool narrow);

/* A device with INTx and no BAR */
void pci_rig_init(struct device *dev);
/* and with BAR 0 I/O, 1 32-bit memory, 2 and 3 64-bit memory, 5 32-bit prefetchable */
void pci_rig_init_full(struct device *dev);
/* A BAR answers with its device's slot in the top byte and the offset below. */
extern const struct bus_ops pci_rig_bar_ops;

/* Configuration space in ECAM; rd and wr are for function 0. */
uint64_t ecam(unsigned int slot, unsigned int fn, unsigned int off);
uint32_t rd(unsigned int slot, unsigned int off, unsigned int size);
void wr(unsigned int slot, unsigned int off, unsigned int size, uint32_t value);

#endif
