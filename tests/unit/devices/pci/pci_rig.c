/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/core/layout.h"

struct pci_rig rig;

static struct device *device_of(struct pci_function *fn)
{
	return container_of(fn, struct device, fn);
}

static void hook_read(struct pci_function *fn, uint16_t off, unsigned int size)
{
	assert_true(size <= 4 && !(off % size) && off < PCI_CFG_SIZE);
	device_of(fn)->hook_reads++;
}

static void hook_write(struct pci_function *fn, uint16_t off, unsigned int size)
{
	assert_true(size <= 4 && !(off % size) && off < PCI_CFG_SIZE);
	device_of(fn)->hook_writes++;
}

static void hook_bar(struct pci_function *fn, unsigned int bar, bool mapped)
{
	assert_int_equal(fn->bars[bar].mapped, mapped);
	if (mapped)
		device_of(fn)->maps++;
	else
		device_of(fn)->unmaps++;
}

static const struct pci_function_ops device_ops = {
	.cfg_read = hook_read, .cfg_write = hook_write, .bar_changed = hook_bar};

/* A BAR answers with its device's slot in the top byte and the offset below. */
static uint64_t bar_read(void *opaque, uint64_t off, unsigned int size)
{
	struct device *dev = opaque;

	return ((uint64_t)dev->fn.slot << 24 | off) & size_mask(size);
}

static void bar_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct device *dev = opaque;

	(void)off;
	(void)size;
	dev->last_write = value;
}

const struct bus_ops pci_rig_bar_ops = {.read = bar_read, .write = bar_write};

void pci_rig_init(struct device *dev)
{
	static const struct pci_ids ids = {.vendor = 0x1af4,
		.device = 0x1042,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.revision = 1,
		.class_code = 0x018000};

	memset(dev, 0, sizeof(*dev));
	dev->fn.name = "test";
	dev->fn.ops = &device_ops;
	pci_function_init(&dev->fn, &ids, true);
}

/* BAR 0 I/O, 1 32-bit memory, 2 and 3 64-bit memory, 5 32-bit prefetchable */
void pci_rig_init_full(struct device *dev)
{
	pci_rig_init(dev);
	pci_function_bar(&dev->fn, 0, PCI_BAR_IO, false, 0x40, &pci_rig_bar_ops, dev);
	pci_function_bar(&dev->fn, 1, PCI_BAR_MEM32, false, 0x1000, &pci_rig_bar_ops, dev);
	pci_function_bar(&dev->fn, 2, PCI_BAR_MEM64, true, 0x4000, &pci_rig_bar_ops, dev);
	pci_function_bar(&dev->fn, 5, PCI_BAR_MEM32, true, 0x10, &pci_rig_bar_ops, dev);
}

static int make_bus(struct log *log, bool narrow)
{
	struct pci_bus_config config = {.log = log, .narrow = narrow};

	config.pio = rig.machine.pio;
	config.mmio = rig.machine.mmio;
	config.power = fake_machine_power(&rig.machine);
	for (unsigned int i = 0; i < 8; i++)
		config.intx[i] = fake_machine_irq(&rig.machine, LAYOUT_IRQ_PCI + i);
	return pci_bus_create(&config, &rig.bus);
}

int pci_rig_set_up(void **state)
{
	(void)state;
	fake_machine_create(&rig.machine);
	return make_bus(NULL, false);
}

void pci_rig_restart(struct log *log, bool narrow)
{
	pci_bus_destroy(rig.bus);
	assert_int_equal(make_bus(log, narrow), 0);
}

int pci_rig_tear_down(void **state)
{
	(void)state;
	pci_bus_destroy(rig.bus);
	fake_machine_destroy(&rig.machine);
	return 0;
}

uint64_t ecam(unsigned int slot, unsigned int fn, unsigned int off)
{
	return LAYOUT_ECAM_BASE + (slot << 15 | fn << 12 | off);
}

uint32_t rd(unsigned int slot, unsigned int off, unsigned int size)
{
	return (uint32_t)bus_read(rig.machine.mmio, ecam(slot, 0, off), size);
}

void wr(unsigned int slot, unsigned int off, unsigned int size, uint32_t value)
{
	bus_write(rig.machine.mmio, ecam(slot, 0, off), size, value);
}
