/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device with everything on a thread of its own: the driver, the loop, the disk that
 * finishes requests, and whoever changes the disk's size. Resets wait for requests in flight.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "virtio_blk_fixture.h"

enum { QUEUES = 2, IN_FLIGHT = 16, ROUNDS = 150 };

/* ---- resets ---- */

static struct vb_request held[2];

static void hold_one_per_queue(void)
{
	vb_restart(&(struct vb_options){.num_queues = QUEUES});
	vdrv_start(&drv, VB_ALL | VB_F_MQ);
	vb_disk->hold = true;
	for (unsigned int q = 0; q < QUEUES; q++) {
		vb_make(&held[q], VB_IN, q, 512);
		vb_send(&held[q], q);
	}
	assert_int_equal(vbf_in_flight(vb_disk), QUEUES);
}

static bool stopping(int q)
{
	bool yes;

	virtio_device_lock(vrig.vdev);
	yes = q < 0 ? !virtio_device_running(vrig.vdev)
		    : virtio_device_queue_resetting(vrig.vdev, (unsigned int)q);
	virtio_device_unlock(vrig.vdev);
	return yes;
}

static void *reset_device(void *arg)
{
	(void)arg;
	drv.t->set_status(&drv, 0);
	return NULL;
}

static void test_2_4_1_reset_waits(void **state)
{
	pthread_t thread;

	(void)state;
	hold_one_per_queue();
	pthread_create(&thread, NULL, reset_device, NULL);
	while (!stopping(-1))
		usleep(100);
	assert_int_not_equal(drv.t->status(&drv), 0);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_not_equal(drv.t->status(&drv), 0);
	assert_true(vbf_finish(vb_disk, 0, -EIO, 0));
	pthread_join(thread, NULL);
	assert_int_equal(drv.t->status(&drv), 0);
	for (unsigned int q = 0; q < QUEUES; q++)
		assert_true(vb_nothing_used(q));
	assert_int_equal(drv.t->take_irq(&drv), 0);
	vb_disk->hold = false;
	drv.brk = RIG_RAM_BASE;
	vdrv_start(&drv, VB_ALL);
	assert_int_equal(vb_request(VB_IN, 5, 512), VB_OK);
}

static void *reset_queue(void *arg)
{
	(void)arg;
	drv.t->queue_reset(&drv, 1);
	return NULL;
}

static void test_2_6_1_queue_reset_waits(void **state)
{
	pthread_t thread;

	(void)state;
	hold_one_per_queue();
	pthread_create(&thread, NULL, reset_queue, NULL);
	while (!stopping(1))
		usleep(100);
	/* The other queue goes on. */
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&held[0], 0), VB_OK);
	assert_true(stopping(1));
	drv.t->take_irq(&drv);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	pthread_join(thread, NULL);
	assert_true(vb_nothing_used(1));
	assert_int_equal(drv.t->take_irq(&drv), 0);
	vdrv_queue_setup(&drv, 1, 8);
	vb_make(&held[1], VB_IN, 9, 512);
	vb_send(&held[1], 1);
	assert_true(vbf_finish(vb_disk, 0, 0, 0));
	assert_int_equal(vb_take(&held[1], 1), VB_OK);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

/* ---- all at once ---- */

static atomic_bool over;

static void *run_loop(void *arg)
{
	(void)arg;
	event_loop_run(vrig.loop);
	return NULL;
}

static void *finish_at_random(void *arg)
{
	unsigned int seed = 1;

	(void)arg;
	while (!atomic_load(&over)) {
		const unsigned int n = vbf_in_flight(vb_disk);

		if (n)
			vbf_finish(vb_disk, (unsigned int)rand_r(&seed) % n, 0, 0);
		else
			sched_yield();
	}
	vbf_finish_all(vb_disk);
	return NULL;
}

/* Never so small that a request of the driver gets lost. */
static void *resize_again_and_again(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; !atomic_load(&over); i++) {
		vbf_resize(vb_disk, VBF_BYTES + 512 * (uint64_t)(i % 100));
		sched_yield();
	}
	return NULL;
}

static void begin(pthread_t *threads)
{
	vb_restart(&(struct vb_options){.num_queues = QUEUES, .queue_size = 64, .loop = true});
	vdrv_start(&drv, (VB_ALL | VB_F_MQ) & ~VIRTIO_F_EVENT_IDX);
	vb_disk->hold = true;
	atomic_store(&over, false);
	pthread_create(&threads[0], NULL, run_loop, NULL);
	pthread_create(&threads[1], NULL, finish_at_random, NULL);
	pthread_create(&threads[2], NULL, resize_again_and_again, NULL);
}

static void end(pthread_t *threads)
{
	atomic_store(&over, true);
	pthread_join(threads[1], NULL);
	pthread_join(threads[2], NULL);
	/* The loop is needed until nothing is in flight. */
	virtio_device_quiesce(vrig.vdev);
	event_loop_stop(vrig.loop);
	pthread_join(threads[0], NULL);
	assert_int_equal(vbf_in_flight(vb_disk), 0);
	assert_int_equal(vb_disk->beyond, 0);
}

/* IN_FLIGHT of them for each queue, in sectors of their own. */
static void add_all(struct vb_request r[QUEUES][IN_FLIGHT], uint32_t type, uint8_t byte)
{
	for (unsigned int q = 0; q < QUEUES; q++)
		for (unsigned int i = 0; i < IN_FLIGHT; i++) {
			vb_make(&r[q][i], type, q * IN_FLIGHT + i, 512);
			memset(vb_data(&r[q][i]), byte, 512);
			vb_add(&r[q][i], q);
			vdrv_kick(&drv, q);
		}
}

static void take_all(struct vb_request r[QUEUES][IN_FLIGHT])
{
	for (unsigned int q = 0; q < QUEUES; q++) {
		for (unsigned int n = 0; n < IN_FLIGHT;)
			if (vdrv_get(&drv, q, NULL) != VDRV_NO_HEAD)
				n++;
			else
				sched_yield();
		for (unsigned int i = 0; i < IN_FLIGHT; i++)
			assert_int_equal(vb_status(&r[q][i]), VB_OK);
	}
}

static void test_busy_disk(void **state)
{
	struct vb_request r[QUEUES][IN_FLIGHT];
	pthread_t threads[3];

	(void)state;
	begin(threads);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const uint64_t brk = drv.brk;
		const uint8_t byte = (uint8_t)(round + 1);

		add_all(r, VB_OUT, byte);
		take_all(r);
		add_all(r, VB_IN, 0);
		take_all(r);
		for (unsigned int q = 0; q < QUEUES; q++)
			for (unsigned int i = 0; i < IN_FLIGHT; i++)
				vb_expect_bytes(vb_data(&r[q][i]), 512, byte);
		drv.brk = brk;
	}
	end(threads);
}

/* Whatever is in flight, a reset ends it, and memory is the driver's again. */
static void test_resets_of_a_busy_disk(void **state)
{
	struct vb_request r[QUEUES][IN_FLIGHT];
	pthread_t threads[3];

	(void)state;
	begin(threads);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		add_all(r, VB_IN, VB_POISON);
		if (round % 3)
			drv.t->set_status(&drv, 0);
		else
			drv.t->queue_reset(&drv, 0);
		for (unsigned int i = 0; i < IN_FLIGHT; i++)
			memset(vb_data(&r[0][i]), 0, 512);
		drv.brk = RIG_RAM_BASE;
		vdrv_start(&drv, (VB_ALL | VB_F_MQ) & ~VIRTIO_F_EVENT_IDX);
		for (unsigned int i = 0; i < IN_FLIGHT; i++)
			vb_expect_bytes(vb_data(&r[0][i]), 512, 0);
	}
	end(threads);
}

/* Another vCPU that rewrites the ranges while they are looked at, and done one by one. */
static void *flip(void *arg)
{
	static const uint64_t sectors[] = {0, 5, VBF_SECTORS - 1, VBF_SECTORS, UINT64_MAX};
	static const uint64_t sizes[] = {1, VBF_SECTORS, UINT32_MAX, UINT64_C(1) << 33 | 1, 2};
	uint64_t *words = arg;

	for (unsigned int n = 0; !atomic_load_explicit(&over, memory_order_relaxed); n++)
		__atomic_store_n(&words[n % 16], n % 2 ? sizes[n / 3 % 5] : sectors[n / 5 % 5],
			__ATOMIC_RELAXED);
	return NULL;
}

static void test_double_fetch(void **state)
{
	struct vb_request r;
	pthread_t thread;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* a race is the point here */
#endif
	vdrv_start(&drv, VB_ALL);
	vb_make(&r, VB_WRITE_ZEROES, 0, 8 * VB_RANGE);
	r.data = vdrv_alloc(&drv, r.len, 8);
	atomic_store(&over, false);
	pthread_create(&thread, NULL, flip, vb_data(&r));
	for (unsigned int round = 0; round < 20000; round++)
		assert_true(vb_do(&r) <= VB_UNSUPP);
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	assert_int_equal(vb_disk->beyond, 0);
	assert_false(needs_reset());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_BLK(test_2_4_1_reset_waits),
		PER_BLK(test_2_6_1_queue_reset_waits),
		PER_BLK(test_busy_disk),
		PER_BLK(test_resets_of_a_busy_disk),
		PER_BLK(test_double_fetch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
