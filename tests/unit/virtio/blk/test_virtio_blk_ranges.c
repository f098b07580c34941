/* SPDX-License-Identifier: BSD-2-Clause */
/* DISCARD and WRITE_ZEROES on each transport. Tests bear the sections of virtio 1.2. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

static void test_5_2_6_2_write_zeroes(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 7, 3, 0), VB_OK);
	assert_int_equal(vb_disk->log[0].flags, 0);
	vb_expect_pattern(vb_disk->data, 0, 7 * 512);
	vb_expect_bytes(vb_disk->data + 7 * 512, 3 * 512, 0);
	vb_expect_pattern(vb_disk->data + 10 * 512, 10 * 512, 512);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 20, 1, 1), VB_OK);
	assert_int_equal(vb_disk->log[1].flags, BLK_UNMAP);
	vb_expect_bytes(vb_disk->data + 20 * 512, 512, 0);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, VBF_SECTORS, 0, 0), VB_OK);
}

static void test_5_2_6_2_discard(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_one_range(VB_DISCARD, 7, 3, 0), VB_OK);
	assert_int_equal(vb_disk->num_log, 1);
	assert_int_equal(vb_disk->log[0].op, BLK_DISCARD);
	assert_int_equal(vb_disk->log[0].offset, 7 * 512);
	assert_int_equal(vb_disk->log[0].len, 3 * 512);
	vb_expect_pattern(vb_disk->data, 0, 7 * 512);
	vb_expect_pattern(vb_disk->data + 10 * 512, 10 * 512, VBF_BYTES - 10 * 512);
}

static void test_5_2_6_2_range_flags(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (unsigned int bit = 0; bit < 32; bit++) {
		assert_int_equal(vb_one_range(VB_DISCARD, 0, 1, UINT32_C(1) << bit), VB_UNSUPP);
		assert_int_equal(
			vb_one_range(VB_DISCARD, UINT64_MAX, 1, UINT32_C(1) << bit), VB_UNSUPP);
		if (bit)
			assert_int_equal(
				vb_one_range(VB_WRITE_ZEROES, 0, 1, 1 | UINT32_C(1) << bit),
				VB_UNSUPP);
	}
	vb_expect_untouched();
	assert_int_equal(vb_disk->num_log, 0);
}

static void test_5_2_6_2_range_bounds(void **state)
{
	static const uint32_t types[] = {VB_DISCARD, VB_WRITE_ZEROES};
	static const uint32_t most[] = {VIRTIO_BLK_MAX_DISCARD, VIRTIO_BLK_MAX_ZEROES};
	const uint64_t sectors = UINT64_C(1) << 22;

	(void)state;
	vb_restart(&(struct vb_options){.capacity = sectors * 512});
	vdrv_start(&drv, VB_ALL);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vb_one_range(types[i], 0, most[i], 0), VB_OK);
		assert_int_equal(vb_one_range(types[i], 0, most[i] + 1, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], 0, UINT32_MAX, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], sectors - 1, 1, 0), VB_OK);
		assert_int_equal(vb_one_range(types[i], sectors - 1, 2, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], sectors, 1, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], UINT64_MAX, 1, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], UINT64_MAX, 0, 0), VB_IOERR);
		assert_int_equal(vb_one_range(types[i], UINT64_C(1) << 55, 1, 0), VB_IOERR);
	}
	assert_int_equal(vb_disk->num_log, 4);
	assert_int_equal(vb_disk->beyond, 0);
}

static void test_5_2_6_several_ranges(void **state)
{
	uint8_t ranges[VB_RANGE * (VIRTIO_BLK_MAX_RANGES + 1)];
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (unsigned int i = 0; i <= VIRTIO_BLK_MAX_RANGES; i++)
		vb_put_range(ranges + VB_RANGE * i, 4 * i, 2, i % 2);
	for (unsigned int n = 0; n <= VIRTIO_BLK_MAX_RANGES + 1; n++) {
		const bool good = n && n <= VIRTIO_BLK_MAX_RANGES;

		vb_disk->num_log = 0;
		vb_make_with(&r, VB_WRITE_ZEROES, 0, ranges, VB_RANGE * n);
		assert_int_equal(vb_do(&r), good ? VB_OK : VB_IOERR);
		assert_int_equal(r.used, 1);
		assert_int_equal(vb_disk->num_log, good ? n : 0);
		for (unsigned int i = 0; i < vb_disk->num_log; i++) {
			assert_int_equal(vb_disk->log[i].offset, 4 * i * 512);
			assert_int_equal(vb_disk->log[i].len, 2 * 512);
			assert_int_equal(vb_disk->log[i].flags, i % 2 ? BLK_UNMAP : 0);
		}
	}
	/* no whole number of them */
	for (unsigned int len = 1; len < 3 * VB_RANGE; len++) {
		vb_make_with(&r, VB_DISCARD, 0, ranges, len);
		assert_int_equal(vb_do(&r) == VB_IOERR, len % VB_RANGE != 0);
	}
}

/* None is done when one of them is wrong. */
static void test_5_2_6_bad_range_among_good(void **state)
{
	uint8_t ranges[VB_RANGE * 4];
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (unsigned int bad = 0; bad < 8; bad++) {
		for (unsigned int i = 0; i < 4; i++)
			vb_put_range(ranges + VB_RANGE * i, i, 1, 0);
		vb_put_range(ranges + VB_RANGE * (bad / 2), bad % 2 ? VBF_SECTORS : 0, 1,
			bad % 2 ? 0 : 2);
		vb_make_with(&r, VB_WRITE_ZEROES, 0, ranges, sizeof(ranges));
		assert_int_equal(vb_do(&r), bad % 2 ? VB_IOERR : VB_UNSUPP);
	}
	vb_expect_untouched();
}

/* The guest swaps a range that was found good for a bad one. */
static void test_5_2_6_range_changed_meanwhile(void **state)
{
	uint8_t ranges[VB_RANGE * 2];
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	vb_disk->hold = true;
	vb_put_range(ranges, 0, 1, 0);
	vb_put_range(ranges + VB_RANGE, 1, 1, 0);
	vb_make_with(&r, VB_WRITE_ZEROES, 0, ranges, sizeof(ranges));
	vb_send(&r, 0);
	vb_put_range(vb_data(&r) + VB_RANGE, VBF_SECTORS, 1, 0);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&r, 0), VB_IOERR);
	assert_int_equal(vb_disk->num_log, 1);
	assert_int_equal(vb_disk->beyond, 0);
}

static void test_5_2_6_range_fails(void **state)
{
	uint8_t ranges[VB_RANGE * 3];
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	vb_disk->hold = true;
	for (unsigned int i = 0; i < 3; i++)
		vb_put_range(ranges + VB_RANGE * i, i, 1, 0);
	vb_make_with(&r, VB_WRITE_ZEROES, 0, ranges, sizeof(ranges));
	vb_send(&r, 0);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_true(vb_nothing_used(0));
	assert_true(vbf_finish(vb_disk, 0, -EIO, 0));
	assert_int_equal(vb_take(&r, 0), VB_IOERR);
	assert_int_equal(vbf_in_flight(vb_disk), 0);
	assert_int_equal(vb_disk->num_log, 2);
}

/* What was not negotiated is an unknown type. */
static void test_5_2_6_without_the_feature(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL & ~VB_F_DISCARD);
	assert_int_equal(vb_one_range(VB_DISCARD, 0, 1, 0), VB_UNSUPP);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 0, 1, 0), VB_OK);
	vdrv_start(&drv, VB_ALL & ~VB_F_WRITE_ZEROES);
	assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 8, 1, 0), VB_UNSUPP);
	assert_int_equal(vb_one_range(VB_DISCARD, 0, 1, 0), VB_OK);
	assert_int_equal(vb_disk->num_log, 2);
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(vb_request(VB_FLUSH, 0, 0), VB_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_5_2_6_2_write_zeroes),
		PER_BLK(test_5_2_6_2_discard),
		PER_BLK(test_5_2_6_2_range_flags),
		PER_BLK(test_5_2_6_2_range_bounds),
		PER_BLK(test_5_2_6_several_ranges),
		PER_BLK(test_5_2_6_bad_range_among_good),
		PER_BLK(test_5_2_6_range_changed_meanwhile),
		PER_BLK(test_5_2_6_range_fails),
		PER_BLK(test_5_2_6_without_the_feature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
