/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI, one bus (PCI Local Bus 3.0; ECAM as in PCI Express base 5.0, 7.2.2): configuration space
 * through CF8/CFC and ECAM, functions with type 0 headers, BARs that move, INTx wires.
 *
 * A function is embedded in its device. Configuration space is a byte image with a write mask;
 * what follows from it (BAR decode, INTx level) is recomputed in one place after each write.
 *
 * Locking: the bus's mutex guards every function's configuration space. A function's hooks run
 * under it, and never wait; BAR handlers run without it, also when they are called by way of
 * configuration space. INTx wires have a mutex of their own, so that a device may
 * call pci_intx_set under its own lock, and its hooks may take that lock.
 */
#ifndef BANTAM_DEVICES_PCI_PCI_H
#define BANTAM_DEVICES_PCI_PCI_H

#include "devices/power.h"
#include "vm/core/base.h"
#include "vm/core/bus.h"
#include "vm/core/irq.h"

enum {
	PCI_MAX_DEVICES = 32, /* slots on the bus, function 0 only */
	PCI_MAX_BARS = 6,
	PCI_CFG_SIZE = 256, /* no function is a PCI Express one, with 4096 */
};

struct log;
struct pci_bus;
struct pci_function;

/* A write to a BAR that came through configuration space. */
struct pci_through {
	unsigned int bar;
	uint64_t off, value;
	unsigned int size;
};

struct pci_function_ops {
	/*
	 * Device-specific configuration bytes. read runs before the image is returned and may
	 * refresh it; write runs after the masked bytes have been stored. size is 1, 2 or 4, off a
	 * multiple of it: wider and odd accesses arrive in pieces. Either may be NULL.
	 */
	void (*cfg_read)(struct pci_function *fn, uint16_t off, unsigned int size);
	void (*cfg_write)(struct pci_function *fn, uint16_t off, unsigned int size);
	/*
	 * Whether a write to these bytes, which are stored, means one to a BAR, as the function has
	 * it now: which. It is made like others to that BAR, without the bus's mutex, as it may
	 * wait. May be NULL.
	 */
	bool (*write_through)(
		struct pci_function *fn, uint16_t off, unsigned int size, struct pci_through *ret);
	/* The BAR was mapped at region->base, or unmapped. May be NULL. */
	void (*bar_changed)(struct pci_function *fn, unsigned int bar, bool mapped);
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	struct bus_region region; /* size a power of two; base follows the register */
	bool mapped;
};

struct pci_function {
	const char *name;
	const struct pci_function_ops *ops;
	uint8_t cfg[PCI_CFG_SIZE];   /* what a read returns */
	uint8_t wmask[PCI_CFG_SIZE]; /* bits a write changes */
	uint8_t w1c[PCI_CFG_SIZE];   /* bits that a write of one clears */
	struct pci_bar bars[PCI_MAX_BARS];
	unsigned int slot;
	uint8_t next_cap; /* where the next capability goes */
	struct pci_bus *bus;
	bool intx_asserted; /* what the device wants; the wire also follows DisINTx */
	bool intx_disabled; /* DisINTx, or off the bus */
	bool intx_level;    /* what the function adds to the wire */
};

struct pci_bus_config {
	struct bus *pio;
	struct bus *mmio;
	struct irq_line
		intx[8]; /* GSIs LAYOUT_IRQ_PCI + n, shared level lines, counted by the bus */
	struct power_sink power; /* for the reset register at 0xCF9 */
	bool narrow; /* the CPUs cannot address the 64-bit window: its BARs are below 4 GiB too */
	struct log *log;
};

/*
 * Makes the bus with its host bridge at 00:00.0, which claims to be no chipset that guests know
 * quirks for. Functions must be removed or dead to the guest before the bus is destroyed.
 */
int pci_bus_create(const struct pci_bus_config *config, struct pci_bus **ret);
void pci_bus_destroy(struct pci_bus *bus);

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
};

/* Fills the header. fn is zeroed by the caller; ops and name are set by it. */
void pci_function_init(struct pci_function *fn, const struct pci_ids *ids, bool intx);

/*
 * Declares BAR bar (two registers for PCI_BAR_MEM64), before pci_bus_add. size is a power of two,
 * at least 16 bytes (4 for I/O). The handlers get fn->bars[bar].region.
 */
void pci_function_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_kind kind,
	bool prefetchable, uint64_t size, const struct bus_ops *ops, void *opaque);

/* Appends a capability of len bytes (with its two-byte head), returns its offset, 0 when full. */
uint8_t pci_function_cap(struct pci_function *fn, uint8_t id, uint8_t len);

/*
 * Puts the function in the lowest free slot, or in slot when it is not 0, and gives its BARs
 * addresses as firmware would, so that a guest need not. Decoding stays off until the guest turns
 * it on. -ENOSPC when slots or addresses have run out, -EEXIST, -EINVAL for a slot past the last.
 */
int pci_bus_add(struct pci_bus *bus, struct pci_function *fn, unsigned int slot);
/*
 * Takes the function out, with its command register cleared as by a guest first: nothing of it
 * decodes, no wire is held, and its cfg_write hook runs once more.
 */
void pci_bus_remove(struct pci_bus *bus, struct pci_function *fn);

/*
 * Raises or lowers the INTx of a function, as the device wants it: of one that was not added yet
 * for when it is. Any thread.
 */
void pci_intx_set(struct pci_function *fn, bool level);

/* Little-endian accessors to cfg. */
uint16_t pci_get16(const uint8_t *p);
uint32_t pci_get32(const uint8_t *p);
void pci_set16(uint8_t *p, uint16_t value);
void pci_set32(uint8_t *p, uint32_t value);

#endif
