/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI bus as a guest's kernel sees it: enumeration, wires, and accesses of any shape. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pci_rig.h"
#include "vm/core/layout.h"

static void select_cf8(unsigned int b, unsigned int slot, unsigned int fn, unsigned int off)
{
	bus_write(rig.machine.pio, 0xcf8, 4,
		UINT32_C(0x80000000) | b << 16 | slot << 11 | fn << 8 | (off & 0xfc));
}

static uint32_t rd_cf8(unsigned int slot, unsigned int off, unsigned int size)
{
	select_cf8(0, slot, 0, off);
	return (uint32_t)bus_read(rig.machine.pio, (uint16_t)(0xcfc + off % 4), size);
}

static void test_host_bridge(void **state)
{
	(void)state;
	assert_int_equal(rd(0, 0, 4), 0x00081b36);
	assert_int_equal(rd(0, 8, 4), 0x06000000);
	assert_int_equal(rd(0, 0xe, 1), 0); /* type 0, one function */
	assert_int_equal(rd(0, PIN, 1), 0);
	for (unsigned int off = BAR0; off < 0x28; off += 4) {
		wr(0, off, 4, 0xffffffff);
		assert_int_equal(rd(0, off, 4), 0);
	}
	/* no PCI Express function, so nothing is there, and Linux looks no further */
	wr(0, 0x100, 4, 0);
	assert_int_equal(rd(0, 0x100, 4), 0xffffffff);
	assert_int_equal(rd(0, 0xffc, 4), 0xffffffff);
}

/* What a kernel does first: is mechanism 1 there? */
/* Byte port 0xCF9: bit 2 resets, as Linux does it in two steps; nothing else there does. */
static void test_reset_register(void **state)
{
	unsigned int *resets = &rig.machine.power.count[POWER_RESET];

	(void)state;
	bus_write(rig.machine.pio, 0xcf9, 1, 0x02);
	bus_write(rig.machine.pio, 0xcf8, 4, 0x80000600);
	bus_write(rig.machine.pio, 0xcf8, 1, 0x06);
	bus_write(rig.machine.pio, 0xcfa, 1, 0x06);
	assert_int_equal(*resets, 0);
	bus_write(rig.machine.pio, 0xcf9, 1, 0x06);
	assert_int_equal(*resets, 1);
}

static void test_mechanism_1(void **state)
{
	(void)state;
	bus_write(rig.machine.pio, 0xcfb, 1, 1);
	assert_int_equal(bus_read(rig.machine.pio, 0xcf8, 4), 0);
	bus_write(rig.machine.pio, 0xcf8, 4, 0x80000000);
	assert_int_equal(bus_read(rig.machine.pio, 0xcf8, 4), 0x80000000);
	for (unsigned int i = 0; i < 4; i++) { /* not double words: not latched, not shown */
		bus_write(rig.machine.pio, (uint16_t)(0xcf8 + i), 1, 0x55);
		assert_int_equal(bus_read(rig.machine.pio, (uint16_t)(0xcf8 + i), 1), 0xff);
	}
	bus_write(rig.machine.pio, 0xcf8, 2, 0x5555);
	assert_int_equal(bus_read(rig.machine.pio, 0xcf8, 4), 0x80000000);
	bus_write(rig.machine.pio, 0xcf8, 4, 0xffffffff);
	assert_int_equal(bus_read(rig.machine.pio, 0xcf8, 4), 0x80fffffc);
	bus_write(rig.machine.pio, 0xcf8, 4, 0); /* not enabled */
	assert_int_equal(bus_read(rig.machine.pio, 0xcfc, 4), 0xffffffff);
	assert_int_equal(rd_cf8(0, 0, 4), 0x00081b36);
	assert_int_equal(rd_cf8(0, 2, 2), 0x0008);
	assert_int_equal(rd_cf8(0, 3, 1), 0x00);
	assert_int_equal(rd_cf8(0, 1, 1), 0x1b);
	select_cf8(1, 0, 0, 0); /* another bus */
	assert_int_equal(bus_read(rig.machine.pio, 0xcfc, 4), 0xffffffff);
	select_cf8(0, 0, 1, 0); /* another function */
	assert_int_equal(bus_read(rig.machine.pio, 0xcfc, 4), 0xffffffff);
	/* past the register: what follows 0xcff is another device's */
	select_cf8(0, 0, 0, 8);
	assert_int_equal(bus_read(rig.machine.pio, 0xcfe, 4), 0xffff0600);
}

static void test_both_ways_agree(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	for (unsigned int slot = 0; slot < 3; slot++)
		for (unsigned int off = 0; off < 256; off++)
			for (unsigned int size = 1; size <= 4 - off % 4 && size <= 4; size *= 2)
				assert_int_equal(rd(slot, off, size), rd_cf8(slot, off, size));
	select_cf8(0, 1, 0, LINE);
	bus_write(rig.machine.pio, 0xcfc, 1, 0x5a);
	assert_int_equal(rd(1, LINE, 1), 0x5a);
	pci_bus_remove(rig.bus, &dev.fn);
	assert_int_equal(rd_cf8(1, 0, 4), 0xffffffff);
	assert_int_equal(rd(1, 0, 4), 0xffffffff);
}

static void test_header(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 5), 0);
	assert_int_equal(rd(5, 0, 4), 0x10421af4);
	assert_int_equal(rd(5, 8, 4), 0x01800001);
	assert_int_equal(rd(5, 0x2c, 4), 0x11001af4);
	assert_int_equal(rd(5, COMMAND, 2), 0); /* decoding is the guest's to turn on */
	assert_int_equal(rd(5, PIN, 1), 1);
	assert_int_equal(rd(5, LINE, 1), LAYOUT_IRQ_PCI + 5);
	wr(5, LINE, 1, 11);
	assert_int_equal(rd(5, LINE, 1), 11);
	wr(5, 0, 4, 0);
	wr(5, 8, 4, 0xffffffff);
	wr(5, 0x2c, 4, 0);
	wr(5, PIN, 1, 4);
	assert_int_equal(rd(5, 0, 4), 0x10421af4);
	assert_int_equal(rd(5, 8, 4), 0x01800001);
	assert_int_equal(rd(5, 0x2c, 4), 0x11001af4);
	assert_int_equal(rd(5, PIN, 1), 1);
	wr(5, COMMAND, 4, 0xffffffff);
	assert_int_equal(rd(5, COMMAND, 4), 0x00000547);
	assert_int_equal(rd(5, 0xe, 1), 0);
}

static struct fake_line *line(unsigned int n)
{
	return &rig.machine.lines[LAYOUT_IRQ_PCI + n];
}

static void test_intx(void **state)
{
	struct device a, b, c;

	(void)state;
	pci_rig_init(&a);
	pci_rig_init(&b);
	pci_rig_init(&c);
	assert_int_equal(pci_bus_add(rig.bus, &a.fn, 3), 0);
	assert_int_equal(pci_bus_add(rig.bus, &b.fn, 11), 0); /* the same wire */
	assert_int_equal(pci_bus_add(rig.bus, &c.fn, 4), 0);
	assert_int_equal(rd(11, LINE, 1), LAYOUT_IRQ_PCI + 3);

	pci_intx_set(&a.fn, true);
	assert_true(line(3)->level);
	assert_int_equal(rd(3, STATUS, 2) & STATUS_INTX, STATUS_INTX);
	assert_int_equal(rd(11, STATUS, 2) & STATUS_INTX, 0);
	pci_intx_set(&b.fn, true);
	pci_intx_set(&a.fn, true);
	pci_intx_set(&a.fn, false);
	assert_true(line(3)->level);
	assert_int_equal(line(3)->calls, 1);
	pci_intx_set(&b.fn, false);
	assert_false(line(3)->level);
	assert_false(line(4)->level);

	/* DisINTx hides the wire, not the status. */
	pci_intx_set(&a.fn, true);
	wr(3, COMMAND, 2, CMD_INTX_OFF);
	assert_false(line(3)->level);
	assert_int_equal(rd(3, COMMAND, 4) >> 16 & STATUS_INTX, STATUS_INTX);
	pci_intx_set(&b.fn, true);
	wr(3, COMMAND, 2, 0);
	wr(11, COMMAND, 2, CMD_INTX_OFF);
	assert_true(line(3)->level);
	pci_bus_remove(rig.bus, &a.fn);
	assert_false(line(3)->level);
	pci_intx_set(&a.fn, false); /* the device has not noticed yet */
	pci_intx_set(&a.fn, true);
	assert_false(line(3)->level);
	wr(11, COMMAND, 2, 0);
	assert_true(line(3)->level);
	pci_bus_remove(rig.bus, &b.fn);
	assert_false(line(3)->level);
}

/* The same as the _PRT in the DSDT */
static void test_wires(void **state)
{
	(void)state;
	for (unsigned int slot = 1; slot < PCI_MAX_DEVICES; slot++) {
		struct device dev;

		pci_rig_init(&dev);
		assert_int_equal(pci_bus_add(rig.bus, &dev.fn, slot), 0);
		pci_intx_set(&dev.fn, true);
		for (unsigned int n = 0; n < 8; n++)
			assert_int_equal(line(n)->level, n == slot % 8);
		pci_bus_remove(rig.bus, &dev.fn);
	}
}

static void test_no_intx(void **state)
{
	static const struct pci_ids ids = {.vendor = 1};
	struct device dev;

	(void)state;
	pci_rig_init(&dev);
	memset(&dev.fn.cfg, 0, sizeof(dev.fn.cfg));
	pci_function_init(&dev.fn, &ids, false);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 7), 0);
	pci_intx_set(&dev.fn, true);
	for (unsigned int n = 0; n < 8; n++)
		assert_int_equal(line(n)->calls, 0);
	assert_int_equal(rd(7, STATUS, 2) & STATUS_INTX, 0);
}

static void test_capabilities(void **state)
{
	struct device dev;
	unsigned int count = 0;
	uint8_t at;

	(void)state;
	pci_rig_init(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	assert_int_equal(rd(1, STATUS, 2) & 1 << 4, 0);
	assert_int_equal(pci_function_cap(&dev.fn, 9, 18), 0x40);
	assert_int_equal(pci_function_cap(&dev.fn, 0x11, 12), 0x54);
	assert_int_equal(pci_function_cap(&dev.fn, 9, 0xa4), 0); /* 4 too many */
	assert_int_equal(pci_function_cap(&dev.fn, 9, 0xa0), 0x60);
	assert_int_equal(pci_function_cap(&dev.fn, 9, 2), 0);
	assert_int_equal(rd(1, STATUS, 2) & 1 << 4, 1 << 4);
	for (at = (uint8_t)rd(1, CAP_PTR, 1); at; at = (uint8_t)rd(1, at + 1U, 1)) {
		static const uint8_t ids[] = {9, 0x11, 9};

		assert_true(count < 3);
		assert_int_equal(rd(1, at, 1), ids[count++]);
	}
	assert_int_equal(count, 3);
}

static void test_masks(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init(&dev);
	pci_set32(&dev.fn.cfg[0x80], 0x11223344);
	pci_set32(&dev.fn.wmask[0x80], 0x00ffff00);
	pci_set32(&dev.fn.w1c[0x80], 0x000000ff);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	wr(1, 0x80, 4, 0xaabbcc04);
	assert_int_equal(rd(1, 0x80, 4), 0x11bbcc40);
	wr(1, 0x81, 2, 0x5566);
	assert_int_equal(rd(1, 0x80, 4), 0x11556640);
	bus_write(rig.machine.mmio, ecam(1, 0, 0x7e), 8, 0xffffffffffffffff);
	assert_int_equal(rd(1, 0x80, 4), 0x11ffff00);
	assert_int_equal(dev.hook_writes, 1 + 2 + 3);
}

/* Every offset, every size, read and written, on both ways in. */
static void test_every_access(void **state)
{
	struct device *dev = malloc(sizeof(*dev));
	const uint64_t end = ecam(2, 0, 0);

	(void)state;
	assert_non_null(dev);
	pci_rig_init_full(dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev->fn, 0), 0);
	for (uint64_t addr = ecam(0, 0, 0) - 8; addr < end; addr++) {
		if ((addr & 0x7fff) > 0x1010 && (addr & 0x7fff) < 0x7ff0)
			continue; /* functions that are not there */
		for (unsigned int size = 1; size <= 8; size *= 2) {
			uint64_t value;

			bus_write(rig.machine.mmio, addr, size, UINT64_MAX);
			bus_write(rig.machine.mmio, addr, size, addr * 0x9e3779b97f4a7c15);
			value = bus_read(rig.machine.mmio, addr, size);
			assert_int_equal(value & ~size_mask(size), 0);
			for (unsigned int i = 0; i < size; i++)
				assert_int_equal(value >> (8 * i) & 0xff,
					bus_read(rig.machine.mmio, addr + i, 1));
		}
	}
	for (unsigned int off = 0; off < 256; off += 4) {
		for (uint16_t port = 0xcf0; port < 0xd08; port++) {
			for (unsigned int size = 1; size <= 8; size *= 2) {
				select_cf8(0, 1, 0, off);
				bus_read(rig.machine.pio, port, size);
				bus_write(rig.machine.pio, port, size, UINT64_MAX);
				select_cf8(0, 1, 0, off);
				bus_write(rig.machine.pio, port, size, 0);
			}
		}
	}
	assert_int_equal(rd(1, 0, 4), 0x10421af4);
	assert_int_equal(rd(0, 0, 4), 0x00081b36);
	pci_bus_remove(rig.bus, &dev->fn);
	free(dev);
}

/* The last bytes of one function and the first of the next: each gets its own. */
static void test_across_functions(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	assert_int_equal(bus_read(rig.machine.mmio, ecam(1, 0, 0xfe), 4), 0xffff0000);
	assert_int_equal(bus_read(rig.machine.mmio, ecam(0, 0, 0xffe), 4), 0xffffffff);
	assert_int_equal(
		bus_read(rig.machine.mmio, ecam(1, 0, 0) - 4, 8), UINT64_C(0x10421af4ffffffff));
	assert_int_equal(bus_read(rig.machine.mmio, ecam(1, 0, 0) - 2, 4), 0x1af4ffff);
	assert_int_equal(bus_read(rig.machine.mmio, ecam(1, 1, 0), 4), 0xffffffff);
	assert_int_equal(bus_read(rig.machine.mmio, ecam(31, 7, 0xffc), 8), UINT64_MAX);
}

static void test_create_refused(void **state)
{
	struct pci_bus_config config = {.pio = rig.machine.pio, .mmio = rig.machine.mmio};
	struct pci_bus *other = (void *)&config;

	(void)state;
	assert_int_equal(pci_bus_create(&config, &other), -EEXIST);
	assert_int_equal(bus_create(0, &config.mmio), 0);
	assert_int_equal(pci_bus_create(&config, &other), -EEXIST); /* by the ports now */
	assert_ptr_equal(other, &config);
	assert_int_equal(bus_read(config.mmio, LAYOUT_ECAM_BASE, 4), 0xffffffff);
	bus_destroy(config.mmio);
	pci_bus_destroy(NULL);
}

#define PCI_TEST(fn) cmocka_unit_test_setup_teardown(fn, pci_rig_set_up, pci_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PCI_TEST(test_host_bridge),
		PCI_TEST(test_reset_register),
		PCI_TEST(test_mechanism_1),
		PCI_TEST(test_both_ways_agree),
		PCI_TEST(test_header),
		PCI_TEST(test_intx),
		PCI_TEST(test_wires),
		PCI_TEST(test_no_intx),
		PCI_TEST(test_capabilities),
		PCI_TEST(test_masks),
		PCI_TEST(test_every_access),
		PCI_TEST(test_across_functions),
		PCI_TEST(test_create_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
