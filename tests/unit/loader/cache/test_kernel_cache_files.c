/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries: damaged ones, too many of them, several writers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache_fixture.h"
#include "loader/image/bytes.h"

/* An entry that is cut at any byte, or changed in any byte of its trailer, is none. */
static void test_damaged_entries(void **state)
{
	static const char content[] = "the kernel";
	const off_t len = sizeof(content) - 1;
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	char path[CACHE_PATH];
	struct stat st;
	int fd;

	cache_path(f, cache, "k", path);
	cache_put(cache, "k", content);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	for (off_t size = 0; size < st.st_size; size++) {
		cache_put(cache, "k", content);
		assert_int_equal(truncate(path, size), 0);
		assert_false(cache_has(cache, "k", content));
		assert_int_equal(truncate(path, st.st_size), 0);
		assert_false(size < len && cache_has(cache, "k", content));
	}
	cache_put(cache, "k", content);
	assert_int_equal(truncate(path, st.st_size + 1), 0);
	assert_false(cache_has(cache, "k", content));
	cache_put(cache, "k", content);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t off = len; off < st.st_size - 8; off++) {
		uint8_t byte, changed;

		assert_int_equal(pread(fd, &byte, 1, off), 1);
		changed = byte ^ 1;
		assert_int_equal(pwrite(fd, &changed, 1, off), 1);
		assert_false(cache_has(cache, "k", content));
		assert_int_equal(pwrite(fd, &byte, 1, off), 1);
		assert_true(cache_has(cache, "k", content));
	}
	close(fd);
	kernel_cache_close(cache);
}

/*
 * A host that crashed soon after an entry was written may have half of it on its disk. At the
 * trailer's end are which boot that was in, and how many seconds after its start. The time of the
 * file is that of its last use, and of a clock that may have been set to anything meanwhile.
 */
static void test_crash_of_the_host(void **state)
{
	static const struct {
		bool other_boot;
		time_t ago, used;
		mode_t mode, mode_then;
		bool counts;
	} table[] = {
		{false, 0, 1000, 0600, 0600, true},
		{false, 299, 1000, 0600, 0600, true},
		{false, 310, 1000, 0600, 0400, true},
		{true, 0, 1000, 0600, 0600, false},
		{true, 100000, 1000, 0600, 0600, false},
		{true, -100000, 1000, 0600, 0600, false},
		{true, 0, 4000000000, 0600, 0600, false},
		{true, 0, 1000, 0400, 0400, true},
		{false, 0, 1000, 0400, 0400, true},
	};
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	char path[CACHE_PATH];
	struct stat st;

	cache_path(f, cache, "k", path);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t words[24];
		struct timespec up;
		int fd;

		cache_put(cache, "k", "kernel");
		assert_true(cache_has(cache, "k", "kernel"));
		fd = open(path, O_RDWR);
		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		assert_int_equal(pread(fd, words, sizeof(words), st.st_size - 24), 24);
		words[0] ^= table[i].other_boot;
		clock_gettime(CLOCK_BOOTTIME, &up);
		put_le64(words + 16, (uint64_t)(up.tv_sec - table[i].ago));
		assert_int_equal(pwrite(fd, words, sizeof(words), st.st_size - 24), 24);
		assert_int_equal(fchmod(fd, table[i].mode), 0);
		close(fd);
		cache_set_time(f, cache, "k", table[i].used, 0);
		assert_int_equal(cache_has(cache, "k", "kernel"), table[i].counts);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, table[i].mode_then);
	}
	kernel_cache_close(cache);
}

static void test_entries_that_are_no_files(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	char path[CACHE_PATH], target[128];

	cache_path(f, cache, "k", path);
	snprintf(target, sizeof(target), "%s/target", f->top);
	cache_put(cache, "k", "content");
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_false(cache_has(cache, "k", "content"));
	/* Writing replaces the link, and leaves alone what it points to */
	cache_put(cache, "k", "changed");
	assert_true(cache_has(cache, "k", "changed"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(target, path), 0);
	assert_true(cache_has(cache, "k", "content"));
	assert_int_equal(chmod(path, 0644), 0);
	assert_false(cache_has(cache, "k", "content"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(cache_has(cache, "k", "content"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(cache_has(cache, "k", "content"));
	kernel_cache_close(cache);
}

static void test_longest_unused_goes(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		cache_put(cache, names[i], "x");
		cache_set_time(f, cache, names[i], 1000 + i / 2, i % 2);
	}
	assert_true(cache_has(cache, "a", "x")); /* is used now */
	cache_put(cache, "e", "x");
	assert_false(cache_has(cache, "b", "x"));
	assert_true(cache_has(cache, "a", "x"));
	assert_true(cache_has(cache, "c", "x"));
	assert_true(cache_has(cache, "d", "x"));
	assert_true(cache_has(cache, "e", "x"));
	assert_int_equal(cache_count(f, ""), KERNEL_CACHE_ENTRIES + 1);
	kernel_cache_close(cache);
}

/* Large ones are holes here: sizes are what is counted. */
static void test_bytes_are_bounded(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	char path[CACHE_PATH];
	static const uint8_t small[64];
	struct kernel_key key = cache_key(cache, "new");

	cache_put(cache, "old", "x");
	cache_put(cache, "large", "x");
	cache_put(cache, "young", "x");
	cache_set_time(f, cache, "old", 1000, 0);
	cache_set_time(f, cache, "large", 2000, 0);
	cache_set_time(f, cache, "young", 3000, 0);
	cache_path(f, cache, "large", path);
	assert_int_equal(truncate(path, (off_t)KERNEL_CACHE_BYTES - 128), 0);
	cache_set_time(f, cache, "large", 2000, 0);
	assert_int_equal(kernel_cache_put(cache, &key, small, sizeof(small)), 0);
	assert_true(cache_has(cache, "young", "x"));
	assert_false(cache_has(cache, "old", "x"));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(cache_count(f, ""), 3);
	assert_int_equal(kernel_cache_put(cache, &key, NULL, KERNEL_CACHE_BYTES), -EFBIG);
	kernel_cache_close(cache);
}

static void make_file(const struct cache_fixture *f, const char *name, time_t age)
{
	const struct timespec times[2] = {
		{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
	char path[CACHE_PATH];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->kernels, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

/* What a killed writer left goes, what is being written stays, and so does what is not ours. */
static void test_left_behind(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);

	make_file(f, "new-old", 2 * 3600);
	make_file(f, "new-young", 60);
	make_file(f, "0123456789ABCDEF0123456789ABCDEF", 2 * 3600);
	make_file(f, "notes", 2 * 3600);
	cache_put(cache, "a", "x");
	assert_int_equal(cache_count(f, "new-"), 1);
	assert_int_equal(cache_count(f, "new-young"), 1);
	assert_int_equal(cache_count(f, "notes"), 1);
	assert_int_equal(cache_count(f, "0123456789ABCDEF"), 1);
	kernel_cache_close(cache);
}

/* An entry that is dropped stays readable to who has it open. */
static void test_open_while_dropped(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	struct kernel_key key = cache_key(cache, "a");
	struct image image;
	char path[CACHE_PATH], found[8] = "";

	cache_put(cache, "a", "kernel");
	assert_int_equal(kernel_cache_get(cache, &key, "name", &image), 0);
	cache_path(f, cache, "a", path);
	cache_put(cache, "a", "KERNEL");
	assert_int_equal(unlink(path), 0);
	kernel_cache_close(cache);
	assert_int_equal(image_read(&image, 0, found, 6, NULL), 0);
	assert_string_equal(found, "kernel");
	image_close(&image);
}

/* In a child: whatever is found is whole. Returns what was wrong. */
static int hammer(const struct cache_fixture *f, unsigned int seed)
{
	enum { ROUNDS = 100, SIZE = 20000 };
	static uint8_t bytes[SIZE], found[SIZE];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct kernel_cache *cache = NULL;
		char name[] = {(char)('a' + (seed + i) % 6), '\0'};
		struct kernel_key key;
		struct image image;

		if (kernel_cache_open(f->dir, &cache) || kernel_cache_read_secret(cache))
			return 2;
		kernel_cache_key(cache, (uint8_t *)name, 1, &key);
		if (kernel_cache_get(cache, &key, "name", &image) == 0) {
			if (image_read(&image, 0, found, SIZE, NULL))
				return 3;
			for (size_t k = 0; k < SIZE; k++)
				if (found[k] != (uint8_t)name[0])
					return 4;
			image_close(&image);
		}
		memset(bytes, name[0], SIZE);
		if (kernel_cache_put(cache, &key, bytes, SIZE))
			return 5;
		kernel_cache_close(cache);
	}
	return 0;
}

static void test_several_at_once(void **state)
{
	enum { CHILDREN = 4 };
	struct cache_fixture *f = *state;
	pid_t children[CHILDREN];

	for (unsigned int i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			_exit(hammer(f, i));
	}
	for (unsigned int i = 0; i < CHILDREN; i++) {
		int status = -1;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(cache_count(f, "new-"), 0);
	assert_int_equal(cache_count(f, "secret"), 1);
	/* Each leaves at most the limit and its own; nobody knows of the others'. */
	assert_true(cache_count(f, "") <= KERNEL_CACHE_ENTRIES + CHILDREN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_damaged_entries),
		TEST(test_crash_of_the_host),
		TEST(test_entries_that_are_no_files),
		TEST(test_longest_unused_goes),
		TEST(test_bytes_are_bounded),
		TEST(test_left_behind),
		TEST(test_open_while_dropped),
		TEST(test_several_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
