/* SPDX-License-Identifier: BSD-2-Clause */
/* The cache as such: its place, its secret, its keys. */
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
#include <unistd.h>

#include <cmocka.h>

#include "cache_fixture.h"
#include "loader/image/bytes.h"

static void test_where_it_is(void **state)
{
	char buf[64];

	(void)state;
	assert_int_equal(kernel_cache_dir("/xdg", "/home/me", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/xdg/bantam");
	assert_int_equal(kernel_cache_dir(NULL, "/home/me", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/home/me/.cache/bantam");
	assert_int_equal(kernel_cache_dir("relative", "/home/me", buf, sizeof(buf)), 0);
	assert_string_equal(buf, "/home/me/.cache/bantam");
	assert_int_equal(kernel_cache_dir("", "/", buf, sizeof(buf)), 0);
	assert_int_equal(kernel_cache_dir(NULL, NULL, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(kernel_cache_dir("", "", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(kernel_cache_dir(NULL, "here", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(
		kernel_cache_dir("/a-name-of-some-length-or-other", NULL, buf, 38), -ENAMETOOLONG);
}

static void test_keeps_kernels(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	struct stat st;

	assert_false(cache_has(cache, "a", "first"));
	cache_put(cache, "a", "first");
	cache_put(cache, "b", "second");
	assert_true(cache_has(cache, "a", "first"));
	assert_true(cache_has(cache, "b", "second"));
	assert_false(cache_has(cache, "c", "first"));
	cache_put(cache, "a", "other");
	assert_true(cache_has(cache, "a", "other"));
	kernel_cache_close(cache);
	cache = cache_open(f);
	assert_true(cache_has(cache, "b", "second"));
	kernel_cache_close(cache);
	assert_int_equal(stat(f->kernels, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(cache_count(f, "new-"), 0);
	kernel_cache_close(NULL);
}

static void test_keys(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	enum { LEN = 5 * 1024 * 1024 + 77, OFF = 33 };
	uint8_t *bytes = malloc(LEN);
	struct kernel_key file, memory;
	struct image image;

	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 13 + (i >> 10));
	image_from_memory("kernel", bytes, LEN, &image);
	assert_int_equal(kernel_cache_key_of_file(cache, &image, OFF, LEN - OFF, &file, NULL), 0);
	kernel_cache_key(cache, bytes + OFF, LEN - OFF, &memory);
	assert_memory_equal(&file, &memory, sizeof(file));
	assert_int_equal(kernel_cache_key_of_file(cache, &image, OFF, LEN, &file, NULL), -EINVAL);
	free(bytes);
	kernel_cache_close(cache);
}

/* True where the file system has holes. */
static bool has_holes(const struct cache_fixture *f)
{
	char path[128];
	bool has;
	int fd;

	snprintf(path, sizeof(path), "%s/sparse", f->top);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, MiB), 1);
	has = lseek(fd, 0, SEEK_HOLE) == 0;
	close(fd);
	return has;
}

/* The four longest runs of zeros take no place, and read as zeros nevertheless. */
static void test_zeros(void **state)
{
	enum {
		SIZE = 3 * 1024 * 1024 + 99,
		FIRST = 100000,
		FIRST_LEN = 200000,
		SHORT = 500000,
		SHORT_LEN = 180000,
		SHORTER = 700000,
		SHORTER_LEN = 170000,
		SHORTEST = 900000,
		SHORTEST_LEN = 110000,
		LAST = 1 << 20,
		LAST_LEN = (1 << 20) + 12345
	};
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	struct kernel_key key = cache_key(cache, "kernel");
	uint8_t *bytes = malloc(SIZE), *found = calloc(1, SIZE);
	struct image image;
	char path[CACHE_PATH];
	struct stat st;

	memset(bytes, 0x55, SIZE);
	memset(bytes + FIRST, 0, FIRST_LEN);
	memset(bytes + SHORT, 0, SHORT_LEN);
	memset(bytes + SHORTER, 0, SHORTER_LEN);
	memset(bytes + SHORTEST, 0, SHORTEST_LEN);
	memset(bytes + LAST, 0, LAST_LEN);
	assert_int_equal(kernel_cache_put(cache, &key, bytes, SIZE), 0);
	assert_int_equal(kernel_cache_get(cache, &key, "kernel", &image), 0);
	assert_int_equal(image.holes[0].off, 102400);
	assert_int_equal(image.holes[0].len, 196608);
	assert_int_equal(image.holes[1].off, 503808);
	assert_int_equal(image.holes[1].len, 176128);
	assert_int_equal(image.holes[2].off, 700416);
	assert_int_equal(image.holes[2].len, 167936);
	assert_int_equal(image.holes[3].off, LAST);
	assert_int_equal(image.holes[3].len, LAST_LEN / 4096 * 4096);
	assert_int_equal(image_read_to_zeros(&image, 0, found, SIZE, NULL), 0);
	assert_memory_equal(found, bytes, SIZE);
	memset(found, 0xee, SIZE);
	assert_int_equal(image_read(&image, 0, found, SIZE, NULL), 0);
	assert_memory_equal(found, bytes, SIZE);
	image_close(&image);
	/* Nothing but zeros */
	memset(bytes, 0, SIZE);
	assert_int_equal(kernel_cache_put(cache, &key, bytes, SIZE), 0);
	cache_path(f, cache, "kernel", path);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_blocks * 512 < SIZE / 2 || !has_holes(f));
	assert_int_equal(kernel_cache_get(cache, &key, "kernel", &image), 0);
	assert_int_equal(image.holes[3].len, SIZE / 4096 * 4096);
	assert_int_equal(image_read(&image, 0, found, SIZE, NULL), 0);
	assert_memory_equal(found, bytes, SIZE);
	image_close(&image);
	kernel_cache_close(cache);
	free(bytes);
	free(found);
}

/* Holes that are out of order, or not inside the kernel, are damage. */
static void test_bad_holes(void **state)
{
	static const struct {
		uint64_t off[IMAGE_HOLES], len[IMAGE_HOLES];
		bool counts;
	} table[] = {
		{{0, 4096, 20480, 24576}, {4096, 4096, 4096, 4096}, true},
		{{0, 0, 0, 0}, {0, 0, 0, 8192}, true},
		{{8192, 4096, 16384, 20480}, {4096, 4096, 4096, 4096}, false},
		{{0, 0, 0, 4096}, {0, 0, 8192, 4096}, false},
		{{0, 0, 0, 4096}, {0, 0, 0, 1 << 20}, false},
		{{0, 0, 0, 1}, {0, 0, 0, 4096}, false},
		{{0, 0, 0, 4096}, {0, 0, 0, 1}, false},
		{{0, 0, 0, UINT64_MAX - 4095}, {0, 0, 0, 8192}, false},
		{{0, 0, 0, 8192}, {0, 0, 0, UINT64_MAX - 4095}, false},
	};
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	static const uint8_t bytes[65536];
	const struct kernel_key key = cache_key(cache, "k");
	char path[CACHE_PATH];

	cache_path(f, cache, "k", path);
	assert_int_equal(kernel_cache_put(cache, &key, bytes, sizeof(bytes)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t words[16 * IMAGE_HOLES];
		struct image image;
		int fd = open(path, O_WRONLY);

		for (size_t k = 0; k < IMAGE_HOLES; k++) {
			put_le64(words + 16 * k, table[i].off[k]);
			put_le64(words + 16 * k + 8, table[i].len[k]);
		}
		assert_int_equal(
			pwrite(fd, words, sizeof(words), sizeof(bytes) + 32), sizeof(words));
		close(fd);
		assert_int_equal(
			kernel_cache_get(cache, &key, "k", &image), table[i].counts ? 0 : -ENOENT);
		if (table[i].counts)
			image_close(&image);
	}
	kernel_cache_close(cache);
}

/* Another cache names the same kernel otherwise: its secret is its own. */
static void test_secret(void **state)
{
	struct cache_fixture *f = *state;
	struct cache_fixture other = *f;
	struct kernel_cache *cache = cache_open(f), *second;
	struct kernel_key a = cache_key(cache, "kernel"), b;
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/secret", f->kernels);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, KEY_HASH_SECRET);
	snprintf(other.dir, sizeof(other.dir), "%s/other", f->top);
	second = cache_open(&other);
	b = cache_key(second, "kernel");
	assert_memory_not_equal(&a, &b, sizeof(a));
	kernel_cache_close(second);
	/* The same cache again has the same one */
	second = cache_open(f);
	b = cache_key(second, "kernel");
	assert_memory_equal(&a, &b, sizeof(a));
	kernel_cache_close(second);
	kernel_cache_close(cache);
}

/* A secret that is cut, too long, was open to others, or is no file is replaced. */
static void test_bad_secret(void **state)
{
	struct cache_fixture *f = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/secret", f->kernels);
	for (unsigned int i = 0; i < 5; i++) {
		struct kernel_cache *cache = cache_open(f);
		struct kernel_key before = cache_key(cache, "kernel"), after;

		cache_put(cache, "kernel", "content");
		kernel_cache_close(cache);
		if (i == 0)
			assert_int_equal(truncate(path, KEY_HASH_SECRET - 1), 0);
		if (i == 1)
			assert_int_equal(truncate(path, KEY_HASH_SECRET + 1), 0);
		if (i == 2)
			assert_int_equal(chmod(path, 0644), 0);
		if (i >= 3)
			assert_int_equal(unlink(path), 0);
		if (i == 3)
			assert_int_equal(symlink("/etc/passwd", path), 0);
		if (i == 4)
			assert_int_equal(mkfifo(path, 0600), 0);
		cache = cache_open(f);
		after = cache_key(cache, "kernel");
		assert_memory_not_equal(&before, &after, sizeof(before));
		assert_false(cache_has(cache, "kernel", "content"));
		kernel_cache_close(cache);
	}
}

static void test_refused_directories(void **state)
{
	struct cache_fixture *f = *state;
	struct kernel_cache *cache = cache_open(f);
	char elsewhere[128];

	kernel_cache_close(cache);
	cache = NULL;
	assert_int_equal(chmod(f->kernels, 0755), 0);
	assert_int_equal(kernel_cache_open(f->dir, &cache), -EPERM);
	assert_int_equal(chmod(f->kernels, 0720), 0);
	assert_int_equal(kernel_cache_open(f->dir, &cache), -EPERM);
	assert_int_equal(chmod(f->kernels, 0700), 0);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", f->top);
	assert_int_equal(rename(f->kernels, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, f->kernels), 0);
	assert_true(kernel_cache_open(f->dir, &cache) < 0);
	assert_int_equal(unlink(f->kernels), 0);
	assert_int_equal(symlink("nowhere", f->kernels), 0);
	assert_true(kernel_cache_open(f->dir, &cache) < 0);
	assert_int_equal(unlink(f->kernels), 0);
	assert_int_equal(mkfifo(f->kernels, 0700), 0);
	assert_true(kernel_cache_open(f->dir, &cache) < 0);
	assert_true(kernel_cache_open("/proc/bantam", &cache) < 0);
	assert_null(cache);
	/* Somebody else's: only root can make one */
	if (geteuid() == 0) {
		assert_int_equal(unlink(f->kernels), 0);
		assert_int_equal(rename(elsewhere, f->kernels), 0);
		assert_int_equal(chown(f->kernels, 12345, 12345), 0);
		assert_int_equal(kernel_cache_open(f->dir, &cache), -EPERM);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_where_it_is),
		TEST(test_keeps_kernels),
		TEST(test_keys),
		TEST(test_zeros),
		TEST(test_bad_holes),
		TEST(test_secret),
		TEST(test_bad_secret),
		TEST(test_refused_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
