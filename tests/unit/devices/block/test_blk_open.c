/* SPDX-License-Identifier: BSD-2-Clause */
/* What is opened as a disk, what is not and why, and who may open it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk_fixture.h"
#include "fake_blk_sys.h"
#include "vm/core/log.h"

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

static void test_what_is_no_disk(void **state)
{
	struct image_file *file = *state;
	char fifo[128];
	const struct {
		const char *path;
		int rc;
	} cases[] = {
		{"/nonexistent/disk.img", -ENOENT},
		{file->dir, -EISDIR},
		{fifo, -EINVAL},
		{"/dev/zero", -EINVAL},
		{"/proc/self/mem", -EINVAL},
	};
	struct blk *blk = NULL;
	struct error err;

	snprintf(fifo, sizeof(fifo), "%s/fifo", file->dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(blk_try_open(cases[i].path, &blk_modes[BLK_MODE_WRITEBACK], false,
					 &blk, &err),
			cases[i].rc);
		assert_non_null(strstr(err.text, cases[i].path));
		assert_null(blk);
	}
	unlink(fifo);
	for (uint64_t size = 0; size <= 511; size += 511) {
		image_file_resize(file, size);
		for (size_t i = 0; i < BLK_NUM_MODES; i++)
			assert_int_equal(
				blk_try_open(file->path, &blk_modes[i], true, &blk, &err), -EINVAL);
	}
}

static void test_native_wants_direct(void **state)
{
	const struct blk_mode bad = {"bad", BLK_CACHE_WRITEBACK, BLK_AIO_NATIVE};
	struct image_file *file = *state;
	struct blk *blk = NULL;
	struct error err;

	assert_int_equal(blk_try_open(file->path, &bad, false, &blk, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cache=none"));
}

/* A host that has no O_DIRECT, or no libaio: another way, unless it was asked for. */
static void test_hosts_without(void **state)
{
	struct image_file *file = *state;
	static const struct {
		int direct_error, aio_error;
		enum blk_aio aio;
		int rc;
		const char *said;
	} cases[] = {
		{0, 0, BLK_AIO_AUTO, 0, NULL},
		{-EINVAL, 0, BLK_AIO_AUTO, 0, "cache=writeback"},
		{-EINVAL, 0, BLK_AIO_THREADS, 0, "cache=writeback"},
		{-EINVAL, 0, BLK_AIO_NATIVE, -EINVAL, "aio=threads"},
		{0, -EAGAIN, BLK_AIO_AUTO, 0, "threads are used"},
		{0, -EAGAIN, BLK_AIO_NATIVE, -EAGAIN, "aio-max-nr"},
		{0, -ENOSYS, BLK_AIO_NATIVE, -ENOSYS, "aio=threads"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct blk *blk = NULL;
		struct error err = {0};
		struct fake_blk_sys sys;
		struct log log;
		struct blk_config config = {
			.path = file->path, .aio = cases[i].aio, .log = &log, .sys = &sys.table};
		_Alignas(512) uint8_t buf[512];
		char text[512] = "";
		int fd[2];

		assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
		log_init(&log, fd[1], LOG_WARN, NULL);
		fake_sys_init(&sys, DISK_SIZE);
		sys.direct_error = cases[i].direct_error;
		sys.aio_error = cases[i].aio_error;
		assert_int_equal(blk_raw_create(&config, &blk, &err), cases[i].rc);
		if (!cases[i].rc) {
			assert_int_equal(blk_do(blk, BLK_READ, 0, 0, buf, 512), 0);
			assert_int_equal(fake_sys_calls(&sys, FAKE_PREADV),
				cases[i].direct_error || cases[i].aio_error ? 1 : 0);
			/* A warning, if anything */
			(void)!read(fd[0], text, sizeof(text) - 1);
		} else {
			snprintf(text, sizeof(text), "%s", err.text);
		}
		assert_int_equal(strstr(text, file->path) != NULL, cases[i].said != NULL);
		if (cases[i].said)
			assert_non_null(strstr(text, cases[i].said));
		blk_close(blk);
		fake_sys_fini(&sys);
		close(fd[0]);
		close(fd[1]);
	}
}

static void test_odd_size_is_cut(void **state)
{
	struct image_file *file = *state;
	uint8_t buf[512];

	image_file_resize(file, 4096 + 512 + 100);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);

		assert_int_equal(blk_capacity(blk) % BLK_SECTOR, 0);
		assert_in_range(blk_capacity(blk), 4096, 4096 + 512);
		assert_int_equal(blk_do(blk, BLK_READ, 0, blk_capacity(blk), buf, 512), -ERANGE);
		blk_close(blk);
	}
}

static void test_locks(void **state)
{
	struct image_file *file = *state;
	const struct {
		bool first_ro, second_ro;
		int rc;
	} cases[] = {
		{false, false, -EBUSY},
		{false, true, -EBUSY},
		{true, false, -EBUSY},
		{true, true, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct blk_mode *mode = &blk_modes[i % BLK_NUM_MODES];
		struct blk *first = blk_open(file->path, mode, cases[i].first_ro), *second = NULL;
		struct error err;
		int rc = blk_try_open(file->path, &blk_modes[BLK_MODE_WRITEBACK],
			cases[i].second_ro, &second, &err);

		assert_int_equal(rc, cases[i].rc);
		if (rc)
			assert_non_null(strstr(err.text, file->path));
		blk_close(second);
		blk_close(first);
		/* The lock is gone with the disk. */
		blk_close(blk_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false));
	}
}

/* Holds the disk until the pipe closes; ends with 0 when it could be opened. */
static void child(const char *path, int ready_fd, int end_fd)
{
	struct blk *blk = NULL;
	struct error err;
	int rc = blk_try_open(path, &blk_modes[BLK_MODE_WRITEBACK], false, &blk, &err);
	char c = 0;

	if (write(ready_fd, &c, 1) != 1 || read(end_fd, &c, 1) < 0)
		_exit(3);
	/* No close: the end of the process must do. */
	_exit(rc ? 1 : 0);
}

static void test_locks_between_processes(void **state)
{
	struct image_file *file = *state;
	struct blk *blk = NULL;
	struct error err;
	int ready[2], end[2], status;
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		close(end[1]);
		child(file->path, ready[1], end[0]);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(
		blk_try_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false, &blk, &err),
		-EBUSY);
	assert_int_equal(
		blk_try_open(file->path, &blk_modes[BLK_MODE_NATIVE], true, &blk, &err), -EBUSY);
	close(end[1]);
	close(end[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	blk_close(blk_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false));
	close(ready[0]);
	close(ready[1]);
}

/* What guests are told of blocks: what is fast, never what is needed. */
static void test_block_sizes(void **state)
{
	struct image_file *file = *state;
	struct stat st;

	assert_int_equal(stat(file->path, &st), 0);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], false);

		assert_int_equal(blk->info.logical_block, BLK_SECTOR);
		assert_in_range(blk->info.physical_block, BLK_SECTOR, 4096);
		if (st.st_blksize <= 4096)
			assert_true(blk->info.physical_block >= (uint32_t)st.st_blksize);
		else
			assert_int_equal(blk->info.physical_block, 4096);
		assert_int_equal(blk->info.discard_granularity, blk->info.physical_block);
		blk_close(blk);
	}
}

static void test_read_only(void **state)
{
	struct image_file *file = *state;
	const enum blk_op ops[] = {BLK_WRITE, BLK_DISCARD, BLK_WRITE_ZEROES};
	_Alignas(512) uint8_t buf[512], *before, *after;
	int fd = open(file->path, O_WRONLY | O_CLOEXEC);

	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(pwrite(fd, buf, 512, 512), 512);
	close(fd);
	before = image_file_read(file->path, DISK_SIZE);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(file->path, &blk_modes[i], true);

		assert_true(blk->info.read_only);
		memset(buf, 0xff, sizeof(buf));
		for (size_t k = 0; k < ARRAY_SIZE(ops); k++)
			assert_int_equal(blk_do(blk, ops[k], BLK_FUA, 512, buf, 512), -EROFS);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		assert_int_equal(blk_do(blk, BLK_READ, 0, 512, buf, 512), 0);
		assert_memory_equal(buf, before + 512, 512);
		blk_close(blk);
	}
	after = image_file_read(file->path, DISK_SIZE);
	assert_memory_equal(before, after, DISK_SIZE);
	free(before);
	free(after);
}

/* By two descriptors, which stay the caller's; the path is a name only. */
static void test_descriptors(void **state)
{
	struct image_file *file = *state;
	const int rw[2] = {open(file->path, O_RDWR), open(file->path, O_RDWR)};
	const int ro[2] = {open(file->path, O_RDONLY), open(file->path, O_RDONLY)};
	const int dir[2] = {open(file->dir, O_RDONLY), open(file->dir, O_RDONLY)};
	struct blk_config config = {.path = "a name", .fds = ro, .log = NULL};
	struct blk *blk = NULL, *other = NULL;
	struct error err;
	uint8_t byte[BLK_SECTOR] = {0x42}, back[BLK_SECTOR];
	struct log log = {0};

	config.log = &log;
	assert_int_equal(blk_raw_create(&config, &blk, &err), -EACCES);
	assert_non_null(strstr(err.text, "a name"));
	config.fds = dir;
	config.read_only = true;
	assert_int_equal(blk_raw_create(&config, &blk, &err), -EISDIR);
	config.fds = rw;
	config.read_only = false;
	assert_int_equal(blk_raw_create(&config, &blk, &err), 0);
	assert_int_equal(blk_raw_create(&config, &other, &err), 0); /* the same open file's lock */
	blk_close(other);
	assert_int_equal(
		blk_try_open(file->path, &blk_modes[BLK_MODE_DIRECT], false, &other, &err), -EBUSY);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, byte, BLK_SECTOR), 0);
	assert_int_equal(pread(ro[0], back, BLK_SECTOR, 0), BLK_SECTOR);
	assert_memory_equal(back, byte, BLK_SECTOR);
	blk_close(blk);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(close(rw[i]), 0);
		assert_int_equal(close(ro[i]), 0);
		assert_int_equal(close(dir[i]), 0);
	}
}

static void test_grow(void **state)
{
	struct image_file *file = *state;
	struct blk *blk = blk_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false);
	struct stat st;

	assert_int_equal(blk_grow(blk, DISK_SIZE - 1), -EINVAL);
	assert_int_equal(blk_grow(blk, UINT64_MAX), -EINVAL);
	assert_int_equal(blk_capacity(blk), DISK_SIZE);
	assert_int_equal(blk_grow(blk, DISK_SIZE + 1000), 0);
	assert_int_equal(blk_capacity(blk), DISK_SIZE + BLK_SECTOR);
	assert_int_equal(stat(file->path, &st), 0);
	assert_int_equal(st.st_size, DISK_SIZE + 1000);
	blk_close(blk);
	blk = blk_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], true);
	assert_int_equal(blk_grow(blk, 2 * DISK_SIZE), -EROFS);
	blk_close(blk);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grow, setup, teardown),
		CASE(test_what_is_no_disk),
		CASE(test_native_wants_direct),
		CASE(test_hosts_without),
		CASE(test_odd_size_is_cut),
		CASE(test_locks),
		CASE(test_locks_between_processes),
		CASE(test_block_sizes),
		CASE(test_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
