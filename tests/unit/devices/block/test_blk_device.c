/* SPDX-License-Identifier: BSD-2-Clause */
/* Block devices: loop devices, where the host lets us make them. */
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

/*
 * Attaches the image to a loop device with blocks of 4 KiB, until the descriptor that is returned
 * is closed, however this ends. -1 where that cannot be.
 */
static int loop_device(const char *image, char *path, size_t size)
{
	char command[256];
	FILE *pipe;
	int fd;
	bool ok;

	snprintf(command, sizeof(command), "losetup -b 4096 -f --show %s 2>/dev/null", image);
	pipe = geteuid() ? NULL : popen(command, "r");
	if (!pipe)
		return -1;
	ok = fgets(path, (int)size, pipe) != NULL;
	path[strcspn(path, "\n")] = '\0';
	if (pclose(pipe) || !ok)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	/* As it is open, this waits for the end of that. */
	snprintf(command, sizeof(command), "losetup -d %s", path);
	assert_int_equal(system(command), 0);
	return fd;
}

static void test_device_with_large_blocks(void **state)
{
	struct image_file *file = *state;
	char path[128];
	int fd = loop_device(file->path, path, sizeof(path));

	if (fd < 0) {
		print_message("no loop devices here\n");
		skip();
	}
	for (size_t i = 0; i < BLK_NUM_MODES; i++) {
		struct blk *memory = blk_memory_create(DISK_SIZE, false);
		struct blk *raw = blk_open(path, &blk_modes[i], false), *second = NULL;
		uint8_t *zeros = calloc(1, DISK_SIZE);
		const char *problem;
		struct error err;

		assert_int_equal(raw->info.logical_block, 4096);
		assert_int_equal(blk_capacity(raw), DISK_SIZE);
		assert_int_not_equal(
			blk_try_open(path, &blk_modes[BLK_MODE_WRITEBACK], false, &second, &err),
			0);
		assert_int_equal(blk_do(raw, BLK_WRITE, 0, 0, zeros, DISK_SIZE), 0);
		problem = blk_compare(raw, memory, 99, 60, i & 1 ? 1 : 512);
		if (problem)
			fail_msg("%s: %s", blk_modes[i].name, problem);
		assert_int_equal(blk_do(raw, BLK_WRITE_ZEROES, 0, 0, NULL, DISK_SIZE), 0);
		assert_int_equal(blk_do(raw, BLK_DISCARD, 0, 512, NULL, 65536), 0);
		free(zeros);
		blk_close(raw);
		blk_close(memory);
	}
	close(fd);
}

/* The host says whether flushes do anything; the guest is told the same. */
static void test_device_without_cache(void **state)
{
	struct image_file *file = *state;
	static const char *const says[] = {"write back", "write through"};
	_Alignas(4096) uint8_t buf[4096] = {0};
	char path[128], cache[192];
	int fd = loop_device(file->path, path, sizeof(path));

	if (fd < 0) {
		print_message("no loop devices here\n");
		skip();
	}
	snprintf(cache, sizeof(cache), "/sys/class/block/%s/queue/write_cache",
		strrchr(path, '/') + 1);
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		FILE *sys = fopen(cache, "we");
		struct blk *blk;

		assert_true(sys && fputs(says[i], sys) >= 0 && fclose(sys) == 0);
		blk = blk_open(path, &blk_modes[BLK_MODE_NATIVE], false);
		assert_int_equal(blk->info.write_cache, i == 0);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, buf, 4096), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		blk_close(blk);
	}
	close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_device_with_large_blocks),
		CASE(test_device_without_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
