/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways out: hidden paths, and a host that renames and replaces while the client is at it. What
 * happens outside is watched (fs_driver.c).
 *
 * The race takes half a second, or as many seconds as FS_RACE_TIME says.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_driver.h"

static struct fsd d;

static int set_up(void **state)
{
	(void)state;
	fsd_make(&d);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fsd_remove(&d);
	return 0;
}

/* ---- hidden paths ---- */

static bool lists(uint64_t node, const char *name)
{
	struct fuse_read_in in = {.size = 4096};
	bool found = false;

	assert_int_equal(fsd_opendir(&d, node, &in.fh), 0);
	for (uint32_t op = FUSE_READDIR; op; op = op == FUSE_READDIR ? FUSE_READDIRPLUS : 0) {
		in.offset = 0;
		assert_int_equal(fsd_call(&d, op, node, &in, sizeof(in)), 0);
		found |= memmem(d.reply, d.len, name, strlen(name)) != NULL;
	}
	assert_int_equal(fsd_release(&d, node, in.fh), 0);
	return found;
}

static int rename_to(uint64_t dir, const char *old, uint64_t to, const char *name)
{
	const struct fuse_rename_in in = {.newdir = to};

	fsd_begin(&d, FUSE_RENAME, dir);
	fsd_add(&d, &in, sizeof(in));
	fsd_add_name(&d, old);
	fsd_add_name(&d, name);
	return fsd_send(&d);
}

static void test_hidden(void **state)
{
	static const char *const hide[] = {"a/b/key", "/top", "a//./later"};
	const struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_entry_out entry;
	uint64_t fh, dir;

	(void)state;
	mkdir(fsd_path(&d, "share/a"), 0755);
	mkdir(fsd_path(&d, "share/a/b"), 0755);
	mkdir(fsd_path(&d, "share/c"), 0755);
	fsd_put(&d, "share/a/b/key", "hidden");
	fsd_put(&d, "share/top", "hidden");
	assert_int_equal(link(fsd_path(&d, "share/top"), fsd_path(&d, "share/linked")), 0);
	fsd_init(&d, &(struct fs_config){.hide = hide, .num_hide = ARRAY_SIZE(hide)});
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "top", &entry), -ENOENT);
	assert_false(lists(FUSE_ROOT_ID, "top"));
	/* by another name */
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "linked", &entry), -ENOENT);
	assert_false(lists(FUSE_ROOT_ID, "linked"));
	assert_int_equal(rename_to(FUSE_ROOT_ID, "linked", FUSE_ROOT_ID, "x"), -ENOENT);
	/* in its directory, whatever that is called */
	dir = fsd_walk(&d, "a/b");
	assert_int_equal(fsd_lookup(&d, dir, "key", &entry), -ENOENT);
	assert_int_equal(rename_to(fsd_walk(&d, "a"), "b", fsd_walk(&d, "c"), "d"), 0);
	assert_int_equal(fsd_lookup(&d, dir, "key", &entry), -ENOENT);
	assert_int_equal(fsd_lookup(&d, fsd_walk(&d, "c/d"), "key", &entry), -ENOENT);
	assert_false(lists(dir, "key"));
	/* nor is it replaced, taken away or made */
	assert_int_equal(fsd_create(&d, dir, "key", O_RDWR, 0600, &entry, &fh), -EPERM);
	assert_int_equal(fsd_call_name(&d, FUSE_UNLINK, dir, NULL, 0, "key"), -ENOENT);
	assert_int_equal(rename_to(dir, "key", dir, "seen"), -ENOENT);
	assert_int_equal(fsd_call_name(&d, FUSE_MKDIR, fsd_walk(&d, "a"), &mkdir_in,
				 sizeof(mkdir_in), "later"),
		-EPERM);
	/* what comes there later, by the host */
	fsd_put(&d, "share/a/later", "hidden");
	assert_int_equal(fsd_lookup(&d, fsd_walk(&d, "a"), "later", &entry), -ENOENT);
	fsd_put(&d, "share/new", "hidden");
	assert_int_equal(rename(fsd_path(&d, "share/new"), fsd_path(&d, "share/c/d/key")), 0);
	assert_int_equal(fsd_lookup(&d, dir, "key", &entry), -ENOENT);
}

/* ---- trees that move ---- */

/* The host turns two directories inside out: the client's idea of the way up becomes a circle. */
static void test_circle(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	uint64_t outer, inner;

	(void)state;
	fsd_init(&d, &(struct fs_config){.max_fds = FS_MIN_FDS});
	mkdir(fsd_path(&d, "share/b"), 0755);
	mkdir(fsd_path(&d, "share/b/a"), 0755);
	mkdir(fsd_path(&d, "share/b/a/x"), 0755);
	outer = fsd_walk(&d, "b");
	inner = fsd_walk(&d, "b/a");
	fsd_walk(&d, "b/a/x");
	assert_int_equal(rename(fsd_path(&d, "share/b/a"), fsd_path(&d, "share/a")), 0);
	assert_int_equal(rename(fsd_path(&d, "share/b"), fsd_path(&d, "share/a/b")), 0);
	assert_int_equal(fsd_lookup(&d, inner, "b", &entry), 0);
	assert_int_equal(entry.nodeid, outer);
	/* without descriptors, whoever is asked for has to be found */
	for (unsigned int i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "share/d%u", i);
		mkdir(fsd_path(&d, name), 0755);
		snprintf(name, sizeof(name), "share/d%u/f", i);
		fsd_put(&d, name, "");
		fsd_walk(&d, name + 6);
	}
	fsd_getattr(&d, outer, &attr);
	fsd_getattr(&d, inner, &attr);
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "a", &entry), 0);
	assert_int_equal(entry.nodeid, inner);
}

/* A directory that the client is in is moved out: nothing below it is found from there on. */
static void test_moved_out(void **state)
{
	struct fuse_entry_out entry;
	uint64_t dir, fh;

	(void)state;
	mkdir(fsd_path(&d, "share/dir"), 0755);
	fsd_put(&d, "share/dir/f", "1");
	fsd_init(&d, &(struct fs_config){0});
	dir = fsd_walk(&d, "dir");
	fsd_walk(&d, "dir/f");
	assert_int_equal(rename(fsd_path(&d, "share/dir"), fsd_path(&d, "moved")), 0);
	assert_int_equal(symlink("../outside", fsd_path(&d, "share/dir")), 0);
	fsd_put(&d, "outside-copy", "");
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "dir", &entry), 0);
	assert_int_not_equal(entry.nodeid, dir);
	assert_int_equal(fsd_lookup(&d, entry.nodeid, "secret", &entry), -ENOTDIR);
	assert_int_equal(fsd_opendir(&d, fsd_walk(&d, "dir"), &fh), -ENOTDIR);
}

/* ---- a race ---- */

static _Atomic bool stop;

/*
 * Exchanges a directory, a file, and the directory above them for links that lead out, as fast as
 * it can. Which is which at a moment does not matter.
 */
static void *swap(void *opaque)
{
	static const char *const pairs[][2] = {{"share/dir", "share/dir.out"},
		{"share/file", "share/file.out"}, {"share/up/mid", "share/up/mid.out"},
		{"share/up", "share/up.out"}};
	char paths[4][2][PATH_MAX];

	(void)opaque;
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 2; j++)
			snprintf(paths[i][j], PATH_MAX, "%s/%s", d.dir, pairs[i][j]);
	while (!atomic_load(&stop))
		for (size_t i = 0; i < 4; i++)
			syscall(SYS_renameat2, AT_FDCWD, paths[i][0], AT_FDCWD, paths[i][1],
				2 /* RENAME_EXCHANGE */);
	return NULL;
}

/* Follows a path as a client does that has no rights outside, and does there what it can. */
static void try_path(const char *path)
{
	const struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0777};
	const struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_entry_out entry = {.nodeid = FUSE_ROOT_ID};
	uint64_t nodes[8] = {FUSE_ROOT_ID}, fh;
	char copy[64], *rest = copy, *name;
	unsigned int n = 1;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/")) && !fsd_lookup(&d, nodes[n - 1], name, &entry))
		nodes[n++] = entry.nodeid;
	if (!name) {
		if (!fsd_open(&d, nodes[n - 1], O_RDWR, &fh)) {
			if (!fsd_read(&d, nodes[n - 1], fh, 0, 100))
				assert_null(memmem(d.reply, d.len, "nobody", 6));
			fsd_write(&d, nodes[n - 1], fh, 0, "overwritten", 11);
			fsd_release(&d, nodes[n - 1], fh);
		}
		fsd_call(&d, FUSE_SETATTR, nodes[n - 1], &set, sizeof(set));
		fsd_call_name(&d, FUSE_UNLINK, nodes[n - 2], NULL, 0, "secret");
		fsd_call_name(&d, FUSE_MKDIR, nodes[n - 2], &mkdir_in, sizeof(mkdir_in), "made");
		fsd_call_name(&d, FUSE_RMDIR, nodes[n - 2], NULL, 0, "made");
		if (!fsd_create(&d, nodes[n - 2], "secret", O_RDWR, 0600, &entry, &fh)) {
			fsd_release(&d, entry.nodeid, fh);
			fsd_forget(&d, entry.nodeid, 1);
		}
	}
	while (--n)
		fsd_forget(&d, nodes[n], 1);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NSEC_PER_MSEC;
}

static void test_race(void **state)
{
	static const char *const paths[] = {"dir/secret", "dir.out/secret", "file", "file.out",
		"up/mid/secret", "up.out/mid/secret", "up/mid.out/secret"};
	const char *seconds = getenv("FS_RACE_TIME");
	const uint64_t end = now_ms() + (seconds ? strtoull(seconds, NULL, 10) * 1000 : 500);
	unsigned int rounds = 0;
	pthread_t thread;

	(void)state;
	mkdir(fsd_path(&d, "share/dir"), 0755);
	mkdir(fsd_path(&d, "share/up"), 0755);
	mkdir(fsd_path(&d, "share/up/mid"), 0755);
	fsd_put(&d, "share/file", "mine");
	symlink("../outside", fsd_path(&d, "share/dir.out"));
	symlink("../outside/secret", fsd_path(&d, "share/file.out"));
	symlink("../../outside", fsd_path(&d, "share/up/mid.out"));
	symlink("..", fsd_path(&d, "share/up.out"));
	fsd_init(&d, &(struct fs_config){0});
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
	do {
		for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
			try_path(paths[i]);
		rounds++;
	} while (now_ms() < end);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	print_message("%u rounds\n", rounds);
	fsd_check_outside(&d);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_hidden), TEST(test_circle), TEST(test_moved_out), TEST(test_race)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
