/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks that may only do so much (virtio/blk/blk_limit.c), on each transport, with a clock in the
 * test's hands. The driver here always has something to do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_clock.h"
#include "virtio/device.h"
#include "virtio_blk_fixture.h"

enum { QUEUES = 3, DEPTH = 8, SECTORS = 8, BYTES = SECTORS * BLK_SECTOR };

static struct fake_clock hands;
static struct vb_request requests[QUEUES][DEPTH];
static unsigned int done[QUEUES];

static void start(unsigned int queues, struct rate_config limit, bool loop)
{
	fake_clock_init(&hands);
	vb_restart(&(struct vb_options){
		.num_queues = queues, .clock = &hands.clock, .limit = limit, .loop = loop});
	vdrv_start(&drv, queues > 1 ? VB_ALL | VB_F_MQ : VB_ALL);
	memset(done, 0, sizeof(done));
}

static struct rate_config ops(uint64_t per_second, uint64_t burst)
{
	return (struct rate_config){.ops = bucket_config_of_rate(per_second, burst)};
}

static void ask(unsigned int q, uint32_t type, uint32_t len)
{
	for (unsigned int i = 0; i < DEPTH; i++) {
		vb_make(&requests[q][i], type, 0, len);
		vb_add(&requests[q][i], q);
	}
	vdrv_kick(&drv, q);
	rig_run(&vrig);
}

static bool again(unsigned int q)
{
	bool any = false;

	for (int head; (head = vdrv_get(&drv, q, NULL)) != VDRV_NO_HEAD; any = true) {
		struct vb_request *r = requests[q];

		while (r->head != head)
			r++;
		assert_int_equal(vb_status(r), VB_OK);
		done[q]++;
		vb_add(r, q);
	}
	if (any)
		vdrv_kick(&drv, q);
	rig_run(&vrig);
	return any;
}

/* As a guest that is never idle */
static void work(unsigned int queues, uint64_t ms)
{
	bool any;

	while (ms--) {
		do {
			any = false;
			for (unsigned int q = 0; q < queues; q++)
				any |= again(q);
		} while (any);
		fake_clock_advance(&hands, NSEC_PER_MSEC);
		rig_run(&vrig);
	}
}

static void test_operations(void **state)
{
	(void)state;
	start(1, ops(1000, 50), true);
	ask(0, VB_IN, BYTES);
	work(1, 10000);
	/* What was there, what came in, and no more than a tick of the clock is still under way. */
	assert_in_range(done[0], 50 + 9980, 50 + 10000 + 1);
	assert_int_equal(fake_clock_armed(&hands), 1);
	assert_false(needs_reset());
}

static void test_bytes(void **state)
{
	static const uint32_t types[] = {VB_IN, VB_OUT};
	const uint64_t rate = 1000 * BYTES;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		start(1, (struct rate_config){.bytes = bucket_config_of_rate(rate, 0)}, false);
		ask(0, types[i], BYTES);
		work(1, 10000);
		assert_in_range(done[0], 100 + 9980, 100 + 10000 + 1);
	}
}

/* Whichever is less. A flush moves no bytes. */
static void test_both(void **state)
{
	const struct rate_config limit = {
		.bytes = bucket_config_of_rate(100 * BYTES, BYTES), .ops = ops(200, 1).ops};

	(void)state;
	start(1, limit, false);
	ask(0, VB_IN, BYTES);
	work(1, 10000);
	assert_in_range(done[0], 980, 1002);
	start(1, limit, false);
	ask(0, VB_FLUSH, 0);
	work(1, 10000);
	assert_in_range(done[0], 1980, 2002);
}

/* No timer, and nothing held back. */
static void test_full_bucket_is_free(void **state)
{
	(void)state;
	start(1, ops(1000000, 0), true);
	ask(0, VB_IN, BYTES);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_true(again(0));
		assert_int_equal(fake_clock_armed(&hands), 0);
		fake_clock_advance(&hands, NSEC_PER_MSEC);
	}
	assert_int_equal(hands.fired, 0);
}

static void test_queues_share(void **state)
{
	static const bool loops[] = {false, true};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(loops); i++) {
		unsigned int sum = 0;

		start(QUEUES, ops(1000, 1), loops[i]);
		for (unsigned int q = 0; q < QUEUES; q++)
			ask(q, VB_IN, BYTES);
		work(QUEUES, 2000);
		for (unsigned int q = 0; q < QUEUES; q++) {
			assert_in_range(done[q], 300, 700);
			sum += done[q];
		}
		assert_in_range(sum, 1900, 2002);
	}
}

static void test_reset(void **state)
{
	(void)state;
	start(1, ops(1, 1), true);
	ask(0, VB_IN, BYTES);
	assert_true(again(0));
	assert_int_equal(fake_clock_armed(&hands), 1);
	/* Nothing is in flight, so it does not wait. A new driver has what is left of the limit. */
	vdrv_start(&drv, VB_ALL);
	ask(0, VB_IN, BYTES);
	assert_false(again(0));
	fake_clock_advance(&hands, 2 * NSEC_PER_SEC);
	rig_run(&vrig);
	assert_true(again(0));
	/* The end of the device with requests that are held back: fixture's. */
	assert_int_equal(fake_clock_armed(&hands), 1);
}

static void test_pause(void **state)
{
	(void)state;
	start(1, ops(10, 1), true);
	ask(0, VB_IN, BYTES);
	assert_true(again(0));
	virtio_device_pause(vrig.vdev);
	fake_clock_advance(&hands, NSEC_PER_SEC);
	rig_run(&vrig);
	assert_false(again(0));
	virtio_device_resume(vrig.vdev);
	rig_run(&vrig);
	assert_true(again(0));
	/* Resumed before the timer */
	virtio_device_pause(vrig.vdev);
	virtio_device_resume(vrig.vdev);
	rig_run(&vrig);
	assert_false(again(0));
	fake_clock_advance(&hands, NSEC_PER_SEC);
	rig_run(&vrig);
	assert_true(again(0));
}

static void test_change_under_load(void **state)
{
	const struct rate_config none = {0}, faster = ops(500, 1), broken = {.ops = {.size = 1}};

	(void)state;
	start(1, ops(1, 1), true);
	ask(0, VB_IN, BYTES);
	work(1, 10);
	assert_in_range(done[0], 1, 2);
	assert_int_equal(virtio_blk_set_limit(vrig.vdev, &broken), -EINVAL);
	assert_int_equal(virtio_blk_set_limit(vrig.vdev, &faster), 0);
	work(1, 2000);
	assert_in_range(done[0], 980, 1003);
	/* None at all, while it is held back */
	done[0] = 0;
	assert_int_equal(virtio_blk_set_limit(vrig.vdev, &none), 0);
	fake_clock_advance(&hands, 1);
	rig_run(&vrig);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(again(0));
	assert_int_equal(fake_clock_armed(&hands), 0);
	/* And one where there was none */
	assert_int_equal(virtio_blk_set_limit(vrig.vdev, &faster), 0);
	done[0] = 0;
	work(1, 2000);
	assert_in_range(done[0], 980, 1003 + DEPTH);
}

static void test_no_clock(void **state)
{
	const struct rate_config limit = ops(5, 0);
	struct virtio_device *vdev = NULL;
	struct virtio_blk_config config = {.name = "disk",
		.mem = vrig.mem,
		.blk = &vb_disk->blk,
		.num_queues = 1,
		.limit = limit};

	(void)state;
	assert_int_equal(virtio_blk_set_limit(vrig.vdev, &limit), -EINVAL);
	assert_int_equal(virtio_blk_create(&config, &vdev), -EINVAL);
	assert_null(vdev);
}

static int tear_down(void **state)
{
	const int rc = vb_tear_down(state);

	assert_null(hands.first);
	return rc;
}

#define ON(f, name, kind)                                                                          \
	{                                                                                          \
#f "/" name, f, vb_set_up, tear_down, (void *)(uintptr_t)(kind)                    \
	}
#define EACH(f)                                                                                    \
	ON(f, "mmio", RIG_MMIO), ON(f, "pci-intx", RIG_PCI_INTX), ON(f, "pci-msix", RIG_PCI_MSIX)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_operations),
		EACH(test_bytes),
		EACH(test_both),
		EACH(test_full_bucket_is_free),
		EACH(test_queues_share),
		EACH(test_reset),
		EACH(test_pause),
		EACH(test_change_under_load),
		EACH(test_no_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
