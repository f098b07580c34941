/* SPDX-License-Identifier: BSD-2-Clause */
/* Another image behind the same device, and one that is not there any more. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/transport.h"
#include "virtio_blk_fixture.h"

enum { OTHER_BYTES = 64 * BLK_SECTOR };

/* The new one is the disk from now on; returns the old one. */
static struct vbf *swap_in(struct vbf *other)
{
	struct vbf *old = vb_disk;

	assert_int_equal(virtio_blk_swap(vrig.vdev, &other->blk, "other"), 0);
	assert_null(old->listener);
	assert_non_null(other->listener);
	vb_disk = other;
	return old;
}

static void test_swap(void **state)
{
	struct vbf *other = vbf_create(OTHER_BYTES, false, true), *old;
	struct vb_request r;
	uint32_t generation;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_OUT, 3, BLK_SECTOR), VB_OK);
	generation = drv.t->generation(&drv);
	drv.t->take_irq(&drv);
	memset(other->data, 0x5a, sizeof(other->data));
	old = swap_in(other);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_CONFIG);
	assert_int_not_equal(drv.t->generation(&drv), generation);
	assert_int_equal(vdrv_cfg(&drv, 0, 8), OTHER_BYTES / BLK_SECTOR);
	vb_make(&r, VB_IN, 3, BLK_SECTOR);
	assert_int_equal(vb_do(&r), VB_OK);
	vb_expect_bytes(vb_data(&r), BLK_SECTOR, 0x5a);
	vb_make(&r, VB_OUT, 5, BLK_SECTOR);
	assert_int_equal(vb_do(&r), VB_OK);
	vb_expect_bytes(other->data + 5 * BLK_SECTOR, BLK_SECTOR, 0);
	vb_expect_pattern(old->data + 5 * BLK_SECTOR, 5 * BLK_SECTOR, BLK_SECTOR);
	/* what lies behind its end was inside the old one */
	assert_int_equal(vb_request(VB_IN, OTHER_BYTES / BLK_SECTOR, BLK_SECTOR), VB_IOERR);
	assert_int_equal(other->beyond, 0);
	blk_close(&old->blk);
}

/* A driver that knows the disk as one thing is not given another. */
static void test_refused(void **state)
{
	struct vbf *read_only = vbf_create(OTHER_BYTES, true, true);
	struct vbf *coarse = vbf_create(OTHER_BYTES, false, true);

	(void)state;
	vdrv_start(&drv, VB_ALL);
	coarse->blk.info.logical_block = 4096;
	assert_int_equal(virtio_blk_swap(vrig.vdev, &read_only->blk, "x"), -EINVAL);
	assert_int_equal(virtio_blk_swap(vrig.vdev, &coarse->blk, "x"), -EINVAL);
	assert_null(read_only->listener);
	assert_null(coarse->listener);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	assert_int_equal(vdrv_cfg(&drv, 0, 8), VBF_SECTORS);
	assert_int_equal(vb_request(VB_IN, 0, BLK_SECTOR), VB_OK);
	blk_close(&read_only->blk);
	blk_close(&coarse->blk);
}

/* Every request fails, at once, and more than once around the ring. */
static void test_gone(void **state)
{
	static const uint32_t types[] = {VB_IN, VB_OUT, VB_FLUSH};
	struct blk *gone;

	(void)state;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(blk_gone_create(&vb_disk->blk, &gone), 0);
	assert_int_equal(virtio_blk_swap(vrig.vdev, gone, "disk"), 0);
	assert_null(vb_disk->listener);
	assert_int_equal(vdrv_cfg(&drv, 0, 8), VBF_SECTORS);
	for (unsigned int i = 0; i < 3 * VIRTIO_BLK_QUEUE_SIZE; i++) {
		const uint32_t type = types[i % ARRAY_SIZE(types)];

		assert_int_equal(vb_request(type, 0, type == VB_FLUSH ? 0 : BLK_SECTOR), VB_IOERR);
	}
	vb_expect_untouched();
	/* and it can be put back */
	assert_int_equal(virtio_blk_swap(vrig.vdev, &vb_disk->blk, "disk"), 0);
	assert_int_equal(vb_request(VB_IN, 0, BLK_SECTOR), VB_OK);
	blk_close(gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_swap),
		PER_BLK(test_refused),
		PER_BLK(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
