/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI transport; tests bear the sections of virtio 1.2. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum { COMMON_SIZE = 0x40, BAR_SIZE = 0x8000, NO_VECTOR = 0xffff };

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

static void test_4_1_2_1_ids(void **state)
{
	(void)state;
	assert_int_equal(vdrv_pci_read(&drv, 0, 2), 0x1af4);
	assert_int_equal(vdrv_pci_read(&drv, 2, 2), 0x1040 + VIRTIO_ID_RNG);
	assert_true(vdrv_pci_read(&drv, 8, 1) >= 1);
	assert_true(vdrv_pci_read(&drv, 0x2e, 2) >= 0x40);
}

static void test_4_1_3_2_halves(void **state)
{
	static const uint32_t regs[] = {0x20, 0x28, 0x30};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		set_common(regs[i] + 4, 4, 0x89abcdef);
		assert_int_equal(common(regs[i], 4), 0);
		set_common(regs[i], 4, 0x01234567);
		assert_int_equal(common(regs[i], 4), 0x01234567);
		assert_int_equal(common(regs[i] + 4, 4), 0x89abcdef);
		set_common(regs[i], 4, 0);
		assert_int_equal(common(regs[i] + 4, 4), 0x89abcdef);
	}
}

static void test_4_1_4_3_1_select_past_the_end(void **state)
{
	(void)state;
	assert_true(drv.t->features(&drv, 1) & 1); /* VERSION_1 */
	for (uint32_t select = 2; select; select <<= 1)
		assert_int_equal(drv.t->features(&drv, select), 0);
	assert_int_equal(drv.t->features(&drv, UINT32_MAX), 0);
	drv.t->set_features(&drv, 7, UINT32_MAX);
	assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN));
}

static void test_4_1_4_3_1_queue_size(void **state)
{
	(void)state;
	assert_int_equal(common(0x12, 2), TD_QUEUES);
	for (unsigned int q = 0; q < 0x10000; q++) {
		const uint32_t size = drv.t->queue_max(&drv, q);

		assert_int_equal(size, q < 2 ? 16 : q == 2 ? 4 : 0);
		if (q < TD_QUEUES)
			continue;
		/* nothing of it can be set */
		set_common(0x18, 2, 8);
		set_common(0x1a, 2, 0);
		set_common(0x1c, 2, 1);
		set_common(0x3a, 2, 1);
		assert_int_equal(common(0x18, 4) | common(0x1c, 4) | common(0x20, 4), 0);
	}
	assert_false(needs_reset());
}

static void test_4_1_4_3_1_enable_is_0_after_reset(void **state)
{
	uint8_t before[COMMON_SIZE], after[COMMON_SIZE];

	(void)state;
	for (unsigned int i = 0; i < COMMON_SIZE; i++)
		before[i] = (uint8_t)common(i, 1);
	vdrv_start(&drv, FEATURES_ALL);
	set_common(0x10, 2, 1);
	set_common(0, 4, 1);
	set_common(8, 4, 1);
	expect_echo(0, 4, 4, false);
	assert_true(drv.t->queue_enabled(&drv, 0));
	set_common(0x14, 1, 0);
	for (unsigned int i = 0; i < COMMON_SIZE; i++)
		after[i] = (uint8_t)common(i, 1);
	assert_memory_equal(before, after, COMMON_SIZE);
	assert_int_equal(common(0x10, 2), NO_VECTOR);
	for (unsigned int q = 0; q < TD_QUEUES; q++) {
		assert_false(drv.t->queue_enabled(&drv, q));
		assert_int_equal(common(0x1a, 2), NO_VECTOR);
	}
}

static void test_4_1_4_3_2_enable_cannot_be_cleared(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	drv.t->queue_enabled(&drv, 0);
	set_common(0x1c, 2, 0);
	set_common(0x1c, 2, 2);
	assert_int_equal(common(0x1c, 2), 1);
	expect_echo(0, 4, 4, false);
}

static void test_4_1_4_3_2_enabled_queue_keeps_registers(void **state)
{
	static const struct virtqueue_layout poison = {
		.size = 4, .desc = UINT64_MAX, .avail = UINT64_MAX, .used = UINT64_MAX};
	uint8_t before[0x38 - 0x20];

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	drv.t->queue_max(&drv, 1);
	for (unsigned int i = 0; i < sizeof(before); i++)
		before[i] = (uint8_t)common(0x20 + i, 1);
	drv.t->queue_layout(&drv, 1, &poison);
	assert_int_equal(common(0x18, 2), 16);
	for (unsigned int i = 0; i < sizeof(before); i++)
		assert_int_equal(common(0x20 + i, 1), before[i]);
}

static void test_2_6_1_reset_queue_has_defaults(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	drv.t->queue_reset(&drv, 1);
	assert_int_equal(common(0x18, 2), 16);
	assert_int_equal(common(0x1a, 2), NO_VECTOR);
	assert_int_equal(common(0x1c, 2), 0);
	assert_int_equal(common(0x3a, 2), 0);
	for (unsigned int off = 0x20; off < 0x38; off += 4)
		assert_int_equal(common(off, 4), 0);
}

static void test_4_1_4_4_1_notify_covers_queues(void **state)
{
	unsigned int seen = 0, pio = 0;

	(void)state;
	for (unsigned int cap = vdrv_pci_read(&drv, 0x34, 1); cap;
		cap = vdrv_pci_read(&drv, cap + 1, 1)) {
		const unsigned int reg = vdrv_pci_read(&drv, cap + 4, 1);
		uint32_t size;

		if (vdrv_pci_read(&drv, cap, 1) != 9 || vdrv_pci_read(&drv, cap + 3, 1) != 2)
			continue;
		seen++;
		pio += vdrv_pci_read(&drv, 0x10 + 4 * reg, 4) & 1;
		assert_int_equal(vdrv_pci_read(&drv, cap + 2, 1), 20);
		assert_int_equal(vdrv_pci_read(&drv, cap + 16, 4), drv.notify_step);
		size = vdrv_pci_read(&drv, cap + 12, 4);
		for (unsigned int q = 0; q < TD_QUEUES; q++) {
			drv.t->queue_max(&drv, q);
			assert_true(common(0x1e, 2) * drv.notify_step + 2 <= size);
		}
	}
	assert_int_equal(seen, 2);
	assert_int_equal(pio, 1);
	assert_true(drv.notify_pio);
}

static void test_4_1_4_4_both_places_notify(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(1, 4, 4, false);
	drv.notify_pio = false;
	drv.notify = bar() + 0x3000;
	expect_echo(1, 4, 4, false);
	expect_echo(2, 4, 4, false);
	td.kicks = 0;
	for (uint64_t off = 0; off < 0x1000; off++)
		if (off % 4 || off >= 4 * TD_QUEUES)
			vdrv_mmio_write(&drv, drv.notify + off, 2, 0);
	assert_int_equal(td.kicks, 0);
	assert_int_equal(vdrv_mmio_read(&drv, drv.notify, 4), 0);
}

static uint32_t window(uint8_t reg, uint32_t off, uint32_t len, bool write, uint32_t value)
{
	vdrv_pci_write(&drv, drv.window + 4u, 1, reg);
	vdrv_pci_write(&drv, drv.window + 8u, 4, off);
	vdrv_pci_write(&drv, drv.window + 12u, 4, len);
	if (write) {
		vdrv_pci_write(&drv, drv.window + 16u, len > 4 ? 4 : len, value);
		return 0;
	}
	return vdrv_pci_read(&drv, drv.window + 16u, len == 1 || len == 2 ? len : 4);
}

static void test_4_1_4_9_window(void **state)
{
	(void)state;
	assert_int_equal(window(0, 0x12, 2, false, 0), TD_QUEUES);
	window(0, 0x14, 1, true, VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(drv.t->status(&drv), VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(window(0, 0x14, 1, false, 0), VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(window(0, 0x2000, 4, false, 0), 0xa3a2a1a0);
	/* without memory decoding, as firmware would */
	vdrv_pci_write(&drv, 4, 2, 0);
	assert_int_equal(window(0, 0x2000, 2, false, 0), 0xa1a0);
	window(0, 0x14, 1, true, 0);
	assert_int_equal(window(0, 0x14, 1, false, 0), 0);
	vdrv_pci_write(&drv, 4, 2, 7);
	/* notifications through it, in either BAR */
	vdrv_start(&drv, FEATURES_PLAIN);
	td.kicks = 0;
	window(0, 0x3000, 2, true, 0);
	window(2, 4, 2, true, 1);
	assert_int_equal(td.kicks, 2);
}

static void test_4_1_4_9_window_is_hostile(void **state)
{
	static const uint32_t offs[] = {0, 1, 3, 0x3f, 0x40, 0xfff, 0x1000, 0x2013, 0x3fff, 0x4000,
		0x7ffc, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
	static const uint32_t lens[] = {0, 1, 2, 3, 4, 5, 8, 0x100, 0xffffffff};

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	for (unsigned int reg = 0; reg < 256; reg++)
		for (unsigned int o = 0; o < ARRAY_SIZE(offs); o++)
			for (unsigned int l = 0; l < ARRAY_SIZE(lens); l++) {
				window((uint8_t)reg, offs[o], lens[l], false, 0);
				if (offs[o] >= 0x40)
					window((uint8_t)reg, offs[o], lens[l], true, UINT32_MAX);
			}
	expect_echo(0, 4, 4, false);
	/* What is no access leaves the data as it was. */
	window(0, 0x13, 2, false, 0);
	vdrv_pci_write(&drv, drv.window + 16u, 4, 0x12345678);
	assert_int_equal(vdrv_pci_read(&drv, drv.window + 16u, 4), 0x12345678);
	for (uint32_t off = BAR_SIZE; off; off *= 2) {
		window(0, off, 4, false, 0);
		assert_int_equal(vdrv_pci_read(&drv, drv.window + 16u, 4), 0x12345678);
	}
	/* its own fields are not reached through odd widths of the data */
	vdrv_pci_write(&drv, drv.window + 12u, 4, 1);
	vdrv_pci_write(&drv, drv.window + 17u, 1, 0xff);
	vdrv_pci_write(&drv, drv.window + 18u, 2, 0xffff);
	expect_echo(0, 4, 4, false);
}

static bool bells_at(bool pio, uint64_t base)
{
	unsigned int hits = 0;

	for (unsigned int i = 0; i < vrig.num_bells; i++)
		for (unsigned int q = 0; q < TD_QUEUES; q++)
			hits += vrig.bells[i].pio == pio && vrig.bells[i].addr == base + 4 * q &&
				vrig.bells[i].fd == virtio_device_kick_fd(td.vdev, q) &&
				!vrig.bells[i].match && vrig.bells[i].len == (pio ? 2u : 0u);
	return vrig.num_bells == TD_QUEUES && hits == TD_QUEUES;
}

/* Waits for requests in flight, on a vCPU's thread. */
static void *reset_device(void *opaque)
{
	(void)opaque;
	window(0, 0x14, 1, true, 0);
	return NULL;
}

static void *reset_queue(void *opaque)
{
	(void)opaque;
	window(0, 0x16, 2, true, 0);
	window(0, 0x3a, 2, true, 1);
	return NULL;
}

/* What another vCPU does meanwhile. */
static void *look_at_ids(void *opaque)
{
	(void)opaque;
	assert_int_equal(vdrv_pci_read(&drv, 0, 2), 0x1af4);
	return NULL;
}

static void wait_through_window(void *(*reset)(void *opaque), unsigned int *begun)
{
	struct timespec limit;
	pthread_t waiting, other;
	bool free_to_go;

	td.hold = td.keep_on_stop = true;
	vdrv_start(&drv, FEATURES_ALL);
	fixture_hold(0);
	*begun = 0;
	assert_int_equal(pthread_create(&waiting, NULL, reset, NULL), 0);
	fixture_wait(begun);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 30;
	assert_int_equal(pthread_create(&other, NULL, look_at_ids, NULL), 0);
	free_to_go = pthread_timedjoin_np(other, NULL, &limit) == 0;
	td_complete(&td, 0, 0);
	pthread_join(waiting, NULL);
	if (!free_to_go)
		pthread_join(other, NULL);
	assert_true(free_to_go);
}

/* 2.4.1: the others get at their functions' configuration space while a reset waits. */
static void test_4_1_4_9_window_waits_alone(void **state)
{
	(void)state;
	wait_through_window(reset_queue, &td.queue_stops);
	wait_through_window(reset_device, &td.stops);
	assert_int_equal(window(0, 0x14, 1, false, 0), 0);
}

static void test_doorbells_follow_bars(void **state)
{
	const uint64_t elsewhere = LAYOUT_MMIO64_BASE + 0x10000000;

	(void)state;
	fixture_restart(true, false);
	vdrv_start(&drv, FEATURES_ALL);
	assert_true(bells_at(true, vdrv_pci_read(&drv, 0x18, 4) & ~3u));
	/* the ports move */
	vdrv_pci_write(&drv, 0x18, 4, 0x4000);
	assert_true(bells_at(true, 0x4000));
	/* ports off, memory remains */
	vdrv_pci_write(&drv, 4, 2, 6);
	assert_true(bells_at(false, bar() + 0x3000));
	vdrv_pci_write(&drv, 0x14, 4, (uint32_t)(elsewhere >> 32));
	vdrv_pci_write(&drv, 0x10, 4, (uint32_t)elsewhere);
	assert_true(bells_at(false, elsewhere + 0x3000));
	drv.common += elsewhere - (drv.common & ~(uint64_t)0x7fff);
	drv.notify = elsewhere + 0x3000;
	drv.notify_pio = false;
	expect_echo(0, 4, 4, false);
	vdrv_pci_write(&drv, 4, 2, 4);
	assert_int_equal(vrig.num_bells, 0);
	vdrv_pci_write(&drv, 4, 2, 7);
	assert_true(bells_at(true, 0x4000));
}

/* Every offset and size, reading and then writing ones, ends in nothing worse than a reset. */
static void test_every_access(void **state)
{
	(void)state;
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (uint64_t off = 0; off + size <= BAR_SIZE; off++)
			if (off < 0x80 || off % 0x1000 < 0x80 || off % 0x1000 > 0xff0)
				vdrv_mmio_read(&drv, bar() + off, size);
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (uint64_t off = 0; off + size <= BAR_SIZE; off++)
			if (off < 0x80 || off % 0x1000 < 0x80 || off % 0x1000 > 0xff0)
				vdrv_mmio_write(&drv, bar() + off, size, UINT64_MAX);
	vdrv_attach(&drv, &vrig);
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(0, 4, 4, true);
}

static void test_common_cfg_partial_accesses(void **state)
{
	(void)state;
	assert_int_equal(common(0x12, 4), TD_QUEUES); /* three fields in one read */
	assert_int_equal(common(0x19, 1), 0);
	assert_int_equal(common(0x18, 1), 16);
	set_common(0x18, 1, 2); /* not the field's width */
	set_common(0x18, 4, 2);
	assert_int_equal(common(0x18, 2), 16);
}

static void test_create_fails(void **state)
{
	struct virtio_pci_config config = {.vdev = td.vdev, .bus = vrig.pci, .slot = RIG_SLOT};
	struct virtio_pci *none = NULL;

	(void)state;
	assert_int_equal(virtio_pci_create(&config, &none), -EEXIST);
	config.slot = PCI_MAX_DEVICES;
	assert_int_equal(virtio_pci_create(&config, &none), -EINVAL);
	assert_null(none);
	virtio_pci_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_INTX(test_4_1_2_1_ids),
		ON_INTX(test_4_1_3_2_halves),
		ON_INTX(test_4_1_4_3_1_select_past_the_end),
		ON_INTX(test_4_1_4_3_1_queue_size),
		ON_INTX(test_4_1_4_3_1_enable_is_0_after_reset),
		ON_MSIX(test_4_1_4_3_1_enable_is_0_after_reset),
		ON_INTX(test_4_1_4_3_2_enable_cannot_be_cleared),
		ON_MSIX(test_4_1_4_3_2_enabled_queue_keeps_registers),
		ON_MSIX(test_2_6_1_reset_queue_has_defaults),
		ON_INTX(test_4_1_4_4_1_notify_covers_queues),
		ON_INTX(test_4_1_4_4_both_places_notify),
		ON_INTX(test_4_1_4_9_window),
		ON_INTX(test_4_1_4_9_window_is_hostile),
		ON_INTX(test_4_1_4_9_window_waits_alone),
		ON_MSIX(test_doorbells_follow_bars),
		ON_INTX(test_every_access),
		ON_MSIX(test_every_access),
		ON_INTX(test_common_cfg_partial_accesses),
		ON_INTX(test_create_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
