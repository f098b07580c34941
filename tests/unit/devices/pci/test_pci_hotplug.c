/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/pci/pci_hotplug.h"
#include "fakes/port_ops.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum {
	ADDED = LAYOUT_HOTPLUG_BASE,
	ASKED = ADDED + 4,
	EJECT = ADDED + 8,
	SLOTS = 0x0001ff02,
};

#define R(size_, port_, value_, irq_)                                                              \
	{                                                                                          \
		.op = OP_READ, .port = (port_), .size = (size_), .value = (value_), .irq = (irq_)  \
	}
#define W(size_, port_, value_, irq_)                                                              \
	{                                                                                          \
		.op = OP_WRITE, .port = (port_), .size = (size_), .value = (value_), .irq = (irq_) \
	}

static struct fake_machine machine;
static struct pci_hotplug *hotplug;
static uint32_t ejected;

static void on_eject(void *opaque, unsigned int slot)
{
	assert_ptr_equal(opaque, &machine);
	assert_false(ejected >> slot & 1);
	ejected |= UINT32_C(1) << slot;
	/* No lock is held: what the machine does in there may look here again. */
	assert_false(pci_hotplug_asked(hotplug) >> slot & 1);
}

static int set_up(void **state)
{
	struct pci_hotplug_config config = {
		.slots = SLOTS, .ejected = on_eject, .opaque = &machine};

	(void)state;
	fake_machine_create(&machine);
	ejected = 0;
	config.pio = machine.pio;
	config.irq = fake_machine_irq(&machine, LAYOUT_IRQ_HOTPLUG);
	return pci_hotplug_create(&config, &hotplug);
}

static int tear_down(void **state)
{
	(void)state;
	pci_hotplug_destroy(hotplug);
	assert_int_equal(bus_read(machine.pio, ADDED, 4), UINT32_MAX);
	fake_machine_destroy(&machine);
	return 0;
}

#define RUN(table) PORT_OPS_RUN(&machine, LAYOUT_IRQ_HOTPLUG, table)

static void test_nothing(void **state)
{
	static const struct port_op ops[] = {
		R(4, ADDED, 0, IRQ_LOW),
		R(4, ASKED, 0, IRQ_LOW),
		R(4, EJECT, 0, IRQ_LOW),
		W(4, EJECT, UINT32_MAX, IRQ_LOW),
		W(4, ADDED, UINT32_MAX, IRQ_LOW),
		W(4, ASKED, UINT32_MAX, IRQ_LOW),
		R(8, ADDED, 0, IRQ_LOW),
		R(4, ADDED - 4, 0xffffffff, IRQ_LOW),
		R(4, EJECT + 4, 0xffffffff, IRQ_LOW),
	};

	(void)state;
	assert_int_equal(pci_hotplug_slots(hotplug), SLOTS);
	RUN(ops);
	assert_int_equal(ejected, 0);
}

/* Read once, by the dword or by the byte; the line follows. */
static void test_added(void **state)
{
	static const struct port_op ops[] = {
		R(4, ASKED, 0, IRQ_HIGH),
		R(4, EJECT, 0, IRQ_HIGH),
		R(1, ADDED, 0x02, IRQ_HIGH),
		R(1, ADDED, 0, IRQ_HIGH),
		R(4, ADDED, 0x8100, IRQ_LOW),
		R(4, ADDED, 0, IRQ_LOW),
	};
	static const struct port_op none[] = {R(4, ADDED, 0, IRQ_LOW)};

	(void)state;
	pci_hotplug_added(hotplug, 1);
	pci_hotplug_added(hotplug, 8);
	pci_hotplug_added(hotplug, 15);
	RUN(ops);
	pci_hotplug_added(hotplug, 2); /* which the tables do not have */
	pci_hotplug_added(hotplug, 31);
	RUN(none);
}

static void test_asked(void **state)
{
	static const struct port_op ops[] = {
		R(4, ADDED, 0, IRQ_HIGH),
		R(4, ASKED, 0x0102, IRQ_LOW),
		R(4, ASKED, 0, IRQ_LOW),
	};
	static const struct port_op again[] = {
		R(8, ADDED, UINT64_C(0x0000000200000000), IRQ_LOW),
		W(4, EJECT, 0x202, IRQ_LOW), /* 9 was not asked for */
	};
	static const struct port_op byte[] = {
		W(1, EJECT + 2, 0xff, IRQ_LOW),
		W(1, EJECT + 1, 0xff, IRQ_LOW),
		W(4, EJECT, UINT32_MAX, IRQ_LOW),
	};

	(void)state;
	pci_hotplug_added(hotplug, 1);
	pci_hotplug_ask(hotplug, 1); /* comes and goes: the guest need not know that it came */
	pci_hotplug_ask(hotplug, 8);
	RUN(ops);
	assert_int_equal(pci_hotplug_asked(hotplug), 0x0102);
	pci_hotplug_ask(hotplug, 1);
	RUN(again);
	assert_int_equal(ejected, 0x02);
	assert_int_equal(pci_hotplug_asked(hotplug), 0x0100);
	RUN(byte);
	assert_int_equal(ejected, 0x0102);
	assert_int_equal(pci_hotplug_asked(hotplug), 0);
}

/* One that was ejected before the guest has read that it is wanted: there is nothing to say. */
static void test_ejected_unread(void **state)
{
	static const struct port_op ops[] = {
		W(4, EJECT, 0x100, IRQ_LOW),
		R(4, ASKED, 0, IRQ_LOW),
	};

	(void)state;
	pci_hotplug_ask(hotplug, 8);
	pci_hotplug_ask(hotplug, 3);
	assert_int_equal(pci_hotplug_asked(hotplug), 0x100);
	RUN(ops);
	assert_int_equal(ejected, 0x100);
}

/* Both in one access. */
static void test_across(void **state)
{
	static const struct port_op ops[] = {
		R(2, ASKED - 1, 0x0200, IRQ_HIGH),
		R(4, ADDED, 0x100, IRQ_LOW),
		W(8, ASKED, UINT64_C(0x0000000200000000), IRQ_LOW),
	};

	(void)state;
	pci_hotplug_added(hotplug, 8);
	pci_hotplug_ask(hotplug, 1);
	RUN(ops);
	assert_int_equal(ejected, 0x2);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_nothing),
		test(test_added),
		test(test_asked),
		test(test_ejected_unread),
		test(test_across),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
