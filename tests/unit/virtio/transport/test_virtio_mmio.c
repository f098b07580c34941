/* SPDX-License-Identifier: BSD-2-Clause */
/* The MMIO transport; tests bear the sections of virtio 1.2. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"

static uint32_t get(uint32_t reg)
{
	return (uint32_t)vdrv_mmio_read(&drv, RIG_MMIO_BASE + reg, 4);
}

static void put(uint32_t reg, uint32_t value)
{
	vdrv_mmio_write(&drv, RIG_MMIO_BASE + reg, 4, value);
}

static bool level(void)
{
	return vrig.machine.lines[RIG_MMIO_IRQ].level;
}

static void test_4_2_2_1_identity(void **state)
{
	(void)state;
	assert_int_equal(get(0x00), 0x74726976);
	assert_int_equal(get(0x04), 2);
	assert_int_equal(get(0x08), VIRTIO_ID_RNG);
	for (uint32_t reg = 0; reg < 16; reg += 4)
		put(reg, 0xffffffff);
	assert_int_equal(get(0x00), 0x74726976);
}

static void test_4_2_2_1_interrupt_held_until_ack(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	expect_echo(0, 4, 4, false);
	assert_true(level());
	assert_int_equal(get(0x60), VIRTIO_ISR_QUEUE);
	assert_int_equal(get(0x60), VIRTIO_ISR_QUEUE);
	virtio_device_lock(td.vdev);
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
	assert_int_equal(get(0x60), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	put(0x64, VIRTIO_ISR_QUEUE);
	assert_true(level());
	assert_int_equal(get(0x60), VIRTIO_ISR_CONFIG);
	put(0x64, 0xfffffffc);
	assert_true(level());
	put(0x64, VIRTIO_ISR_CONFIG);
	assert_false(level());
	assert_int_equal(get(0x60), 0);
	/* and a reset */
	expect_echo(0, 4, 4, false);
	assert_true(level());
	put(0x70, 0);
	assert_false(level());
	assert_int_equal(get(0x60), 0);
}

static void test_4_2_2_1_queue_not_ready_is_not_touched(void **state)
{
	uint8_t used[6 + 8 * 16];

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	expect_echo(0, 4, 4, false);
	put(0x30, 0);
	put(0x44, 0);
	assert_int_equal(get(0x44), 0);
	assert_int_equal(td.queue_stops, 1);
	memcpy(used, drv.q[0].used, sizeof(used));
	vdrv_add(&drv, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 4}}, 0, 1, false);
	put(0x50, 0);
	assert_memory_equal(used, drv.q[0].used, sizeof(used));
	assert_int_equal(td.pops, 1);
	/* The registers stay: ready again, it starts over. */
	put(0x44, 1);
	assert_int_equal(get(0x44), 1);
	assert_true(td.pops > 1);
	assert_false(needs_reset());
}

static void test_4_2_2_1_queue_num_max(void **state)
{
	(void)state;
	for (uint32_t q = 0; q < 70000; q += q < 10 ? 1 : 997) {
		put(0x30, q);
		assert_int_equal(get(0x34), q < 2 ? 16 : q == 2 ? 4 : 0);
		if (q < TD_QUEUES)
			continue;
		put(0x38, 4);
		put(0x44, 1);
		put(0xc0, 1);
		assert_int_equal(get(0x44) | get(0xc0), 0);
	}
	assert_false(needs_reset());
}

static void test_4_2_2_1_queue_num_is_not_cut(void **state)
{
	(void)state;
	assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN));
	vdrv_queue_setup(&drv, 0, 16);
	drv.t->queue_layout(&drv, 1, &drv.q[0].layout);
	put(0x38, 0x10010);
	put(0x44, 1);
	assert_int_equal(get(0x44), 0);
	assert_true(needs_reset());
}

static void test_4_2_2_no_shared_memory(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < 4; id++) {
		put(0xac, id);
		for (uint32_t reg = 0xb0; reg < 0xc0; reg += 4)
			assert_int_equal(get(reg), 0xffffffff);
	}
}

static void test_4_2_2_write_only_reads_0(void **state)
{
	static const uint32_t regs[] = {
		0x14, 0x20, 0x24, 0x30, 0x38, 0x50, 0x64, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xac};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		put(regs[i], 1);
		assert_int_equal(get(regs[i]), 0);
	}
	for (uint64_t sel = 2; sel < UINT32_MAX; sel *= 3)
		assert_int_equal(drv.t->features(&drv, (uint32_t)sel), 0);
}

static void test_4_2_2_2_registers_take_32_bits(void **state)
{
	(void)state;
	for (uint32_t off = 0; off < 0x100; off++) {
		for (unsigned int size = 1; size <= 8; size *= 2) {
			if (size == 4 && !(off % 4))
				continue;
			if (off + size > 0x100)
				continue;
			assert_int_equal(vdrv_mmio_read(&drv, RIG_MMIO_BASE + off, size), 0);
			vdrv_mmio_write(&drv, RIG_MMIO_BASE + off, size, UINT64_MAX);
		}
	}
	assert_int_equal(get(0x70), 0);
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(0, 4, 4, true);
}

static void test_every_access(void **state)
{
	(void)state;
	for (unsigned int pass = 0; pass < 2; pass++)
		for (unsigned int size = 1; size <= 8; size *= 2)
			for (uint32_t off = 0; off + size <= VIRTIO_MMIO_SIZE; off++) {
				vdrv_mmio_read(&drv, RIG_MMIO_BASE + off, size);
				if (pass)
					vdrv_mmio_write(
						&drv, RIG_MMIO_BASE + off, size, UINT64_MAX);
			}
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(2, 4, 4, true);
}

static void test_reset_restores_registers(void **state)
{
	uint32_t before[64];

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		before[i] = get(4 * i);
	vdrv_start(&drv, FEATURES_ALL);
	put(0x14, 1);
	expect_echo(1, 4, 4, true);
	put(0x70, 0);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(get(4 * i), before[i]);
}

static void test_doorbells_match_the_queue(void **state)
{
	(void)state;
	fixture_restart(true, false);
	vdrv_start(&drv, FEATURES_ALL);
	assert_int_equal(vrig.num_bells, TD_QUEUES);
	for (unsigned int q = 0; q < TD_QUEUES; q++) {
		assert_true(vrig.bells[q].match && !vrig.bells[q].pio);
		assert_int_equal(vrig.bells[q].addr, RIG_MMIO_BASE + 0x50);
		assert_int_equal(vrig.bells[q].len, 4);
		assert_int_equal(vrig.bells[q].value, q);
		assert_int_equal(vrig.bells[q].fd, virtio_device_kick_fd(td.vdev, q));
	}
}

static void test_create_fails(void **state)
{
	const struct virtio_mmio_config config = {
		.vdev = td.vdev, .bus = vrig.machine.mmio, .base = RIG_MMIO_BASE + 0x1ff};
	struct virtio_mmio *none = NULL;

	(void)state;
	assert_int_equal(virtio_mmio_create(&config, &none), -EEXIST);
	assert_null(none);
	virtio_mmio_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MMIO(test_4_2_2_1_identity),
		ON_MMIO(test_4_2_2_1_interrupt_held_until_ack),
		ON_MMIO(test_4_2_2_1_queue_not_ready_is_not_touched),
		ON_MMIO(test_4_2_2_1_queue_num_max),
		ON_MMIO(test_4_2_2_1_queue_num_is_not_cut),
		ON_MMIO(test_4_2_2_no_shared_memory),
		ON_MMIO(test_4_2_2_write_only_reads_0),
		ON_MMIO(test_4_2_2_2_registers_take_32_bits),
		ON_MMIO(test_every_access),
		ON_MMIO(test_reset_restores_registers),
		ON_MMIO(test_doorbells_match_the_queue),
		ON_MMIO(test_create_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
