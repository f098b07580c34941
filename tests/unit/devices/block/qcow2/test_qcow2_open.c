/* SPDX-License-Identifier: BSD-2-Clause */
/* What is refused, and in which words: headers that cannot be, features, backing files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../../devices/block/qcow2/bytes.h"
#include "qcow2_fixture.h"

enum { DISK_SIZE = 1 << 20, CLUSTER = 65536 };

static int setup(void **state)
{
	struct image_file *file = calloc(1, sizeof(*file));
	struct qcow2_options options = qcow2_usual;

	image_file_create(file, 0);
	options.size = DISK_SIZE;
	qcow2_make(file->path, &options);
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

static void put(const char *path, uint64_t offset, const void *bytes, size_t len)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
	close(fd);
}

/* As a big-endian number of so many bytes */
static void put_number(const char *path, uint64_t offset, unsigned int bytes, uint64_t value)
{
	uint8_t p[8];

	put_be64(p, value);
	put(path, offset, p + 8 - bytes, bytes);
}

static int try_open(const char *path, bool read_only, bool backing, struct error *err)
{
	const struct blk_config config = {
		.read_only = read_only, .backing = backing, .cache = BLK_CACHE_WRITEBACK};
	struct blk *blk = NULL;
	int rc = qcow2_try_open(path, &config, &blk, err);

	assert_true(!rc == (blk != NULL));
	blk_close(blk);
	return rc;
}

static void assert_refused(const char *path, bool backing, const char *words)
{
	struct error err;

	if (!try_open(path, false, backing, &err))
		fail_msg("opened: %s", words);
	if (!strstr(err.text, words) || strchr(err.text, '\n'))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* ---- headers ---- */

static const struct {
	uint64_t offset;
	unsigned int bytes;
	uint64_t value;
	const char *words;
} fields[] = {
	{0, 4, 0x51464900, "is not a qcow2 image"},
	{4, 4, 1, "version 1"},
	{4, 4, 4, "version 4"},
	{20, 4, 8, "the size of its clusters"},
	{20, 4, 22, "the size of its clusters"},
	{20, 4, UINT32_MAX, "the size of its clusters"},
	{24, 8, UINT64_MAX, "the disk is too large"},
	{24, 8, UINT64_C(1) << 50, "L1 table is too small"},
	{24, 8, 0, "is empty"},
	{32, 4, 1, "is encrypted"},
	{32, 4, 2, "is encrypted"},
	{36, 4, 0, "L1 table is too small"},
	{36, 4, UINT32_MAX, "L1 table is too large"},
	{36, 4, 4194304, "outside the file"},
	{40, 8, 0, "the place of its L1 table"},
	{40, 8, 0x30001, "the place of its L1 table"},
	{40, 8, UINT64_C(1) << 60, "the place of its L1 table"},
	{40, 8, UINT64_C(1) << 40, "outside the file"},
	{40, 8, CLUSTER, "tables are at the same place"},
	{48, 8, 0, "the place of its refcount table"},
	{48, 8, 3 * CLUSTER, "tables are at the same place"},
	{48, 8, UINT64_C(1) << 40, "outside the file"},
	{56, 4, 0, "the size of its refcount table"},
	{56, 4, UINT32_MAX, "the size of its refcount table"},
	{60, 4, UINT32_MAX, "too many snapshots"},
	{60, 4, 1, "the place of its snapshots"},
	{72, 8, 2, "is marked as damaged"},
	{72, 8, 4, "data in another file"},
	{72, 8, 8, "compression type"},
	{72, 8, UINT64_C(1) << 5, "not supported: bit 5"},
	{72, 8, UINT64_C(1) << 63, "not supported: bit 63"},
	{96, 4, 7, "refcounts are too wide"},
	{100, 4, 0, "its length cannot be"},
	{100, 4, 108, "its length cannot be"},
	{100, 4, UINT32_MAX, "its length cannot be"},
	{104, 1, 2, "compressed in a way"},
	{104, 1, 1, "compression type"},
	{112, 8, UINT64_C(0xe2792aca00000010), "backing file's format is too long"},
	{112, 8, UINT64_C(0x12345678ffffffff), "an extension is longer"},
};

static void test_headers(void **state)
{
	const struct image_file *file = *state;
	uint8_t *good = image_file_read(file->path, 4 * CLUSTER);

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		put_number(file->path, fields[i].offset, fields[i].bytes, fields[i].value);
		assert_refused(file->path, false, fields[i].words);
		put(file->path, 0, good, 4 * CLUSTER);
	}
	free(good);
}

/* A feature that the image itself has a name for */
static void test_feature_names(void **state)
{
	const struct image_file *file = *state;
	uint8_t names[8 + 48] = {0x68, 0x03, 0xf8, 0x57, 0, 0, 0, 48, 0, 40, 'h', 'o', 't', '\n'};

	put(file->path, 112, names, sizeof(names));
	put_number(file->path, 72, 8, UINT64_C(1) << 40);
	assert_refused(file->path, false, "bit 40, hot?");
}

/* Any number in any field: an answer within a second, in one line. */
static void test_any_field(void **state)
{
	static const uint64_t values[] = {0, 1, 7, 63, 255, 512, 4096, 65535, 65536, 0x20000,
		0x30000, 0x40000, 0x7fffffff, 0x80000000, 0xfffffff8, UINT32_MAX};
	const struct image_file *file = *state;
	uint8_t *good = image_file_read(file->path, 4 * CLUSTER);
	unsigned int tried = 0, opened = 0;

	for (uint64_t at = 4; at < 120; at += 4)
		for (size_t i = 0; i < ARRAY_SIZE(values); i++, tried++) {
			struct timespec from, to;
			struct error err;
			int rc;

			put_number(file->path, at, 4, values[i]);
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
			rc = try_open(file->path, i & 1, false, &err);
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
			opened += !rc;
			assert_true(!rc || (err.text[0] && !strchr(err.text, '\n')));
			assert_in_range(to.tv_sec - from.tv_sec, 0, 1);
			assert_int_equal(truncate(file->path, 4 * CLUSTER), 0);
			put(file->path, 0, good, 4 * CLUSTER);
		}
	assert_in_range(opened, 1, tried - 1);
	printf("malformed headers: %u\n", tried);
	free(good);
}

static void test_short_files(void **state)
{
	const struct image_file *file = *state;
	static const off_t sizes[] = {4, 71, 72, 103, 104, 111, 4096, CLUSTER, 3 * CLUSTER};
	struct error err;

	for (size_t i = ARRAY_SIZE(sizes); i-- > 0;) {
		assert_int_equal(truncate(file->path, sizes[i]), 0);
		assert_int_not_equal(try_open(file->path, false, false, &err), 0);
		assert_non_null(strstr(err.text, file->path));
	}
}

/* ---- tables ---- */

static uint64_t l1_offset(const char *path)
{
	uint8_t *head = image_file_read(path, 64);
	const uint64_t offset = get_be64(head + 40);

	free(head);
	return offset;
}

/* An entry that leads into the image's own tables: the guest gets an error, the tables stay. */
static void test_entry_into_tables(void **state)
{
	const struct image_file *file = *state;
	uint8_t sector[512] = {1}, *before, *after;
	uint64_t l2;
	struct blk *blk;

	blk = qcow2_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, sector, sizeof(sector)), 0);
	blk_close(blk);
	before = image_file_read(file->path, 4 * CLUSTER);
	l2 = get_be64(before + l1_offset(file->path)) & UINT64_C(0x00fffffffffffe00);
	for (uint64_t cluster = 0; cluster < 4; cluster++) {
		put_number(file->path, l2, 8, cluster * CLUSTER | UINT64_C(1) << 63);
		blk = qcow2_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false);
		/* Cluster 0 is nowhere, as a place: that is a new one. */
		assert_int_equal(
			blk_do(blk, BLK_WRITE, 0, 0, sector, sizeof(sector)), cluster ? -EIO : 0);
		blk_close(blk);
		after = image_file_read(file->path, 4 * CLUSTER);
		/* The mark in the header, and counts, may have changed. */
		assert_memory_equal(after, before, 72);
		assert_memory_equal(after + 3 * CLUSTER, before + 3 * CLUSTER, CLUSTER);
		free(after);
		if (cluster) {
			assert_refused(file->path, false, "is marked as damaged");
			put_number(file->path, 72, 8, 0);
		}
	}
	free(before);
}

/* ---- backing files ---- */

static void make_overlay(
	const struct image_file *file, const char *name, const char *backing, const char *format)
{
	struct qcow2_options options = qcow2_usual;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", file->dir, name);
	options.size = DISK_SIZE;
	options.backing = backing;
	options.backing_format = format;
	qcow2_make(path, &options);
}

static void assert_overlay_refused(
	const struct image_file *file, const char *backing, const char *format, const char *words)
{
	char path[256];

	make_overlay(file, "top", backing, format);
	snprintf(path, sizeof(path), "%s/top", file->dir);
	assert_refused(path, true, words);
}

static void test_backing_names(void **state)
{
	const struct image_file *file = *state;
	char path[256];

	snprintf(path, sizeof(path), "%s/pipe", file->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_overlay_refused(file, "json:{}", "raw", "only names of files");
	assert_overlay_refused(file, "nbd:unix:/x", "raw", "only names of files");
	assert_overlay_refused(file, "a/../../b", "raw", "names with ..");
	assert_overlay_refused(file, "../b", "raw", "names with ..");
	assert_overlay_refused(file, "/proc/self/mem", "raw", "/proc/self/mem");
	assert_overlay_refused(file, "/proc/kcore", "raw", "/proc/kcore");
	assert_overlay_refused(file, "pipe", "raw", "neither a file nor");
	assert_overlay_refused(file, "/dev/zero", "raw", "neither a file nor");
	assert_overlay_refused(file, ".", "raw", "neither a file nor");
	assert_overlay_refused(file, "nothing", "raw", "No such file");
	assert_overlay_refused(file, "a\nb", "raw", "control characters");
	assert_overlay_refused(file, "disk.img", "vmdk", "in the format 'vmdk'");
	assert_overlay_refused(file, "disk.img", "", "does not say in what format");
	assert_overlay_refused(file, "top", "qcow2", "open for writing");
	make_overlay(file, "top", "disk.img", "qcow2");
	snprintf(path, sizeof(path), "%s/top", file->dir);
	assert_refused(path, false, "based on 'disk.img', which is not opened without leave");
}

/* Two that are based on each other, and too many */
static void test_chains(void **state)
{
	const struct image_file *file = *state;
	char path[256], name[32], backing[32];
	struct error err;

	make_overlay(file, "a", "b", "qcow2");
	make_overlay(file, "b", "a", "qcow2");
	snprintf(path, sizeof(path), "%s/a", file->dir);
	assert_int_not_equal(try_open(path, true, true, &err), 0);
	assert_non_null(strstr(err.text, "is based on itself"));
	make_overlay(file, "n0", "disk.img", "qcow2");
	for (int i = 1; i < 16; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(backing, sizeof(backing), "n%d", i - 1);
		make_overlay(file, name, backing, "qcow2");
	}
	snprintf(path, sizeof(path), "%s/n14", file->dir);
	assert_int_equal(try_open(path, false, true, &err), 0);
	snprintf(path, sizeof(path), "%s/n15", file->dir);
	assert_refused(path, true, "more than 16 files");
}

static void test_locks(void **state)
{
	const struct image_file *file = *state;
	struct error err;
	struct blk *blk = qcow2_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], false);

	assert_refused(file->path, false, "in use");
	assert_int_not_equal(try_open(file->path, true, false, &err), 0);
	blk_close(blk);
	blk = qcow2_open(file->path, &blk_modes[BLK_MODE_WRITEBACK], true);
	assert_int_equal(try_open(file->path, true, false, &err), 0);
	assert_int_equal(blk_do(blk, BLK_DISCARD, 0, 0, NULL, 512), -EROFS);
	blk_close(blk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(headers),
		TEST(feature_names),
		TEST(any_field),
		TEST(short_files),
		TEST(entry_into_tables),
		TEST(backing_names),
		TEST(chains),
		TEST(locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
