/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that do what no kernel does. Each table's row is a case of its own, tried on a share with
 * links, a FIFO and a socket in it; whatever is answered, nothing outside is touched (fs_driver.c
 * watches), a reply is a reply, and the server serves on.
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
#include <unistd.h>

#include <cmocka.h>

#include "fs_driver.h"

enum { NUM_OPS = 56 };

static struct fsd d;
static unsigned int cases;

static int set_up(void **state)
{
	(void)state;
	fsd_make(&d);
	fsd_put(&d, "share/file", "data");
	mkdir(fsd_path(&d, "share/dir"), 0755);
	fsd_put(&d, "share/dir/below", "more");
	symlink("../outside", fsd_path(&d, "share/out"));
	symlink("/", fsd_path(&d, "share/slash"));
	symlink("file", fsd_path(&d, "share/in"));
	mkfifo(fsd_path(&d, "share/fifo"), 0600);
	mknod(fsd_path(&d, "share/socket"), S_IFSOCK | 0600, 0);
	fsd_init(&d, &(struct fs_config){0});
	return 0;
}

/* After all that, it still serves. */
static int tear_down(void **state)
{
	const struct fuse_init_in in = {.major = 7, .minor = 38};
	uint64_t node, fh;

	(void)state;
	fsd_call(&d, FUSE_INIT, 0, &in, sizeof(in));
	node = fsd_walk(&d, "dir/below");
	assert_int_equal(fsd_open(&d, node, O_RDONLY, &fh), 0);
	assert_int_equal(fsd_read(&d, node, fh, 0, 100), 0);
	assert_int_equal(d.len, 4);
	fsd_remove(&d);
	return 0;
}

/* ---- lengths ---- */

/* Each operation with so many bytes behind its header, and a length that lies by so much. */
static void test_lengths(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 15, 16, 39, 40, 64, 128, 300, 70000};
	static const int lies[] = {0, -1, 1, -40, 1000, INT32_MIN};
	uint8_t *zeros = calloc(1, 70000);

	(void)state;
	for (uint32_t op = 0; op < NUM_OPS; op++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			for (size_t j = 0; j < ARRAY_SIZE(lies); j++) {
				struct fuse_in_header *h;
				bool right;
				int rc;

				if (op == FUSE_DESTROY || op == FUSE_INIT)
					continue;
				h = fsd_begin(&d, op, FUSE_ROOT_ID);
				fsd_add(&d, zeros, sizes[i]);
				h->len = (uint32_t)((int64_t)d.in_len + lies[j]);
				/* 0 is what the driver puts the right one for */
				right = !h->len;
				rc = fsd_send(&d);
				assert_true(
					!lies[j] || right || rc == -EINVAL || rc == FSD_NO_REPLY);
				cases++;
			}
	free(zeros);
}

/* Less than a header, and replies without room. */
static void test_no_room(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(struct fuse_in_header); n++) {
		fsd_begin(&d, FUSE_STATFS, FUSE_ROOT_ID)->len = (uint32_t)n;
		d.in_len = n;
		assert_int_equal(fsd_send(&d), FSD_NO_REPLY);
		cases++;
	}
	for (size_t room = 0; room < sizeof(struct fuse_out_header); room++) {
		fsd_begin(&d, FUSE_STATFS, FUSE_ROOT_ID);
		d.room = room;
		assert_int_equal(fsd_send(&d), FSD_NO_REPLY);
		cases++;
	}
	fsd_begin(&d, FUSE_STATFS, FUSE_ROOT_ID);
	d.room = 20;
	assert_int_equal(fsd_send(&d), -EINVAL);
}

/* What could not be answered is not done. */
static void test_no_room_nothing_done(void **state)
{
	const struct fuse_mkdir_in in = {.mode = 0755};
	struct fs_counts counts;

	(void)state;
	fsd_begin(&d, FUSE_MKDIR, FUSE_ROOT_ID);
	fsd_add(&d, &in, sizeof(in));
	fsd_add_name(&d, "new");
	d.room = sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out) - 1;
	assert_int_equal(fsd_send(&d), -EINVAL);
	assert_int_equal(access(fsd_path(&d, "share/new"), F_OK), -1);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 1);
}

/* ---- names ---- */

/* By all operations that take a name, in a directory and below what is none. */
static const struct {
	uint32_t op;
	size_t arg;
	bool two;
} named[] = {{FUSE_LOOKUP, 0, false}, {FUSE_SYMLINK, 0, true},
	{FUSE_MKNOD, sizeof(struct fuse_mknod_in), false},
	{FUSE_MKDIR, sizeof(struct fuse_mkdir_in), false}, {FUSE_UNLINK, 0, false},
	{FUSE_RMDIR, 0, false}, {FUSE_RENAME, sizeof(struct fuse_rename_in), true},
	{FUSE_RENAME2, sizeof(struct fuse_rename2_in), true},
	{FUSE_LINK, sizeof(struct fuse_link_in), false},
	{FUSE_CREATE, sizeof(struct fuse_create_in), false}};

static int send_named(unsigned int i, uint64_t node, uint64_t arg, const char *name, size_t len,
	const char *name2)
{
	uint8_t in[64] = {0};

	/* nodes of RENAME and LINK come first, and modes */
	memcpy(in, &arg, sizeof(arg));
	fsd_begin(&d, named[i].op, node);
	fsd_add(&d, in, named[i].arg);
	fsd_add(&d, name, len);
	if (named[i].two)
		fsd_add_name(&d, name2);
	return fsd_send(&d);
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		size_t len; /* with its end, if it has one */
	} bad[] = {{"", 1}, {".", 2}, {"..", 3}, {"/", 2}, {"/etc", 5}, {"a/b", 4}, {"../x", 5},
		{"dir/../../outside", 18}, {"a\0b", 4}, {"unterminated", 12}, {"", 0}};
	char *large = malloc(65536);

	(void)state;
	memset(large, 'x', 65536);
	for (unsigned int i = 0; i < ARRAY_SIZE(named); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
			if (named[i].two && j >= ARRAY_SIZE(bad) - 3)
				continue;
			assert_true(send_named(i, FUSE_ROOT_ID, FUSE_ROOT_ID, bad[j].name,
					    bad[j].len, "y") < 0);
			if (named[i].op != FUSE_SYMLINK && named[i].two)
				assert_true(send_named(i, FUSE_ROOT_ID, FUSE_ROOT_ID, "file", 5,
						    bad[j].name) < 0);
			cases++;
		}
		assert_int_equal(
			send_named(i, FUSE_ROOT_ID, FUSE_ROOT_ID, large, 65536, ""), -ENAMETOOLONG);
		large[256] = '\0';
		assert_int_equal(
			send_named(i, FUSE_ROOT_ID, FUSE_ROOT_ID, large, 257, "y"), -ENAMETOOLONG);
		large[256] = 'x';
		cases += 2;
	}
	assert_int_equal(access(fsd_path(&d, "share/file"), F_OK), 0);
	free(large);
}

/* Links and what is no directory lead nowhere. */
static void test_names_below_others(void **state)
{
	static const char *const through[] = {"out", "slash", "in", "file", "fifo", "socket"};
	struct fuse_entry_out entry;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(named); i++)
		for (size_t j = 0; j < ARRAY_SIZE(through); j++) {
			const uint64_t node = fsd_walk(&d, through[j]);
			const int rc = send_named(i, node, FUSE_ROOT_ID, "secret", 7, "y");

			assert_true(rc == -ENOTDIR || rc == -EPERM || rc == -EINVAL);
			if (named[i].op == FUSE_RENAME || named[i].op == FUSE_RENAME2)
				assert_int_equal(
					send_named(i, FUSE_ROOT_ID, node, "file", 5, "secret"),
					-ENOTDIR);
			cases += 2;
		}
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "file", &entry), 0);
}

/* ---- numbers ---- */

static void test_foreign_nodes(void **state)
{
	static const uint64_t nodes[] = {0, 2, 3, 1024, 4095, UINT32_MAX, 1ull << 32,
		1ull << 32 | 1, UINT64_MAX, 1ull << 63, 0xdeadbeef};
	struct fuse_attr attr;

	(void)state;
	for (uint32_t op = 1; op < NUM_OPS; op++)
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
			uint8_t zeros[128] = {0};
			int rc;

			if (op == FUSE_INIT || op == FUSE_DESTROY)
				continue;
			rc = fsd_call(&d, op, nodes[i], zeros, sizeof(zeros));
			assert_int_not_equal(rc, 0);
			cases++;
		}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		assert_int_equal(fsd_getattr(&d, nodes[i], &attr), -ESTALE);
}

static void test_foreign_handles(void **state)
{
	const uint64_t file = fsd_walk(&d, "file"), other = fsd_walk(&d, "dir/below");
	uint64_t fh, dh;

	(void)state;
	assert_int_equal(fsd_open(&d, file, O_RDWR, &fh), 0);
	assert_int_equal(fsd_opendir(&d, FUSE_ROOT_ID, &dh), 0);
	{
		const uint64_t bad[] = {
			0, fh + 1, fh + (1ull << 32), dh, UINT64_MAX, 99, 1ull << 40};

		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			assert_int_equal(fsd_read(&d, file, bad[i], 0, 10), -EBADF);
			assert_int_equal(fsd_write(&d, file, bad[i], 0, "x", 1), -EBADF);
			assert_int_equal(fsd_release(&d, file, bad[i]), 0);
			cases += 3;
		}
	}
	/* those of another file, and of a directory */
	assert_int_equal(fsd_read(&d, other, fh, 0, 10), -EBADF);
	assert_int_equal(fsd_read(&d, FUSE_ROOT_ID, dh, 0, 10), -EISDIR);
	assert_int_equal(fsd_release(&d, other, fh), 0);
	assert_int_equal(fsd_read(&d, file, fh, 0, 10), 0);
}

static void test_forgets(void **state)
{
	struct fuse_batch_forget_in batch = {.count = UINT32_MAX};
	struct fuse_forget_one one = {.nlookup = UINT64_MAX};
	const uint64_t file = fsd_walk(&d, "file"), dir = fsd_walk(&d, "dir");
	const uint64_t below = fsd_walk(&d, "dir/below");
	struct fuse_attr attr;

	(void)state;
	fsd_forget(&d, FUSE_ROOT_ID, UINT64_MAX);
	fsd_forget(&d, dir, UINT64_MAX);
	assert_int_equal(fsd_getattr(&d, below, &attr), 0);
	fsd_forget(&d, file, UINT64_MAX);
	fsd_forget(&d, file, UINT64_MAX);
	fsd_forget(&d, file, 1);
	assert_int_equal(fsd_getattr(&d, file, &attr), -ESTALE);
	fsd_begin(&d, FUSE_BATCH_FORGET, 0);
	fsd_add(&d, &batch, sizeof(batch));
	for (unsigned int i = 0; i < 1000; i++) {
		one.nodeid = i % 3 ? i : below;
		fsd_add(&d, &one, sizeof(one));
	}
	fsd_add(&d, &one, 7);
	assert_int_equal(fsd_send(&d), FSD_NO_REPLY);
	assert_int_equal(fsd_getattr(&d, below, &attr), -ESTALE);
	for (unsigned int i = 0; i < 100000; i++)
		fsd_forget(&d, i, 1);
	assert_int_equal(fsd_getattr(&d, FUSE_ROOT_ID, &attr), 0);
}

/* ---- offsets and sizes ---- */

static void test_offsets(void **state)
{
	static const uint64_t offsets[] = {
		0, 1, 4, INT64_MAX - 1, INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
	static const uint32_t sizes[] = {0, 1, 1 << 20, INT32_MAX, UINT32_MAX};
	const uint64_t file = fsd_walk(&d, "file");
	uint64_t fh, dh;

	(void)state;
	assert_int_equal(fsd_open(&d, file, O_RDWR, &fh), 0);
	assert_int_equal(fsd_opendir(&d, FUSE_ROOT_ID, &dh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			const struct fuse_read_in dir = {
				.fh = dh, .offset = offsets[i], .size = sizes[j]};
			const struct fuse_fallocate_in alloc = {
				.fh = fh, .offset = offsets[i], .length = sizes[j] * 1ull << 31};
			const struct fuse_lseek_in seek = {
				.fh = fh, .offset = offsets[i], .whence = (uint32_t)j + 2};
			const struct fuse_copy_file_range_in copy = {.fh_in = fh,
				.fh_out = fh,
				.nodeid_out = file,
				.off_in = offsets[i],
				.off_out = offsets[j],
				.len = UINT64_MAX};
			int rc = fsd_read(&d, file, fh, offsets[i], sizes[j]);

			assert_true(offsets[i] < INT64_MAX - 1 ? rc == 0 : rc <= 0);
			assert_true(d.len <= sizes[j]);
			fsd_begin(&d, FUSE_READDIR, FUSE_ROOT_ID);
			fsd_add(&d, &dir, sizeof(dir));
			d.room = 4096;
			fsd_send(&d);
			fsd_begin(&d, FUSE_READDIRPLUS, FUSE_ROOT_ID);
			fsd_add(&d, &dir, sizeof(dir));
			d.room = 100;
			fsd_send(&d);
			if (sizes[j] > 1 << 20)
				fsd_call(&d, FUSE_FALLOCATE, file, &alloc, sizeof(alloc));
			fsd_call(&d, FUSE_LSEEK, file, &seek, sizeof(seek));
			fsd_call(&d, FUSE_COPY_FILE_RANGE, file, &copy, sizeof(copy));
			cases += 6;
		}
}

/* A WRITE that says it has more, or less, than it brings. */
static void test_write_sizes(void **state)
{
	const uint64_t file = fsd_walk(&d, "file");
	struct fuse_write_in in = {0};
	static const uint32_t sizes[] = {0, 3, 5, 1 << 20, UINT32_MAX};
	struct stat st;

	(void)state;
	assert_int_equal(fsd_open(&d, file, O_RDWR, &in.fh), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		in.size = sizes[i];
		fsd_begin(&d, FUSE_WRITE, file);
		fsd_add(&d, &in, sizeof(in));
		fsd_add(&d, "1234", 4);
		assert_int_equal(fsd_send(&d), -EINVAL);
		cases++;
	}
	assert_int_equal(fsd_write(&d, file, in.fh, 1ull << 63, "1234", 4), -EINVAL);
	assert_int_equal(stat(fsd_path(&d, "share/file"), &st), 0);
	assert_int_equal(st.st_size, 4);
}

static void test_xattr_sizes(void **state)
{
	static const uint32_t sizes[] = {1, 3, 65537, INT32_MAX, UINT32_MAX};
	const uint64_t file = fsd_walk(&d, "file");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fuse_setxattr_in in = {.size = sizes[i]};
		struct fuse_getxattr_in get = {.size = sizes[i]};

		fsd_begin(&d, FUSE_SETXATTR, file);
		fsd_add(&d, &in, 8);
		fsd_add_name(&d, "user.x");
		fsd_add(&d, "12", 2);
		assert_true(fsd_send(&d) < 0);
		assert_true(
			fsd_call_name(&d, FUSE_GETXATTR, file, &get, sizeof(get), "user.none") < 0);
		fsd_begin(&d, FUSE_LISTXATTR, file);
		fsd_add(&d, &get, sizeof(get));
		d.room = 24;
		fsd_send(&d);
		cases += 3;
	}
}

/* ---- kinds of files ---- */

/* What is opened blocks, or does something, or leads elsewhere: none of it is. */
static void test_opening_others(void **state)
{
	static const char *const names[] = {"out", "slash", "in", "fifo", "socket", "dir"};
	static const uint32_t flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC | O_CREAT,
		O_PATH, O_DIRECTORY, 3, O_RDWR | __O_TMPFILE, UINT32_MAX};
	uint64_t fh;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			const uint64_t node = fsd_walk(&d, names[i]);
			const int rc = fsd_open(&d, node, flags[j], &fh);

			assert_true(rc == -ELOOP || rc == -ENXIO || rc == -EISDIR);
			if (i < 5)
				assert_int_equal(fsd_opendir(&d, node, &fh), -ENOTDIR);
			cases += 2;
		}
}

static void test_making_devices(void **state)
{
	static const uint32_t modes[] = {S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, 0xf000, 0x3000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct fuse_mknod_in in = {.mode = modes[i] | 0666, .rdev = 0x103};

		assert_true(
			fsd_call_name(&d, FUSE_MKNOD, FUSE_ROOT_ID, &in, sizeof(in), "node") < 0);
		assert_int_equal(access(fsd_path(&d, "share/node"), F_OK), -1);
		cases++;
	}
}

static void test_rename_flags(void **state)
{
	(void)state;
	for (unsigned int bit = 3; bit < 32; bit++) {
		const struct fuse_rename2_in in = {.newdir = FUSE_ROOT_ID, .flags = 1u << bit};

		fsd_begin(&d, FUSE_RENAME2, FUSE_ROOT_ID);
		fsd_add(&d, &in, sizeof(in));
		fsd_add_name(&d, "file");
		fsd_add_name(&d, "x");
		assert_int_equal(fsd_send(&d), -EINVAL);
		cases++;
	}
}

static void test_init_again(void **state)
{
	const struct fuse_init_in in = {.major = 7, .minor = 38, .flags = ~0u, .flags2 = ~0u};
	const uint64_t file = fsd_walk(&d, "file");
	struct fs_counts counts;
	struct fuse_attr attr;
	uint64_t fh;

	(void)state;
	assert_int_equal(fsd_open(&d, file, O_RDONLY, &fh), 0);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(fsd_call(&d, FUSE_INIT, 0, &in, sizeof(in)), 0);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 1);
	assert_int_equal(counts.handles, 0);
	assert_int_equal(counts.fds, 0);
	assert_int_equal(fsd_getattr(&d, file, &attr), -ESTALE);
}

/* ---- read-only ---- */

/* Every operation with right and wrong arguments; the host's tree stays as it is. */
static void test_read_only(void **state)
{
	static const uint32_t changing[] = {FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK,
		FUSE_RMDIR, FUSE_RENAME, FUSE_LINK, FUSE_CREATE, FUSE_RENAME2};
	const struct fuse_setattr_in set = {.valid = FATTR_SIZE};
	struct stat before, after;
	uint64_t file, fh;

	(void)state;
	for (unsigned int cache = FS_CACHE_AUTO; cache <= FS_CACHE_NONE; cache++) {
		fsd_stop(&d);
		fsd_init(&d, &(struct fs_config){.read_only = true, .cache = cache});
		assert_int_equal(stat(d.share, &before), 0);
		file = fsd_walk(&d, "file");
		for (unsigned int i = 0; i < ARRAY_SIZE(named); i++)
			for (size_t j = 0; j < ARRAY_SIZE(changing); j++)
				if (named[i].op == changing[j]) {
					assert_int_equal(send_named(i, FUSE_ROOT_ID, FUSE_ROOT_ID,
								 "file", 5, "y"),
						-EROFS);
					cases++;
				}
		assert_int_equal(fsd_call(&d, FUSE_SETATTR, file, &set, sizeof(set)), -EROFS);
		for (uint32_t flags = 0; flags < 4; flags++)
			if (cache != FS_CACHE_ALWAYS)
				assert_int_equal(
					fsd_open(&d, file, flags | (flags ? 0 : O_TRUNC), &fh),
					-EROFS);
		fh = 0;
		if (cache != FS_CACHE_ALWAYS)
			assert_int_equal(fsd_open(&d, file, O_RDONLY, &fh), 0);
		assert_int_equal(fsd_write(&d, file, fh, 0, "x", 1), -EROFS);
		assert_int_equal(fsd_read(&d, file, fh, 0, 10), 0);
		assert_int_equal(d.len, 4);
		assert_memory_equal(d.reply, "data", 4);
		assert_int_equal(stat(d.share, &after), 0);
		assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	}
}

static int count_cases(void **state)
{
	(void)state;
	print_message("%u cases\n", cases);
	return cases < 200;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(test_lengths), TEST(test_no_room),
		TEST(test_no_room_nothing_done), TEST(test_names), TEST(test_names_below_others),
		TEST(test_foreign_nodes), TEST(test_foreign_handles), TEST(test_forgets),
		TEST(test_offsets), TEST(test_write_sizes), TEST(test_xattr_sizes),
		TEST(test_opening_others), TEST(test_making_devices), TEST(test_rename_flags),
		TEST(test_init_again), TEST(test_read_only)};

	return cmocka_run_group_tests(tests, NULL, count_cases);
}
