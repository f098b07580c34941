/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Images that end inside a block of the host's: as large as without O_DIRECT, all of it works, and
 * the file stays as long as it is. And the second open file that this takes: what it is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk_fixture.h"
#include "blk_memory.h"
#include "fake_blk_sys.h"
#include "vm/core/log.h"

enum { SECTORS = 16389, SIZE = SECTORS * BLK_SECTOR };

struct tail {
	struct image_file file;
	struct fake_blk_sys sys;
	struct blk *blk;
};

static int setup(void **state)
{
	struct tail *t = calloc(1, sizeof(*t));

	image_file_create(&t->file, SIZE);
	fake_sys_init(&t->sys, SIZE);
	t->sys.direct = (struct blk_direct){.block = 4096, .align = 512};
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct tail *t = *state;

	blk_close(t->blk);
	fake_sys_fini(&t->sys);
	image_file_remove(&t->file);
	free(t);
	return 0;
}

static void reopen(struct tail *t, const struct blk_mode *mode)
{
	const struct blk_config config = {
		.path = t->file.path, .cache = mode->cache, .aio = mode->aio, .sys = &t->sys.table};
	struct error err;

	blk_close(t->blk);
	t->blk = NULL;
	t->sys.direct_fd = -1;
	assert_int_equal(blk_raw_create(&config, &t->blk, &err), 0);
}

static void test_size_is_the_same_in_all_modes(void **state)
{
	struct tail *t = *state;

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *real = blk_open(t->file.path, &blk_modes[i], false);

		assert_true(blk_capacity(real) == SIZE);
		assert_int_equal(real->info.logical_block, BLK_SECTOR);
		blk_close(real);
		reopen(t, &blk_modes[i]);
		assert_true(blk_capacity(t->blk) == SIZE);
		assert_int_equal(t->blk->info.logical_block, BLK_SECTOR);
		blk_close(t->blk);
		t->blk = NULL;
	}
}

/* All of the disk, by requests of any alignment, many of which end where it does. */
static void test_the_tail_is_part_of_the_disk(void **state)
{
	struct tail *t = *state;

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *memory = blk_memory_create(SIZE, false);
		uint8_t *zeros = calloc(1, SIZE);
		const char *problem;

		reopen(t, &blk_modes[i]);
		assert_int_equal(blk_do(t->blk, BLK_WRITE, 0, 0, zeros, SIZE), 0);
		problem = blk_compare(t->blk, memory, 11 + (uint32_t)i, 40, 1);
		if (!problem)
			problem = blk_compare(t->blk, memory, 12 + (uint32_t)i, 40, 512);
		if (problem)
			fail_msg("%s: %s", blk_modes[i].name, problem);
		assert_false(t->sys.grown);
		free(zeros);
		blk_close(memory);
	}
}

static void write_and_read_last(struct blk *blk, const char *path, uint8_t value)
{
	const uint64_t offset = SIZE - 3 * BLK_SECTOR;
	uint8_t buf[4 * BLK_SECTOR], back[sizeof(buf)] = {0}, *all;

	memset(buf, value, sizeof(buf));
	assert_int_equal(blk_do(blk, BLK_WRITE, BLK_FUA, offset, buf, 3 * BLK_SECTOR), 0);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, offset, buf, sizeof(buf)), -ERANGE);
	assert_int_equal(blk_do(blk, BLK_READ, 0, offset, back, 3 * BLK_SECTOR), 0);
	assert_memory_equal(buf, back, 3 * BLK_SECTOR);
	all = image_file_read(path, SIZE);
	assert_memory_equal(all + offset, buf, 3 * BLK_SECTOR);
	free(all);
}

/* The host's own system calls, and a file system that may want whole pages */
static void test_the_tail_of_a_file(void **state)
{
	struct tail *t = *state;

	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *blk = blk_open(t->file.path, &blk_modes[i], false);
		int fd;

		write_and_read_last(blk, t->file.path, (uint8_t)(i + 1));
		blk_close(blk);
		fd = open(t->file.path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
		close(fd);
	}
}

static void test_tiny(void **state)
{
	struct tail *t = *state;
	uint8_t buf[BLK_SECTOR] = {1, 2, 3}, back[BLK_SECTOR];

	image_file_resize(&t->file, BLK_SECTOR);
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		reopen(t, &blk_modes[i]);
		assert_true(blk_capacity(t->blk) == BLK_SECTOR);
		assert_int_equal(blk_do(t->blk, BLK_WRITE, 0, 0, buf, BLK_SECTOR), 0);
		assert_int_equal(blk_do(t->blk, BLK_READ, 0, 0, back, BLK_SECTOR), 0);
		assert_memory_equal(buf, back, BLK_SECTOR);
	}
}

/* What was the tail becomes part of a block, and the other way round. */
static void test_the_tail_moves(void **state)
{
	struct tail *t = *state;
	uint8_t buf[BLK_SECTOR] = {4, 5, 6}, back[BLK_SECTOR];
	static const int sectors[] = {16384, 16385, 16000, 16389};

	reopen(t, &blk_modes[BLK_MODE_NATIVE]);
	for (size_t i = 0; i < ARRAY_SIZE(sectors); i++) {
		const uint64_t size = (uint64_t)sectors[i] * BLK_SECTOR, last = size - BLK_SECTOR;

		image_file_resize(&t->file, size);
		assert_int_equal(blk_refresh(t->blk), 1);
		assert_true(blk_capacity(t->blk) == size);
		assert_int_equal(blk_do(t->blk, BLK_WRITE, 0, last, buf, BLK_SECTOR), 0);
		assert_int_equal(blk_do(t->blk, BLK_READ, 0, last, back, BLK_SECTOR), 0);
		assert_memory_equal(buf, back, BLK_SECTOR);
	}
	assert_false(t->sys.grown);
}

/*
 * Data is lost that somebody wrote before; the kernel says so to the next that syncs by the same
 * open file, and that is a write with BLK_FUA. The flush behind it still has to hear of it.
 */
static void test_a_write_does_not_hear_for_the_flush(void **state)
{
	struct tail *t = *state;
	const enum blk_aio ways[] = {BLK_AIO_NATIVE, BLK_AIO_THREADS};
	_Alignas(4096) uint8_t buf[4096] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct blk_mode mode = {"none", BLK_CACHE_NONE, ways[i]};

		reopen(t, &mode);
		assert_int_equal(blk_do(t->blk, BLK_WRITE, 0, 0, buf, 4096), 0);
		fake_sys_lose(&t->sys);
		assert_int_equal(blk_do(t->blk, BLK_WRITE, BLK_FUA, 4096, buf, 4096), -EIO);
		assert_int_equal(blk_do(t->blk, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
		assert_int_equal(blk_do(t->blk, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	}
}

/* ---- other formats ---- */

static void open_and_hear(const char *path, char *text, size_t size)
{
	struct log log;
	struct blk_config config = {.path = path, .log = &log};
	struct blk *blk = NULL;
	struct error err;
	int fd[2];

	memset(text, 0, size);
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	log_init(&log, fd[1], LOG_WARN, NULL);
	assert_int_equal(blk_raw_create(&config, &blk, &err), 0);
	assert_true(blk_capacity(blk) == SIZE);
	blk_close(blk);
	(void)!read(fd[0], text, size - 1);
	close(fd[0]);
	close(fd[1]);
}

static void test_other_formats_are_warned_of(void **state)
{
	struct tail *t = *state;
	static const struct {
		const char *name; /* NULL: nothing is said */
		off_t offset;
		const char *magic;
	} cases[] = {
		{NULL, 0, "\xeb\x63\x90"},
		{"qcow2", 0, "QFI\xfb"},
		{"vmdk", 0, "KDMV"},
		{"vmdk", 0, "# Disk DescriptorFile\n"},
		{"vhdx", 0, "vhdxfile"},
		{"vhd", 0, "conectix"},
		{"vdi", 64, "\x7f\x10\xda\xbe"},
		{NULL, 512, "QFI\xfb"},
	};
	char text[512], zeros[1024] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const size_t len = strlen(cases[i].magic);
		int fd = open(t->file.path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
		assert_int_equal(pwrite(fd, cases[i].magic, len, cases[i].offset), len);
		close(fd);
		open_and_hear(t->file.path, text, sizeof(text));
		if (!cases[i].name) {
			assert_string_equal(text, "");
			continue;
		}
		assert_non_null(strstr(text, t->file.path));
		assert_non_null(strstr(text, cases[i].name));
		/* what to do */
		assert_non_null(strstr(text,
			strcmp(cases[i].name, "qcow2") ? "qemu-img convert" : "format=qcow2"));
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_size_is_the_same_in_all_modes),
		CASE(test_the_tail_is_part_of_the_disk),
		CASE(test_the_tail_of_a_file),
		CASE(test_tiny),
		CASE(test_the_tail_moves),
		CASE(test_a_write_does_not_hear_for_the_flush),
		CASE(test_other_formats_are_warned_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
