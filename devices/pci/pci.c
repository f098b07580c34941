/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus: slots, the host bridge, and the two ways to configuration space. Both ECAM and ports
 * CF8/CFC cut an access into naturally aligned pieces that lie in one register each and pass them
 * to cfg_read() and cfg_write(), which alone touch a function's image:
 *
 *   write: mask the bytes in -> the function's hook -> recompute BAR decode and INTx -> unlock ->
 *          what goes through to a BAR
 *   read:  refresh the Status bit -> the function's hook -> copy the bytes out
 *
 * A function is found by slot under the bus's mutex, so it may be added and removed while vCPUs
 * run; a call into it may still be in flight afterwards, as with a region of a bus. Only function 0
 * of each slot exists; all else reads as ones.
 */
#include "devices/pci/pci.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "pci_private.h"
#include "vm/core/layout.h"

enum {
	ECAM_DEVICE_SHIFT = 15,
	/* Functions but the first, and what is beyond a conventional function's registers */
	ECAM_NOTHING_MASK = 7 << 12 | 0xf00,

	/* PCI 3.0, 3.2.2.3.2 */
	PORT_ADDRESS = 0,
	PORT_DATA = 4,
	/* Not PCI's own, but every PC chipset's reset register lies inside: byte port 0xCF9. */
	PORT_RESET = 1,
	RESET_NOW = 1 << 2,
	ADDRESS_BUS_MASK = 0xff << 16,
	ADDRESS_DEVICE_SHIFT = 11,
	ADDRESS_FUNCTION_MASK = 7 << 8,
	ADDRESS_REGISTER_MASK = 0xfc,
};

#define ADDRESS_ENABLE UINT32_C(0x80000000)
#define ADDRESS_VALID  UINT32_C(0x80fffffc) /* the other bits are reserved and read as 0 */

static_assert(LAYOUT_ECAM_SIZE == PCI_MAX_DEVICES << ECAM_DEVICE_SHIFT, "ECAM holds one bus");

/* The widest naturally aligned piece at off of an access with left bytes to go. */
static unsigned int piece(uint64_t off, unsigned int left)
{
	unsigned int size = 4;

	while (size > left || off % size)
		size /= 2;
	return size;
}

/* off is a multiple of size, which is 1, 2 or 4, and off < PCI_CFG_SIZE. */
static uint32_t cfg_read(struct pci_bus *bus, unsigned int slot, uint16_t off, unsigned int size)
{
	struct pci_function *fn;
	uint32_t value = (uint32_t)size_mask(size);

	pthread_mutex_lock(&bus->lock);
	fn = bus->slots[slot];
	if (fn) {
		if (ranges_overlap(off, size, PCI_STATUS, 1))
			pci_intx_status(fn);
		if (fn->ops && fn->ops->cfg_read)
			fn->ops->cfg_read(fn, off, size);
		value = 0;
		for (unsigned int i = 0; i < size; i++)
			value |= (uint32_t)fn->cfg[off + i] << (8 * i);
	}
	pthread_mutex_unlock(&bus->lock);
	return value;
}

/* With the lock held, after bytes of the image have changed: what follows from them. */
static void derive(struct pci_function *fn, uint16_t off, unsigned int size)
{
	if (fn->ops && fn->ops->cfg_write)
		fn->ops->cfg_write(fn, off, size);
	pci_bars_update(fn);
	pci_intx_update(fn);
}

static bool goes_through(
	struct pci_function *fn, uint16_t off, unsigned int size, struct pci_through *through)
{
	return fn->ops && fn->ops->write_through && fn->ops->write_through(fn, off, size, through);
}

static void cfg_write(
	struct pci_bus *bus, unsigned int slot, uint16_t off, unsigned int size, uint32_t value)
{
	struct pci_through through = {0};
	struct pci_function *fn;
	bool more = false;

	pthread_mutex_lock(&bus->lock);
	fn = bus->slots[slot];
	if (fn) {
		for (unsigned int i = off; i < off + size; i++, value >>= 8) {
			uint8_t byte = (uint8_t)value, kept = fn->cfg[i] & (uint8_t)~fn->wmask[i];

			fn->cfg[i] =
				(kept | (byte & fn->wmask[i])) & (uint8_t) ~(byte & fn->w1c[i]);
		}
		derive(fn, off, size);
		more = goes_through(fn, off, size, &through);
	}
	pthread_mutex_unlock(&bus->lock);
	if (more) {
		const struct bus_region *region = &fn->bars[through.bar].region;

		region->ops->write(region->opaque, through.off, through.size, through.value);
	}
}

static uint64_t ecam_read(void *opaque, uint64_t off, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int done = 0, n; done < size; done += n) {
		const uint64_t at = off + done;
		uint64_t part;

		n = piece(at, size - done);
		part = at & ECAM_NOTHING_MASK
			       ? size_mask(n)
			       : cfg_read(opaque, (unsigned int)(at >> ECAM_DEVICE_SHIFT),
					 at % PCI_CFG_SIZE, n);
		value |= part << (8 * (done % 8));
	}
	return value;
}

static void ecam_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	for (unsigned int done = 0, n; done < size; done += n) {
		const uint64_t at = off + done;

		n = piece(at, size - done);
		if (!(at & ECAM_NOTHING_MASK))
			cfg_write(opaque, (unsigned int)(at >> ECAM_DEVICE_SHIFT),
				at % PCI_CFG_SIZE, n, (uint32_t)(value >> (8 * done)));
	}
}

static const struct bus_ops ecam_ops = {.read = ecam_read, .write = ecam_write};

static uint32_t latched(struct pci_bus *bus)
{
	uint32_t address;

	pthread_mutex_lock(&bus->lock);
	address = bus->address;
	pthread_mutex_unlock(&bus->lock);
	return address;
}

/* What CONFIG_ADDRESS selects: false for what is not there or not enabled. */
static bool selected(struct pci_bus *bus, unsigned int *slot, uint16_t *off)
{
	const uint32_t address = latched(bus);

	*slot = (address >> ADDRESS_DEVICE_SHIFT) % PCI_MAX_DEVICES;
	*off = address & ADDRESS_REGISTER_MASK;
	return (address & ADDRESS_ENABLE) &&
	       !(address & (ADDRESS_BUS_MASK | ADDRESS_FUNCTION_MASK));
}

/* One piece: in CONFIG_ADDRESS, which takes double words only, or in CONFIG_DATA. */
static uint32_t port_read(struct pci_bus *bus, unsigned int port, unsigned int size)
{
	unsigned int slot;
	uint16_t off;

	if (port < PORT_DATA)
		return size == 4 ? latched(bus) : (uint32_t)size_mask(size);
	if (!selected(bus, &slot, &off))
		return (uint32_t)size_mask(size);
	return cfg_read(bus, slot, off + (uint16_t)(port - PORT_DATA), size);
}

static void port_write(struct pci_bus *bus, unsigned int port, unsigned int size, uint32_t value)
{
	unsigned int slot;
	uint16_t off;

	if (port >= PORT_DATA) {
		if (selected(bus, &slot, &off))
			cfg_write(bus, slot, off + (uint16_t)(port - PORT_DATA), size, value);
	} else if (port == PORT_RESET && size == 1) {
		if (value & RESET_NOW)
			power_notify(&bus->config.power, POWER_RESET);
	} else if (size == 4) {
		pthread_mutex_lock(&bus->lock);
		bus->address = value & ADDRESS_VALID;
		pthread_mutex_unlock(&bus->lock);
	}
}

static uint64_t ports_read(void *opaque, uint64_t off, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int done = 0, n; done < size; done += n) {
		n = piece(off + done, size - done);
		value |= (uint64_t)port_read(opaque, (unsigned int)off + done, n)
			 << (8 * (done % 8));
	}
	return value;
}

static void ports_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	for (unsigned int done = 0, n; done < size; done += n) {
		n = piece(off + done, size - done);
		port_write(opaque, (unsigned int)off + done, n, (uint32_t)(value >> (8 * done)));
	}
}

static const struct bus_ops ports_ops = {.read = ports_read, .write = ports_write, .max_size = 4};

/* With the lock held. */
static int pick_slot(const struct pci_bus *bus, unsigned int slot, unsigned int *ret)
{
	if (slot >= PCI_MAX_DEVICES)
		return -EINVAL;
	if (slot && bus->slots[slot])
		return -EEXIST;
	while (slot < PCI_MAX_DEVICES && bus->slots[slot])
		slot++;
	if (slot == PCI_MAX_DEVICES)
		return -ENOSPC;
	*ret = slot;
	return 0;
}

int pci_bus_add(struct pci_bus *bus, struct pci_function *fn, unsigned int slot)
{
	int rc;

	pthread_mutex_lock(&bus->lock);
	rc = pick_slot(bus, slot, &slot);
	if (!rc)
		rc = pci_bars_assign(bus, fn);
	if (!rc) {
		fn->slot = slot;
		fn->bus = bus;
		bus->slots[slot] = fn;
		pci_intx_attach(fn);
	}
	pthread_mutex_unlock(&bus->lock);
	return rc;
}

void pci_bus_remove(struct pci_bus *bus, struct pci_function *fn)
{
	pthread_mutex_lock(&bus->lock);
	if (fn->bus == bus && bus->slots[fn->slot] == fn) {
		pci_set16(&fn->cfg[PCI_COMMAND], 0);
		derive(fn, PCI_COMMAND, 2);
		pci_intx_detach(fn);
		bus->slots[fn->slot] = NULL;
	}
	pthread_mutex_unlock(&bus->lock);
}

/*
 * The bridge is nothing but its ids: QEMU's generic PCI Express host, which no driver binds to and
 * for which no guest has quirks. Ids of a real chipset bring code that looks for its registers.
 */
static void add_bridge(struct pci_bus *bus)
{
	static const struct pci_ids ids = {
		.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000};

	bus->bridge.name = "host bridge";
	bus->bridge.bus = bus;
	pci_function_init(&bus->bridge, &ids, false);
	bus->slots[0] = &bus->bridge;
}

int pci_bus_create(const struct pci_bus_config *config, struct pci_bus **ret)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	int rc;

	if (!bus)
		return -ENOMEM;
	bus->config = *config;
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->intx_lock, NULL);
	add_bridge(bus);
	bus->ecam = (struct bus_region){.name = "pci-ecam",
		.base = LAYOUT_ECAM_BASE,
		.size = LAYOUT_ECAM_SIZE,
		.ops = &ecam_ops,
		.opaque = bus};
	bus->ports = (struct bus_region){.name = "pci-config",
		.base = LAYOUT_PCI_CFG_PORT,
		.size = 8,
		.ops = &ports_ops,
		.opaque = bus};
	rc = bus_add(config->mmio, &bus->ecam);
	if (rc)
		goto free_bus;
	rc = bus_add(config->pio, &bus->ports);
	if (rc)
		goto remove_ecam;
	*ret = bus;
	return 0;
remove_ecam:
	bus_remove(config->mmio, &bus->ecam);
free_bus:
	pthread_mutex_destroy(&bus->intx_lock);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
	return rc;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	bus_remove(bus->config.pio, &bus->ports);
	bus_remove(bus->config.mmio, &bus->ecam);
	pthread_mutex_destroy(&bus->intx_lock);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}
