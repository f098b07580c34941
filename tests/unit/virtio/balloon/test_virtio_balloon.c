/* SPDX-License-Identifier: BSD-2-Clause */
/* The balloon's features, configuration and inflation on each transport (virtio 1.2, 5.5). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "balloon_fixture.h"
#include "vm/core/log.h"

static uint64_t offered(void)
{
	return drv.t->features(&drv, 0) | (uint64_t)drv.t->features(&drv, 1) << 32;
}

static void test_5_5_2_queues_and_features(void **state)
{
	(void)state;
	assert_int_equal(offered(), FEATURES_ALL | FEATURES_BALLOON);
	for (unsigned int q = 0; q <= 5; q++)
		assert_int_equal(drv.t->queue_max(&drv, q), q < 5 ? VIRTIO_BALLOON_QUEUE_SIZE : 0);
	bal.config.deflate_on_oom = bal.config.free_page_reporting = false;
	balloon_restart();
	assert_int_equal(offered(), FEATURES_ALL | VIRTIO_BALLOON_F_STATS_VQ);
	assert_int_equal(drv.t->queue_max(&drv, 2), VIRTIO_BALLOON_QUEUE_SIZE);
	assert_int_equal(drv.t->queue_max(&drv, 3), 0);
}

static void test_5_5_3_any_subset(void **state)
{
	static const uint64_t bits[] = {VIRTIO_BALLOON_F_STATS_VQ, VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
		VIRTIO_BALLOON_F_PAGE_POISON, VIRTIO_BALLOON_F_PAGE_REPORTING};

	(void)state;
	for (unsigned int set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
		uint64_t features = FEATURES_PLAIN;

		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
			features |= set & (1u << i) ? bits[i] : 0;
		balloon_start(features);
		assert_false(needs_reset());
	}
	/* MUST_TELL_HOST and FREE_PAGE_HINT */
	assert_false(vdrv_negotiate(&drv, FEATURES_PLAIN | VIRTIO_BIT(0)));
	assert_false(vdrv_negotiate(&drv, FEATURES_PLAIN | VIRTIO_BIT(3)));
}

static void test_5_5_4_configuration(void **state)
{
	(void)state;
	bal.config.target = 5 * PAGE;
	balloon_restart();
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 5);
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	for (unsigned int size = 1; size <= 4; size *= 2) {
		vdrv_set_cfg(&drv, 0, size, UINT32_MAX);
		vdrv_set_cfg(&drv, 8, size, UINT32_MAX);
	}
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 5);
	assert_int_equal(vdrv_cfg(&drv, 8, 4), 0); /* the command of free page hinting: none */
	for (unsigned int i = 0; i < 4; i++)
		vdrv_set_cfg(&drv, 4 + i, 1, i ? 0 : 0xa5);
	assert_int_equal(vdrv_cfg(&drv, 4, 4), 0xa5);
	assert_int_equal(virtio_balloon_actual(bal.b), 0xa5 * PAGE);
	vdrv_set_cfg(&drv, 4, 4, UINT32_MAX);
	assert_int_equal(vdrv_cfg(&drv, 4, 4), UINT32_MAX);
	assert_int_equal(virtio_balloon_actual(bal.b), RIG_RAM_SIZE + RIG_BYTES);
	/* The next driver starts with an empty one, and with the target. */
	drv.t->set_status(&drv, 0);
	assert_int_equal(virtio_balloon_actual(bal.b), 0);
	assert_int_equal(vdrv_cfg(&drv, 4, 4), 0);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 5);
}

/* What a driver wrote that gave up before DRIVER_OK does not concern the next one. */
static void test_5_5_4_driver_that_gives_up(void **state)
{
	(void)state;
	balloon_negotiate(FEATURES_PLAIN | FEATURES_BALLOON);
	vdrv_set_cfg(&drv, 4, 4, 77);
	vdrv_set_cfg(&drv, 12, 4, 0xaaaaaaaa);
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	assert_int_equal(vdrv_cfg(&drv, 4, 8), 0);
	assert_int_equal(vdrv_cfg(&drv, 12, 4), 0);
}

static void on_notice(void *opaque, enum log_notice notice, const char *device, const char *text)
{
	assert_int_equal(notice, NOTICE_BALLOON);
	assert_string_equal(device, "balloon");
	assert_non_null(strstr(text, " MiB"));
	++*(unsigned int *)opaque;
}

/* Once for each target, whatever the guest does to its account. */
static void test_target_reached_is_told(void **state)
{
	unsigned int told = 0;
	struct log log;

	(void)state;
	log_init(&log, -1, LOG_ERROR, NULL);
	log.notice = on_notice;
	log.notice_opaque = &told;
	bal.config.log = &log;
	bal.config.target = 5 * PAGE;
	balloon_restart();
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	vdrv_set_cfg(&drv, 4, 4, 4);
	assert_int_equal(told, 0);
	vdrv_set_cfg(&drv, 4, 4, 5);
	assert_int_equal(told, 1);
	for (unsigned int i = 0; i < 100; i++)
		vdrv_set_cfg(&drv, 4, 4, i % 10);
	assert_int_equal(told, 1);
	assert_int_equal(virtio_balloon_set_target(bal.b, 9 * PAGE), 0);
	assert_int_equal(virtio_balloon_target(bal.b), 9 * PAGE);
	assert_int_equal(told, 2); /* which is there already */
	assert_int_equal(virtio_balloon_set_target(bal.b, 9 * PAGE), 0);
	assert_int_equal(told, 2);
	assert_int_equal(virtio_balloon_set_target(bal.b, 0), 0);
	assert_int_equal(told, 2);
	vdrv_set_cfg(&drv, 4, 4, 0);
	assert_int_equal(told, 3);
	/* A new machine without a target has nothing to tell. */
	bal.config.target = 0;
	balloon_restart();
	balloon_start(FEATURES_PLAIN | FEATURES_BALLOON);
	vdrv_set_cfg(&drv, 4, 4, 0);
	assert_int_equal(told, 3);
	bal.config.log = NULL;
	balloon_restart();
}

static void test_5_5_6_target(void **state)
{
	uint32_t generation;

	(void)state;
	generation = drv.t->generation(&drv);
	assert_int_equal(virtio_balloon_set_target(bal.b, 3 * PAGE + 1), 0);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 3);
	assert_int_not_equal(drv.t->generation(&drv), generation);
	assert_int_equal(drv.t->take_irq(&drv), 0); /* 2.1.2: not before DRIVER_OK */
	balloon_start(FEATURES_PLAIN);
	generation = drv.t->generation(&drv);
	assert_int_equal(virtio_balloon_set_target(bal.b, 4 * PAGE), 0);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_CONFIG);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 4);
	assert_int_not_equal(drv.t->generation(&drv), generation);
	generation = drv.t->generation(&drv);
	assert_int_equal(virtio_balloon_set_target(bal.b, 4 * PAGE + 5), 0); /* no news */
	assert_int_equal(virtio_balloon_set_target(bal.b, RIG_RAM_SIZE + RIG_BYTES + 1), -EINVAL);
	assert_int_equal(virtio_balloon_set_target(bal.b, UINT64_MAX), -EINVAL);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	assert_int_equal(drv.t->generation(&drv), generation);
	assert_int_equal(virtio_balloon_set_target(bal.b, RIG_RAM_SIZE), 0);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), RAM_PAGES);
}

#define P(n) (RAM_PFN + FREE_PAGES + (n))
#define SEND(q, ...)                                                                               \
	balloon_send(q, (const uint32_t[]){__VA_ARGS__},                                           \
		sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define RUN(n, count)                                                                              \
	{                                                                                          \
		FREE_PAGES + (n), count                                                            \
	}

static void test_5_5_6_2_inflate(void **state)
{
	(void)state;
	balloon_start(FEATURES_PLAIN);
	SEND(INFLATE, P(7));
	EXPECT_RUNS(RUN(7, 1));
	SEND(INFLATE, P(0), P(1), P(2), P(3));
	EXPECT_RUNS(RUN(0, 4));
	SEND(INFLATE, P(9), P(8), P(7), P(6));
	EXPECT_RUNS(RUN(6, 4));
	SEND(INFLATE, P(4), P(5), P(3), P(6), P(20), P(22), P(21), P(1));
	EXPECT_RUNS(RUN(3, 4), RUN(20, 1), RUN(21, 2), RUN(1, 1));
	/* twice in a run, twice in an array, twice at all */
	SEND(INFLATE, P(4), P(4), P(5), P(4), P(30), P(4));
	EXPECT_RUNS(RUN(4, 2), RUN(30, 1), RUN(4, 1));
	SEND(INFLATE, P(4));
	EXPECT_RUNS(RUN(4, 1));
}

/* Longer than what is looked at in one go, where runs end. */
static void test_inflate_long_array(void **state)
{
	uint32_t pfns[1000];

	(void)state;
	balloon_start(FEATURES_PLAIN);
	for (uint32_t i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = P(i % FREE_PAGES);
	balloon_send(INFLATE, pfns, ARRAY_SIZE(pfns));
	EXPECT_RUNS(RUN(0, FREE_PAGES), RUN(0, FREE_PAGES), RUN(0, FREE_PAGES), RUN(0, FREE_PAGES));
	for (uint32_t i = 0; i < 300; i++)
		pfns[i] = P(2 * i % FREE_PAGES);
	balloon_send(INFLATE, pfns, 300);
	assert_int_equal(bal.num_runs, 300);
	assert_int_equal(bal.bytes, 300 * PAGE);
}

/* 2.7.4.1: one byte a descriptor; 13 of them are three numbers. */
static void test_2_7_4_1_inflate_framing(void **state)
{
	const uint32_t pfns[] = {P(3), P(4), P(9), 0};
	struct vdrv_buf bufs[13];

	(void)state;
	balloon_start(FEATURES_PLAIN);
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++) {
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE + i, 1};
		*vrig.bytes[i] = ((const uint8_t *)pfns)[i];
	}
	balloon_request(&drv, INFLATE, bufs, ARRAY_SIZE(bufs), 0);
	EXPECT_RUNS(RUN(3, 2), RUN(9, 1));
}

static void test_inflate_without_an_array(void **state)
{
	const struct vdrv_buf bufs[] = {{RIG_RAM_BASE + 0x10000, 3}, {RIG_RAM_BASE + 0x11000, 64}};
	uint8_t *p = vdrv_at(&drv, bufs[1].gpa, 64);

	(void)state;
	balloon_start(FEATURES_PLAIN);
	memset(p, 0x11, 64);
	balloon_request(&drv, INFLATE, &bufs[0], 1, 0);
	balloon_request(&drv, INFLATE, &bufs[1], 0, 1);
	balloon_request(&drv, INFLATE, bufs, 1, 1);
	balloon_request(&drv, INFLATE, &(struct vdrv_buf){RIG_RAM_BASE, 0}, 1, 0);
	EXPECT_NOTHING();
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(p[i], 0x11);
}

static void test_2_1_2_nothing_before_driver_ok(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x20000, 4};
	const uint32_t pfn = P(2);

	(void)state;
	balloon_negotiate(FEATURES_PLAIN);
	memcpy(vdrv_at(&drv, buf.gpa, 4), &pfn, 4);
	vdrv_add(&drv, INFLATE, &buf, 1, 0, false);
	drv.t->notify(&drv, INFLATE);
	EXPECT_NOTHING();
	vdrv_driver_ok(&drv);
	EXPECT_RUNS(RUN(2, 1));
	assert_int_not_equal(vdrv_get(&drv, INFLATE, NULL), VDRV_NO_HEAD);
}

static void test_inflate_outside_ram(void **state)
{
	struct log log;
	char text[512];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_init(&log, fds[1], LOG_WARN, NULL);
	bal.config.log = &log;
	balloon_restart();
	balloon_start(FEATURES_PLAIN);
	/* before, behind, half of it outside, at the end of all addresses, past 2^32 */
	SEND(INFLATE, P(1), RAM_PFN - 1, P(2), RAM_PFN + RAM_PAGES, RIG_BYTES_BASE / PAGE, P(5), 0,
		UINT32_MAX, P(3), 1u << 31);
	EXPECT_RUNS(RUN(1, 2), RUN(5, 1), RUN(3, 1));
	assert_false(needs_reset());
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "balloon: 6 pages for the balloon are not RAM"));
	close(fds[0]);
	close(fds[1]);
}

static void test_5_5_6_deflate(void **state)
{
	(void)state;
	balloon_start(FEATURES_PLAIN);
	SEND(INFLATE, P(1), P(2));
	EXPECT_RUNS(RUN(1, 2));
	memset(vrig.ram + (FREE_PAGES + 1) * PAGE, 0x55, 2 * PAGE);
	SEND(DEFLATE, P(1), P(2), 0, UINT32_MAX, P(1));
	EXPECT_NOTHING();
	assert_int_equal(vrig.ram[(FREE_PAGES + 2) * PAGE], 0x55);
	assert_false(needs_reset());
}

static bool resident(size_t page)
{
	unsigned char vec;

	assert_int_equal(mincore(vrig.ram + page * PAGE, PAGE, &vec), 0);
	return vec & 1;
}

/* By MADV_DONTNEED: the host has the pages again, and the guest finds zeros. */
static void test_memory_goes_back_and_returns(void **state)
{
	const uint32_t pfns[] = {P(4), P(5), P(8)};
	struct vdrv_buf report = {RIG_RAM_BASE + (FREE_PAGES + 10) * PAGE, 3 * PAGE};

	(void)state;
	bal.config.discard = NULL;
	balloon_restart();
	balloon_start(FEATURES_PLAIN | VIRTIO_BALLOON_F_PAGE_REPORTING);
	memset(vrig.ram + FREE_PAGES * PAGE, 0x77, 16 * PAGE);
	balloon_send(INFLATE, pfns, ARRAY_SIZE(pfns));
	balloon_request(&upper, REPORTING - REPORTING_LINUX, &report, 0, 1);
	for (size_t i = 0; i < 16; i++) {
		const bool given = i == 4 || i == 5 || i == 8 || (i >= 10 && i < 13);

		assert_int_equal(resident(FREE_PAGES + i), !given);
		assert_int_equal(vrig.ram[(FREE_PAGES + i) * PAGE], given ? 0 : 0x77);
		assert_int_equal(vrig.ram[(FREE_PAGES + i + 1) * PAGE - 1], given ? 0 : 0x77);
	}
	balloon_send(DEFLATE, pfns, ARRAY_SIZE(pfns));
	vrig.ram[(FREE_PAGES + 4) * PAGE] = 1;
	assert_true(resident(FREE_PAGES + 4));
}

/* With large pages behind the memory, only whole ones can be given back. */
static void test_large_host_pages(void **state)
{
	const size_t per = 4;
	size_t first = FREE_PAGES; /* the first of a large page */
	uint32_t pfns[10];

	(void)state;
	bal.config.page_size = per * PAGE;
	balloon_restart();
	while ((uintptr_t)(vrig.ram + first * PAGE) % (per * PAGE))
		first++;
	balloon_start(FEATURES_PLAIN);
	for (uint32_t i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = RAM_PFN + (uint32_t)first + i;
	balloon_send(INFLATE, pfns, per - 1);
	balloon_send(INFLATE, pfns + 1, per);
	EXPECT_NOTHING();
	balloon_send(INFLATE, pfns, per);
	EXPECT_RUNS({first, per});
	balloon_send(INFLATE, pfns + 3, 7);
	EXPECT_RUNS({first + per, per});
	balloon_send(INFLATE, pfns, 10);
	EXPECT_RUNS({first, 2 * per});
}

static void test_host_refuses(void **state)
{
	struct log log;
	char text[512];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_init(&log, fds[1], LOG_WARN, NULL);
	bal.config.log = &log;
	balloon_restart();
	balloon_start(FEATURES_PLAIN);
	bal.fail = -EINVAL;
	SEND(INFLATE, P(1));
	assert_false(needs_reset());
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "balloon: cannot give memory back: Invalid argument"));
	bal.fail = 0;
	SEND(INFLATE, P(2));
	EXPECT_RUNS(RUN(2, 1));
	close(fds[0]);
	close(fds[1]);
}

/* All of RAM as the array, with anything in it. */
static void test_hostile_array(void **state)
{
	const struct vdrv_buf all = {RIG_RAM_BASE, RIG_RAM_SIZE};
	uint32_t *words = (uint32_t *)(void *)vrig.ram;

	(void)state;
	srand(11);
	for (size_t i = RIG_RAM_SIZE / 8; i < RIG_RAM_SIZE / 4; i++)
		words[i] = i % 1024 ? (uint32_t)rand() << 12 : P((uint32_t)rand() % FREE_PAGES);
	balloon_start(FEATURES_PLAIN);
	balloon_request(&drv, INFLATE, &all, 1, 0);
	assert_true(bal.num_runs >= 64);
	assert_false(needs_reset());
}

static atomic_bool over;

static void *other_thread(void *arg)
{
	struct virtio_balloon_stats stats;

	(void)arg;
	for (uint64_t i = 0; !atomic_load(&over); i++) {
		virtio_balloon_set_target(bal.b, i % RAM_PAGES * PAGE);
		if (virtio_balloon_actual(bal.b) > RIG_RAM_SIZE)
			abort();
		virtio_balloon_request_stats(bal.b);
		virtio_balloon_stats(bal.b, &stats);
		virtio_balloon_poll_stats(bal.b, i % 2 * NSEC_PER_SEC);
	}
	virtio_balloon_poll_stats(bal.b, 0);
	return NULL;
}

static void test_any_thread(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x30000, 20};
	const uint32_t pfn = P(1);
	pthread_t thread;

	(void)state;
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
	for (unsigned int round = 0; round < 200; round++) {
		balloon_start(FEATURES_PLAIN | VIRTIO_BALLOON_F_STATS_VQ);
		vdrv_add(&drv, STATS, &buf, 1, 0, false);
		drv.t->notify(&drv, STATS);
		memcpy(vdrv_at(&drv, buf.gpa + 64, 4), &pfn, 4);
		vdrv_add(&drv, INFLATE, &(struct vdrv_buf){buf.gpa + 64, 4}, 1, 0, false);
		drv.t->notify(&drv, INFLATE);
		assert_int_not_equal(vdrv_get(&drv, INFLATE, NULL), VDRV_NO_HEAD);
		assert_int_equal(bal.num_runs, 1);
		bal.num_runs = 0;
		vdrv_set_cfg(&drv, 4, 4, 1);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	assert_false(needs_reset());
}

static void test_create_refuses(void **state)
{
	struct virtio_balloon_config config = bal.config;
	struct virtio_balloon *none = NULL;

	(void)state;
	config.page_size = 0;
	assert_int_equal(virtio_balloon_create(&config, &none), -EINVAL);
	config.page_size = PAGE / 2;
	assert_int_equal(virtio_balloon_create(&config, &none), -EINVAL);
	config.page_size = 3 * PAGE;
	assert_int_equal(virtio_balloon_create(&config, &none), -EINVAL);
	config.page_size = PAGE;
	config.target = RIG_RAM_SIZE + RIG_BYTES + 1;
	assert_int_equal(virtio_balloon_create(&config, &none), -EINVAL);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BALLOON(test_5_5_2_queues_and_features),
		BALLOON(test_5_5_3_any_subset),
		BALLOON(test_5_5_4_configuration),
		BALLOON(test_5_5_4_driver_that_gives_up),
		BALLOON(test_target_reached_is_told),
		BALLOON(test_5_5_6_target),
		BALLOON(test_5_5_6_2_inflate),
		BALLOON_MMIO(test_inflate_long_array),
		BALLOON(test_2_7_4_1_inflate_framing),
		BALLOON(test_inflate_without_an_array),
		BALLOON(test_2_1_2_nothing_before_driver_ok),
		BALLOON_MMIO(test_inflate_outside_ram),
		BALLOON(test_5_5_6_deflate),
		BALLOON_MMIO(test_memory_goes_back_and_returns),
		BALLOON_MMIO(test_large_host_pages),
		BALLOON_MMIO(test_host_refuses),
		BALLOON_MMIO(test_hostile_array),
		BALLOON_MMIO(test_any_thread),
		BALLOON_MMIO(test_create_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
