/* SPDX-License-Identifier: BSD-2-Clause */
/* What a disk counts: requests, bytes, errors, latencies, kicks; by queue, on each transport. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/device.h"
#include "virtio_blk_fixture.h"

/* A TSC of 1 kHz: a tick takes a millisecond, so every latency is a long one. */
static const uint64_t scale = UINT64_C(1000) << 32;

static uint64_t took(const struct latencies *latencies)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		sum += counter_read(&latencies->bucket[i]);
	return sum;
}

static void expect(unsigned int q, const uint64_t requests[VIRTIO_BLK_NUM_KINDS], uint64_t read,
	uint64_t written, uint64_t errors)
{
	const struct virtio_blk_counts *counts = virtio_blk_counts(vrig.vdev, q);

	for (unsigned int kind = 0; kind < VIRTIO_BLK_NUM_KINDS; kind++) {
		assert_int_equal(counter_read(&counts->requests[kind]), requests[kind]);
		assert_int_equal(took(&counts->latencies[kind]), requests[kind]);
	}
	assert_int_equal(counter_read(&counts->bytes_read), read);
	assert_int_equal(counter_read(&counts->bytes_written), written);
	assert_int_equal(counter_read(&counts->errors), errors);
}

static void test_counts(void **state)
{
	static const uint64_t none[VIRTIO_BLK_NUM_KINDS];
	struct vb_request r;

	(void)state;
	vb_restart(&(struct vb_options){.num_queues = 2, .ticks_scale = &scale});
	vdrv_start(&drv, VB_ALL | VB_F_MQ);
	expect(0, none, 0, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vb_request(VB_IN, i, 1024), VB_OK);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vb_request(VB_OUT, i, 4096), VB_OK);
	assert_int_equal(vb_request(VB_FLUSH, 0, 0), VB_OK);
	assert_int_equal(vb_one_range(VB_DISCARD, 0, 8, 0), VB_OK);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 0, 8, 0), VB_OK);
	/* No I/O */
	assert_int_equal(vb_request(VB_GET_ID, 0, 20), VB_OK);
	expect(0, (uint64_t[]){3, 2, 1, 2}, 3072, 8192, 0);
	expect(1, none, 0, 0, 0);
	/* Refused, and failed by the host */
	assert_int_equal(vb_request(VB_IN, VBF_SECTORS, 512), VB_IOERR);
	assert_int_equal(vb_request(99, 0, 512), VB_UNSUPP);
	vb_disk->failing_op = BLK_WRITE;
	vb_disk->error = -EIO;
	assert_int_equal(vb_request(VB_OUT, 0, 512), VB_IOERR);
	expect(0, (uint64_t[]){3, 2, 1, 2}, 3072, 8192, 3);

	vb_make(&r, VB_IN, 0, 512);
	vb_send(&r, 1);
	assert_int_equal(vb_take(&r, 1), VB_OK);
	expect(1, (uint64_t[]){1, 0, 0, 0}, 512, 0, 0);
	assert_int_equal(counter_read(&virtio_device_counts(vrig.vdev, 0)->kicks), 12);
	assert_int_equal(counter_read(&virtio_device_counts(vrig.vdev, 1)->kicks), 1);
	assert_int_equal(counter_read(&virtio_device_counts(vrig.vdev, 1)->interrupts), 1);
}

/* A reset does not set them back. */
static void test_reset(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, 0, 512), VB_OK);
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, 0, 512), VB_OK);
	assert_int_equal(
		counter_read(&virtio_blk_counts(vrig.vdev, 0)->requests[VIRTIO_BLK_READ]), 2);
	/* Without a scale there are no latencies. */
	assert_int_equal(took(&virtio_blk_counts(vrig.vdev, 0)->latencies[VIRTIO_BLK_READ]), 0);
}

static void test_buckets(void **state)
{
	static const struct {
		uint64_t us;
		unsigned int bucket;
	} cases[] = {{0, 0}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {1023, 10}, {1024, 11},
		{UINT64_C(1) << 26, 27}, {UINT64_MAX, 27}};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct latencies latencies = {0};

		latencies_add(&latencies, cases[i].us);
		assert_int_equal(counter_read(&latencies.bucket[cases[i].bucket]), 1);
		assert_int_equal(counter_read(&latencies.sum_us), cases[i].us);
	}
	/* 2.5 GHz, a second; and what would overflow 64 bits on the way */
	assert_in_range(ticks_to_us(2500000000, ticks_scale(2500000)), 999998, 1000000);
	assert_in_range(ticks_to_us(UINT64_C(2500000000) * 86400 * 365, ticks_scale(2500000)),
		UINT64_C(86400) * 365 * 999998, UINT64_C(86400) * 365 * 1000000);
	assert_int_equal(ticks_scale(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_counts),
		PER_BLK(test_reset),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
