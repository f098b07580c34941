/* SPDX-License-Identifier: BSD-2-Clause */
/* When requests begin and end: batches, flushes, what waits for what. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk_fake.h"
#include "vm/core/log.h"

static void test_batch_is_one_call(void **state)
{
	struct blk_fake *f = *state;
	struct test_request t[16];

	f->sys.direct.block = 512;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	for (unsigned int i = 0; i < 16; i++) {
		test_request_init(&t[i], BLK_WRITE, 4096 * i, f->buf + 4096 * i, 4096);
		blk_submit(f->blk, &t[i].req);
	}
	blk_commit(f->blk);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_AIO_SUBMIT), 1);
	/* Finished at once, and found without going through the loop. */
	assert_int_equal(blk_poll(f->blk), 16);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_PWRITEV), 0);
}

/* A lost write cache is not forgotten, whoever flushes. */
static void test_failed_flush_stays(void **state)
{
	struct blk_fake *f = *state;
	static const enum blk_cache caches[] = {
		BLK_CACHE_NONE, BLK_CACHE_WRITEBACK, BLK_CACHE_WRITETHROUGH};
	unsigned int calls;

	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		blk_fake_open(f, caches[i], BLK_AIO_AUTO);
		assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		if (caches[i] != BLK_CACHE_WRITETHROUGH)
			assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096), 0);
		fake_sys_fail(&f->sys, FAKE_FDATASYNC, 0, 1, -EIO);
		if (caches[i] == BLK_CACHE_WRITETHROUGH)
			assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096), -EIO);
		else
			assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
		calls = fake_sys_calls(&f->sys, FAKE_FDATASYNC);
		for (int k = 0; k < 3; k++) {
			blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096);
			assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
		}
		assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), calls);
		assert_int_equal(blk_do(f->blk, BLK_READ, 0, 0, f->buf, 4096), 0);
	}
}

/* It is said once, with the disk's name: what the guest wrote may be lost. */
static void test_failed_flush_is_said(void **state)
{
	struct blk_fake *f = *state;
	struct log log;
	const struct blk_config config = {.path = f->file.path, .log = &log, .sys = &f->sys.table};
	char text[512] = "";
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	log_init(&log, fd[1], LOG_WARN, NULL);
	assert_int_equal(blk_raw_create(&config, &f->blk, NULL), 0);
	fake_sys_fail(&f->sys, FAKE_FDATASYNC, 0, 1, -EIO);
	for (int k = 0; k < 2; k++) {
		blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096);
		assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	}
	assert_true(read(fd[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, f->file.path));
	assert_null(strstr(strstr(text, f->file.path) + 1, f->file.path));
	close(fd[0]);
	close(fd[1]);
}

static void test_void_flushes(void **state)
{
	struct blk_fake *f = *state;

	blk_fake_open(f, BLK_CACHE_WRITEBACK, BLK_AIO_AUTO);
	/* The first one counts: who knows what was written before. Then there is nothing new. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 1);

	blk_fake_open(f, BLK_CACHE_UNSAFE, BLK_AIO_AUTO);
	blk_do(f->blk, BLK_WRITE, BLK_FUA, 0, f->buf, 512);
	assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 1);

	/* Where writes need none; those that libaio does not do are flushed all the same. */
	f->sys.direct = (struct blk_direct){.block = 512, .align = 512, .write_through = true};
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	assert_false(f->blk->info.write_cache);
	assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 512), 0);
	assert_int_equal(blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 2);
	assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 100), 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 3);
}

/* One at a time, and all that came meanwhile share the next one. */
static void test_flushes_are_shared(void **state)
{
	struct blk_fake *f = *state;
	struct test_request t[5];

	f->sys.no_fdsync = true; /* so that it is a call which can be held */
	f->sys.hold = true;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	test_request_init(&t[0], BLK_FLUSH, 0, NULL, 0);
	blk_submit(f->blk, &t[0].req);
	blk_commit(f->blk);
	fake_sys_wait_blocked(&f->sys, 1);
	for (int i = 1; i < 5; i++) {
		test_request_init(
			&t[i], i == 1 ? BLK_WRITE : BLK_FLUSH, 0, f->buf, i == 1 ? 4096 : 0);
		blk_submit(f->blk, &t[i].req);
		blk_commit(f->blk);
		blk_poll(f->blk);
		/* The write is done; a flush that began before it does not cover it. */
		assert_int_equal(t[i].done, i == 1);
	}
	fake_sys_let_go(&f->sys);
	blk_drain(f->blk);
	for (int i = 0; i < 5; i++)
		assert_int_equal(t[i].done, 1);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 2);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_AIO_SUBMIT), 3);
}

/* By libaio where that can: no thread is made for it. */
static void test_native_flush(void **state)
{
	struct blk_fake *f = *state;
	struct test_request t;

	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	f->sys.manual = true;
	test_request_init(&t, BLK_FLUSH, 0, NULL, 0);
	blk_submit(f->blk, &t.req);
	blk_commit(f->blk);
	assert_int_equal(blk_poll(f->blk), 0);
	assert_true(fake_sys_complete(&f->sys, 0));
	assert_int_equal(blk_poll(f->blk), 1);
	assert_int_equal(t.error, 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 1);
}

/* A write of half a block waits for those that are in flight, and later ones for it. */
static void test_halves_of_a_block(void **state)
{
	struct blk_fake *f = *state;
	struct test_request whole, half, other, late;
	uint8_t back[4096];

	f->sys.direct.block = 4096;
	f->sys.manual = true;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	test_request_init(&whole, BLK_WRITE, 0, f->buf, 4096);
	memset(f->buf + 4096, 0x99, 512);
	test_request_init(&half, BLK_WRITE, 512, f->buf + 4096, 512);
	test_request_init(&late, BLK_READ, 4096, f->buf + 8192, 512);
	blk_submit(f->blk, &whole.req);
	blk_submit(f->blk, &half.req);
	blk_submit(f->blk, &late.req);
	blk_commit(f->blk);
	while (!late.done)
		blk_poll(f->blk);
	/* Both go through the pool, and the read, which has nothing to wait for, came second. */
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_PREADV), 1);
	assert_true(fake_sys_complete(&f->sys, 0));
	blk_drain(f->blk);
	assert_int_equal(whole.done + half.done, 2);
	vd_read(f->sys.disk, 0, back, 4096);
	assert_int_equal(back[0], 0x42);
	assert_int_equal(back[512], 0x99);
	assert_int_equal(back[1024], 0x42);

	f->sys.hold = true;
	test_request_init(&half, BLK_WRITE, 512, f->buf + 4096, 512);
	test_request_init(&whole, BLK_WRITE, 0, f->buf, 4096);
	test_request_init(&other, BLK_WRITE, 8192, f->buf, 4096);
	test_request_init(&late, BLK_READ, 4096, f->buf + 8192, 4096);
	blk_submit(f->blk, &half.req);
	blk_submit(f->blk, &whole.req);
	blk_submit(f->blk, &other.req);
	blk_submit(f->blk, &late.req);
	blk_commit(f->blk);
	fake_sys_wait_blocked(&f->sys, 1);
	/* Only the read does not wait. */
	assert_int_equal(fake_sys_in_flight(&f->sys), 1);
	while (fake_sys_complete(&f->sys, 0))
		;
	fake_sys_let_go(&f->sys);
	while (!whole.done || !other.done) {
		blk_poll(f->blk);
		fake_sys_complete(&f->sys, 0);
	}
	blk_drain(f->blk);
	assert_int_equal(half.done + whole.done + other.done + late.done, 4);
	vd_read(f->sys.disk, 0, back, 4096);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(back[i], 0x42);
}

static void *complete_later(void *arg)
{
	struct blk_fake *f = arg;

	while (fake_sys_complete(&f->sys, 0))
		;
	fake_sys_let_go(&f->sys);
	return NULL;
}

/* What is in flight is waited for; what is not is cancelled; nothing is touched afterwards. */
static void test_close_in_flight(void **state)
{
	struct blk_fake *f = *state;
	enum { NATIVE, FIRST_HALF, SECOND_HALF, QUEUED, FLUSH, NUM };
	struct test_request *t = calloc(NUM, sizeof(*t));
	pthread_t thread;

	f->sys.direct.block = 4096;
	f->sys.manual = f->sys.hold = true;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	test_request_init(&t[NATIVE], BLK_READ, 65536, f->buf, 4096);
	test_request_init(&t[FIRST_HALF], BLK_WRITE, 0, f->buf, 512);
	test_request_init(&t[SECOND_HALF], BLK_WRITE, 512, f->buf, 512);
	test_request_init(&t[QUEUED], BLK_WRITE, 131072, f->buf, 4096);
	test_request_init(&t[FLUSH], BLK_FLUSH, 0, NULL, 0);
	blk_submit(f->blk, &t[NATIVE].req);
	blk_submit(f->blk, &t[FIRST_HALF].req);
	blk_submit(f->blk, &t[SECOND_HALF].req);
	blk_commit(f->blk);
	fake_sys_wait_blocked(&f->sys, 1);
	blk_submit(f->blk, &t[QUEUED].req);
	blk_submit(f->blk, &t[FLUSH].req);
	assert_int_equal(pthread_create(&thread, NULL, complete_later, f), 0);
	blk_close(f->blk);
	f->blk = NULL;
	for (int i = 0; i < NUM; i++) {
		assert_int_equal(t[i].done, 1);
		assert_int_equal(t[i].error, i <= FIRST_HALF ? 0 : -ECANCELED);
	}
	free(t);
	pthread_join(thread, NULL);
}

/* Writes that were made before the end, and only need to be flushed, are. */
static void test_close_flushes_for_fua(void **state)
{
	struct blk_fake *f = *state;
	struct test_request flush, odd;
	pthread_t thread;

	f->sys.direct.block = 512;
	f->sys.manual = true;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	test_request_init(&flush, BLK_FLUSH, 0, NULL, 0);
	test_request_init(&odd, BLK_WRITE, 0, f->buf, 100);
	odd.req.flags = BLK_FUA;
	blk_submit(f->blk, &flush.req);
	blk_submit(f->blk, &odd.req);
	blk_commit(f->blk);
	/* Done by the pool, it waits until the flush before it is over. */
	for (int i = 0; i < 100 || !fake_sys_calls(&f->sys, FAKE_PWRITEV); i++) {
		assert_int_equal(blk_poll(f->blk), 0);
		sched_yield();
	}
	f->sys.manual = false;
	assert_int_equal(pthread_create(&thread, NULL, complete_later, f), 0);
	blk_close(f->blk);
	f->blk = NULL;
	assert_int_equal(flush.done + odd.done, 2);
	assert_int_equal(flush.error, 0);
	assert_int_equal(odd.error, 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_FDATASYNC), 2);
	pthread_join(thread, NULL);
}

static void free_done(struct blk_request *req, int error)
{
	unsigned int *count = req->opaque;

	(void)error;
	*count += 1;
	free(container_of(req, struct test_request, req));
}

/* A request is the front end's again when its done comes, though others are still in flight. */
static void test_close_lets_go_of_requests(void **state)
{
	struct blk_fake *f = *state;
	unsigned int count = 0;
	pthread_t thread;

	f->sys.direct.block = 4096;
	f->sys.manual = true;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	for (unsigned int i = 0; i < 6; i++) {
		struct test_request *t = malloc(sizeof(*t));

		/* Whole blocks, and in the end half of the first one */
		test_request_init(t, BLK_WRITE, 4096 * (i % 5), f->buf, i < 5 ? 4096 : 512);
		t->req.done = free_done;
		t->req.opaque = &count;
		blk_submit(f->blk, &t->req);
		if (i == 0)
			blk_commit(f->blk);
	}
	assert_int_equal(pthread_create(&thread, NULL, complete_later, f), 0);
	blk_close(f->blk);
	f->blk = NULL;
	assert_int_equal(count, 6);
	pthread_join(thread, NULL);
}

/* More to block in than there are threads: the rest waits its turn. */
static void test_threads_are_few(void **state)
{
	struct blk_fake *f = *state;
	enum { REQUESTS = 100 };
	struct test_request *t = calloc(REQUESTS, sizeof(*t));

	f->sys.hold = true;
	blk_fake_open(f, BLK_CACHE_WRITEBACK, BLK_AIO_AUTO);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		test_request_init(&t[i], BLK_WRITE, 512 * i, f->buf, 512);
		blk_submit(f->blk, &t[i].req);
	}
	blk_commit(f->blk);
	/* All that there are, and not one more. */
	fake_sys_wait_blocked(&f->sys, 8);
	pthread_mutex_lock(&f->sys.lock);
	assert_int_equal(f->sys.blocked, 8);
	pthread_mutex_unlock(&f->sys.lock);
	fake_sys_let_go(&f->sys);
	blk_drain(f->blk);
	for (int i = 0; i < REQUESTS; i++)
		assert_int_equal(t[i].done, 1);
	free(t);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, blk_fake_setup, blk_fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_batch_is_one_call),
		CASE(test_failed_flush_stays),
		CASE(test_failed_flush_is_said),
		CASE(test_void_flushes),
		CASE(test_flushes_are_shared),
		CASE(test_native_flush),
		CASE(test_halves_of_a_block),
		CASE(test_close_in_flight),
		CASE(test_close_flushes_for_fua),
		CASE(test_close_lets_go_of_requests),
		CASE(test_threads_are_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
