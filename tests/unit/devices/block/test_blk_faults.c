/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw images over a kernel that fails, falls short, or is full: whatever it does, a request ends
 * once, and without an error only when all of it was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk_fake.h"
#include "blk_memory.h"

/* Native and threads, over disks with small and large blocks, that move little at a time. */
static void test_cut_short(void **state)
{
	struct blk_fake *f = *state;
	static const struct {
		uint32_t block, buffer;
		uint64_t most;
		unsigned int room;
	} cases[] = {
		{512, 512, 0, FAKE_AIO_MAX},
		{512, 4, 0, FAKE_AIO_MAX},
		{512, 512, 512, FAKE_AIO_MAX},
		{512, 512, 2048, 3},
		{4096, 512, 0, FAKE_AIO_MAX},
		{4096, 4096, 4096, 1},
		{4096, 512, 8192, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		struct blk *memory = blk_memory_create(BLK_FAKE_SIZE, false);
		uint8_t *zeros = calloc(1, BLK_FAKE_SIZE);
		const char *problem;

		f->sys.direct.block = cases[i / 2].block;
		f->sys.direct.align = cases[i / 2].buffer;
		f->sys.most = cases[i / 2].most;
		f->sys.aio_room = cases[i / 2].room;
		blk_fake_open(f, BLK_CACHE_NONE, i & 1 ? BLK_AIO_NATIVE : BLK_AIO_THREADS);
		assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, zeros, BLK_FAKE_SIZE), 0);
		problem = blk_compare(f->blk, memory, 5 + (uint32_t)i, 40, 1);
		if (!problem)
			problem = blk_compare(f->blk, memory, 6 + (uint32_t)i, 40, 512);
		if (problem)
			fail_msg("case %zu: %s", i, problem);
		free(zeros);
		blk_close(memory);
	}
}

/* Every call of every kind fails in its turn, for all kinds of requests. */
static void test_every_call_fails(void **state)
{
	struct blk_fake *f = *state;
	static const int errors[] = {-EIO, -ENOSPC, -EAGAIN, -ENOMEM, -EOPNOTSUPP, -EINVAL};
	unsigned int failures = 0;

	for (unsigned int n = 0; n < 2 * FAKE_NUM_CALLS * ARRAY_SIZE(errors) * 6; n++) {
		const enum fake_call call = n % FAKE_NUM_CALLS;
		const int error = errors[n / FAKE_NUM_CALLS % ARRAY_SIZE(errors)];
		const unsigned int after = n / (FAKE_NUM_CALLS * ARRAY_SIZE(errors)) % 6;
		int rc[6], k = 0;

		f->sys.direct.block = 4096;
		blk_fake_open(f, BLK_CACHE_NONE, n & 1 ? BLK_AIO_NATIVE : BLK_AIO_THREADS);
		fake_sys_fail(&f->sys, call, after, 1, error);
		rc[k++] = blk_do(f->blk, BLK_WRITE, 0, 4096, f->buf, 8192);
		rc[k++] = blk_do(f->blk, BLK_READ, 0, 4096, f->buf, 8192);
		rc[k++] = blk_do(f->blk, BLK_WRITE, BLK_FUA, 1000, f->buf, 5000);
		rc[k++] = blk_do(f->blk, BLK_WRITE_ZEROES, BLK_UNMAP, 4096, NULL, 4096);
		rc[k++] = blk_do(f->blk, BLK_DISCARD, 0, 8192, NULL, 4096);
		rc[k++] = blk_do(f->blk, BLK_FLUSH, 0, 0, NULL, 0);
		for (int i = 0; i < k; i++) {
			assert_true(rc[i] == 0 || rc[i] == error);
			failures += rc[i] != 0;
		}
		fake_sys_fail(&f->sys, call, 0, 0, 0);
		/* The disk is as good as before, but for flushes. */
		assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 100, f->buf, 9000), 0);
		assert_int_equal(blk_do(f->blk, BLK_READ, 0, 100, f->buf, 9000), 0);
	}
	assert_in_range(failures, 50, 100000);
}

static void test_errors_are_passed_on(void **state)
{
	struct blk_fake *f = *state;

	f->sys.direct.block = 512;
	for (int native = 0; native < 2; native++) {
		blk_fake_open(f, BLK_CACHE_NONE, native ? BLK_AIO_NATIVE : BLK_AIO_THREADS);
		fake_sys_fail(&f->sys, native ? FAKE_AIO_RESULT : FAKE_PREADV, 0, 1, -EIO);
		assert_int_equal(blk_do(f->blk, BLK_READ, 0, 0, f->buf, 4096), -EIO);
		fake_sys_fail(&f->sys, native ? FAKE_AIO_RESULT : FAKE_PWRITEV, 0, 1, -ENOSPC);
		assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096), -ENOSPC);
		assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096), 0);
	}
}

/* What libaio does not take is done otherwise, and what it gave up is taken up. */
static void test_libaio_refuses(void **state)
{
	struct blk_fake *f = *state;
	static const int errors[] = {-EAGAIN, -EINVAL, -EOPNOTSUPP, -ENOMEM};

	f->sys.direct.block = 512;
	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		fake_sys_fail(&f->sys, FAKE_AIO_SUBMIT, 0, 1, errors[i]);
		assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, f->buf, 4096), 0);
	}
	fake_sys_fail(&f->sys, FAKE_AIO_RESULT, 0, 1, -EAGAIN);
	assert_int_equal(blk_do(f->blk, BLK_READ, 0, 0, f->buf, 4096), 0);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_PWRITEV), ARRAY_SIZE(errors));
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_PREADV), 1);
}

static void check_zero(struct blk_fake *f, uint64_t offset, uint64_t len)
{
	uint8_t *buf = malloc(len);

	vd_read(f->sys.disk, offset, buf, len);
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(buf[i], 0);
	free(buf);
}

static void test_hosts_that_know_less(void **state)
{
	struct blk_fake *f = *state;
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, 0};
	uint8_t *ones = malloc(BLK_FAKE_SIZE), byte;

	memset(ones, 0xff, BLK_FAKE_SIZE);
	f->sys.direct.block = 4096;
	for (size_t i = 0; i < ARRAY_SIZE(modes) * 2; i++) {
		blk_fake_open(f, i & 1 ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK, BLK_AIO_AUTO);
		f->sys.direct.block = i & 1 ? 4096 : 1;
		f->sys.fallocate_modes = modes[i / 2];
		for (uint32_t flags = 0; flags <= BLK_UNMAP; flags += BLK_UNMAP) {
			assert_int_equal(blk_do(f->blk, BLK_WRITE, 0, 0, ones, BLK_FAKE_SIZE), 0);
			assert_int_equal(blk_do(f->blk, BLK_WRITE_ZEROES, flags, 700, NULL,
						 BLK_FAKE_SIZE - 1000),
				0);
			check_zero(f, 700, BLK_FAKE_SIZE - 1000);
			vd_read(f->sys.disk, 699, &byte, 1);
			assert_int_equal(byte, 0xff);
			vd_read(f->sys.disk, BLK_FAKE_SIZE - 300, &byte, 1);
			assert_int_equal(byte, 0xff);
		}
		assert_int_equal(blk_do(f->blk, BLK_DISCARD, 0, 4096, NULL, 4096), 0);
		f->sys.direct.block = 4096;
	}
	free(ones);
}

/* No room for zeros is an error, not a reason to write them. */
static void test_no_room_for_zeroes(void **state)
{
	struct blk_fake *f = *state;

	blk_fake_open(f, BLK_CACHE_WRITEBACK, BLK_AIO_AUTO);
	fake_sys_fail(&f->sys, FAKE_FALLOCATE, 0, 1, -ENOSPC);
	assert_int_equal(blk_do(f->blk, BLK_WRITE_ZEROES, 0, 0, NULL, 4096), -ENOSPC);
	assert_int_equal(fake_sys_calls(&f->sys, FAKE_PWRITEV), 0);
}

/* Fills a file system of 1 MiB through a sparse image of 8 MiB. */
static void fill_small_disk(const char *dir, int *written, int *refused)
{
	struct image_file file;
	const struct blk_config config = {.path = file.path, .cache = BLK_CACHE_WRITEBACK};
	static uint8_t buf[65536];
	struct blk *blk = NULL;

	image_file_create_in(&file, dir, 8 << 20);
	if (blk_raw_create(&config, &blk, NULL))
		_exit(9);
	for (uint64_t off = 0; off < 8 << 20; off += sizeof(buf)) {
		int rc = blk_do(blk, BLK_WRITE, 0, off, buf, sizeof(buf));

		*written += rc == 0;
		*refused += rc == -ENOSPC;
	}
	blk_close(blk);
}

static void tmpfs_child(const char *dir)
{
	int written = 0, refused = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", dir, "tmpfs", 0, "size=1m") < 0)
		_exit(77);
	fill_small_disk(dir, &written, &refused);
	_exit(written >= 8 && written <= 16 && written + refused == 128 ? 0 : 1);
}

static void test_full_file_system(void **state)
{
	struct blk_fake *f = *state;
	int status;
	pid_t pid = fork();

	if (!pid)
		tmpfs_child(f->file.dir);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no file system can be mounted here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The limit of a process: whole, or not at all, or an error. */
static void test_file_size_limit(void **state)
{
	struct blk_fake *f = *state;
	struct rlimit old, small = {.rlim_cur = 6144, .rlim_max = RLIM_INFINITY};
	const enum blk_cache caches[] = {BLK_CACHE_NONE, BLK_CACHE_WRITEBACK};

	getrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_IGN);
	small.rlim_max = old.rlim_max;
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		struct blk_config config = {.path = f->file.path, .cache = caches[i]};
		struct blk *blk;

		assert_int_equal(blk_raw_create(&config, &blk, NULL), 0);
		setrlimit(RLIMIT_FSIZE, &small);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, f->buf, 4096), 0);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 4096, f->buf, 4096), -EFBIG);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 8192, f->buf, 4096), -EFBIG);
		setrlimit(RLIMIT_FSIZE, &old);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 4096, f->buf, 4096), 0);
		blk_close(blk);
	}
	signal(SIGXFSZ, SIG_DFL);
}

static void threadless_child(struct blk_fake *f)
{
	const struct rlimit none = {0};
	const struct blk_config config = {.path = f->file.path, .cache = BLK_CACHE_WRITEBACK};
	struct blk *blk;
	int rc;

	/* No limit holds for root. */
	if (blk_raw_create(&config, &blk, NULL) || setrlimit(RLIMIT_NPROC, &none) ||
		(!geteuid() && setuid(65534)))
		_exit(9);
	rc = blk_do(blk, BLK_WRITE, BLK_FUA, 4096, f->buf, 4096);
	if (!rc)
		rc = blk_do(blk, BLK_READ, 0, 0, f->buf + 8192, 8192);
	blk_close(blk);
	_exit(rc || f->buf[8192] || memcmp(f->buf + 12288, f->buf, 4096));
}

/* The host gives no thread: slow, but it works. */
static void test_without_threads(void **state)
{
	struct blk_fake *f = *state;
	int status;
	pid_t pid = fork();

	if (!pid)
		threadless_child(f);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, blk_fake_setup, blk_fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_cut_short),
		CASE(test_every_call_fails),
		CASE(test_errors_are_passed_on),
		CASE(test_libaio_refuses),
		CASE(test_hosts_that_know_less),
		CASE(test_no_room_for_zeroes),
		CASE(test_full_file_system),
		CASE(test_file_size_limit),
		CASE(test_without_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
