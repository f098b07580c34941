/* SPDX-License-Identifier: BSD-2-Clause */
/* The balloon's statistics on each transport (virtio 1.2, 5.5.6.3 and 5.5.6.4). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "balloon_fixture.h"

#define FEATURES_STATS (FEATURES_PLAIN | VIRTIO_BALLOON_F_STATS_VQ)

enum { STAT_SIZE = 10, BUF = RIG_RAM_BASE + 0x60000 };

/* Writes an entry at place n of the buffer. */
static void entry(unsigned int n, uint16_t tag, uint64_t value)
{
	uint8_t *p = vdrv_at(&drv, BUF + n * STAT_SIZE, STAT_SIZE);

	memcpy(p, &tag, sizeof(tag));
	memcpy(p + sizeof(tag), &value, sizeof(value));
}

/* Makes len bytes of the buffer available. They are kept: nothing is used. */
static void give(uint32_t len)
{
	const struct vdrv_buf buf = {BUF, len};

	vdrv_add(&drv, STATS, &buf, 1, 0, false);
	vdrv_kick(&drv, STATS);
	assert_int_equal(vdrv_get(&drv, STATS, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static struct virtio_balloon_stats stats(void)
{
	struct virtio_balloon_stats s;

	virtio_balloon_stats(bal.b, &s);
	return s;
}

/* The driver is being asked, and takes its buffer. */
static void expect_asked(void)
{
	uint32_t len = UINT32_MAX;

	assert_int_not_equal(vdrv_get(&drv, STATS, &len), VDRV_NO_HEAD);
	assert_int_equal(len, 0);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

static void expect_not_asked(void)
{
	assert_int_equal(vdrv_get(&drv, STATS, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_5_5_6_3_any_order(void **state)
{
	struct virtio_balloon_stats s;
	unsigned int n = 0;

	(void)state;
	balloon_start(FEATURES_STATS);
	assert_int_equal(stats().valid, 0);
	entry(n++, 16, 0xbad);
	for (unsigned int i = VIRTIO_BALLOON_NUM_STATS; i--;)
		entry(n++, (uint16_t)i, 0x0102030405060700 + i);
	entry(n++, 0xffff, 0xbad);
	entry(n++, 0x0100, 0xbad);
	give(n * STAT_SIZE);
	s = stats();
	assert_int_equal(s.generation, 1);
	assert_int_equal(s.valid, 0xffff);
	for (unsigned int i = 0; i < VIRTIO_BALLOON_NUM_STATS; i++)
		assert_int_equal(s.value[i], 0x0102030405060700 + i);
	assert_int_equal(bal.stats_changed, 1);
}

static void test_5_5_6_3_subsets(void **state)
{
	(void)state;
	balloon_start(FEATURES_STATS);
	entry(0, VIRTIO_BALLOON_S_MEMFREE, 4);
	entry(1, VIRTIO_BALLOON_S_MEMTOT, UINT64_MAX);
	entry(2, VIRTIO_BALLOON_S_MEMTOT, 5);
	give(3 * STAT_SIZE);
	assert_int_equal(
		stats().valid, 1u << VIRTIO_BALLOON_S_MEMFREE | 1u << VIRTIO_BALLOON_S_MEMTOT);
	assert_int_equal(stats().value[VIRTIO_BALLOON_S_MEMTOT], 5);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
	entry(0, VIRTIO_BALLOON_S_AVAIL, 6);
	give(STAT_SIZE);
	assert_int_equal(stats().valid, 1u << VIRTIO_BALLOON_S_AVAIL);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
	give(0);
	assert_int_equal(stats().valid, 0);
	assert_int_equal(stats().generation, 3);
	assert_int_equal(bal.stats_changed, 3);
}

static void test_request(void **state)
{
	(void)state;
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	balloon_negotiate(FEATURES_STATS);
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	vdrv_driver_ok(&drv);
	/* The first buffer is on its way: nothing to be asked for. */
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	give(0);
	for (unsigned int round = 0; round < 100; round++) {
		assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
		expect_asked();
		assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
		expect_not_asked();
		assert_int_equal(stats().generation, 1 + round);
		give(STAT_SIZE);
	}
	drv.t->set_status(&drv, 0);
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	balloon_start(FEATURES_PLAIN);
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
}

/* The queue is the one for reports then; a report is no statistics. */
static void test_request_without_the_feature(void **state)
{
	const struct vdrv_buf buf = {BUF, PAGE};

	(void)state;
	balloon_negotiate(FEATURES_PLAIN | VIRTIO_BALLOON_F_PAGE_REPORTING);
	vdrv_queue_setup(&drv, STATS, VIRTIO_BALLOON_QUEUE_SIZE);
	vdrv_driver_ok(&drv);
	balloon_request(&drv, STATS, &buf, 0, 1);
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	assert_int_equal(stats().generation, 0);
}

static void test_lengths(void **state)
{
	(void)state;
	for (uint32_t len = 0; len <= 35; len++) {
		balloon_start(FEATURES_STATS);
		for (unsigned int i = 0; i < 4; i++)
			entry(i, (uint16_t)i, 100 + i);
		give(len);
		assert_int_equal(stats().valid, (1u << len / STAT_SIZE) - 1);
		assert_false(needs_reset());
	}
}

static void test_2_7_4_1_framing(void **state)
{
	struct vdrv_buf bufs[25];
	uint8_t bytes[25] = {VIRTIO_BALLOON_S_CACHES, 0, 1, 2, 3, 4, 5, 6, 7, 8,
		VIRTIO_BALLOON_S_MAJFLT, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1};

	(void)state;
	balloon_start(FEATURES_STATS);
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++) {
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE + i, 1};
		*vrig.bytes[i] = bytes[i];
	}
	vdrv_add(&drv, STATS, bufs, ARRAY_SIZE(bufs), 0, false);
	vdrv_kick(&drv, STATS);
	assert_int_equal(
		stats().valid, 1u << VIRTIO_BALLOON_S_CACHES | 1u << VIRTIO_BALLOON_S_MAJFLT);
	assert_int_equal(stats().value[VIRTIO_BALLOON_S_CACHES], 0x0807060504030201);
	assert_int_equal(stats().value[VIRTIO_BALLOON_S_MAJFLT], 9);
}

/* Only so much of a long buffer is looked at. */
static void test_long_buffer(void **state)
{
	(void)state;
	balloon_start(FEATURES_STATS);
	for (unsigned int i = 0; i < 63; i++)
		entry(i, 0xffff, 0);
	entry(63, VIRTIO_BALLOON_S_MEMFREE, 1);
	entry(64, VIRTIO_BALLOON_S_MEMTOT, 2);
	give(0x80000);
	assert_int_equal(stats().valid, 1u << VIRTIO_BALLOON_S_MEMFREE);
}

static void test_4_gib_buffer(void **state)
{
	const struct vdrv_buf buf = {BIG_BASE, UINT32_MAX};

	(void)state;
	bal.big = 4 * GiB;
	balloon_restart();
	balloon_start(FEATURES_STATS);
	vdrv_add(&drv, STATS, &buf, 1, 0, false);
	vdrv_kick(&drv, STATS);
	assert_int_equal(stats().valid, 1u << VIRTIO_BALLOON_S_SWAP_IN); /* zeros */
	assert_false(needs_reset());
	/* Where there is no such memory, it is the driver's error. */
	bal.big = 0;
	balloon_restart();
	balloon_start(FEATURES_STATS);
	vdrv_add(&drv, STATS, &buf, 1, 0, false);
	vdrv_kick(&drv, STATS);
	assert_true(needs_reset());
	assert_int_equal(stats().generation, 0);
}

static void test_writable_buffer(void **state)
{
	const struct vdrv_buf buf = {BUF, STAT_SIZE};

	(void)state;
	balloon_start(FEATURES_STATS);
	entry(0, 1, 1);
	vdrv_add(&drv, STATS, &buf, 0, 1, false);
	vdrv_kick(&drv, STATS);
	assert_int_equal(stats().valid, 0);
	assert_int_equal(*vdrv_at(&drv, BUF, 1), 1);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
}

static void test_5_5_6_3_1_two_buffers(void **state)
{
	const struct vdrv_buf buf = {BUF, STAT_SIZE};

	(void)state;
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	vdrv_add(&drv, STATS, &buf, 1, 0, false);
	vdrv_kick(&drv, STATS);
	assert_true(needs_reset());
	assert_int_equal(stats().generation, 1);
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	balloon_start(FEATURES_STATS);
	assert_false(needs_reset());
	give(STAT_SIZE);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
}

/* 2.4.1: the buffer that is kept goes with the driver, and what it said too. */
static void test_2_4_1_reset_with_the_buffer_kept(void **state)
{
	(void)state;
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	assert_int_not_equal(stats().valid, 0);
	drv.t->set_status(&drv, 0);
	assert_int_equal(drv.t->status(&drv), 0);
	assert_int_equal(stats().valid, 0);
	expect_not_asked();
	balloon_start(FEATURES_STATS);
	expect_not_asked();
	give(STAT_SIZE);
	assert_int_equal(stats().generation, 2);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
}

static void test_2_6_1_queue_reset_with_the_buffer_kept(void **state)
{
	(void)state;
	balloon_start(FEATURES_STATS | VIRTIO_F_RING_RESET);
	give(STAT_SIZE);
	drv.t->queue_reset(&drv, STATS);
	assert_false(drv.t->queue_enabled(&drv, STATS));
	assert_int_equal(virtio_balloon_request_stats(bal.b), -EAGAIN);
	expect_not_asked();
	vdrv_queue_setup(&drv, STATS, 2);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_not_asked();
	give(STAT_SIZE);
	assert_int_equal(virtio_balloon_request_stats(bal.b), 0);
	expect_asked();
}

static void test_poll(void **state)
{
	(void)state;
	virtio_balloon_poll_stats(bal.b, 2 * NSEC_PER_SEC);
	assert_int_equal(fake_clock_armed(&bal.clock), 0); /* nobody to ask */
	balloon_start(FEATURES_STATS);
	assert_int_equal(fake_clock_armed(&bal.clock), 1);
	give(STAT_SIZE);
	for (unsigned int round = 0; round < 5; round++) {
		fake_clock_advance(&bal.clock, 2 * NSEC_PER_SEC - 1);
		expect_not_asked();
		fake_clock_advance(&bal.clock, 1);
		expect_asked();
		give(STAT_SIZE);
	}
	assert_int_equal(stats().generation, 6);
	/* A driver that takes its time is not asked again. */
	fake_clock_advance(&bal.clock, 2 * NSEC_PER_SEC);
	expect_asked();
	fake_clock_advance(&bal.clock, 20 * NSEC_PER_SEC);
	expect_not_asked();
	give(STAT_SIZE);
	fake_clock_advance(&bal.clock, 2 * NSEC_PER_SEC);
	expect_asked();
	/* more often */
	give(STAT_SIZE);
	virtio_balloon_poll_stats(bal.b, NSEC_PER_SEC);
	fake_clock_advance(&bal.clock, NSEC_PER_SEC);
	expect_asked();
	/* nobody wants to know */
	give(STAT_SIZE);
	virtio_balloon_poll_stats(bal.b, 0);
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
	fake_clock_advance(&bal.clock, 100 * NSEC_PER_SEC);
	expect_not_asked();
}

static void test_poll_across_drivers(void **state)
{
	(void)state;
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	virtio_balloon_poll_stats(bal.b, NSEC_PER_SEC);
	assert_int_equal(fake_clock_armed(&bal.clock), 1);
	drv.t->set_status(&drv, 0);
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
	balloon_start(FEATURES_PLAIN); /* one without statistics */
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	fake_clock_advance(&bal.clock, NSEC_PER_SEC);
	expect_asked();
	/* and the device may end with the timer running: see tear_down */
	assert_int_equal(fake_clock_armed(&bal.clock), 1);
}

/* A timer that was about to run when it was disarmed. */
static void test_poll_too_late(void **state)
{
	struct timer *timer;

	(void)state;
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	virtio_balloon_poll_stats(bal.b, NSEC_PER_SEC);
	timer = bal.clock.first;
	virtio_balloon_poll_stats(bal.b, 0);
	timer->fn(timer->opaque);
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
	expect_not_asked();
	virtio_balloon_poll_stats(bal.b, NSEC_PER_SEC);
	drv.t->set_status(&drv, 0);
	timer->fn(timer->opaque);
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
}

static void *run_loop(void *arg)
{
	event_loop_run(arg);
	return NULL;
}

/* Timer and kicks on the loop's thread; the device ends while it is being polled. */
static void test_poll_for_real(void **state)
{
	const struct vdrv_buf buf = {BUF, STAT_SIZE};
	pthread_t thread;

	(void)state;
	bal.loop = bal.real_clock = true;
	balloon_restart();
	assert_int_equal(pthread_create(&thread, NULL, run_loop, vrig.loop), 0);
	balloon_start(FEATURES_STATS);
	virtio_balloon_poll_stats(bal.b, 20 * NSEC_PER_USEC);
	for (unsigned int round = 0; round < 20; round++) {
		vdrv_add(&drv, STATS, &buf, 1, 0, false);
		vdrv_kick(&drv, STATS);
		while (vdrv_get(&drv, STATS, NULL) == VDRV_NO_HEAD)
			usleep(10);
		assert_int_equal(stats().generation, round + 1);
	}
	vdrv_add(&drv, STATS, &buf, 1, 0, false);
	vdrv_kick(&drv, STATS);
	rig_unplug(&vrig);
	event_loop_stop(vrig.loop);
	pthread_join(thread, NULL);
}

static void test_without_a_listener(void **state)
{
	(void)state;
	bal.config.stats_changed = NULL;
	balloon_restart();
	balloon_start(FEATURES_STATS);
	give(STAT_SIZE);
	assert_int_equal(stats().generation, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BALLOON(test_5_5_6_3_any_order),
		BALLOON(test_5_5_6_3_subsets),
		BALLOON(test_request),
		BALLOON_MMIO(test_request_without_the_feature),
		BALLOON_MMIO(test_lengths),
		BALLOON(test_2_7_4_1_framing),
		BALLOON_MMIO(test_long_buffer),
		BALLOON_MMIO(test_4_gib_buffer),
		BALLOON_MMIO(test_writable_buffer),
		BALLOON(test_5_5_6_3_1_two_buffers),
		BALLOON(test_2_4_1_reset_with_the_buffer_kept),
		BALLOON(test_2_6_1_queue_reset_with_the_buffer_kept),
		BALLOON(test_poll),
		BALLOON(test_poll_across_drivers),
		BALLOON_MMIO(test_poll_too_late),
		BALLOON_MMIO(test_poll_for_real),
		BALLOON_MMIO(test_without_a_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
