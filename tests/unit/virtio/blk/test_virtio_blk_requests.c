/* SPDX-License-Identifier: BSD-2-Clause */
/* Each kind of request to a block device by itself, on each transport; ranges apart. Tests bear the
 * sections of virtio 1.2. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"
#include "vm/core/log.h"

static void test_5_2_6_read(void **state)
{
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (uint32_t sectors = 0; sectors < 20; sectors++) {
		vb_make(&r, VB_IN, sectors * 3, sectors * 512);
		assert_int_equal(vb_do(&r), VB_OK);
		assert_int_equal(r.used, sectors * 512 + 1);
		vb_expect_pattern(vb_data(&r), sectors * 3 * 512, sectors * 512);
		assert_int_equal(drv.t->take_irq(&drv), sectors ? 0 : VIRTIO_ISR_QUEUE);
	}
	vb_expect_untouched();
}

static void test_5_2_6_write(void **state)
{
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	vb_make(&r, VB_OUT, 5, 3 * 512);
	memset(vb_data(&r), 0x77, 3 * 512);
	assert_int_equal(vb_do(&r), VB_OK);
	assert_int_equal(r.used, 1);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
	vb_expect_pattern(vb_disk->data, 0, 5 * 512);
	vb_expect_bytes(vb_disk->data + 5 * 512, 3 * 512, 0x77);
	vb_expect_pattern(vb_disk->data + 8 * 512, 8 * 512, VBF_BYTES - 8 * 512);
}

static void test_5_2_6_flush(void **state)
{
	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_FLUSH, 0, 0), VB_OK);
	assert_int_equal(vb_disk->log[0].op, BLK_FLUSH);
	/* what the driver should not, but may do */
	assert_int_equal(vb_request(VB_FLUSH, UINT64_MAX, 512), VB_OK);
	vb_disk->failing_op = BLK_FLUSH;
	vb_disk->error = -EIO;
	assert_int_equal(vb_request(VB_FLUSH, 0, 0), VB_IOERR);
}

static void expect_serial(const char *serial, uint32_t room)
{
	char want[VIRTIO_BLK_SERIAL_BYTES + 1] = {0};
	const uint32_t given = MIN(room, 20u);
	struct vb_request r;

	strncpy(want, serial, sizeof(want) - 1);
	vdrv_start(&drv, VB_ALL);
	vb_make(&r, VB_GET_ID, 0, room);
	assert_int_equal(vb_do(&r), VB_OK);
	assert_int_equal(r.used, room > 20 ? 20 : room + 1);
	assert_memory_equal(vb_data(&r), want, given);
	vb_expect_bytes(vb_data(&r) + given, room - given, VB_POISON);
}

static void test_5_2_6_get_id(void **state)
{
	(void)state;
	expect_serial("", 20);
	vb_restart(&(struct vb_options){.serial = "disk-0"});
	expect_serial("disk-0", 20);
	vb_restart(&(struct vb_options){.serial = "01234567890123456789"});
	for (uint32_t room = 0; room < 40; room++) {
		drv.brk = RIG_RAM_BASE;
		expect_serial("01234567890123456789", room);
	}
	assert_int_equal(vb_disk->num_log, 0);
}

static void test_5_2_6_unknown_types(void **state)
{
	static const uint32_t known[] = {
		VB_IN, VB_OUT, VB_FLUSH, VB_GET_ID, VB_DISCARD, VB_WRITE_ZEROES};

	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (uint32_t i = 0; i < 64; i++) {
		bool is_known = false;

		for (unsigned int k = 0; k < ARRAY_SIZE(known); k++)
			is_known |= known[k] == i;
		if (!is_known)
			assert_int_equal(vb_request(i, 0, 512), VB_UNSUPP);
		assert_int_equal(vb_request(i | 0x80000000, 0, 512), VB_UNSUPP);
		assert_int_equal(vb_request(i << 8 | 0x10000, 0, 0), VB_UNSUPP);
	}
	assert_int_equal(vb_disk->num_log, 0);
	assert_false(needs_reset());
}

static void test_5_2_6_1_length_and_place(void **state)
{
	static const uint32_t types[] = {VB_IN, VB_OUT};

	(void)state;
	vdrv_start(&drv, VB_ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		static const struct {
			uint64_t sector;
			uint32_t len;
			uint8_t status;
		} cases[] = {{0, 512, VB_OK}, {VBF_SECTORS - 1, 512, VB_OK},
			{VBF_SECTORS, 0, VB_OK}, {VBF_SECTORS, 512, VB_IOERR},
			{VBF_SECTORS - 1, 1024, VB_IOERR}, {VBF_SECTORS + 1, 0, VB_IOERR},
			{0, 511, VB_IOERR}, {0, 513, VB_IOERR}, {0, 1, VB_IOERR},
			{UINT64_MAX, 512, VB_IOERR}, {UINT64_MAX, 1024, VB_IOERR},
			{UINT64_MAX, 0, VB_IOERR},
			/* to bytes and beyond 2^64 */
			{UINT64_C(1) << 55, 512, VB_IOERR},
			{(UINT64_C(1) << 55) - 1, 512, VB_IOERR},
			{UINT64_C(1) << 63, 512, VB_IOERR}};

		for (unsigned int k = 0; k < ARRAY_SIZE(cases); k++)
			assert_int_equal(vb_request(types[i], cases[k].sector, cases[k].len),
				cases[k].status);
	}
	assert_int_equal(vb_disk->beyond, 0);
	assert_int_equal(vb_disk->num_log, 6);
	assert_false(needs_reset());
}

/* The largest disk that has a number for each byte. */
static void test_5_2_6_1_huge_disk(void **state)
{
	const uint64_t sectors = (UINT64_C(1) << 55) - 1;

	(void)state;
	vb_restart(&(struct vb_options){.capacity = sectors * 512});
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, sectors - 1, 512), VB_OK);
	assert_int_equal(vb_disk->log[0].offset, (sectors - 1) * 512);
	assert_int_equal(vb_request(VB_IN, sectors - 1, 1024), VB_IOERR);
	assert_int_equal(vb_request(VB_IN, sectors, 512), VB_IOERR);
	assert_int_equal(vb_request(VB_IN, (UINT64_C(1) << 55) | 1, 512), VB_IOERR);
	assert_int_equal(vb_disk->num_log, 1);
}

/* The back end ends the test if it ever sees a write. */
static void test_5_2_6_2_read_only(void **state)
{
	(void)state;
	vb_restart(&(struct vb_options){.read_only = true});
	for (unsigned int i = 0; i < 2; i++) {
		vdrv_start(&drv, FEATURES_ALL | VB_F_FLUSH | (i ? VB_F_RO : 0));
		assert_int_equal(vb_request(VB_OUT, 0, 512), VB_IOERR);
		assert_int_equal(vb_request(VB_OUT, 0, 0), VB_IOERR);
		assert_int_equal(vb_one_range(VB_DISCARD, 0, 1, 0), VB_IOERR);
		assert_int_equal(vb_one_range(VB_WRITE_ZEROES, 0, 1, 0), VB_IOERR);
		assert_int_equal(vb_request(VB_IN, 0, 512), VB_OK);
		assert_int_equal(vb_request(VB_FLUSH, 0, 0), VB_OK);
	}
	vb_expect_untouched();
}

/* 2.7.8: what was read counts, what was there before does not. */
static void test_2_7_8_failed_read(void **state)
{
	static const uint32_t moved[] = {0, 1, 512, 1000, 1535, 1536};
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	vb_disk->failing_op = BLK_READ;
	vb_disk->error = -EIO;
	for (unsigned int i = 0; i < ARRAY_SIZE(moved); i++) {
		vb_disk->moved = moved[i];
		vb_make(&r, VB_IN, 2, 1536);
		assert_int_equal(vb_do(&r), VB_IOERR);
		assert_int_equal(r.used, moved[i] == 1536 ? 1537 : moved[i]);
		vb_expect_pattern(vb_data(&r), 1024, moved[i]);
		vb_expect_bytes(vb_data(&r) + moved[i], 1536 - moved[i], VB_POISON);
	}
	/* never begun */
	vb_make(&r, VB_IN, VBF_SECTORS, 512);
	assert_int_equal(vb_do(&r), VB_IOERR);
	assert_int_equal(r.used, 0);
	vb_expect_bytes(vb_data(&r), 512, VB_POISON);
}

static void test_failed_write(void **state)
{
	struct vb_request r;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	vb_disk->failing_op = BLK_WRITE;
	vb_disk->error = -ENOSPC;
	vb_disk->moved = 512;
	vb_make(&r, VB_OUT, 0, 1024);
	assert_int_equal(vb_do(&r), VB_IOERR);
	assert_int_equal(r.used, 1);
	vb_disk->error = 0;
	assert_int_equal(vb_request(VB_OUT, 0, 1024), VB_OK);
}

/* What failed on the host is said, and not for ever; what the guest got wrong is not. */
static void test_failures_are_logged(void **state)
{
	char text[4096] = {0};
	struct log log;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_init(&log, fds[1], LOG_INFO, NULL);
	vb_restart(&(struct vb_options){.log = &log});
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, VBF_SECTORS, 512), VB_IOERR);
	vb_disk->failing_op = BLK_WRITE;
	vb_disk->error = -ENOSPC;
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(vb_request(VB_OUT, 8, 512), VB_IOERR);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "disk: write of 512 bytes at 4096 failed: No space left"));
	assert_null(strstr(text, "read"));
	vb_restart(&(struct vb_options){0});
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_5_2_6_read),
		PER_BLK(test_5_2_6_write),
		PER_BLK(test_5_2_6_flush),
		PER_BLK(test_5_2_6_get_id),
		PER_BLK(test_5_2_6_unknown_types),
		PER_BLK(test_5_2_6_1_length_and_place),
		PER_BLK(test_5_2_6_1_huge_disk),
		PER_BLK(test_5_2_6_2_read_only),
		PER_BLK(test_2_7_8_failed_read),
		PER_BLK(test_failed_write),
		PER_BLK(test_failures_are_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
