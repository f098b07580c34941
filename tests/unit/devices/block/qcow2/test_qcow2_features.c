/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the random operations do not come to: images that QEMU has made (skipped without qemu-img),
 * growth, tables that get too small, a process that dies.
 */
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

#include "../blk_memory.h"
#include "qcow2_fixture.h"

enum { DISK_SIZE = 2 << 20 };

static int setup(void **state)
{
	struct image_file *file = calloc(1, sizeof(*file));

	image_file_create(file, 0);
	*state = file;
	return 0;
}

static int teardown(void **state)
{
	struct image_file *file = *state;

	shell("rm -rf %s", file->dir);
	free(file);
	return 0;
}

static struct blk *open_it(const char *path, bool read_only)
{
	return qcow2_open(path, &blk_modes[BLK_MODE_WRITEBACK], read_only);
}

static uint8_t *pattern(uint64_t size, unsigned int seed)
{
	uint8_t *bytes = malloc(size);

	/* It can be compressed, but is nowhere the same. */
	for (uint64_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i / 512 * seed + i / 65536);
	return bytes;
}

static void assert_reads(struct blk *blk, uint64_t offset, const uint8_t *want, uint64_t len)
{
	uint8_t *bytes = malloc(len);

	assert_int_equal(blk_do(blk, BLK_READ, 0, offset, bytes, len), 0);
	assert_memory_equal(bytes, want, len);
	free(bytes);
}

static void store(const char *path, const uint8_t *bytes, uint64_t size)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/* A sector in the middle, and a part of a cluster's end */
static void overwrite(struct blk *blk, uint8_t *bytes)
{
	static const uint64_t places[] = {1000 * 512, DISK_SIZE - 512, 0, 65536 * 3 - 512};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		memset(bytes + places[i], 0xa0 + (int)i, 512);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, places[i], bytes + places[i], 512), 0);
	}
}

static void test_compressed(void **state)
{
	static const char *const kinds[] = {"compression_type=zlib", "compression_type=zstd",
		"compression_type=zlib,cluster_size=512", "compression_type=zstd,cluster_size=2M",
		"compat=0.10", "compression_type=zlib,extended_l2=on"};
	const struct image_file *file = *state;

	if (!qemu_img_there())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint8_t *bytes = pattern(DISK_SIZE, 3);
		struct blk *blk;

		store(file->path, bytes, DISK_SIZE);
		assert_int_equal(shell("qemu-img convert -c -f raw -O qcow2 -o %s %s %s.q",
					 kinds[i], file->path, file->path),
			0);
		assert_int_equal(shell("mv %s.q %s", file->path, file->path), 0);
		blk = open_it(file->path, false);
		assert_reads(blk, 0, bytes, DISK_SIZE);
		assert_reads(blk, 777, bytes + 777, 70000);
		overwrite(blk, bytes);
		assert_int_equal(blk_do(blk, BLK_WRITE_ZEROES, 0, 70000, NULL, 3000), 0);
		memset(bytes + 70000, 0, 3000);
		assert_reads(blk, 0, bytes, DISK_SIZE);
		blk_close(blk);
		assert_true(qcow2_is_clean(file->path, false));
		assert_true(qcow2_reads_as(file->path, bytes, DISK_SIZE));
		free(bytes);
	}
}

/* What a snapshot has stays as it is. */
static void test_snapshots(void **state)
{
	static const char *const kinds[] = {"cluster_size=64k", "cluster_size=512", "compat=0.10",
		"extended_l2=on,cluster_size=16k"};
	const struct image_file *file = *state;

	if (!qemu_img_there())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint8_t *old = pattern(DISK_SIZE, 5), *now = pattern(DISK_SIZE, 5);
		struct blk *blk;

		store(file->path, old, DISK_SIZE);
		shell("qemu-img convert -f raw -O qcow2 -o %s %s %s.q && mv %s.q %s", kinds[i],
			file->path, file->path, file->path, file->path);
		assert_int_equal(shell("qemu-img snapshot -c one %s", file->path), 0);
		blk = open_it(file->path, false);
		overwrite(blk, now);
		assert_int_equal(blk_do(blk, BLK_WRITE_ZEROES, BLK_UNMAP, 131072, NULL, 131072), 0);
		memset(now + 131072, 0, 131072);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		assert_reads(blk, 0, now, DISK_SIZE);
		blk_close(blk);
		assert_true(qcow2_is_clean(file->path, false));
		assert_true(qcow2_reads_as(file->path, now, DISK_SIZE));
		assert_int_equal(shell("qemu-img snapshot -a one %s", file->path), 0);
		assert_true(qcow2_is_clean(file->path, false));
		assert_true(qcow2_reads_as(file->path, old, DISK_SIZE));
		free(old);
		free(now);
	}
}

/* Counts that lie, and the mark that says so: as QEMU leaves them with lazy refcounts. */
static void test_dirty(void **state)
{
	const struct image_file *file = *state;
	struct qcow2_options options = qcow2_usual;
	static const uint8_t zeros[64];
	uint8_t *bytes = pattern(DISK_SIZE, 9);
	struct blk *blk;
	int fd;

	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE), 0);
	blk_close(blk);
	fd = open(file->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 2 * 65536 + 8), sizeof(zeros));
	assert_int_equal(pwrite(fd, "\1", 1, 79), 1);
	close(fd);
	if (qemu_img_there())
		assert_false(qcow2_is_clean(file->path, true));
	blk = open_it(file->path, true);
	assert_reads(blk, 0, bytes, DISK_SIZE);
	blk_close(blk);
	blk = open_it(file->path, false);
	overwrite(blk, bytes);
	blk_close(blk);
	assert_true(qcow2_is_clean(file->path, false));
	assert_true(qcow2_reads_as(file->path, bytes, DISK_SIZE));
	free(bytes);
}

/* Bitmaps are not kept up to date here, and are marked so. */
static void test_bitmaps(void **state)
{
	const struct image_file *file = *state;
	uint8_t sector[512] = {1}, *head;
	struct blk *blk;

	if (!qemu_img_there())
		skip();
	assert_int_equal(shell("qemu-img create -f qcow2 %s 2M && qemu-img bitmap --add %s b",
				 file->path, file->path),
		0);
	blk = open_it(file->path, true);
	blk_close(blk);
	head = image_file_read(file->path, 104);
	assert_int_equal(head[95], 1);
	free(head);
	blk = open_it(file->path, false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, sector, 512), 0);
	blk_close(blk);
	head = image_file_read(file->path, 104);
	assert_int_equal(head[95], 0);
	free(head);
	assert_true(qcow2_is_clean(file->path, true));
}

/* The refcount table moves, several times. */
static void test_many_clusters(void **state)
{
	const struct image_file *file = *state;
	const struct qcow2_options options = {
		.version = 3, .cluster_bits = 9, .refcount_order = 6, .size = 12 << 20};
	uint8_t *bytes = pattern(options.size, 11);
	struct blk *blk;

	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	for (uint64_t at = 0; at < options.size; at += 1 << 20) {
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, at, bytes + at, 1 << 20), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	}
	assert_reads(blk, 0, bytes, options.size);
	blk_close(blk);
	assert_true(qcow2_is_clean(file->path, false));
	assert_true(qcow2_reads_as(file->path, bytes, options.size));
	free(bytes);
}

static void test_grow(void **state)
{
	const struct image_file *file = *state;
	struct qcow2_options options = qcow2_usual;
	const uint64_t large = UINT64_C(6) << 40;
	uint8_t *bytes = pattern(DISK_SIZE, 13), sector[512];
	struct blk *blk;

	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE), 0);
	assert_int_equal(blk_grow(blk, DISK_SIZE - 512), -EINVAL);
	assert_int_equal(blk_grow(blk, large), 0);
	assert_int_equal(blk_capacity(blk), large);
	assert_int_equal(blk_do(blk, BLK_READ, 0, large - 512, sector, 512), 0);
	assert_int_equal(sector[0], 0);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, large - 512, bytes, 512), 0);
	blk_close(blk);
	assert_true(qcow2_is_clean(file->path, false));
	blk = open_it(file->path, false);
	assert_int_equal(blk_capacity(blk), large);
	assert_reads(blk, 0, bytes, DISK_SIZE);
	assert_reads(blk, large - 512, bytes, 512);
	blk_close(blk);
	free(bytes);
}

/* A disk that is larger than what it is based on; behind that are zeros. */
static void test_grow_over_backing(void **state)
{
	const struct image_file *file = *state;
	struct qcow2_options options = qcow2_usual;
	uint8_t *bytes = pattern(DISK_SIZE, 17);
	char base[128];
	struct blk *blk;

	snprintf(base, sizeof(base), "%s/base", file->dir);
	store(base, bytes, DISK_SIZE);
	options.size = DISK_SIZE / 2;
	options.backing = "base";
	options.backing_format = "raw";
	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	/* It would show what it did not have. */
	assert_int_equal(blk_grow(blk, DISK_SIZE), -ENOTSUP);
	assert_int_equal(blk_capacity(blk), DISK_SIZE / 2);
	blk_close(blk);
	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	assert_int_equal(blk_grow(blk, 2 * DISK_SIZE), 0);
	assert_reads(blk, 0, bytes, DISK_SIZE);
	memset(bytes, 0, DISK_SIZE);
	assert_reads(blk, DISK_SIZE, bytes, DISK_SIZE);
	blk_close(blk);
	assert_true(qcow2_is_clean(file->path, false));
	free(bytes);
}

static uint64_t blocks(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* What is discarded goes back to the host, and is used again. */
static void test_discard(void **state)
{
	const struct image_file *file = *state;
	struct qcow2_options options = qcow2_usual;
	uint8_t *bytes = pattern(DISK_SIZE, 19);
	uint64_t full;
	struct blk *blk;

	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
	blk = open_it(file->path, false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE), 0);
	assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	full = blocks(file->path);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(blk_do(blk, BLK_DISCARD, 0, 0, NULL, DISK_SIZE), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		assert_in_range(blocks(file->path), 0, full - DISK_SIZE + 65536);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
		assert_in_range(blocks(file->path), full, full + 65536);
	}
	assert_reads(blk, 0, bytes, DISK_SIZE);
	blk_close(blk);
	assert_true(qcow2_is_clean(file->path, false));
	free(bytes);
}

/* Killed behind a flush: all of it is there. */
static void test_killed(void **state)
{
	const struct image_file *file = *state;
	struct qcow2_options options = qcow2_usual;
	uint8_t *bytes = pattern(DISK_SIZE, 23);
	struct blk *blk;
	pid_t pid;

	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
	pid = fork();
	if (!pid) {
		blk = open_it(file->path, false);
		_exit(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE) ||
			blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0) ||
			blk_do(blk, BLK_WRITE_ZEROES, 0, 0, NULL, DISK_SIZE));
	} else {
		int status = -1;

		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_true(qcow2_is_clean(file->path, true));
	blk = open_it(file->path, false);
	assert_reads(blk, 0, bytes, DISK_SIZE);
	blk_close(blk);
	free(bytes);
}

/* ---- throwaway writes ---- */

static struct blk *open_snapshot(const char *path, bool qcow2, uint64_t most)
{
	const struct blk_config config = {.path = path, .cache = BLK_CACHE_NONE, .backing = true};
	struct error err = {""};
	struct blk *blk = NULL;

	if (blk_snapshot_create(&config, qcow2, most, &blk, &err))
		fail_msg("%s", err.text);
	return blk;
}

static void make_base(const char *path, const uint8_t *bytes, bool qcow2)
{
	struct qcow2_options options = qcow2_usual;
	struct blk *blk;

	if (!qcow2) {
		store(path, bytes, DISK_SIZE);
		return;
	}
	options.size = DISK_SIZE;
	qcow2_make(path, &options);
	blk = open_it(path, false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, (void *)(uintptr_t)bytes, DISK_SIZE), 0);
	blk_close(blk);
}

/* As a disk in memory; two of them at once, and what they are based on stays as it is. */
static void test_snapshot(void **state)
{
	const struct image_file *file = *state;

	for (int qcow2 = 0; qcow2 < 2; qcow2++) {
		uint8_t *bytes = pattern(DISK_SIZE, 29), *before, *after;
		struct blk *memory = blk_memory_create(DISK_SIZE, false), *one, *two;
		const char *problem;
		struct stat st, now;

		make_base(file->path, bytes, qcow2);
		assert_int_equal(stat(file->path, &st), 0);
		before = image_file_read(file->path, (uint64_t)st.st_size);
		memcpy(blk_memory_bytes(memory), bytes, DISK_SIZE);
		one = open_snapshot(file->path, qcow2, 0);
		two = open_snapshot(file->path, qcow2, 0);
		assert_false(one->info.read_only);
		problem = blk_compare(one, memory, 31, 30, 512);
		if (problem)
			fail_msg("%s", problem);
		assert_reads(two, 0, bytes, DISK_SIZE);
		blk_close(two);
		blk_close(one);
		two = open_snapshot(file->path, qcow2, 0);
		assert_reads(two, 0, bytes, DISK_SIZE);
		blk_close(two);
		after = image_file_read(file->path, (uint64_t)st.st_size);
		assert_memory_equal(after, before, st.st_size);
		assert_int_equal(stat(file->path, &now), 0);
		assert_int_equal(now.st_size, st.st_size);
		assert_int_equal(now.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
		blk_close(memory);
		free(bytes);
		free(before);
		free(after);
	}
}

/* What is written has a limit, and what is discarded counts no more. */
static void test_snapshot_limit(void **state)
{
	const struct image_file *file = *state;
	uint8_t *bytes = pattern(DISK_SIZE, 37);
	struct blk *blk;

	store(file->path, bytes, DISK_SIZE);
	blk = open_snapshot(file->path, false, 1 << 20);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, 900 << 10), 0);
		assert_int_equal(blk_do(blk, BLK_WRITE, 0, 900 << 10, bytes, 900 << 10), -ENOSPC);
		assert_reads(blk, 0, bytes, 900 << 10);
		assert_int_equal(blk_do(blk, BLK_DISCARD, 0, 0, NULL, DISK_SIZE), 0);
		assert_int_equal(blk_do(blk, BLK_FLUSH, 0, 0, NULL, 0), 0);
	}
	blk_close(blk);
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(compressed),
		TEST(snapshots),
		TEST(dirty),
		TEST(bitmaps),
		TEST(many_clusters),
		TEST(grow),
		TEST(grow_over_backing),
		TEST(discard),
		TEST(killed),
		TEST(snapshot),
		TEST(snapshot_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
