/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on qcow2 images of all kinds against a flat disk in memory. After each life the
 * image is opened again, and qemu-img, where it is installed, checks and reads it.
 *
 * With --rounds N more of them are done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../blk_memory.h"
#include "qcow2_fixture.h"

enum { DISK_SIZE = 3 * 1024 * 1024 + 5 * 512, BASE_SIZE = 3000 * 512, LIVES = 2 };

struct kind {
	const char *name;
	struct qcow2_options options;
	int mode;
	uint32_t unit;
};

static unsigned int rounds = 12;

/* One life: opened, used, closed, looked at. */
static void live(
	const char *path, const struct kind *kind, struct blk *memory, uint32_t seed, bool last)
{
	struct blk *blk = qcow2_open(path, &blk_modes[kind->mode], false);
	const char *problem = blk_compare(blk, memory, seed, rounds, kind->unit);

	if (problem)
		fail_msg("%s, seed %u: %s", kind->name, seed, problem);
	blk_close(blk);
	if (!qcow2_is_clean(path, false))
		fail_msg("%s, seed %u: qemu-img check", kind->name, seed);
	if (last && !qcow2_reads_as(path, blk_memory_bytes(memory), DISK_SIZE))
		fail_msg("%s, seed %u: qemu-img reads something else", kind->name, seed);
}

static void run(const struct kind *kind, const char *backing)
{
	struct blk *memory = blk_memory_create(DISK_SIZE, false);
	struct qcow2_options options = kind->options;
	struct image_file file;

	image_file_create(&file, 0);
	options.size = DISK_SIZE;
	if (backing) {
		uint8_t *bytes = image_file_read(backing, BASE_SIZE);

		options.backing = backing;
		options.backing_format = "raw";
		memcpy(blk_memory_bytes(memory), bytes, BASE_SIZE);
		free(bytes);
	}
	qcow2_make(file.path, &options);
	for (uint32_t seed = 1; seed <= LIVES; seed++)
		live(file.path, kind, memory, seed + (uint32_t)options.cluster_bits, seed == LIVES);
	blk_close(memory);
	image_file_remove(&file);
}

#define V2(bits)                                                                                   \
	{                                                                                          \
		.version = 2, .cluster_bits = (bits), .refcount_order = 4                          \
	}
#define V3(bits, order)                                                                            \
	{                                                                                          \
		.version = 3, .cluster_bits = (bits), .refcount_order = (order)                    \
	}
#define EXTENDED(bits)                                                                             \
	{                                                                                          \
		.version = 3, .cluster_bits = (bits), .refcount_order = 4, .extended = true        \
	}

static const struct kind kinds[] = {
	{"v3, 64 KiB", V3(16, 4), BLK_MODE_NATIVE, 512},
	{"v3, 64 KiB, bytes", V3(16, 4), BLK_MODE_NATIVE, 1},
	{"v3, 64 KiB, threads", V3(16, 4), BLK_MODE_DIRECT, 4096},
	{"v3, 512 bytes, refcounts of 64", V3(9, 6), BLK_MODE_WRITEBACK, 512},
	{"v3, 512 bytes, refcounts of 1", V3(9, 0), BLK_MODE_THROUGH, 512},
	{"v3, 4 KiB, refcounts of 8", V3(12, 3), BLK_MODE_NATIVE, 512},
	{"v3, 4 KiB, refcounts of 2", V3(12, 1), BLK_MODE_UNSAFE, 1},
	{"v3, 2 MiB, refcounts of 32", V3(21, 5), BLK_MODE_NATIVE, 512},
	{"v3, 256 KiB, refcounts of 4", V3(18, 2), BLK_MODE_WRITEBACK, 1},
	{"v2, 512 bytes", V2(9), BLK_MODE_WRITEBACK, 1},
	{"v2, 64 KiB", V2(16), BLK_MODE_NATIVE, 512},
	{"v2, 2 MiB", V2(21), BLK_MODE_UNSAFE, 512},
	{"extended, 16 KiB", EXTENDED(14), BLK_MODE_WRITEBACK, 1},
	{"extended, 128 KiB", EXTENDED(17), BLK_MODE_NATIVE, 512},
};

static void test_matches_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		run(&kinds[i], NULL);
	printf("operations: %zu\n", ARRAY_SIZE(kinds) * LIVES * rounds * 8);
}

/* The backing file is shorter than the disk. */
static void test_matches_memory_over_backing(void **state)
{
	struct image_file base;
	struct blk *blk;
	uint8_t *bytes = malloc(BASE_SIZE);

	(void)state;
	for (size_t i = 0; i < BASE_SIZE; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 512);
	image_file_create(&base, BASE_SIZE);
	blk = blk_open(base.path, &blk_modes[BLK_MODE_WRITEBACK], false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, BASE_SIZE), 0);
	blk_close(blk);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		run(&kinds[i], base.path);
	free(bytes);
	image_file_remove(&base);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches_memory),
		cmocka_unit_test(test_matches_memory_over_backing),
	};

	qemu_img_there();
	if (argc == 3 && !strcmp(argv[1], "--rounds"))
		rounds = (unsigned int)strtoul(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
