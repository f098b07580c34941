/* SPDX-License-Identifier: BSD-2-Clause */
/* Free page reporting and page poison, and requests too large for one go (virtio 1.2, 5.5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "balloon_fixture.h"

#define GPA(page)     (RIG_RAM_BASE + (uint64_t)(page)*PAGE)
#define FIRST	      FREE_PAGES
#define UPPER(q)      ((q)-REPORTING_LINUX)
#define FEATURES_ONLY (FEATURES_PLAIN | VIRTIO_BALLOON_F_PAGE_REPORTING)

static void report(unsigned int q, uint64_t gpa, uint32_t len)
{
	const struct vdrv_buf buf = {gpa, len};

	balloon_request(&upper, UPPER(q), &buf, 0, 1);
}

static void test_5_5_6_7_report(void **state)
{
	const struct vdrv_buf bufs[] = {
		{GPA(FIRST), 2 * PAGE}, {GPA(FIRST + 2), PAGE}, {GPA(FIRST + 9), 4 * PAGE}};

	(void)state;
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	balloon_request(&upper, UPPER(REPORTING), bufs, 0, 3);
	EXPECT_RUNS({FIRST, 2}, {FIRST + 2, 1}, {FIRST + 9, 4});
	/* 2.7.5.1: what may only be read is not touched */
	balloon_request(&upper, UPPER(REPORTING), bufs, 3, 0);
	EXPECT_NOTHING();
	balloon_request(&upper, UPPER(REPORTING), bufs, 1, 2);
	EXPECT_RUNS({FIRST + 2, 1}, {FIRST + 9, 4});
	assert_false(needs_reset());
}

static void test_report_partial_pages(void **state)
{
	(void)state;
	balloon_start(FEATURES_ONLY);
	report(REPORTING, GPA(FIRST) + 1, 3 * PAGE - 1);
	EXPECT_RUNS({FIRST + 1, 2});
	report(REPORTING, GPA(FIRST), 3 * PAGE - 1);
	EXPECT_RUNS({FIRST, 2});
	report(REPORTING, GPA(FIRST) + 1, 3 * PAGE - 2);
	EXPECT_RUNS({FIRST + 1, 1});
	report(REPORTING, GPA(FIRST), PAGE - 1);
	report(REPORTING, GPA(FIRST) + 1, PAGE);
	report(REPORTING, GPA(FIRST) + 1, 2 * PAGE - 2);
	report(REPORTING, GPA(FIRST), 0);
	report(REPORTING, GPA(FIRST) + 77, 1);
	EXPECT_NOTHING();
	report(REPORTING, RIG_BYTES_BASE, RIG_BYTES);
	EXPECT_NOTHING();
	assert_false(needs_reset());
}

static void test_report_large_host_pages(void **state)
{
	const size_t per = 8;
	size_t first = FIRST;

	(void)state;
	bal.config.page_size = per * PAGE;
	balloon_restart();
	while ((uintptr_t)(vrig.ram + first * PAGE) % (per * PAGE))
		first++;
	balloon_start(FEATURES_ONLY);
	report(REPORTING, GPA(first), per * PAGE);
	EXPECT_RUNS({first, per});
	report(REPORTING, GPA(first + 1), (2 * per - 1) * PAGE);
	EXPECT_RUNS({first + per, per});
	report(REPORTING, GPA(first + 1), (2 * per - 2) * PAGE);
	EXPECT_NOTHING();
}

/* 5.5.2 says 4; Linux does not count queues that it does not have. */
static void test_5_5_2_number_of_the_queue(void **state)
{
	const struct vdrv_buf buf = {GPA(FIRST + 3), PAGE};

	(void)state;
	balloon_start(FEATURES_ONLY);
	report(REPORTING, buf.gpa, buf.len);
	EXPECT_RUNS({FIRST + 3, 1});

	balloon_negotiate(FEATURES_ONLY | VIRTIO_BALLOON_F_STATS_VQ);
	balloon_upper_setup(REPORTING_LINUX);
	vdrv_driver_ok(&drv);
	report(REPORTING_LINUX, buf.gpa, buf.len);
	EXPECT_RUNS({FIRST + 3, 1});

	balloon_negotiate(FEATURES_ONLY);
	vdrv_queue_setup(&drv, STATS, VIRTIO_BALLOON_QUEUE_SIZE);
	vdrv_driver_ok(&drv);
	balloon_request(&drv, STATS, &buf, 0, 1);
	EXPECT_RUNS({FIRST + 3, 1});
	assert_false(needs_reset());
}

static void test_5_5_2_queue_not_negotiated(void **state)
{
	const struct vdrv_buf buf = {GPA(FIRST), PAGE};

	(void)state;
	for (unsigned int q = STATS; q <= REPORTING; q++) {
		struct vdrv *d = q == STATS ? &drv : &upper;

		balloon_negotiate(FEATURES_PLAIN);
		vdrv_queue_setup(d, q == STATS ? STATS : UPPER(q), VIRTIO_BALLOON_QUEUE_SIZE);
		vdrv_driver_ok(&drv);
		vdrv_add(d, q == STATS ? STATS : UPPER(q), &buf, 0, 1, false);
		drv.t->notify(&drv, q);
		assert_true(needs_reset());
		EXPECT_NOTHING();
	}
	balloon_start(FEATURES_ONLY);
	assert_false(needs_reset());
	report(REPORTING, buf.gpa, buf.len);
	EXPECT_RUNS({FIRST, 1});
}

static void set_poison(uint32_t value)
{
	vdrv_set_cfg(&drv, 12, 4, value);
}

static void test_5_5_6_7_2_poison(void **state)
{
	const uint32_t pfn = RAM_PFN + FIRST;

	(void)state;
	balloon_negotiate(FEATURES_PLAIN | FEATURES_BALLOON);
	set_poison(0xaaaaaaaa);
	vdrv_driver_ok(&drv);
	/* Reported pages keep their value; those of the balloon need not. */
	report(REPORTING, GPA(FIRST), 4 * PAGE);
	EXPECT_NOTHING();
	balloon_send(INFLATE, &pfn, 1);
	EXPECT_RUNS({FIRST, 1});
	/* 5.5.6.6.1: nothing to be changed any more */
	set_poison(0);
	assert_int_equal(vdrv_cfg(&drv, 12, 4), 0xaaaaaaaa);
	report(REPORTING, GPA(FIRST), 4 * PAGE);
	EXPECT_NOTHING();
	/* The next driver does without. */
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
}

static void test_5_5_6_7_2_poison_of_zeros(void **state)
{
	(void)state;
	balloon_negotiate(FEATURES_PLAIN | FEATURES_BALLOON);
	set_poison(0x01000000);
	set_poison(0);
	vdrv_driver_ok(&drv);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
}

static void test_5_5_4_poison_not_negotiated(void **state)
{
	(void)state;
	balloon_negotiate(FEATURES_ONLY);
	set_poison(0xaaaaaaaa);
	assert_int_equal(vdrv_cfg(&drv, 12, 4), 0);
	vdrv_driver_ok(&drv);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
	/* nor before FEATURES_OK */
	drv.t->set_status(&drv, 0);
	set_poison(0xaaaaaaaa);
	assert_int_equal(vdrv_cfg(&drv, 12, 4), 0);
}

/* All of RAM, with the rings in it: they are zeros from then on. */
static void test_report_everything(void **state)
{
	const struct vdrv_buf all = {RIG_RAM_BASE, RIG_RAM_SIZE};

	(void)state;
	bal.config.discard = NULL;
	balloon_restart();
	balloon_start(FEATURES_ONLY);
	vdrv_add(&upper, UPPER(REPORTING), &all, 0, 1, false);
	drv.t->notify(&drv, REPORTING);
	balloon_start(FEATURES_ONLY);
	assert_false(needs_reset());
	memset(vrig.ram + FIRST * PAGE, 5, PAGE);
	report(REPORTING, GPA(FIRST), PAGE);
	assert_int_equal(vrig.ram[FIRST * PAGE], 0);
}

/* One go of the loop; returns the bytes that were given back in it. */
static size_t step(void)
{
	const size_t before = bal.bytes;

	assert_int_equal(event_loop_step(vrig.loop, 0), 1);
	assert_true(bal.bytes - before <= 2 * (size_t)VIRTIO_BALLOON_PASS_BYTES);
	return bal.bytes - before;
}

static void start_with_loop(uint64_t big)
{
	bal.loop = true;
	bal.big = big;
	balloon_restart();
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
}

static void test_large_report_in_passes(void **state)
{
	const struct vdrv_buf bufs[] = {
		{BIG_BASE, 0x7000000}, {BIG_BASE + 0x7000000, 0x9000000}, {GPA(FIRST), PAGE}};
	uint32_t len;

	(void)state;
	start_with_loop(0x10000000);
	vdrv_add(&upper, UPPER(REPORTING), bufs, 0, 3, false);
	vdrv_kick(&upper, UPPER(REPORTING));
	for (size_t n = 0; n < 8; n++) {
		assert_int_equal(vdrv_get(&upper, UPPER(REPORTING), NULL), VDRV_NO_HEAD);
		assert_true(step() > 0);
	}
	rig_run(&vrig);
	assert_int_equal(bal.bytes, 0x10000000 + PAGE);
	assert_int_equal(vdrv_get(&upper, UPPER(REPORTING), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(event_loop_step(vrig.loop, 0), 0);
	for (size_t i = 0, page = 0; i + 1 < bal.num_runs; page += bal.runs[i++].count)
		assert_int_equal(bal.runs[i].page, page);
}

/* Many chains, each of them short. */
static void test_many_reports_in_passes(void **state)
{
	unsigned int done = 0;

	(void)state;
	start_with_loop(0x10000000);
	for (unsigned int i = 0; i < VIRTIO_BALLOON_QUEUE_SIZE; i++)
		vdrv_add(&upper, UPPER(REPORTING),
			&(struct vdrv_buf){BIG_BASE + i * 0x800000ull, 0x800000}, 0, 1, false);
	vdrv_kick(&upper, UPPER(REPORTING));
	assert_true(step() > 0);
	while (vdrv_get(&upper, UPPER(REPORTING), NULL) != VDRV_NO_HEAD)
		done++;
	assert_true(done > 0 && done < VIRTIO_BALLOON_QUEUE_SIZE / 2);
	while (event_loop_step(vrig.loop, 0) > 0)
		while (vdrv_get(&upper, UPPER(REPORTING), NULL) != VDRV_NO_HEAD)
			done++;
	assert_int_equal(done, VIRTIO_BALLOON_QUEUE_SIZE);
	assert_int_equal(bal.bytes, 0x10000000);
}

/* Single pages cost a system call each: fewer of them in a pass. */
static void test_large_inflation_in_passes(void **state)
{
	const struct vdrv_buf buf = {GPA(96), 16 * PAGE};
	uint32_t *pfns;
	unsigned int passes = 0;

	(void)state;
	start_with_loop(0x10000000);
	pfns = (uint32_t *)(void *)vdrv_at(&drv, buf.gpa, buf.len);
	for (uint32_t i = 0; i < buf.len / 4; i++)
		pfns[i] = BIG_BASE / PAGE + 2 * i;
	vdrv_add(&drv, INFLATE, &buf, 1, 0, false);
	vdrv_kick(&drv, INFLATE);
	while (vdrv_get(&drv, INFLATE, NULL) == VDRV_NO_HEAD) {
		step();
		assert_true(bal.num_runs <= 512);
		bal.num_runs = 0;
		passes++;
	}
	assert_true(passes >= 16);
	assert_int_equal(bal.bytes, 16 * PAGE / 4 * PAGE);
}

/* 2.4.1: a report that is half done ends there. */
static void test_2_4_1_reset_with_a_chain_held(void **state)
{
	const struct vdrv_buf big = {BIG_BASE, 0x10000000};
	size_t bytes;

	(void)state;
	start_with_loop(0x10000000);
	vdrv_add(&upper, UPPER(REPORTING), &big, 0, 1, false);
	vdrv_kick(&upper, UPPER(REPORTING));
	bytes = step();
	drv.t->set_status(&drv, 0);
	assert_int_equal(drv.t->status(&drv), 0);
	rig_run(&vrig);
	assert_int_equal(bal.bytes, bytes);
	assert_int_equal(vdrv_get(&upper, UPPER(REPORTING), NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	bal.num_runs = bal.bytes = 0;
	balloon_start(FEATURES_ONLY);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
}

static void test_2_6_1_queue_reset_with_a_chain_held(void **state)
{
	const struct vdrv_buf big = {BIG_BASE, 0x10000000};
	size_t bytes;

	(void)state;
	start_with_loop(0x10000000);
	balloon_start(FEATURES_ONLY | VIRTIO_F_RING_RESET);
	vdrv_add(&upper, UPPER(REPORTING), &big, 0, 1, false);
	vdrv_kick(&upper, UPPER(REPORTING));
	bytes = step();
	drv.t->queue_reset(&drv, REPORTING);
	assert_false(drv.t->queue_enabled(&drv, REPORTING));
	rig_run(&vrig);
	assert_int_equal(bal.bytes, bytes);
	bal.num_runs = bal.bytes = 0;
	balloon_upper_setup(REPORTING);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
}

/* The device ends in the middle of it. */
static void test_end_with_a_chain_held(void **state)
{
	const struct vdrv_buf big = {BIG_BASE, 0x10000000};

	(void)state;
	start_with_loop(0x10000000);
	vdrv_add(&upper, UPPER(REPORTING), &big, 0, 1, false);
	vdrv_kick(&upper, UPPER(REPORTING));
	assert_true(step() < big.len);
	bal.loop = false;
	balloon_restart();
	bal.num_runs = bal.bytes = 0;
	balloon_start(FEATURES_ONLY);
	report(REPORTING, GPA(FIRST), PAGE);
	EXPECT_RUNS({FIRST, 1});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BALLOON(test_5_5_6_7_report),
		BALLOON_MMIO(test_report_partial_pages),
		BALLOON_MMIO(test_report_large_host_pages),
		BALLOON(test_5_5_2_number_of_the_queue),
		BALLOON(test_5_5_2_queue_not_negotiated),
		BALLOON(test_5_5_6_7_2_poison),
		BALLOON(test_5_5_6_7_2_poison_of_zeros),
		BALLOON(test_5_5_4_poison_not_negotiated),
		BALLOON_MMIO(test_report_everything),
		BALLOON(test_large_report_in_passes),
		BALLOON(test_many_reports_in_passes),
		BALLOON(test_large_inflation_in_passes),
		BALLOON(test_2_4_1_reset_with_a_chain_held),
		BALLOON(test_2_6_1_queue_reset_with_a_chain_held),
		BALLOON_MMIO(test_end_with_a_chain_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
