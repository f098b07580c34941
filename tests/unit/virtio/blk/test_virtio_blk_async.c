/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device over a disk that takes its time, on each transport: batches, order, queues, and
 * disks that change their size. Tests bear the sections of virtio 1.2.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

static void start(const struct vb_options *options, uint64_t features)
{
	vb_restart(options);
	vdrv_start(&drv, features);
	vb_disk->hold = true;
}

/* Messages sent so far; of the other kinds only whether there is an interrupt can be told. */
static unsigned int messages(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(vrig.msis); i++)
		n += vrig.msis[i];
	return n;
}

/* ---- batches and order ---- */

static void test_one_batch_one_interrupt(void **state)
{
	struct vb_request r[40];

	(void)state;
	start(&(struct vb_options){.loop = true}, FEATURES_PLAIN);
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		vb_make(&r[i], VB_IN, i, 512);
		vb_add(&r[i], 0);
	}
	vdrv_kick(&drv, 0);
	rig_run(&vrig);
	assert_int_equal(vb_disk->commits, 1);
	assert_int_equal(vbf_in_flight(vb_disk), ARRAY_SIZE(r));
	assert_true(vb_nothing_used(0));
	assert_int_equal(drv.t->take_irq(&drv), 0);
	vbf_finish_all(vb_disk);
	assert_true(vb_nothing_used(0)); /* until the loop gets to it */
	rig_run(&vrig);
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		assert_int_equal(vb_take(&r[i], 0), VB_OK);
		vb_expect_pattern(vb_data(&r[i]), 512 * i, 512);
	}
	if (vrig.kind == RIG_PCI_MSIX)
		assert_int_equal(messages(), 1);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

/* What is done at once is found right after the batch, without a turn of the loop. */
static void test_done_at_once(void **state)
{
	struct vb_request r[10];

	(void)state;
	start(&(struct vb_options){.loop = true}, FEATURES_PLAIN);
	vb_disk->hold = false;
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		vb_make(&r[i], VB_IN, i, 512);
		vb_add(&r[i], 0);
	}
	vdrv_kick(&drv, 0);
	assert_int_equal(event_loop_step(vrig.loop, 0), 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++)
		assert_int_equal(vb_take(&r[i], 0), VB_OK);
	if (vrig.kind == RIG_PCI_MSIX)
		assert_int_equal(messages(), 1);
	assert_int_equal(vb_disk->commits, 1);
}

static void test_out_of_order(void **state)
{
	struct vb_request r[8];

	(void)state;
	start(&(struct vb_options){0}, VB_ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(r); i++) {
		vb_make(&r[i], VB_IN, 10 * i, 512);
		vb_send(&r[i], 0);
	}
	for (unsigned int i = ARRAY_SIZE(r); i--;) {
		assert_true(vbf_finish(vb_disk, i, 0, 0));
		assert_int_equal(vb_take(&r[i], 0), VB_OK);
		vb_expect_pattern(vb_data(&r[i]), 5120 * i, 512);
	}
}

/* As many requests as the ring has entries, over and over. */
static void test_full_queue(void **state)
{
	static struct vb_request r[1024];
	const unsigned int size = 1024;

	(void)state;
	start(&(struct vb_options){.queue_size = 1024, .loop = true}, VB_ALL);
	for (unsigned int i = 0; i < size; i++)
		vb_make(&r[i], VB_FLUSH, 0, 0);
	for (unsigned int round = 0; round < 5; round++) {
		const uint64_t brk = drv.brk;

		for (unsigned int i = 0; i < size; i++) {
			const struct vdrv_buf bufs[] = {{r[i].header, VB_HEADER}, {r[i].status, 1}};

			r[i].head = vdrv_add(&drv, 0, bufs, 1, 1, true);
		}
		drv.brk = brk; /* the tables were copied */
		vdrv_kick(&drv, 0);
		rig_run(&vrig);
		assert_int_equal(vbf_in_flight(vb_disk), size);
		vbf_finish_all(vb_disk);
		rig_run(&vrig);
		for (unsigned int i = 0; i < size; i++)
			assert_int_equal(vb_take(&r[i], 0), VB_OK);
	}
}

static void test_spurious_events(void **state)
{
	(void)state;
	start(&(struct vb_options){0}, VB_ALL);
	for (unsigned int i = 0; i < 10; i++) {
		drv.t->notify(&drv, 0);
		vb_disk->listener->ready(vb_disk->opaque);
	}
	assert_int_equal(drv.t->take_irq(&drv), 0);
	assert_int_equal(vb_disk->num_log, 0);
	assert_false(needs_reset());
}

/* 5.2.2: the same slots and heads in each queue, and nothing gets mixed up. */
static void test_5_2_2_multi_queue(void **state)
{
	struct vb_request r[TD_QUEUES][8];
	unsigned int seen[TD_QUEUES] = {0};

	(void)state;
	start(&(struct vb_options){.num_queues = TD_QUEUES}, VB_ALL | VB_F_MQ);
	assert_int_equal(vdrv_cfg(&drv, 34, 2), TD_QUEUES);
	for (unsigned int i = 0; i < 8; i++)
		for (unsigned int q = 0; q < TD_QUEUES; q++) {
			vb_make(&r[q][i], VB_IN, 20 * i + q, 512);
			vb_send(&r[q][i], q);
		}
	assert_int_equal(vbf_in_flight(vb_disk), 8 * TD_QUEUES);
	/* every second one first; they stand in line queue by queue */
	for (unsigned int i = 0; i < 8 * TD_QUEUES; i++)
		assert_true(vbf_finish(vb_disk, i < 4 * TD_QUEUES ? i : 0, 0, 0));
	for (unsigned int q = 0; q < TD_QUEUES; q++) {
		for (int head; (head = vdrv_get(&drv, q, NULL)) != VDRV_NO_HEAD; seen[q]++)
			assert_true(head < 24);
		assert_int_equal(seen[q], 8);
		for (unsigned int i = 0; i < 8; i++) {
			assert_int_equal(vb_status(&r[q][i]), VB_OK);
			vb_expect_pattern(vb_data(&r[q][i]), 512 * (20 * i + q), 512);
		}
	}
}

static void test_one_queue_reset(void **state)
{
	struct vb_request r;

	(void)state;
	start(&(struct vb_options){.num_queues = 2}, VB_ALL | VB_F_MQ);
	vb_make(&r, VB_IN, 1, 512);
	vb_send(&r, 0);
	drv.t->queue_reset(&drv, 1);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&r, 0), VB_OK);
	vdrv_queue_setup(&drv, 1, 16);
	vb_make(&r, VB_IN, 2, 512);
	vb_send(&r, 1);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&r, 1), VB_OK);
	vb_expect_pattern(vb_data(&r), 1024, 512);
}

/* ---- disks that change their size ---- */

static void expect_new_size(uint64_t sectors, bool irq)
{
	const uint32_t before = drv.t->generation(&drv);

	vbf_resize(vb_disk, sectors * 512);
	assert_int_not_equal(drv.t->generation(&drv), before);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), sectors);
	assert_int_equal(vdrv_cfg(&drv, 4, 4), 0);
	assert_int_equal(drv.t->take_irq(&drv), irq ? VIRTIO_ISR_CONFIG : 0);
}

static void test_5_2_6_2_resize(void **state)
{
	(void)state;
	expect_new_size(VBF_SECTORS + 5, false);
	start(&(struct vb_options){0}, FEATURES_PLAIN);
	vb_disk->hold = false;
	assert_int_equal(vb_request(VB_IN, VBF_SECTORS, 512), VB_IOERR);
	drv.t->take_irq(&drv);
	expect_new_size(VBF_SECTORS + 1, true);
	assert_int_equal(vb_request(VB_IN, VBF_SECTORS, 512), VB_OK);
	drv.t->take_irq(&drv);
	expect_new_size(2, true);
	assert_int_equal(vb_request(VB_OUT, 2, 512), VB_IOERR);
	assert_int_equal(vb_request(VB_OUT, 1, 512), VB_OK);
	drv.t->take_irq(&drv);
	expect_new_size(0, true);
	assert_int_equal(vb_request(VB_IN, 0, 512), VB_IOERR);
	assert_int_equal(vb_disk->beyond, 0);
	drv.t->take_irq(&drv);
	drv.t->set_status(&drv, 0);
	expect_new_size(7, false);
}

static void test_resize_with_requests_in_flight(void **state)
{
	struct vb_request r;

	(void)state;
	start(&(struct vb_options){0}, VB_ALL);
	vb_make(&r, VB_IN, VBF_SECTORS - 1, 512);
	vb_send(&r, 0);
	vbf_resize(vb_disk, 512);
	assert_true(vbf_finish(vb_disk, 0, -EIO, 0));
	assert_int_equal(vb_take(&r, 0), VB_IOERR);
	assert_int_equal(r.used, 0);
	assert_false(needs_reset());
}

/* Nobody is told any more once the device is gone; see also the fixture's end. */
static void test_unplugged(void **state)
{
	(void)state;
	rig_unplug(&vrig);
	assert_null(vb_disk->listener);
	vbf_resize(vb_disk, 512);
}

/*
 * A pause waits for nothing. The device is idle when the disk has done what it was at; what is
 * asked for later is done when the device goes on.
 */
static void test_pause(void **state)
{
	struct vb_request r[3];

	(void)state;
	start(&(struct vb_options){.loop = true}, FEATURES_PLAIN);
	for (unsigned int i = 0; i < 2; i++) {
		vb_make(&r[i], VB_IN, i, 512);
		vb_send(&r[i], 0);
	}
	rig_run(&vrig);
	assert_int_equal(vbf_in_flight(vb_disk), 2);
	/* The disk's thread hangs in handing over a request. */
	virtio_device_lock(vrig.vdev);
	assert_false(virtio_device_try_pause(vrig.vdev));
	virtio_device_resume(vrig.vdev);
	virtio_device_unlock(vrig.vdev);
	virtio_device_pause(vrig.vdev);
	assert_false(virtio_device_try_pause(vrig.vdev));
	assert_false(virtio_device_wait_idle(vrig.vdev, NSEC_PER_MSEC));
	vb_make(&r[2], VB_IN, 2, 512);
	vb_send(&r[2], 0);
	rig_run(&vrig);
	assert_int_equal(vbf_in_flight(vb_disk), 2);
	vbf_finish_all(vb_disk);
	rig_run(&vrig);
	assert_true(virtio_device_try_pause(vrig.vdev));
	assert_true(virtio_device_wait_idle(vrig.vdev, 0));
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vb_take(&r[i], 0), VB_OK);
	rig_run(&vrig);
	assert_int_equal(vbf_in_flight(vb_disk), 0);
	virtio_device_resume(vrig.vdev);
	rig_run(&vrig);
	vbf_finish_all(vb_disk);
	rig_run(&vrig);
	assert_int_equal(vb_take(&r[2], 0), VB_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_one_batch_one_interrupt),
		PER_BLK(test_done_at_once),
		PER_BLK(test_out_of_order),
		PER_BLK(test_full_queue),
		PER_BLK(test_spurious_events),
		PER_BLK(test_5_2_2_multi_queue),
		PER_BLK(test_one_queue_reset),
		PER_BLK(test_5_2_6_2_resize),
		PER_BLK(test_resize_with_requests_in_flight),
		PER_BLK(test_unplugged),
		PER_BLK(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
