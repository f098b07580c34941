/* SPDX-License-Identifier: BSD-2-Clause */
/* What the block device offers, and how it is made, on each transport. Tests bear the sections of
 * virtio 1.2. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

static uint64_t offered(void)
{
	return drv.t->features(&drv, 0) | (uint64_t)drv.t->features(&drv, 1) << 32;
}

static void test_5_2_2_queues(void **state)
{
	(void)state;
	assert_int_equal(drv.t->queue_max(&drv, 0), VIRTIO_BLK_QUEUE_SIZE);
	assert_int_equal(drv.t->queue_max(&drv, 1), 0);
	vb_restart(&(struct vb_options){.num_queues = 8, .queue_size = 64});
	for (unsigned int q = 0; q < 8; q++)
		assert_int_equal(drv.t->queue_max(&drv, q), 64);
	assert_int_equal(drv.t->queue_max(&drv, 8), 0);
}

static void test_5_2_3_features(void **state)
{
	(void)state;
	assert_int_equal(offered(), VB_ALL);
	for (unsigned int bit = 0; bit < 15; bit++) {
		const uint64_t one = VIRTIO_BIT(bit) & VB_ALL;

		assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN | one));
		assert_true(vdrv_negotiate(&drv, VB_ALL & ~one));
	}
	vb_restart(&(struct vb_options){.num_queues = 2});
	assert_int_equal(offered(), VB_ALL | VB_F_MQ);
	vb_restart(&(struct vb_options){.read_only = true});
	assert_int_equal(offered(),
		FEATURES_ALL | VB_F_SEG_MAX | VB_F_RO | VB_F_BLK_SIZE | VB_F_FLUSH | VB_F_TOPOLOGY);
	/* also where the disk needs no flushes */
	vb_restart(&(struct vb_options){.no_cache = true});
	assert_int_equal(offered(), VB_ALL);
}

/* Field by field; what is not listed reads as 0, unused bytes among it. */
static void expect_cfg(bool read_only, unsigned int queues, unsigned int queue_size)
{
	const struct {
		uint32_t off;
		unsigned int size;
		uint64_t value;
	} fields[] = {{0, 8, VBF_SECTORS}, {12, 4, queue_size - 2}, {20, 4, 512}, {24, 1, 3},
		{26, 2, 8}, {32, 1, 1}, {34, 2, queues}, {36, 4, read_only ? 0 : 1 << 21},
		{40, 4, read_only ? 0 : 16}, {44, 4, read_only ? 0 : 16},
		{48, 4, read_only ? 0 : 1 << 17}, {52, 4, read_only ? 0 : 16}, {56, 1, !read_only}};
	uint8_t image[VB_CFG_SIZE] = {0};

	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		memcpy(image + fields[i].off, &fields[i].value, fields[i].size);
		assert_int_equal(
			vdrv_cfg(&drv, fields[i].off, MIN(fields[i].size, 4u)), fields[i].value);
	}
	for (uint32_t off = 0; off < VB_CFG_SIZE; off++)
		assert_int_equal(vdrv_cfg(&drv, off, 1), image[off]);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_SIZE, 1), 0);
}

static void test_5_2_4_configuration(void **state)
{
	(void)state;
	expect_cfg(false, 1, 256);
	vb_restart(&(struct vb_options){.read_only = true, .num_queues = 3, .queue_size = 4});
	expect_cfg(true, 3, 4);
}

static void test_5_2_4_is_read_only(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (uint32_t off = 0; off < VB_CFG_SIZE; off++)
		if (off != VB_CFG_WRITEBACK)
			vdrv_set_cfg(&drv, off, 1, 0x5a);
	expect_cfg(false, 1, 256);
}

static void test_5_2_5_writeback(void **state)
{
	(void)state;
	assert_true(vdrv_negotiate(&drv, VB_ALL));
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 0);
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 1);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	/* a reset forgets it, also one before DRIVER_OK */
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	drv.t->set_status(&drv, 0);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	assert_true(vdrv_negotiate(&drv, VB_ALL & ~VB_F_FLUSH));
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 0);
	/* not negotiated, or not yet */
	drv.t->set_status(&drv, 0);
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	assert_true(vdrv_negotiate(&drv, VB_ALL & ~VB_F_CONFIG_WCE));
	vdrv_set_cfg(&drv, VB_CFG_WRITEBACK, 1, 0);
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 1);
	/* a disk without a cache */
	vb_restart(&(struct vb_options){.no_cache = true});
	assert_true(vdrv_negotiate(&drv, VB_ALL));
	assert_int_equal(vdrv_cfg(&drv, VB_CFG_WRITEBACK, 1), 0);
}

static void expect_no_device(struct virtio_blk_config config)
{
	struct virtio_device *vdev = NULL;

	assert_int_equal(virtio_blk_create(&config, &vdev), -EINVAL);
	assert_null(vdev);
}

static void test_create_refuses(void **state)
{
	struct vbf *disk = vbf_create(VBF_BYTES, false, true);
	const struct virtio_blk_config good = {
		.name = "disk", .mem = vrig.mem, .blk = &disk->blk, .num_queues = 1};
	struct virtio_blk_config config;

	(void)state;
	config = good;
	config.num_queues = 0;
	expect_no_device(config);
	config.num_queues = VIRTIO_BLK_MAX_QUEUES + 1;
	expect_no_device(config);
	config = good;
	for (config.queue_size = 1; config.queue_size < 0x1000; config.queue_size++)
		if (!is_power_of_two(config.queue_size) || config.queue_size < 4 ||
			config.queue_size > VIRTQ_MAX_SIZE)
			expect_no_device(config);
	config = good;
	config.serial = "012345678901234567890";
	expect_no_device(config);
	assert_null(disk->listener);
	blk_close(&disk->blk);
}

static int refuse_attach(
	struct blk *blk, struct event_loop *loop, const struct blk_listener *listener, void *opaque)
{
	(void)blk;
	(void)loop;
	(void)opaque;
	return listener ? -EMFILE : 0;
}

static void test_create_fails_to_attach(void **state)
{
	struct vbf *disk = vbf_create(VBF_BYTES, false, true);
	const struct virtio_blk_config config = {
		.name = "disk", .mem = vrig.mem, .blk = &disk->blk, .num_queues = 1};
	const struct blk_ops *real = disk->blk.ops;
	struct virtio_device *vdev = NULL;
	struct blk_ops refusing = *real;

	(void)state;
	refusing.attach = refuse_attach;
	disk->blk.ops = &refusing;
	assert_int_equal(virtio_blk_create(&config, &vdev), -EMFILE);
	assert_null(vdev);
	disk->blk.ops = real;
	blk_close(&disk->blk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_5_2_2_queues),
		PER_BLK(test_5_2_3_features),
		PER_BLK(test_5_2_4_configuration),
		PER_BLK(test_5_2_4_is_read_only),
		PER_BLK(test_5_2_5_writeback),
		ON_BLK(test_create_refuses, "mmio", RIG_MMIO),
		ON_BLK(test_create_fails_to_attach, "mmio", RIG_MMIO),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
