/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernels that are found by their file's identity. What a file changed a while ago is comes from
 * the time that kernel_cache_remember is told; no test waits.
 */
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

struct memo_test {
	struct cache_fixture *f;
	struct kernel_cache *cache;
	char path[96];
	struct image file;
};

static time_t later(void)
{
	return time(NULL) + KERNEL_CACHE_RACY + 1;
}

static void write_kernel(const struct memo_test *t, const char *content)
{
	int fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static struct memo_test begin(void **state)
{
	struct memo_test t = {.f = *state};

	t.cache = cache_open(t.f);
	snprintf(t.path, sizeof(t.path), "%s/vmlinuz", t.f->top);
	write_kernel(&t, "packed kernel");
	assert_int_equal(image_open(t.path, &t.file, NULL), 0);
	return t;
}

static void finish(struct memo_test *t)
{
	image_close(&t->file);
	kernel_cache_close(t->cache);
}

static void reopen(struct memo_test *t)
{
	image_close(&t->file);
	assert_int_equal(image_open(t->path, &t->file, NULL), 0);
}

static void remember(const struct memo_test *t, const char *name)
{
	struct kernel_key key = cache_key(t->cache, name);

	kernel_cache_remember(t->cache, &t->file, &key, later());
}

/* True when the key is known; then it must be that one. */
static bool recalls(const struct memo_test *t, const char *name)
{
	struct kernel_key expected = cache_key(t->cache, name), key = {{0}};
	int rc = kernel_cache_recall(t->cache, &t->file, &key);

	if (rc) {
		assert_int_equal(rc, -ENOENT);
		return false;
	}
	assert_memory_equal(&key, &expected, sizeof(key));
	return true;
}

static void test_the_same_file(void **state)
{
	struct memo_test t = begin(state);

	assert_false(recalls(&t, "a"));
	remember(&t, "a");
	assert_true(recalls(&t, "a"));
	reopen(&t);
	assert_true(recalls(&t, "a"));
	remember(&t, "a");
	assert_int_equal(cache_count(t.f, "file-"), 1);
	/* As a file that was told wrongly of */
	remember(&t, "b");
	assert_true(recalls(&t, "b"));
	assert_int_equal(cache_count(t.f, "file-"), 1);
	finish(&t);
}

/* Less than KERNEL_CACHE_RACY seconds old, or from the future, where the clock was set back */
static void test_too_new(void **state)
{
	struct memo_test t = begin(state);
	struct kernel_key key = cache_key(t.cache, "a");
	struct image_identity identity;

	assert_int_equal(image_identify(&t.file, &identity), 0);
	kernel_cache_remember(t.cache, &t.file, &key, identity.ctime.tv_sec);
	kernel_cache_remember(t.cache, &t.file, &key, identity.ctime.tv_sec - 100000);
	kernel_cache_remember(
		t.cache, &t.file, &key, identity.ctime.tv_sec + KERNEL_CACHE_RACY - 1);
	assert_false(recalls(&t, "a"));
	assert_int_equal(cache_count(t.f, "file-"), 0);
	kernel_cache_remember(t.cache, &t.file, &key, identity.ctime.tv_sec + KERNEL_CACHE_RACY);
	assert_true(recalls(&t, "a"));
	finish(&t);
}

/* Another kernel by the same name */
static void test_rebuilt(void **state)
{
	struct memo_test t = begin(state);

	remember(&t, "a");
	assert_int_equal(unlink(t.path), 0);
	write_kernel(&t, "PACKED KERNEL");
	/* The file that is open is the old one still, but for its links: asked for once more */
	reopen(&t);
	assert_false(recalls(&t, "a"));
	finish(&t);
}

/* Changed in place, and its times set back: the inode's own tells. */
static void test_changed_in_place(void **state)
{
	struct memo_test t = begin(state);
	struct stat before;
	struct timespec times[2];

	assert_int_equal(stat(t.path, &before), 0);
	remember(&t, "a");
	/* The clock of a file system may stand still for some milliseconds. */
	for (struct stat st = before; st.st_ctim.tv_sec == before.st_ctim.tv_sec &&
				      st.st_ctim.tv_nsec == before.st_ctim.tv_nsec;) {
		write_kernel(&t, "PACKED KERNEL");
		times[0] = before.st_atim;
		times[1] = before.st_mtim;
		assert_int_equal(utimensat(AT_FDCWD, t.path, times, 0), 0);
		assert_int_equal(stat(t.path, &st), 0);
		assert_int_equal(st.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
		assert_int_equal(st.st_ino, before.st_ino);
		assert_int_equal(st.st_size, before.st_size);
	}
	/* A file that is read again for a reboot is asked for again, too. */
	image_forget(&t.file);
	assert_false(recalls(&t, "a"));
	reopen(&t);
	assert_false(recalls(&t, "a"));
	finish(&t);
}

static void test_changed_while_read(void **state)
{
	struct memo_test t = begin(state);

	write_kernel(&t, "another one");
	remember(&t, "a");
	assert_int_equal(cache_count(t.f, "file-"), 0);
	finish(&t);
}

static void test_copied(void **state)
{
	struct memo_test t = begin(state);

	remember(&t, "a");
	snprintf(t.path, sizeof(t.path), "%s/copy", t.f->top);
	write_kernel(&t, "packed kernel");
	reopen(&t);
	assert_false(recalls(&t, "a"));
	finish(&t);
}

static void test_memory_has_none(void **state)
{
	struct memo_test t = begin(state);
	struct kernel_key key = cache_key(t.cache, "a");
	struct image image;

	image_from_memory("kernel", "packed kernel", 13, &image);
	kernel_cache_remember(t.cache, &image, &key, later());
	assert_int_equal(cache_count(t.f, "file-"), 0);
	assert_int_equal(kernel_cache_recall(t.cache, &image, &key), -ENOENT);
	finish(&t);
}

/* The name of the only memo there is */
static void memo_path(const struct memo_test *t, char path[CACHE_PATH])
{
	struct image_identity id;

	assert_int_equal(image_identify(&t->file, &id), 0);
	snprintf(path, CACHE_PATH, "%s/file-%llx-%llx-%llx-%llx.%lx-%llx.%lx", t->f->kernels,
		(unsigned long long)id.dev, (unsigned long long)id.ino, (unsigned long long)id.size,
		(unsigned long long)id.mtime.tv_sec, (unsigned long)id.mtime.tv_nsec,
		(unsigned long long)id.ctime.tv_sec, (unsigned long)id.ctime.tv_nsec);
}

/* What does not look like an entry's name is not taken for one, and never followed. */
static void test_strange_memos(void **state)
{
	static const char *const targets[] = {
		"../0123456789abcdef0123456789abcdef",
		"../x",
		"/etc/passwd",
		"secret",
		"0123456789abcdef0123456789abcde",
		"0123456789abcdef0123456789abcdef0",
		"0123456789ABCDEF0123456789ABCDEF",
		"0123456789abcdef0123456789abcdef/../../../../../../../../../../../etc/passwd",
		"0123456789abcdef/123456789abcdef",
	};
	struct memo_test t = begin(state);
	char path[CACHE_PATH];

	remember(&t, "a");
	memo_path(&t, path);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink(targets[i], path), 0);
		assert_false(recalls(&t, "a"));
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(recalls(&t, "a"));
	remember(&t, "a"); /* in vain */
	assert_false(recalls(&t, "a"));
	assert_int_equal(rmdir(path), 0);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	assert_false(recalls(&t, "a"));
	remember(&t, "a");
	assert_true(recalls(&t, "a"));
	finish(&t);
}

/* A memo whose entry is gone leads nowhere, and goes with the next entry that comes. */
static void test_dangling(void **state)
{
	struct memo_test t = begin(state);
	char path[CACHE_PATH];

	cache_put(t.cache, "a", "kernel");
	remember(&t, "a");
	cache_put(t.cache, "b", "other");
	assert_int_equal(cache_count(t.f, "file-"), 1);
	cache_path(t.f, t.cache, "a", path);
	assert_int_equal(unlink(path), 0);
	assert_true(recalls(&t, "a"));
	assert_false(cache_has(t.cache, "a", "kernel"));
	cache_put(t.cache, "c", "third");
	assert_int_equal(cache_count(t.f, "file-"), 0);
	finish(&t);
}

/* A file that changes all the time does not fill the directory. */
static void test_are_bounded(void **state)
{
	struct memo_test t = begin(state);

	cache_put(t.cache, "a", "kernel");
	for (unsigned int i = 0; i < KERNEL_CACHE_MEMOS + 8; i++) {
		snprintf(t.path, sizeof(t.path), "%s/%u", t.f->top, i);
		write_kernel(&t, "packed kernel");
		reopen(&t);
		remember(&t, "a");
		assert_true(recalls(&t, "a"));
		assert_int_equal(
			cache_count(t.f, "file-"), MIN(i + 1, (unsigned int)KERNEL_CACHE_MEMOS));
	}
	finish(&t);
}

/* Who had the secret may have made a kernel with the key of another one: all are made anew. */
static void test_new_secret(void **state)
{
	struct memo_test t = begin(state);
	char path[CACHE_PATH];

	cache_put(t.cache, "a", "kernel");
	remember(&t, "a");
	snprintf(path, sizeof(path), "%s/secret", t.f->kernels);
	assert_int_equal(chmod(path, 0644), 0);
	kernel_cache_close(t.cache);
	t.cache = cache_open(t.f);
	assert_int_equal(cache_count(t.f, ""), 1);
	assert_false(recalls(&t, "a"));
	finish(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_same_file),
		TEST(test_too_new),
		TEST(test_rebuilt),
		TEST(test_changed_in_place),
		TEST(test_changed_while_read),
		TEST(test_copied),
		TEST(test_memory_has_none),
		TEST(test_strange_memos),
		TEST(test_dangling),
		TEST(test_are_bounded),
		TEST(test_new_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
