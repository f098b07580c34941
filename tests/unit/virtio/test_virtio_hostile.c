/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that mean harm, on each transport. After every case the device must have asked for a
 * reset or be at work, a reset must bring it back, and another device must not have noticed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"
#include "virtio/rng.h"
#include "vm/core/bus.h"
#include "vm/core/layout.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, OTHER_BASE = 0xd1000000 };

static struct rig bystander;
static struct vdrv bystander_driver;

static int set_up(void **state)
{
	const enum rig_kind mmio = RIG_MMIO;
	struct virtio_rng_config config = {0};
	struct virtio_device *rng;

	fixture_set_up(state);
	rig_create(&bystander, mmio);
	config.mem = bystander.mem;
	assert_int_equal(virtio_rng_create(&config, &rng), 0);
	rig_plug(&bystander, rng);
	vdrv_attach(&bystander_driver, &bystander);
	vdrv_start(&bystander_driver, FEATURES_ALL);
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(&bystander);
	return fixture_tear_down(state);
}

static void expect_bystander_at_work(void)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x80000, 16};

	vdrv_add(&bystander_driver, 0, &buf, 0, 1, false);
	vdrv_kick(&bystander_driver, 0);
	assert_int_not_equal(vdrv_get(&bystander_driver, 0, NULL), VDRV_NO_HEAD);
}

/* Rings below, tables and buffers above, so that a fresh start finds them where they were. */
static void restart(void)
{
	td.hold = false;
	drv.brk = RIG_RAM_BASE;
	vdrv_start(&drv, FEATURES_ALL);
	assert_false(needs_reset());
	expect_echo(0, 4, 4, true);
	expect_bystander_at_work();
}

#define TABLE (RIG_RAM_BASE + 0x40000)
#define GOOD  (RIG_RAM_BASE + 0x50000)

static void desc(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	vdrv_set_desc(&drv, drv.q[0].layout.desc, i, addr, len, flags, next);
}

static void entry(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	vdrv_set_desc(&drv, TABLE, i, addr, len, flags, next);
}

static void go(uint16_t head)
{
	vdrv_expose(&drv, 0, head);
	drv.t->notify(&drv, 0);
}

static void expect_error(void)
{
	assert_true(needs_reset());
	assert_true(drv.t->take_irq(&drv) & VIRTIO_ISR_CONFIG);
	expect_bystander_at_work();
	restart();
}

/* Config offset and length out of bounds: see test_2_5_config_bounds and test_every_access. */

static void test_notify_every_number(void **state)
{
	(void)state;
	restart();
	for (uint32_t q = 0; q < 0x10000; q++) {
		if (vrig.kind == RIG_MMIO)
			vdrv_mmio_write(&drv, RIG_MMIO_BASE + 0x50, 4, q);
		else
			bus_write(drv.notify_pio ? vrig.machine.pio : vrig.machine.mmio, drv.notify,
				2, q);
	}
	if (vrig.kind == RIG_MMIO)
		vdrv_mmio_write(&drv, RIG_MMIO_BASE + 0x50, 4, UINT32_MAX);
	assert_false(needs_reset());
	restart();
}

static void test_address_end_and_holes(void **state)
{
	static const struct vdrv_buf bufs[] = {
		{RIG_RAM_BASE + RIG_RAM_SIZE - 1, 2}, {RIG_RAM_BASE + RIG_RAM_SIZE, 1},
		{RIG_RAM_BASE - 1, 1}, {RIG_RAM_BASE - 1, 2}, {RIG_RAM_BASE, RIG_RAM_SIZE + 1},
		{RIG_BYTES_BASE + RIG_BYTES - 1, 2}, {UINT64_MAX, 1}, {UINT64_MAX, UINT32_MAX},
		{UINT64_MAX - 3, 8}, {0, 1},
		{RIG_RAM_BASE, UINT32_MAX}, /* 4 GiB: nothing of that size is made */
	};

	(void)state;
	restart();
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++)
		for (unsigned int kind = 0; kind < 4; kind++) {
			const uint16_t flags = kind & 1 ? WRITE : 0;

			if (kind & 2) {
				entry(0, bufs[i].gpa, bufs[i].len, flags, 0);
				desc(0, TABLE, 16, INDIRECT, 0);
			} else {
				desc(0, bufs[i].gpa, bufs[i].len, flags, 0);
			}
			go(0);
			expect_error();
		}
}

static void test_head_out_of_range(void **state)
{
	static const uint16_t heads[] = {16, 17, 0x7fff, 0x8000, 0xffff};

	(void)state;
	restart();
	for (unsigned int i = 0; i < ARRAY_SIZE(heads); i++) {
		go(heads[i]);
		expect_error();
		desc(0, GOOD, 4, NEXT, heads[i]);
		go(0);
		expect_error();
		entry(0, GOOD, 4, NEXT, heads[i]);
		desc(0, TABLE, 16, INDIRECT, 0);
		go(0);
		expect_error();
	}
}

static void test_loops(void **state)
{
	(void)state;
	restart();
	for (unsigned int n = 1; n <= 16; n++) {
		for (unsigned int i = 0; i < n; i++)
			desc(i, GOOD, 4, NEXT, (uint16_t)((i + 1) % n));
		go(0);
		expect_error();
		for (unsigned int i = 0; i < n; i++)
			entry(i, GOOD, 4, NEXT | WRITE, (uint16_t)((i + 1) % n));
		desc(0, TABLE, 16 * n, INDIRECT, 0);
		go(0);
		expect_error();
	}
}

static void test_nested_and_odd_tables(void **state)
{
	(void)state;
	restart();
	entry(0, TABLE, 16, INDIRECT, 0);
	desc(0, TABLE, 16, INDIRECT, 0);
	go(0);
	expect_error();
	for (uint32_t len = 0; len < 64; len++) {
		if (len && !(len % 16))
			continue;
		entry(0, GOOD, 4, 0, 0);
		desc(0, TABLE, len, INDIRECT, 0);
		go(0);
		expect_error();
	}
	desc(0, TABLE, 16 * 17, INDIRECT, 0);
	go(0);
	expect_error();
	desc(0, TABLE, 16, INDIRECT | NEXT, 1);
	desc(1, GOOD, 4, WRITE, 0);
	go(0);
	expect_error();
}

static void test_same_head_twice_with_slow_io(void **state)
{
	(void)state;
	restart();
	td.hold = true;
	desc(3, GOOD, 4, NEXT, 4);
	desc(4, GOOD + 64, 4, WRITE, 0);
	go(3);
	assert_int_equal(td.num_held[0], 1);
	go(3);
	assert_int_equal(td.num_held[0], 1);
	assert_true(needs_reset());
	td_complete(&td, 0, 0);
	assert_int_equal(vdrv_get(&drv, 0, NULL), 3);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	expect_error();
}

static void test_avail_index_jumps(void **state)
{
	(void)state;
	restart();
	for (unsigned int jump = 17; jump < 0x10000; jump += jump < 20 ? 1 : 4099) {
		drv.q[0].avail_idx = (uint16_t)(drv.q[0].avail_idx + jump - 1);
		desc(0, GOOD, 4, WRITE, 0);
		go(0);
		expect_error();
	}
}

/* DMA resolves to RAM only. */
static void test_buffers_on_own_registers(void **state)
{
	const uint64_t base = vrig.kind == RIG_MMIO ? RIG_MMIO_BASE : drv.common;
	const uint64_t end = vrig.kind == RIG_MMIO ? VIRTIO_MMIO_SIZE : 0x8000;

	(void)state;
	restart();
	for (uint64_t off = 0; off < end; off += off < 0x200 ? 16 : 0x100) {
		desc(0, GOOD, 4, NEXT, 1);
		desc(1, base + off, 4, WRITE, 0);
		go(0);
		expect_error();
		desc(0, base + off, 16, INDIRECT, 0);
		go(0);
		expect_error();
	}
	if (vrig.kind == RIG_MMIO)
		return;
	desc(0, LAYOUT_ECAM_BASE + (RIG_SLOT << 15) + 4, 2, WRITE, 0);
	go(0);
	expect_error();
}

static void test_rings_on_own_registers(void **state)
{
	const uint64_t base = vrig.kind == RIG_MMIO ? RIG_MMIO_BASE : drv.common;

	(void)state;
	for (unsigned int area = 0; area < 3; area++) {
		struct virtqueue_layout l = {.size = 16,
			.desc = RIG_RAM_BASE,
			.avail = RIG_RAM_BASE + 0x1000,
			.used = RIG_RAM_BASE + 0x2000};

		*(uint64_t *[]){&l.desc, &l.avail, &l.used}[area] = base;
		assert_true(vdrv_negotiate(&drv, FEATURES_ALL));
		drv.t->queue_layout(&drv, 0, &l);
		drv.t->queue_enable(&drv, 0);
		assert_false(drv.t->queue_enabled(&drv, 0));
		assert_true(needs_reset());
		restart();
	}
}

static void test_bad_queue_sizes(void **state)
{
	(void)state;
	for (uint32_t size = 0; size < 0x10000; size += size < 40 ? 1 : 1021) {
		const bool good = is_power_of_two(size) && size <= 16;
		const struct virtqueue_layout l = {.size = (uint16_t)size,
			.desc = RIG_RAM_BASE,
			.avail = RIG_RAM_BASE + 0x1000,
			.used = RIG_RAM_BASE + 0x2000};

		assert_true(vdrv_negotiate(&drv, FEATURES_ALL));
		drv.t->queue_layout(&drv, 0, &l);
		drv.t->queue_enable(&drv, 0);
		assert_int_equal(drv.t->queue_enabled(&drv, 0), good);
		assert_int_equal(needs_reset(), !good);
	}
	restart();
}

/* Rings and buffers that lie on each other: the driver gets what it deserves, we do not. */
static void test_overlapping_everything(void **state)
{
	(void)state;
	srand(7);
	for (unsigned int round = 0; round < 300; round++) {
		const struct virtqueue_layout l = {.size = 16,
			.desc = RIG_RAM_BASE + 16 * (unsigned int)(rand() % 8),
			.avail = RIG_RAM_BASE + 2 * (unsigned int)(rand() % 64),
			.used = RIG_RAM_BASE + 4 * (unsigned int)(rand() % 32)};

		assert_true(vdrv_negotiate(&drv, FEATURES_ALL));
		drv.t->queue_layout(&drv, 0, &l);
		drv.t->queue_enable(&drv, 0);
		vdrv_driver_ok(&drv);
		for (unsigned int i = 0; i < 16; i++)
			vdrv_set_desc(&drv, l.desc, i, RIG_RAM_BASE + (unsigned int)(rand() % 256),
				(uint32_t)rand() % 64, (uint16_t)(rand() % 4),
				(uint16_t)(rand() % 16));
		for (unsigned int i = 0; i < 20; i++) {
			vrig.ram[l.avail - RIG_RAM_BASE + 2]++;
			drv.t->notify(&drv, 0);
		}
	}
	memset(vrig.ram, 0, 0x1000);
	restart();
}

/* used.len covers what was written and no byte more; what was there before shows where not. */
static void test_used_len_never_lies(void **state)
{
	(void)state;
	restart();
	for (uint32_t out = 0; out < 3; out++) {
		for (uint32_t in = 0; in < 40; in++) {
			uint32_t len;

			memset(vdrv_at(&drv, GOOD, 128), 0xab, 128);
			desc(0, GOOD + 64, out, NEXT, 1);
			desc(1, GOOD, in, WRITE, 0);
			memset(vdrv_at(&drv, GOOD + 64, out + 1), 0x11, out);
			go(0);
			drv.q[0].chain_len[0] = 1;
			assert_int_equal(vdrv_get(&drv, 0, &len), 0);
			assert_int_equal(len, out ? in : 0);
			for (uint32_t i = 0; i < 64; i++)
				assert_int_equal(vdrv_at(&drv, GOOD, 64)[i], i < len ? 0x11 : 0xab);
		}
	}
	restart();
}

static atomic_bool stop_flipping;

/* Another vCPU that rewrites descriptors and tables while they are looked at. */
static void *flip(void *arg)
{
	static const uint32_t lens[] = {4, 0, 64, 0xffffffff, 0x7fffffff, 16, 17, 512};
	static const uint16_t flags[] = {0, NEXT, WRITE, NEXT | WRITE, INDIRECT, INDIRECT | NEXT};
	unsigned int n = 0;

	(void)arg;
	while (!atomic_load_explicit(&stop_flipping, memory_order_relaxed)) {
		uint8_t *p = n & 1 ? vrig.ram + 0x40000 : drv.q[0].desc;
		volatile uint32_t *words = (volatile uint32_t *)(void *)(p + 16 * (n / 2 % 16));

		__atomic_store_n(&words[2], lens[n / 3 % ARRAY_SIZE(lens)], __ATOMIC_RELAXED);
		__atomic_store_n(&words[3],
			flags[n / 5 % ARRAY_SIZE(flags)] | (uint32_t)(n % 17) << 16,
			__ATOMIC_RELAXED);
		n++;
	}
	return NULL;
}

static void test_double_fetch(void **state)
{
	pthread_t thread;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* a race is the point here */
#endif
	restart();
	atomic_store(&stop_flipping, false);
	for (unsigned int i = 0; i < 16; i++) {
		desc(i, i & 1 ? TABLE : GOOD, 4, 0, 0);
		entry(i, GOOD, 4, 0, 0);
	}
	pthread_create(&thread, NULL, flip, NULL);
	for (unsigned int round = 0; round < 3000; round++) {
		for (uint16_t i = 0; i < 8; i++)
			go((uint16_t)(round + i) % 16);
		if (!needs_reset())
			continue;
		/* the same queue again, over the same memory */
		assert_true(vdrv_negotiate(&drv, FEATURES_ALL));
		drv.q[0].avail_idx = 0;
		memset(drv.q[0].avail, 0, 6);
		drv.t->queue_layout(&drv, 0, &drv.q[0].layout);
		drv.t->queue_enable(&drv, 0);
		vdrv_driver_ok(&drv);
	}
	atomic_store(&stop_flipping, true);
	pthread_join(thread, NULL);
	restart();
}

/* Two vCPUs and a completing thread, each at its worst. */
static void *storm_of_resets(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < 3000; i++) {
		const unsigned int r = (unsigned int)rand_r(&seed);

		switch (r % 8) {
		case 0:
			drv.t->set_status(&drv, 0);
			break;
		case 1:
			drv.t->queue_reset(&drv, r / 8 % TD_QUEUES);
			break;
		case 2:
			drv.t->set_status(&drv, (uint8_t)(r >> 8) | 1);
			break;
		case 3:
			drv.t->set_features(&drv, r / 8 % 2, r % 16 ? 1 : 0x30000000);
			break;
		case 4:
			drv.t->queue_layout(&drv, r / 8 % TD_QUEUES, &drv.q[0].layout);
			break;
		case 5:
			drv.t->queue_enable(&drv, r / 8 % TD_QUEUES);
			break;
		default:
			drv.t->notify(&drv, r / 8 % TD_QUEUES);
			break;
		}
	}
	return NULL;
}

static atomic_bool storm_over;

static void *complete_all(void *arg)
{
	(void)arg;
	while (!atomic_load(&storm_over))
		for (unsigned int q = 0; q < TD_QUEUES; q++) {
			bool any;

			virtio_device_lock(td.vdev);
			any = td.num_held[q];
			virtio_device_unlock(td.vdev);
			if (any)
				td_complete(&td, q, 0);
		}
	return NULL;
}

static void test_storm(void **state)
{
	pthread_t threads[3];

	(void)state;
	if (vrig.kind == RIG_PCI_MSIX)
		return; /* its driver checks vectors, which another vCPU resets */
	restart();
	td.hold = td.keep_on_stop = true;
	for (unsigned int i = 0; i < 16; i++)
		desc(i, GOOD, 4, WRITE, 0);
	for (unsigned int i = 0; i < 16; i++)
		vdrv_expose(&drv, 0, (uint16_t)i);
	atomic_store(&storm_over, false);
	pthread_create(&threads[0], NULL, complete_all, NULL);
	pthread_create(&threads[1], NULL, storm_of_resets, (void *)1);
	pthread_create(&threads[2], NULL, storm_of_resets, (void *)2);
	pthread_join(threads[1], NULL);
	pthread_join(threads[2], NULL);
	drv.t->set_status(&drv, 0);
	atomic_store(&storm_over, true);
	pthread_join(threads[0], NULL);
	td.keep_on_stop = false;
	restart();
}

static void test_random_registers(void **state)
{
	const uint64_t base = vrig.kind == RIG_MMIO ? RIG_MMIO_BASE : drv.common;
	const unsigned int span = vrig.kind == RIG_MMIO ? VIRTIO_MMIO_SIZE : 0x3100;

	(void)state;
	srand(3);
	if (vrig.kind == RIG_PCI_MSIX)
		return; /* messages are checked by the rig; the table has tests of its own */
	for (unsigned int i = 0; i < 200000; i++) {
		const unsigned int size = 1u << (rand() % 4);
		const uint64_t off = (unsigned int)rand() % (span - size + 1);

		if (rand() % 3)
			vdrv_mmio_write(&drv, base + off, size, (uint64_t)rand());
		else
			vdrv_mmio_read(&drv, base + off, size);
	}
	restart();
}

#define H(f, name, kind)                                                                           \
	{                                                                                          \
#f "/" name, f, set_up, tear_down, (void *)(uintptr_t)(kind)                       \
	}
#define HOSTILE(f)                                                                                 \
	H(f, "mmio", RIG_MMIO), H(f, "pci-intx", RIG_PCI_INTX), H(f, "pci-msix", RIG_PCI_MSIX)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE(test_notify_every_number),
		HOSTILE(test_address_end_and_holes),
		HOSTILE(test_head_out_of_range),
		HOSTILE(test_loops),
		HOSTILE(test_nested_and_odd_tables),
		HOSTILE(test_same_head_twice_with_slow_io),
		HOSTILE(test_avail_index_jumps),
		HOSTILE(test_buffers_on_own_registers),
		HOSTILE(test_rings_on_own_registers),
		HOSTILE(test_bad_queue_sizes),
		HOSTILE(test_overlapping_everything),
		HOSTILE(test_used_len_never_lies),
		HOSTILE(test_double_fetch),
		HOSTILE(test_storm),
		HOSTILE(test_random_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
