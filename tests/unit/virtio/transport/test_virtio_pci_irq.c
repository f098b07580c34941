/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of the PCI transport: ISR and the wire, vectors, routes. Tests bear the sections of
 * virtio 1.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"

enum { BAR_SIZE = 0x8000, NO_VECTOR = 0xffff };

static uint64_t bar(void)
{
	return (vdrv_pci_read(&drv, 0x10, 4) & ~15u) | (uint64_t)vdrv_pci_read(&drv, 0x14, 4) << 32;
}

static uint32_t common(uint32_t off, unsigned int size)
{
	return (uint32_t)vdrv_mmio_read(&drv, drv.common + off, size);
}

static void set_common(uint32_t off, unsigned int size, uint32_t value)
{
	vdrv_mmio_write(&drv, drv.common + off, size, value);
}

static void config_changed(void)
{
	virtio_device_lock(td.vdev);
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
}

static void test_4_1_4_5_1_isr(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), 0);
	expect_echo(0, 4, 4, false);
	assert_true(vdrv_pci_read(&drv, 6, 2) & 8); /* the status register's bit follows */
	config_changed();
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), 0);
	assert_false(vdrv_pci_read(&drv, 6, 2) & 8);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	/* wider reads take it as well, bytes behind it do not */
	config_changed();
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr + 1, 2), 0);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 4), VIRTIO_ISR_CONFIG);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), 0);
	/* a reset takes the wire down */
	config_changed();
	drv.t->set_status(&drv, 0);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), 0);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_4_1_4_5_1_intx_is_off_with_msix(void **state)
{
	const unsigned int line = vdrv_pci_read(&drv, 0x3c, 1);

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	expect_echo(0, 4, 4, false);
	assert_true(vrig.machine.lines[line].level);
	vdrv_pci_write(&drv, drv.msix_cap + 2u, 2, 0x8000);
	assert_false(vrig.machine.lines[line].level);
	expect_echo(0, 4, 4, false);
	config_changed();
	assert_false(vrig.machine.lines[line].level);
	/* the queue bit is for INTx only */
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	expect_echo(0, 4, 4, false);
	assert_int_equal(vdrv_mmio_read(&drv, drv.isr, 1), 0);
	vdrv_pci_write(&drv, drv.msix_cap + 2u, 2, 0);
	expect_echo(0, 4, 4, false);
	assert_true(vrig.machine.lines[line].level);
}

static void test_4_1_5_1_2_any_event_any_vector(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	for (unsigned int v = 0; v <= TD_QUEUES; v++) {
		drv.t->queue_max(&drv, 1);
		set_common(0x1a, 2, v);
		set_common(0x10, 2, v);
		assert_int_equal(common(0x1a, 2), v);
		assert_int_equal(common(0x10, 2), v);
		expect_echo(1, 4, 4, false);
		assert_int_equal(vrig.msis[v], 1);
		config_changed();
		assert_int_equal(vrig.msis[v], 2);
		vrig.msis[v] = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(vrig.msis); i++)
			assert_int_equal(vrig.msis[i], 0);
	}
}

static void test_4_1_5_1_2_bad_vector_is_none(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	for (uint32_t v = TD_QUEUES + 1; v < 0x10000; v++) {
		drv.t->queue_max(&drv, 0);
		set_common(0x1a, 2, v);
		set_common(0x10, 2, v);
		assert_int_equal(common(0x1a, 2), NO_VECTOR);
		assert_int_equal(common(0x10, 2), NO_VECTOR);
		if (v % 4096)
			continue;
		expect_echo(0, 4, 4, false);
		config_changed();
	}
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void mask(unsigned int v, bool masked)
{
	vdrv_mmio_write(&drv, drv.msix_table + 16 * v + 12, 4, masked);
}

static void test_4_1_5_1_2_masked_vectors_pend(void **state)
{
	(void)state;
	for (unsigned int router = 0; router < 2; router++) {
		fixture_restart(false, router);
		vdrv_start(&drv, FEATURES_PLAIN);
		drv.t->take_irq(&drv);
		mask(1, true);
		expect_echo(0, 4, 4, false);
		expect_echo(0, 4, 4, false);
		assert_int_equal(drv.t->take_irq(&drv), 0);
		assert_int_equal(vdrv_mmio_read(&drv, drv.msix_pba, 8), 1 << 1);
		mask(1, false);
		rig_run_routes(&vrig);
		assert_int_equal(vrig.msis[1], 1);
		assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
		assert_int_equal(vdrv_mmio_read(&drv, drv.msix_pba, 8), 0);
	}
}

/* An eventfd that was signalled, but not looked at by the kernel before the mask, is not lost. */
static void test_router_signalled_around_mask(void **state)
{
	(void)state;
	fixture_restart(false, true);
	vdrv_start(&drv, FEATURES_PLAIN);
	expect_echo(0, 4, 4, false);
	mask(1, true);
	rig_run_routes(&vrig);
	assert_int_equal(vrig.msis[1], 0);
	assert_int_equal(vdrv_mmio_read(&drv, drv.msix_pba, 8), 1 << 1);
	mask(1, false);
	rig_run_routes(&vrig);
	assert_int_equal(vrig.msis[1], 1);
	/* Nor is it left for the kernel to find: it is sent by us. */
	expect_echo(0, 4, 4, false);
	mask(1, true);
	mask(1, false);
	assert_int_equal(vrig.msis[1], 2);
	rig_run_routes(&vrig);
	assert_int_equal(vrig.msis[1], 2);
}

static void test_router_one_batch(void **state)
{
	(void)state;
	fixture_restart(false, true);
	assert_int_equal(vrig.commits, 0);
	vdrv_start(&drv, FEATURES_ALL);
	assert_int_equal(vrig.num_routes, TD_QUEUES + 1);
	assert_int_equal(vrig.commits, 1);
	for (unsigned int i = 0; i < vrig.num_routes; i++)
		assert_true(vrig.routes[i].on);
	expect_echo(2, 4, 4, false);
	assert_int_equal(vrig.msis[3], 0);
	rig_run_routes(&vrig);
	assert_int_equal(vrig.msis[3], 1);
	/* An affinity change is one more; nothing is due while masked. */
	vdrv_mmio_write(&drv, drv.msix_table + 16 * 3 + 8, 4, 9);
	assert_int_equal(vrig.commits, 2);
	mask(3, true);
	assert_int_equal(vrig.commits, 3);
	vdrv_mmio_write(&drv, drv.msix_table + 16 * 3 + 8, 4, 3);
	vdrv_mmio_write(&drv, drv.msix_table + 16 * 3, 4, RIG_MSI_ADDR);
	assert_int_equal(vrig.commits, 3);
	mask(3, false);
	assert_int_equal(vrig.commits, 4);
	drv.t->set_status(&drv, 0);
	for (unsigned int i = 0; i < vrig.num_routes; i++)
		assert_false(vrig.routes[i].on);
	/* Routes are kept for the next time. */
	drv.brk = RIG_RAM_BASE;
	vdrv_start(&drv, FEATURES_ALL);
	assert_int_equal(vrig.num_routes, TD_QUEUES + 1);
}

static void test_router_refuses(void **state)
{
	(void)state;
	fixture_restart(false, true);
	vrig.refuse_commit = true;
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(0, 4, 4, false);
	assert_int_equal(vrig.msis[1], 1); /* as a message, at once */
}

static void test_reset_forgets_signals(void **state)
{
	(void)state;
	fixture_restart(false, true);
	vdrv_start(&drv, FEATURES_PLAIN);
	expect_echo(0, 4, 4, false);
	drv.t->set_status(&drv, 0);
	rig_run_routes(&vrig);
	vdrv_start(&drv, FEATURES_PLAIN);
	rig_run_routes(&vrig);
	mask(1, true);
	assert_int_equal(vdrv_mmio_read(&drv, drv.msix_pba, 8), 0);
	mask(1, false);
	rig_run_routes(&vrig);
	assert_int_equal(vrig.msis[1], 0);
}

static void test_odd_msix_accesses(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	for (uint64_t off = 0x4000; off < BAR_SIZE; off++) {
		for (unsigned int size = 1; size <= 8; size *= 2) {
			if (off + size > BAR_SIZE)
				continue;
			vdrv_mmio_read(&drv, bar() + off, size);
			if (size <= 2)
				vdrv_mmio_write(&drv, bar() + off, size, UINT64_MAX);
		}
	}
	expect_echo(0, 4, 4, false);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_INTX(test_4_1_4_5_1_isr),
		ON_INTX(test_4_1_4_5_1_intx_is_off_with_msix),
		ON_MSIX(test_4_1_5_1_2_any_event_any_vector),
		ON_MSIX(test_4_1_5_1_2_bad_vector_is_none),
		ON_MSIX(test_4_1_5_1_2_masked_vectors_pend),
		ON_MSIX(test_router_signalled_around_mask),
		ON_MSIX(test_router_one_batch),
		ON_MSIX(test_router_refuses),
		ON_MSIX(test_reset_forgets_signals),
		ON_MSIX(test_odd_msix_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
