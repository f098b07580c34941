/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X behind a real PCI bus: what a driver writes, what arrives, what the route ops hear. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/pci/msix.h"
#include "devices/pci/pci.h"
#include "fakes/fake_machine.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum {
	VECTORS = 70, /* more than one quad word of pending bits, and not all of the second */
	TABLE = 0x800,
	PBA = 0x400,
	BAR_SIZE = 0x2000,
	SLOT = 1,
	CAP = 0x40,

	ENABLE = 1 << 15,
	MASK_ALL = 1 << 14,
	CMD_MEM_MASTER = 6,
};

struct routes {
	bool live[MSIX_MAX_VECTORS];
	struct msix_message msg[MSIX_MAX_VECTORS];
	bool signalled[MSIX_MAX_VECTORS];
	unsigned int changes, commits, uncommitted, takes;
	unsigned int sent_at_commit; /* messages that had been sent by then */
};

static struct fake_machine machine;
static struct pci_bus *bus;
static struct pci_function fn;
static struct msix *msix;
static struct routes routes;

static void changed(void *opaque, unsigned int vector, const struct msix_message *msg)
{
	struct routes *r = opaque;

	r->live[vector] = msg;
	if (msg)
		r->msg[vector] = *msg;
	r->changes++;
	r->uncommitted++;
}

static void commit(void *opaque)
{
	struct routes *r = opaque;

	assert_true(r->uncommitted > 0);
	r->uncommitted = 0;
	r->commits++;
	r->sent_at_commit = machine.msi.count;
}

static bool take_pending(void *opaque, unsigned int vector)
{
	struct routes *r = opaque;
	bool was = r->signalled[vector];

	r->takes++;
	r->signalled[vector] = false;
	return was;
}

static const struct msix_route_ops route_ops = {
	.changed = changed, .commit = commit, .take_pending = take_pending};

static void cfg_write(struct pci_function *f, uint16_t off, unsigned int size)
{
	(void)f;
	(void)off;
	(void)size;
	msix_cfg_write(msix);
}

static const struct pci_function_ops fn_ops = {.cfg_write = cfg_write};

static void mmio_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	(void)opaque;
	msix_write(msix, off, size, value);
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	return msix_read(msix, off, size);
}

static const struct bus_ops bar_ops = {.read = mmio_read, .write = mmio_write};

static int set_up_n(unsigned int vectors, uint32_t table, uint32_t pba, uint64_t bar_size)
{
	static const struct pci_ids ids = {
		.vendor = 0x1af4, .device = 0x1042, .class_code = 0x018000};
	struct pci_bus_config bus_config = {.log = NULL};
	struct msix_config config = {.fn = &fn,
		.num_vectors = vectors,
		.bar = 4,
		.table_off = table,
		.pba_off = pba,
		.routes = &route_ops,
		.routes_opaque = &routes};

	fake_machine_create(&machine);
	memset(&routes, 0, sizeof(routes));
	memset(&fn, 0, sizeof(fn));
	bus_config.pio = machine.pio;
	bus_config.mmio = machine.mmio;
	config.sink = fake_machine_msi(&machine);
	fn.name = "test";
	fn.ops = &fn_ops;
	pci_function_init(&fn, &ids, true);
	pci_function_bar(&fn, 4, PCI_BAR_MEM64, false, bar_size, &bar_ops, NULL);
	assert_int_equal(msix_create(&config, &msix), 0);
	assert_int_equal(pci_bus_create(&bus_config, &bus), 0);
	assert_int_equal(pci_bus_add(bus, &fn, SLOT), 0);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_n(VECTORS, TABLE, PBA, BAR_SIZE);
}

static int tear_down(void **state)
{
	(void)state;
	pci_bus_remove(bus, &fn);
	msix_destroy(msix);
	pci_bus_destroy(bus);
	fake_machine_destroy(&machine);
	return 0;
}

static void cfg(unsigned int off, unsigned int size, uint32_t value)
{
	bus_write(machine.mmio, LAYOUT_ECAM_BASE + (SLOT << 15 | off), size, value);
}

static uint32_t cfg_get(unsigned int off, unsigned int size)
{
	return (uint32_t)bus_read(machine.mmio, LAYOUT_ECAM_BASE + (SLOT << 15 | off), size);
}

static void control(unsigned int bits)
{
	cfg(CAP + 2, 2, bits);
}

static void wr(uint32_t off, unsigned int size, uint64_t value)
{
	bus_write(machine.mmio, fn.bars[4].region.base + off, size, value);
}

static uint64_t rd(uint32_t off, unsigned int size)
{
	return bus_read(machine.mmio, fn.bars[4].region.base + off, size);
}

static void program(unsigned int vector, uint64_t addr, uint32_t data)
{
	wr(TABLE + vector * 16, 4, (uint32_t)addr);
	wr(TABLE + vector * 16 + 4, 4, addr >> 32);
	wr(TABLE + vector * 16 + 8, 4, data);
}

static void mask(unsigned int vector, bool on)
{
	wr(TABLE + vector * 16 + 12, 4, on);
}

static bool pending(unsigned int vector)
{
	return rd(PBA + vector / 64 * 8, 8) >> (vector % 64) & 1;
}

static void test_capability(void **state)
{
	(void)state;
	assert_int_equal(cfg_get(0x34, 1), CAP);
	assert_int_equal(cfg_get(CAP, 2), 0x0011);
	assert_int_equal(cfg_get(CAP + 2, 2), VECTORS - 1);
	assert_int_equal(cfg_get(CAP + 4, 4), TABLE | 4);
	assert_int_equal(cfg_get(CAP + 8, 4), PBA | 4);
	for (unsigned int off = 0; off < 12; off += 4)
		cfg(CAP + off, 4, 0xffffffff);
	assert_int_equal(cfg_get(CAP, 4), 0xc0450011);
	assert_int_equal(cfg_get(CAP + 4, 4), TABLE | 4);
	assert_true(msix_enabled(msix));
	control(0);
	assert_false(msix_enabled(msix));
}

static void test_reset_values(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	for (unsigned int v = 0; v < VECTORS; v++) {
		assert_int_equal(rd(TABLE + v * 16, 8), 0);
		assert_int_equal(rd(TABLE + v * 16 + 8, 8), UINT64_C(1) << 32);
	}
	assert_int_equal(rd(PBA, 8), 0);
	assert_int_equal(rd(PBA + 8, 8), 0);
}

/* As Linux does it: enabled and masked as a whole, table filled, unmasked, vectors unmasked. */
static void test_delivery(void **state)
{
	struct msix_message msg;

	(void)state;
	msix_raise(msix, 0); /* not enabled: not MSI-X's */
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE | MASK_ALL);
	program(0, 0xfee01000, 0x4021);
	program(69, UINT64_C(0x12345678fee02004), 0x4022);
	mask(0, false);
	assert_false(msix_message(msix, 0, &msg));
	assert_int_equal(routes.changes, 0); /* nothing is routed while masked */
	control(ENABLE);
	assert_int_equal(machine.msi.count, 0);
	msix_raise(msix, 0);
	assert_int_equal(machine.msi.count, 1);
	assert_int_equal(machine.msi.last_addr, 0xfee01000);
	assert_int_equal(machine.msi.last_data, 0x4021);
	assert_true(msix_message(msix, 0, &msg));
	assert_int_equal(msg.data, 0x4021);

	msix_raise(msix, 69);
	assert_int_equal(machine.msi.count, 1);
	assert_true(pending(69));
	assert_false(pending(0));
	msix_raise(msix, 69);
	mask(69, false);
	assert_int_equal(machine.msi.count, 2); /* once, however often it was raised */
	assert_int_equal(machine.msi.last_addr, UINT64_C(0x12345678fee02004));
	assert_int_equal(machine.msi.last_data, 0x4022);
	assert_false(pending(69));
	mask(69, true);
	mask(69, false);
	assert_int_equal(machine.msi.count, 2);
}

static void test_pend_and_fire(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE);
	program(1, 0xfee00000, 1);
	mask(1, false);

	control(ENABLE | MASK_ALL);
	msix_raise(msix, 1);
	assert_true(pending(1));
	assert_int_equal(machine.msi.count, 0);
	control(ENABLE);
	assert_int_equal(machine.msi.count, 1);
	assert_false(pending(1));

	cfg(4, 2, 2); /* no bus mastering: no message, but none lost */
	msix_raise(msix, 1);
	assert_int_equal(machine.msi.count, 1);
	cfg(4, 2, CMD_MEM_MASTER);
	assert_int_equal(machine.msi.count, 2);

	mask(1, true);
	msix_raise(msix, 1);
	control(0); /* turned off: forgotten */
	assert_false(pending(1));
	control(ENABLE);
	mask(1, false);
	assert_int_equal(machine.msi.count, 2);
	control(0);
	msix_raise(msix, 1);
	control(ENABLE);
	assert_int_equal(machine.msi.count, 2);
}

static void test_all_vectors(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE);
	for (unsigned int v = 0; v < 65536; v++)
		msix_raise(msix, v);
	msix_raise(msix, UINT32_MAX);
	assert_int_equal(rd(PBA, 8), UINT64_MAX);
	assert_int_equal(rd(PBA + 8, 8), 0x3f);
	for (unsigned int v = 0; v < VECTORS; v++) {
		program(v, 0xfee00000, v);
		mask(v, false);
		assert_int_equal(machine.msi.last_data, v);
	}
	assert_int_equal(machine.msi.count, VECTORS);
	for (unsigned int v = 0; v < 65536; v++) {
		struct msix_message msg;

		assert_int_equal(msix_message(msix, v, &msg), v < VECTORS);
		msix_raise(msix, v);
	}
	assert_int_equal(machine.msi.count, 2 * VECTORS);
}

static void test_table_access(void **state)
{
	static const struct {
		unsigned int off, size;
		uint64_t value;
		bool taken;
	} writes[] = {
		{0, 4, 0xffffffff, true},
		{0, 8, UINT64_MAX, true},
		{8, 8, UINT64_MAX, true},
		{12, 4, 0xffffffff, true},
		{0, 1, 0, false},
		{0, 2, 0, false},
		{3, 1, 0, false},
		{14, 2, 0, false},
		{4, 8, 0, false}, /* not aligned */
		{2, 4, 0, false},
		{13, 4, 0, false},
	};
	const uint32_t at = TABLE + 3 * 16;

	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		uint64_t lo = rd(at, 8), hi = rd(at + 8, 8);

		wr(at + writes[i].off, writes[i].size, writes[i].value);
		if (!writes[i].taken) {
			assert_int_equal(rd(at, 8), lo);
			assert_int_equal(rd(at + 8, 8), hi);
		}
	}
	assert_int_equal(rd(at, 8), 0xfffffffffffffffc); /* a message is an aligned double word */
	assert_int_equal(rd(at + 8, 8), 0x00000001ffffffff);
	for (unsigned int off = 0; off < 8; off++)
		assert_int_equal(rd(at + off, 1), off ? 0xff : 0xfc);
	assert_int_equal(rd(at + 5, 4), 0xffffffff);
	assert_int_equal(rd(at + 11, 2), 0x01ff);
	wr(PBA, 8, UINT64_MAX); /* read-only */
	wr(PBA + 4, 4, UINT32_MAX);
	assert_int_equal(rd(PBA, 8), 0);
}

/* Every offset of the BAR and past it, every size: nothing but the table can be written. */
static void test_every_access(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE);
	for (uint32_t off = 0; off < BAR_SIZE; off++) {
		bool in_table = off >= TABLE && off < TABLE + VECTORS * 16;

		for (unsigned int size = 1; size <= 8; size *= 2) {
			wr(off, size, UINT64_MAX);
			if (!in_table && off + size <= BAR_SIZE &&
				(off + size <= TABLE || off > TABLE))
				assert_int_equal(rd(off, size), 0);
			wr(off, size, 0);
			for (unsigned int i = 0; i < size && off + i < BAR_SIZE; i++)
				assert_int_equal(rd(off, size) >> (8 * i) & 0xff, rd(off + i, 1));
		}
	}
	/* Straight, without a bus that keeps accesses inside */
	for (uint64_t off = BAR_SIZE - 16; off < BAR_SIZE + 64; off++) {
		assert_int_equal(msix_read(msix, off, 8), 0);
		msix_write(msix, off, 8, UINT64_MAX);
	}
	for (uint64_t off = UINT64_MAX - 64; off != 0; off++) {
		assert_int_equal(msix_read(msix, off, 8), 0);
		msix_write(msix, off, 4, UINT64_MAX);
	}
}

static void test_routes(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE | MASK_ALL);
	for (unsigned int v = 0; v < 16; v++) {
		program(v, 0xfee00000, 0x100 + v);
		mask(v, false);
	}
	assert_int_equal(routes.commits, 0);
	control(ENABLE); /* all sixteen in one */
	assert_int_equal(routes.changes, 16);
	assert_int_equal(routes.commits, 1);
	for (unsigned int v = 0; v < VECTORS; v++) {
		assert_int_equal(routes.live[v], v < 16);
		if (v < 16)
			assert_int_equal(routes.msg[v].data, 0x100 + v);
	}
	wr(TABLE + 8, 4, 0x100); /* the same again is no change */
	control(ENABLE);
	cfg(0x3c, 1, 5);
	assert_int_equal(routes.commits, 1);
	wr(TABLE + 8, 4, 0x200); /* a new message while live */
	assert_int_equal(routes.commits, 2);
	assert_int_equal(routes.msg[0].data, 0x200);
	wr(TABLE + 8, 8,
		UINT64_C(1) << 32 | 0x300); /* message and mask in one access: one change */
	assert_int_equal(routes.changes, 18);
	assert_false(routes.live[0]);
	wr(TABLE + 8, 8, 0x400);
	assert_int_equal(routes.msg[0].data, 0x400);
	assert_true(routes.live[0]);
	control(0);
	assert_int_equal(routes.changes, 19 + 16);
	assert_int_equal(routes.commits, 5);
	for (unsigned int v = 0; v < VECTORS; v++)
		assert_false(routes.live[v]);
	assert_int_equal(routes.uncommitted, 0);
}

/* Signals that went around msix_raise: they show in the pending bits and fire after the commit. */
static void test_routed_pending(void **state)
{
	(void)state;
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE);
	program(5, 0xfee00000, 5);
	routes.signalled[5] = true;
	assert_true(pending(5));
	assert_false(routes.signalled[5]);
	mask(5, false);
	assert_int_equal(machine.msi.count, 1);
	assert_int_equal(routes.sent_at_commit, 0);
	routes.signalled[5] = true; /* live: the kernel's business */
	assert_false(pending(5));
	wr(TABLE + 5 * 16 + 8, 4, 6);
	assert_true(routes.signalled[5]);
	mask(5, true);
	mask(5, false);
	assert_int_equal(machine.msi.count, 2);
	assert_int_equal(machine.msi.last_data, 6);
	mask(5, true);
	routes.signalled[5] = true;
	control(0); /* off: taken and forgotten */
	assert_false(routes.signalled[5]);
	routes.signalled[5] = true; /* while off: not MSI-X's */
	control(ENABLE);
	mask(5, false);
	assert_int_equal(machine.msi.count, 2);
}

static void test_biggest(void **state)
{
	(void)state;
	set_up_n(MSIX_MAX_VECTORS, 0, 0x8000, 0x10000);
	assert_int_equal(msix_table_size(MSIX_MAX_VECTORS), 0x8000);
	assert_int_equal(msix_pba_size(MSIX_MAX_VECTORS), 0x100);
	assert_int_equal(msix_pba_size(1), 8);
	assert_int_equal(msix_pba_size(65), 16);
	assert_int_equal(cfg_get(CAP + 2, 2), 0x7ff);
	cfg(4, 2, CMD_MEM_MASTER);
	control(ENABLE | MASK_ALL);
	for (uint32_t v = 0; v < MSIX_MAX_VECTORS; v++) {
		wr(v * 16 + 8, 8, v);
		msix_raise(msix, v);
	}
	control(ENABLE);
	assert_int_equal(machine.msi.count, MSIX_MAX_VECTORS);
	assert_int_equal(routes.commits, 1);
	tear_down(NULL);
}

static void test_refusals(void **state)
{
	static const struct pci_ids ids = {.vendor = 0x1af4};
	static const struct {
		unsigned int vectors, bar;
		uint32_t table, pba;
		int rc;
	} table[] = {
		{0, 0, 0, 0x800, -EINVAL},
		{2049, 0, 0, 0x800, -EINVAL},
		{1, 1, 0, 0x800, -EINVAL}, /* I/O */
		{1, 2, 0, 0x800, -EINVAL}, /* not there */
		{1, 6, 0, 0x800, -EINVAL},
		{1, 0, 4, 0x800, -EINVAL}, /* not aligned */
		{1, 0, 0, 0x804, -EINVAL},
		{1, 0, 0, 8, -EINVAL},	   /* overlap */
		{1, 0, 0xff8, 0, -EINVAL}, /* past the end */
		{1, 0, 0, 0x1000, -EINVAL},
		{1, 0, 0xfffffff8, 0, -EINVAL},
		{1, 0, 0xff0, 0xfe8, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pci_function f = {.name = "test"};
		struct msix_config config = {.fn = &f,
			.num_vectors = table[i].vectors,
			.bar = table[i].bar,
			.table_off = table[i].table,
			.pba_off = table[i].pba};
		struct msix *made = (void *)&config;

		pci_function_init(&f, &ids, false);
		pci_function_bar(&f, 0, PCI_BAR_MEM32, false, 0x1000, &bar_ops, NULL);
		pci_function_bar(&f, 1, PCI_BAR_IO, false, 0x1000, &bar_ops, NULL);
		assert_int_equal(msix_create(&config, &made), table[i].rc);
		if (table[i].rc) {
			assert_ptr_equal(made, &config);
			assert_int_equal(f.cfg[0x34], 0);
			continue;
		}
		msix_destroy(made);
		while (pci_function_cap(&f, 9, 12))
			;
		assert_int_equal(msix_create(&config, &made), -ENOSPC);
	}
	msix_destroy(NULL);
}

#define MSIX_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MSIX_TEST(test_capability),
		MSIX_TEST(test_reset_values),
		MSIX_TEST(test_delivery),
		MSIX_TEST(test_pend_and_fire),
		MSIX_TEST(test_all_vectors),
		MSIX_TEST(test_table_access),
		MSIX_TEST(test_every_access),
		MSIX_TEST(test_routes),
		MSIX_TEST(test_routed_pending),
		cmocka_unit_test(test_biggest),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
