/* SPDX-License-Identifier: BSD-2-Clause */
/* BARs: sizing, the addresses they start with, decoding, moving, and standing in each other's way
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pci_rig.h"
#include "vm/core/layout.h"
#include "vm/core/log.h"

/* A driver's way to a BAR's size. */
static uint32_t size_of(unsigned int slot, unsigned int bar)
{
	const unsigned int reg = BAR0 + 4 * bar;
	const uint32_t was = rd(slot, reg, 4);
	uint32_t mask;

	wr(slot, reg, 4, 0xffffffff);
	mask = rd(slot, reg, 4);
	wr(slot, reg, 4, was);
	assert_int_equal(rd(slot, reg, 4), was);
	return mask;
}

static uint64_t bar_at(unsigned int slot, unsigned int bar, bool wide)
{
	uint64_t addr = rd(slot, BAR0 + 4 * bar, 4);

	addr &= addr & 1 ? ~UINT64_C(3) : ~UINT64_C(15);
	return wide ? addr | (uint64_t)rd(slot, BAR0 + 4 * bar + 4, 4) << 32 : addr;
}

static void test_sizing(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	for (unsigned int pass = 0; pass < 2; pass++) { /* decode off, then on */
		assert_int_equal(size_of(1, 0), 0xffffffc1);
		assert_int_equal(size_of(1, 1), 0xfffff000);
		assert_int_equal(size_of(1, 2), 0xffffc00c);
		assert_int_equal(size_of(1, 3), 0xffffffff);
		assert_int_equal(size_of(1, 4), 0);
		assert_int_equal(size_of(1, 5), 0xfffffff8);
		wr(1, COMMAND, 2, CMD_IO | CMD_MEM);
	}
	for (unsigned int i = 0; i < PCI_MAX_BARS; i++)
		assert_int_equal(dev.fn.bars[i].mapped, i == 0 || i == 1 || i == 2 || i == 5);
	assert_int_equal(dev.maps - dev.unmaps, 4);
}

static void test_firmware_addresses(void **state)
{
	struct device *dev = calloc(PCI_MAX_DEVICES, sizeof(*dev));
	struct device extra;

	(void)state;
	assert_non_null(dev);
	for (unsigned int i = 1; i < PCI_MAX_DEVICES; i++) {
		pci_rig_init_full(&dev[i]);
		assert_int_equal(pci_bus_add(rig.bus, &dev[i].fn, 0), 0);
		assert_int_equal(dev[i].fn.slot, i);
		wr(i, COMMAND, 2, CMD_IO | CMD_MEM);
	}
	pci_rig_init(&extra);
	assert_int_equal(pci_bus_add(rig.bus, &extra.fn, 0), -ENOSPC);
	assert_int_equal(pci_bus_add(rig.bus, &extra.fn, 3), -EEXIST);
	assert_int_equal(pci_bus_add(rig.bus, &extra.fn, 32), -EINVAL);
	for (unsigned int i = 1; i < PCI_MAX_DEVICES; i++) {
		static const bool is_bar[] = {true, true, true, false, false, true};

		for (unsigned int b = 0; b < PCI_MAX_BARS; b++) {
			uint64_t at = bar_at(i, b, b == 2);
			struct bus *space = b ? rig.machine.mmio : rig.machine.pio;

			if (!is_bar[b])
				continue;
			assert_true(dev[i].fn.bars[b].mapped);
			assert_int_equal(bus_read(space, at + 4, 4), i << 24 | 4);
			if (b == 0)
				assert_in_range(at, LAYOUT_PCI_IO_BASE, LAYOUT_PCI_IO_LAST);
			else if (b == 2)
				assert_in_range(at, LAYOUT_MMIO64_BASE, LAYOUT_MMIO64_LAST);
			else
				assert_in_range(at, LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_LAST);
		}
	}
	for (unsigned int i = 1; i < PCI_MAX_DEVICES; i++)
		pci_bus_remove(rig.bus, &dev[i].fn);
	free(dev);
}

static void test_too_big(void **state)
{
	struct device a, b;

	(void)state;
	pci_rig_init(&a);
	pci_rig_init(&b);
	pci_function_bar(&a.fn, 0, PCI_BAR_MEM32, false, 256 * MiB, &pci_rig_bar_ops, &a);
	pci_function_bar(&b.fn, 0, PCI_BAR_MEM32, false, 512 * MiB, &pci_rig_bar_ops, &b);
	assert_int_equal(pci_bus_add(rig.bus, &a.fn, 0), 0);
	assert_int_equal(pci_bus_add(rig.bus, &b.fn, 0), -ENOSPC);
	assert_int_equal(rd(2, 0, 4), 0xffffffff);
	pci_bus_remove(rig.bus, &a.fn);
	assert_int_equal(pci_bus_add(rig.bus, &b.fn, 0), 0);
	assert_int_equal(b.fn.slot, 1);
}

static void test_decode_bits(void **state)
{
	struct device dev;
	uint64_t io, mem;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	io = bar_at(1, 0, false);
	mem = bar_at(1, 1, false);
	assert_int_equal(bus_read(rig.machine.pio, io, 1), 0xff);
	wr(1, COMMAND, 2, CMD_IO);
	assert_int_equal(bus_read(rig.machine.pio, io, 1), 0);
	assert_int_equal(bus_read(rig.machine.mmio, mem, 1), 0xff);
	wr(1, COMMAND, 2, CMD_MEM);
	assert_int_equal(bus_read(rig.machine.pio, io, 1), 0xff);
	assert_int_equal(bus_read(rig.machine.mmio, mem + 8, 4), 0x01000008);
	bus_write(rig.machine.mmio, mem, 4, 0x12345678);
	assert_int_equal(dev.last_write, 0x12345678);
	wr(1, COMMAND, 2, 0);
	assert_int_equal(bus_read(rig.machine.mmio, mem, 4), 0xffffffff);
}

static void test_move(void **state)
{
	struct device dev;
	uint64_t was;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	was = bar_at(1, 1, false);
	wr(1, COMMAND, 2, CMD_MEM);
	wr(1, BAR0 + 4, 4, 0xd0000000);
	assert_int_equal(bus_read(rig.machine.mmio, was, 4), 0xffffffff);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd0000004, 4), 0x01000004);
	assert_int_equal(dev.fn.bars[1].region.base, 0xd0000000);
	/* a 64-bit one in two halves; in between it is elsewhere in the window, which is its right
	 */
	wr(1, BAR0 + 8, 4, 0x40000000);
	assert_int_equal(bus_read(rig.machine.mmio, 0x4040000004, 4), 0x01000004);
	wr(1, BAR0 + 12, 4, 0x45);
	assert_int_equal(bus_read(rig.machine.mmio, 0x4540000004, 4), 0x01000004);
	assert_int_equal(bus_read(rig.machine.mmio, 0x4040000004, 4), 0xffffffff);
	wr(1, BAR0 + 12, 4, 0); /* now below 4 GiB: over RAM */
	assert_false(dev.fn.bars[2].mapped);
	wr(1, BAR0 + 8, 4, 0xc8000000); /* the 32-bit window will do */
	assert_int_equal(bus_read(rig.machine.mmio, 0xc8000004, 4), 0x01000004);
	/* a byte at a time */
	wr(1, BAR0 + 7, 1, 0xd8);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd8000004, 4), 0x01000004);
}

static void test_outside_windows(void **state)
{
	static const uint32_t mem[] = {0, 0x1000, 0xbffff000, 0xe0000000, 0xe0001000, 0xfec00000,
		0xfee00000, 0xfeffc000, 0xfffff000};
	static const uint16_t io[] = {0, 0x40, 0x3c0, 0xcc0, 0xfc0};
	struct device dev;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	wr(1, COMMAND, 2, CMD_IO | CMD_MEM);
	for (size_t i = 0; i < ARRAY_SIZE(mem); i++) {
		wr(1, BAR0 + 4, 4, mem[i]);
		assert_int_equal(rd(1, BAR0 + 4, 4), mem[i]);
		assert_false(dev.fn.bars[1].mapped);
	}
	for (size_t i = 0; i < ARRAY_SIZE(io); i++) {
		wr(1, BAR0, 4, io[i]);
		assert_false(dev.fn.bars[0].mapped);
	}
	wr(1, BAR0, 4, 0x10001000); /* ports have 16 bits */
	assert_false(dev.fn.bars[0].mapped);
	for (uint32_t hi = 0; hi < 0x100; hi++) {
		wr(1, BAR0 + 12, 4, hi);
		assert_int_equal(dev.fn.bars[2].mapped, hi >= 0x40 && hi < 0x50);
	}
	wr(1, BAR0 + 12, 4, 0xffffffff);
	wr(1, BAR0 + 8, 4, 0xffffffff);
	assert_false(dev.fn.bars[2].mapped);
	assert_int_equal(rd(0, 0, 4), 0x00081b36); /* ECAM is where it was */
}

static void test_overlap(void **state)
{
	struct device a, b;

	(void)state;
	pci_rig_init_full(&a);
	pci_rig_init_full(&b);
	assert_int_equal(pci_bus_add(rig.bus, &a.fn, 0), 0);
	assert_int_equal(pci_bus_add(rig.bus, &b.fn, 0), 0);
	wr(1, COMMAND, 2, CMD_MEM);
	wr(2, COMMAND, 2, CMD_MEM);
	wr(1, BAR0 + 4, 4, 0xd0000000);
	wr(2, BAR0 + 4, 4, 0xd0000000);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd0000000, 4), 0x01000000);
	assert_false(b.fn.bars[1].mapped);
	wr(1, BAR0 + 0x14, 4, 0xd0000100); /* its own BAR in its own way */
	assert_false(a.fn.bars[5].mapped);
	/* The one in front goes away: both behind it come out, as far as they can. */
	wr(1, BAR0 + 4, 4, 0xd1000000);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd1000000, 4), 0x01000000);
	assert_true(a.fn.bars[5].mapped != b.fn.bars[1].mapped);
	wr(1, COMMAND, 2, 0);
	assert_true(b.fn.bars[1].mapped);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd0000100, 4), 0x02000100);
	/* Removal makes room as well. */
	wr(1, BAR0 + 4, 4, 0xd0000000);
	wr(1, COMMAND, 2, CMD_MEM);
	assert_false(a.fn.bars[1].mapped);
	pci_bus_remove(rig.bus, &b.fn);
	assert_false(b.fn.bars[1].mapped);
	assert_int_equal(bus_read(rig.machine.mmio, 0xd0000000, 4), 0x01000000);
}

/*
 * A rescan after removals: one function is put where another one still is that it comes to next.
 * That is worth no line; a driver that goes to work in another's shadow is, and the right name.
 */
static void test_overlap_is_said_once_it_lasts(void **state)
{
	struct device a, b;
	struct log log;
	char line[256] = "";
	FILE *out = tmpfile();

	(void)state;
	assert_non_null(out);
	log_init(&log, fileno(out), LOG_WARN, NULL);
	pci_rig_restart(&log, false);
	pci_rig_init_full(&a);
	pci_rig_init_full(&b);
	assert_int_equal(pci_bus_add(rig.bus, &a.fn, 7), 0);
	assert_int_equal(pci_bus_add(rig.bus, &b.fn, 0x1a), 0);
	wr(0x1a, BAR0 + 4, 4, 0xd0000000);
	wr(0x1a, COMMAND, 2, CMD_MEM);
	wr(7, COMMAND, 2, CMD_MEM);
	wr(7, BAR0 + 4, 4, 0xd0000000);
	assert_false(a.fn.bars[1].mapped);
	wr(0x1a, BAR0 + 4, 4, 0xd0001000);
	wr(7, COMMAND, 2, CMD_MEM | CMD_MASTER);
	assert_true(a.fn.bars[1].mapped);
	assert_int_equal(ftell(out), 0);
	assert_int_equal(lseek(fileno(out), 0, SEEK_END), 0);

	wr(0x1a, BAR0 + 4, 4, 0xd0000000);
	wr(0x1a, COMMAND, 2, CMD_MEM | CMD_MASTER);
	rewind(out);
	assert_non_null(fgets(line, sizeof(line), out));
	assert_non_null(strstr(line, "00:1a.0 (test): BAR 1 at 0xd0000000"));
	fclose(out);
	pci_rig_restart(NULL, false);
}

/* Where the CPUs cannot address the 64-bit window, nothing goes there. */
static void test_narrow(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_restart(NULL, true);
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	assert_in_range(bar_at(1, 2, true), LAYOUT_MMIO32_BASE, LAYOUT_MMIO32_LAST);
	wr(1, COMMAND, 2, CMD_MEM);
	assert_true(dev.fn.bars[2].mapped);
	assert_int_equal(bus_read(rig.machine.mmio, bar_at(1, 2, true), 4), 1 << 24);
	wr(1, BAR0 + 12, 4, LAYOUT_MMIO64_BASE >> 32);
	assert_false(dev.fn.bars[2].mapped);
	pci_rig_restart(NULL, false);
}

/* Comes back as from firmware, not as the guest had left it. */
static void test_back_again(void **state)
{
	struct device dev;

	(void)state;
	pci_rig_init_full(&dev);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0);
	wr(1, COMMAND, 2, CMD_IO | CMD_MEM);
	wr(1, BAR0 + 4, 4, 0xd0000000);
	dev.hook_writes = 0;
	pci_bus_remove(rig.bus, &dev.fn);
	assert_int_equal(dev.hook_writes, 1);
	assert_int_equal(dev.maps, dev.unmaps);
	pci_bus_remove(rig.bus, &dev.fn);
	assert_int_equal(dev.hook_writes, 1);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 9), 0);
	assert_int_equal(rd(9, COMMAND, 2), 0);
	assert_int_equal(bar_at(9, 1, false), LAYOUT_MMIO32_BASE);
	assert_int_equal(bus_read(rig.machine.mmio, LAYOUT_MMIO32_BASE, 4), 0xffffffff);
	pci_bus_remove(rig.bus, &dev.fn);
	assert_int_equal(pci_bus_add(rig.bus, &dev.fn, 0), 0); /* not in its own way */
	assert_int_equal(bar_at(1, 1, false), LAYOUT_MMIO32_BASE);
}

#define PCI_TEST(fn) cmocka_unit_test_setup_teardown(fn, pci_rig_set_up, pci_rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PCI_TEST(test_sizing),
		PCI_TEST(test_firmware_addresses),
		PCI_TEST(test_too_big),
		PCI_TEST(test_decode_bits),
		PCI_TEST(test_move),
		PCI_TEST(test_outside_windows),
		PCI_TEST(test_overlap),
		PCI_TEST(test_overlap_is_said_once_it_lasts),
		PCI_TEST(test_narrow),
		PCI_TEST(test_back_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
