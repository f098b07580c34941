/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw images on real files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "blk_fixture.h"
#include "blk_memory.h"
#include "vm/core/event_loop.h"

enum { DISK_SIZE = 2 << 20 };

static int setup(void **state)
{
	struct image_file *file = calloc(1, sizeof(*file));

	image_file_create(file, DISK_SIZE);
	*state = file;
	return 0;
}

static int teardown(void **state)
{
	image_file_remove(*state);
	free(*state);
	return 0;
}

static void test_matches_memory(void **state)
{
	struct image_file *file = *state;

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		static const uint32_t units[] = {1, 512, 4096};

		for (size_t u = 0; u < ARRAY_SIZE(units); u++) {
			struct blk *memory = blk_memory_create(DISK_SIZE, false);
			struct blk *raw;
			const char *problem;
			uint8_t *bytes;

			image_file_create_in(file, file->dir, DISK_SIZE);
			raw = blk_open(file->path, &blk_modes[i], false);
			problem = blk_compare(raw, memory, 77 + units[u], 40, units[u]);
			if (problem)
				fail_msg("%s, unit %u: %s", blk_modes[i].name, units[u], problem);
			blk_close(raw);
			bytes = image_file_read(file->path, DISK_SIZE);
			assert_memory_equal(bytes, blk_memory_bytes(memory), DISK_SIZE);
			free(bytes);
			blk_close(memory);
		}
	}
}

/* Two images, one mode each: the modes agree on what they leave on the disk. */
static void test_modes_match_each_other(void **state)
{
	struct image_file *file = *state, other;
	struct blk *a, *b;

	image_file_create(&other, DISK_SIZE);
	a = blk_open(file->path, &blk_modes[BLK_MODE_NATIVE], false);
	b = blk_open(other.path, &blk_modes[BLK_MODE_WRITEBACK], false);
	assert_null(blk_compare(a, b, 4711, 100, 1));
	blk_close(a);
	blk_close(b);
	image_file_remove(&other);
}

static void test_bad_requests(void **state)
{
	struct image_file *file = *state;
	uint8_t buf[1024];
	const struct {
		uint64_t offset, len;
	} cases[] = {
		{DISK_SIZE, 512},
		{DISK_SIZE - 512, 1024},
		{UINT64_MAX, 512},
		{UINT64_MAX - 511, 512},
		{UINT64_C(1) << 63, 512},
		{DISK_SIZE + 1, 0},
	};

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);
		struct test_request t;

		for (size_t k = 0; k < ARRAY_SIZE(cases); k++)
			for (int op = 0; op < BLK_NUM_OPS; op++)
				assert_int_equal(blk_do(blk, (enum blk_op)op, 0, cases[k].offset,
							 buf, cases[k].len),
					op == BLK_FLUSH ? 0 : -ERANGE);
		assert_int_equal(blk_do(blk, BLK_NUM_OPS, 0, 0, buf, 512), -EINVAL);
		assert_int_equal(blk_do(blk, BLK_DISCARD, 0, 0, NULL, UINT64_MAX), -ERANGE);
		/* Iovecs that are less, or more, than the length says. */
		for (uint64_t len = 512; len <= 1024; len += 512) {
			test_request_init(&t, BLK_READ, 0, buf, len);
			t.req.len = 768;
			blk_submit(blk, &t.req);
			blk_drain(blk);
			assert_int_equal(t.error, -EINVAL);
		}
		assert_int_equal(blk_do(blk, BLK_READ, 0, DISK_SIZE, buf, 0), 0);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, buf, 0), 0);
		blk_close(blk);
	}
}

struct counter {
	struct blk *blk;
	unsigned int ready, resized;
};

static void on_ready(void *opaque)
{
	struct counter *c = opaque;

	c->ready++;
	blk_poll(c->blk);
}

static void on_resized(void *opaque)
{
	((struct counter *)opaque)->resized++;
}

static const struct blk_listener listener = {.ready = on_ready, .resized = on_resized};

static void test_resize(void **state)
{
	struct image_file *file = *state;
	_Alignas(4096) uint8_t buf[8192];

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct counter c = {0};
		struct test_request t;

		image_file_resize(file, DISK_SIZE);
		c.blk = blk_open(file->path, &blk_modes[i], false);
		blk_attach(c.blk, NULL, &listener, &c);
		assert_int_equal(blk_refresh(c.blk), 0);
		image_file_resize(file, 2 * DISK_SIZE);
		assert_int_equal(blk_capacity(c.blk), DISK_SIZE);
		assert_int_equal(blk_refresh(c.blk), 1);
		assert_int_equal(blk_capacity(c.blk), 2 * DISK_SIZE);
		memset(buf, 0x77, sizeof(buf));
		assert_int_equal(blk_do(c.blk, BLK_WRITE, 0, DISK_SIZE, buf, 4096), 0);
		/* Smaller before anybody was told: no data, so an error; what there was is kept. */
		image_file_resize(file, DISK_SIZE + 4096);
		test_request_init(&t, BLK_READ, DISK_SIZE, buf, 8192);
		blk_submit(c.blk, &t.req);
		blk_drain(c.blk);
		assert_int_equal(t.error, -EIO);
		assert_int_equal(t.req.bytes, 4096);
		assert_int_equal(buf[4095], 0x77);
		assert_int_equal(blk_refresh(c.blk), 1);
		assert_int_equal(blk_do(c.blk, BLK_READ, 0, DISK_SIZE, buf, 8192), -ERANGE);
		assert_int_equal(c.resized, 2);
		blk_detach(c.blk);
		image_file_resize(file, DISK_SIZE);
		assert_int_equal(blk_refresh(c.blk), 1);
		assert_int_equal(c.resized, 2);
		blk_close(c.blk);
	}
}

static void test_zeroes_and_discards(void **state)
{
	struct image_file *file = *state;
	uint8_t *ones = malloc(DISK_SIZE), *bytes;

	memset(ones, 0xee, DISK_SIZE);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);
		struct stat before, after;

		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, ones, DISK_SIZE), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		stat(file->path, &before);
		assert_int_equal(blk_do(blk, BLK_WRITE_ZEROES, 0, 512, NULL, 1000 * 512), 0);
		assert_int_equal(
			blk_do(blk, BLK_WRITE_ZEROES, BLK_UNMAP | BLK_FUA, 1 << 20, NULL, 1 << 18),
			0);
		assert_int_equal(
			blk_do(blk, BLK_WRITE_ZEROES, 0, (1 << 20) + (1 << 18) + 3, NULL, 5), 0);
		assert_int_equal(
			blk_do(blk, BLK_DISCARD, 0, DISK_SIZE - (1 << 18), NULL, 1 << 18), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		stat(file->path, &after);
		/* Holes are holes, on any file system that tests run on. */
		assert_true(after.st_blocks < before.st_blocks);
		assert_int_equal(after.st_size, DISK_SIZE);
		blk_close(blk);

		bytes = image_file_read(file->path, DISK_SIZE);
		for (size_t k = 0; k < DISK_SIZE; k++) {
			bool zero =
				(k >= 512 && k < 1001 * 512) ||
				(k >= 1 << 20 && k < (1 << 20) + (1 << 18)) ||
				(k >= (1 << 20) + (1 << 18) + 3 && k < (1 << 20) + (1 << 18) + 8) ||
				k >= DISK_SIZE - (1 << 18);

			if (bytes[k] != (zero ? 0 : 0xee))
				fail_msg("%s: byte %zu is %02x", blk_modes[i].name, k, bytes[k]);
		}
		free(bytes);
	}
	free(ones);
}

/* More segments than the kernel takes at once, and all of them odd. */
static void test_many_segments(void **state)
{
	struct image_file *file = *state;
	enum { SEGMENTS = 1088 };
	struct iovec *iov = calloc(SEGMENTS, sizeof(*iov));
	uint8_t *memory = malloc(SEGMENTS * 700), *back = malloc(SEGMENTS * 513);

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);
		uint64_t total = 0;
		struct test_request t;

		for (unsigned int k = 0; k < SEGMENTS; k++) {
			uint64_t len = k % 5 == 0 ? 512 : k % 5 == 1 ? 513 : k % 5 == 2 ? 0 : 511;

			iov[k] = (struct iovec){.iov_base = memory + 700 * k, .iov_len = len};
			memset(iov[k].iov_base, (int)k + 1, len);
			total += len;
		}
		test_request_init(&t, BLK_WRITE, 512, NULL, total);
		t.req.iov = iov;
		t.req.num_iov = SEGMENTS;
		blk_submit(blk, &t.req);
		blk_drain(blk);
		assert_int_equal(t.error, 0);
		assert_int_equal(t.req.bytes, total);
		assert_int_equal(blk_do(blk, BLK_READ, 0, 512, back, total), 0);
		for (unsigned int k = 0, at = 0; k < SEGMENTS; at += iov[k++].iov_len)
			assert_memory_equal(back + at, iov[k].iov_base, iov[k].iov_len);
		blk_close(blk);
	}
	free(iov);
	free(memory);
	free(back);
}

static void test_completions_through_the_loop(void **state)
{
	struct image_file *file = *state;
	enum { REQUESTS = 200 };
	struct test_request *t = calloc(REQUESTS, sizeof(*t));
	uint8_t *buf = aligned_alloc(4096, REQUESTS * 4096);
	struct event_loop *loop;

	assert_int_equal(event_loop_create(&loop), 0);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct counter c = {.blk = blk_open(file->path, &blk_modes[i], false)};
		int done = 0, notices;

		assert_int_equal(blk_attach(c.blk, loop, &listener, &c), 0);
		for (unsigned int k = 0; k < REQUESTS; k++) {
			memset(buf + 4096 * k, (int)k, 4096);
			test_request_init(&t[k], k % 9 ? BLK_WRITE : BLK_FLUSH, 4096 * k,
				buf + 4096 * k, k % 9 ? 4096 : 0);
			blk_submit(c.blk, &t[k].req);
		}
		/* Nothing starts by itself. */
		event_loop_step(loop, 0);
		for (unsigned int k = 0; k < REQUESTS; k++)
			assert_int_equal(t[k].done, 0);
		blk_commit(c.blk);
		blk_poll(c.blk);
		do {
			done = 0;
			for (unsigned int k = 0; k < REQUESTS; k++)
				done += t[k].done;
			if (done < REQUESTS)
				assert_true(event_loop_step(loop, 10000) >= 0);
		} while (done < REQUESTS);
		assert_int_equal(done, REQUESTS);
		for (unsigned int k = 0; k < REQUESTS; k++)
			assert_int_equal(t[k].error, 0);
		/* Then it is quiet, but for notices that are left over. */
		for (notices = 0; event_loop_step(loop, 20); notices++)
			assert_in_range(notices, 0, 3);
		blk_detach(c.blk);
		blk_close(c.blk);
	}
	event_loop_destroy(loop);
	free(buf);
	free(t);
}

/* The kernel's ring of completions begins anew some times. */
static void test_many_batches(void **state)
{
	struct image_file *file = *state;
	enum { BATCHES = 100, REQUESTS = 16 };
	struct blk *blk = blk_open(file->path, &blk_modes[BLK_MODE_NATIVE], false);
	struct test_request t[REQUESTS];
	uint8_t *buf = aligned_alloc(4096, REQUESTS * 4096);

	for (int i = 0; i < BATCHES; i++) {
		for (unsigned int k = 0; k < REQUESTS; k++) {
			test_request_init(&t[k], BLK_READ, 4096 * k, buf + 4096 * k, 4096);
			blk_submit(blk, &t[k].req);
		}
		blk_drain(blk);
		for (unsigned int k = 0; k < REQUESTS; k++) {
			assert_int_equal(t[k].done, 1);
			assert_int_equal(t[k].error, 0);
		}
	}
	blk_close(blk);
	free(buf);
}

/* A front end that refills from done keeps all going without a commit of its own. */
struct refill {
	struct blk *blk;
	struct test_request t;
	unsigned int left;
};

static void refill_done(struct blk_request *req, int error)
{
	struct refill *r = req->opaque;

	assert_int_equal(error, 0);
	if (r->left-- > 0)
		blk_submit(r->blk, req);
}

static void test_submit_in_done(void **state)
{
	struct image_file *file = *state;
	_Alignas(4096) uint8_t buf[4096];

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		static const enum blk_op ops[] = {BLK_READ, BLK_WRITE, BLK_FLUSH};

		for (size_t k = 0; k < ARRAY_SIZE(ops); k++) {
			struct refill r = {.left = 50};

			r.blk = blk_open(file->path, &blk_modes[i], false);
			test_request_init(&r.t, ops[k], 0, buf, ops[k] == BLK_FLUSH ? 0 : 4096);
			r.t.req.done = refill_done;
			r.t.req.opaque = &r;
			blk_submit(r.blk, &r.t.req);
			blk_drain(r.blk);
			assert_int_equal(r.left, UINT32_MAX);
			blk_close(r.blk);
		}
	}
}

static void test_close_finishes_everything(void **state)
{
	struct image_file *file = *state;
	enum { REQUESTS = 300 };
	struct test_request *t = calloc(REQUESTS, sizeof(*t));
	uint8_t *buf = aligned_alloc(4096, REQUESTS * 4096);

	memset(buf, 1, REQUESTS * 4096);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);

		for (unsigned int k = 0; k < REQUESTS; k++) {
			test_request_init(&t[k], k & 1 ? BLK_WRITE : BLK_READ, 4096 * k,
				buf + 4096 * k, 4096);
			blk_submit(blk, &t[k].req);
			if (k == REQUESTS / 2)
				blk_commit(blk);
		}
		blk_close(blk);
		for (unsigned int k = 0; k < REQUESTS; k++) {
			assert_int_equal(t[k].done, 1);
			assert_true(t[k].error == 0 || t[k].error == -ECANCELED);
		}
		assert_int_equal(t[REQUESTS - 1].error, -ECANCELED);
	}
	free(buf);
	free(t);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_matches_memory),
		CASE(test_modes_match_each_other),
		CASE(test_bad_requests),
		CASE(test_resize),
		CASE(test_zeroes_and_discards),
		CASE(test_many_segments),
		CASE(test_completions_through_the_loop),
		CASE(test_many_batches),
		CASE(test_submit_in_done),
		CASE(test_close_finishes_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
