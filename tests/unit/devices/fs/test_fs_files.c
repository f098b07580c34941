/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client sees and does, compared with what the host has. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_driver.h"

static struct fsd d;

static int set_up(void **state)
{
	(void)state;
	fsd_make(&d);
	fsd_init(&d, &(struct fs_config){0});
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fsd_remove(&d);
	return 0;
}

static void restart(const struct fs_config *config)
{
	fsd_stop(&d);
	fsd_init(&d, config);
}

static void expect_text(const char *path, const char *text)
{
	char got[256] = "";
	const int fd = open(fsd_path(&d, path), O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, text);
	close(fd);
}

static void init_flags(const struct fs_config *config, uint64_t flags, uint64_t *got)
{
	const struct fuse_init_in in = {.major = 7,
		.minor = 38,
		.max_readahead = 4096,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32)};
	struct fuse_init_out out;

	fsd_stop(&d);
	fsd_start(&d, config);
	assert_int_equal(fsd_call(&d, FUSE_INIT, 0, &in, sizeof(in)), 0);
	assert_int_equal(d.len, sizeof(out));
	memcpy(&out, d.reply, sizeof(out));
	assert_int_equal(out.major, 7);
	assert_int_equal(out.max_readahead, 4096);
	assert_int_equal(out.max_write, 1 << 20);
	assert_int_equal(out.max_pages, 256);
	*got = out.flags | (uint64_t)out.flags2 << 32;
}

static void test_init(void **state)
{
	const uint64_t always = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
				FUSE_READDIRPLUS_AUTO | FUSE_INIT_EXT | FUSE_ABORT_ERROR |
				FUSE_HANDLE_KILLPRIV_V2;
	uint64_t got;

	(void)state;
	init_flags(&(struct fs_config){0}, UINT64_MAX, &got);
	assert_int_equal(got, always | FUSE_AUTO_INVAL_DATA);
	init_flags(&(struct fs_config){.cache = FS_CACHE_ALWAYS}, UINT64_MAX, &got);
	assert_int_equal(got, always | FUSE_CACHE_SYMLINKS);
	init_flags(
		&(struct fs_config){.cache = FS_CACHE_ALWAYS, .read_only = true}, UINT64_MAX, &got);
	assert_int_equal(got, (always & ~(uint64_t)FUSE_ATOMIC_O_TRUNC) | FUSE_CACHE_SYMLINKS);
	init_flags(&(struct fs_config){0}, FUSE_MAX_PAGES, &got);
	assert_int_equal(got, FUSE_MAX_PAGES);
}

/* Another major version is told ours and asks again; what is too old is refused. */
static void test_init_versions(void **state)
{
	struct fuse_init_in in = {.major = 8};
	struct fuse_attr attr;
	struct fuse_init_out out;

	(void)state;
	fsd_stop(&d);
	fsd_start(&d, &(struct fs_config){0});
	assert_int_equal(fsd_getattr(&d, FUSE_ROOT_ID, &attr), -EIO);
	assert_int_equal(fsd_call(&d, FUSE_INIT, 0, &in, sizeof(in)), 0);
	memcpy(&out, d.reply, sizeof(out));
	assert_int_equal(out.major, 7);
	assert_int_equal(fsd_getattr(&d, FUSE_ROOT_ID, &attr), -EIO);
	in = (struct fuse_init_in){.major = 7, .minor = 30};
	assert_int_equal(fsd_call(&d, FUSE_INIT, 0, &in, sizeof(in)), -EPROTO);
	in.minor = 31;
	assert_int_equal(fsd_call(&d, FUSE_INIT, 0, &in, 16), 0);
	assert_int_equal(fsd_getattr(&d, FUSE_ROOT_ID, &attr), 0);
	assert_int_equal(fsd_call(&d, FUSE_DESTROY, 0, NULL, 0), 0);
	assert_int_equal(fsd_getattr(&d, FUSE_ROOT_ID, &attr), -EIO);
}

static void test_lookup_tells_what_stat_does(void **state)
{
	static const char *const names[] = {"file", "dir", "link", "fifo"};
	struct fuse_entry_out entry;
	struct stat st;

	(void)state;
	fsd_put(&d, "share/file", "12345");
	assert_int_equal(mkdir(fsd_path(&d, "share/dir"), 0750), 0);
	assert_int_equal(symlink("../outside/secret", fsd_path(&d, "share/link")), 0);
	assert_int_equal(mkfifo(fsd_path(&d, "share/fifo"), 0600), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[80];

		snprintf(path, sizeof(path), "share/%s", names[i]);
		assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, names[i], &entry), 0);
		assert_int_equal(lstat(fsd_path(&d, path), &st), 0);
		assert_int_equal(entry.attr.ino, st.st_ino);
		assert_int_equal(entry.attr.mode, st.st_mode);
		assert_int_equal(entry.attr.size, st.st_size);
		assert_int_equal(entry.attr.nlink, st.st_nlink);
		assert_int_equal(entry.attr.uid, st.st_uid);
		assert_int_equal(entry.attr.mtime, st.st_mtim.tv_sec);
		assert_int_equal(entry.attr.mtimensec, st.st_mtim.tv_nsec);
		assert_int_equal(entry.attr_valid, 1);
		assert_int_equal(entry.entry_valid, 1);
	}
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "none", &entry), -ENOENT);
	assert_int_equal(fsd_lookup(&d, fsd_walk(&d, "file"), "x", &entry), -ENOTDIR);
	assert_int_equal(fsd_call(&d, FUSE_READLINK, fsd_walk(&d, "link"), NULL, 0), 0);
	assert_int_equal(d.len, strlen("../outside/secret"));
	assert_memory_equal(d.reply, "../outside/secret", d.len);
}

/* Two names of one file are one node, and what was forgotten is gone. */
static void test_nodes_are_files(void **state)
{
	struct fuse_entry_out a, b;
	struct fs_counts counts;

	(void)state;
	fsd_put(&d, "share/a", "");
	assert_int_equal(link(fsd_path(&d, "share/a"), fsd_path(&d, "share/b")), 0);
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "a", &a), 0);
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "b", &b), 0);
	assert_int_equal(a.nodeid, b.nodeid);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 2);
	fsd_forget(&d, a.nodeid, 1);
	assert_int_equal(fsd_getattr(&d, a.nodeid, &a.attr), 0);
	fsd_forget(&d, a.nodeid, 1);
	assert_int_equal(fsd_getattr(&d, a.nodeid, &a.attr), -ESTALE);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 1);
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "a", &b), 0);
	assert_int_not_equal(a.nodeid, b.nodeid);
}

static void test_read_and_write(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	for (size_t piece = 0; piece <= 7; piece++) {
		d.piece = piece;
		assert_int_equal(
			fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR | O_TRUNC, 0640, &entry, &fh), 0);
		assert_int_equal(fsd_write(&d, entry.nodeid, fh, 0, "hello, world", 12), 0);
		assert_int_equal(*(const uint32_t *)d.reply, 12);
		expect_text("share/f", "hello, world");
		assert_int_equal(fsd_read(&d, entry.nodeid, fh, 7, 100), 0);
		assert_int_equal(d.len, 5);
		assert_memory_equal(d.reply, "world", 5);
		assert_int_equal(fsd_read(&d, entry.nodeid, fh, 100, 100), 0);
		assert_int_equal(d.len, 0);
		assert_int_equal(fsd_release(&d, entry.nodeid, fh), 0);
		assert_int_equal(fsd_read(&d, entry.nodeid, fh, 0, 1), -EBADF);
		fsd_forget(&d, entry.nodeid, 1);
	}
}

static void test_large(void **state)
{
	uint8_t *bytes = malloc(FS_MAX_IO);
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	for (size_t i = 0; i < FS_MAX_IO; i++)
		bytes[i] = (uint8_t)(i * 31 >> 4);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "big", O_RDWR, 0600, &entry, &fh), 0);
	d.piece = 300; /* more than the kernel takes at once */
	assert_int_equal(fsd_write(&d, entry.nodeid, fh, 4096, bytes, FS_MAX_IO), 0);
	assert_int_equal(*(const uint32_t *)d.reply, FS_MAX_IO);
	assert_int_equal(fsd_read(&d, entry.nodeid, fh, 4096, FS_MAX_IO), 0);
	assert_int_equal(d.len, FS_MAX_IO);
	assert_memory_equal(d.reply, bytes, FS_MAX_IO);
	free(bytes);
}

static void test_create_what_is_there(void **state)
{
	struct fuse_entry_out entry;
	uint64_t fh;

	(void)state;
	fsd_put(&d, "share/f", "old");
	assert_int_equal(mkfifo(fsd_path(&d, "share/fifo"), 0600), 0);
	assert_int_equal(symlink("../outside/secret", fsd_path(&d, "share/link")), 0);
	assert_int_equal(
		fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR | O_EXCL, 0600, &entry, &fh), -EEXIST);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(fsd_read(&d, entry.nodeid, fh, 0, 10), 0);
	assert_int_equal(d.len, 3);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "fifo", O_RDWR, 0600, &entry, &fh), -ENXIO);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "link", O_RDWR, 0600, &entry, &fh), -ELOOP);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR | O_TRUNC, 0600, &entry, &fh), 0);
	expect_text("share/f", "");
}

/* The client's mode counts, whatever our umask is. */
static void test_modes(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_mkdir_in dir = {.mode = 0777};
	struct fuse_mknod_in node = {.mode = S_IFREG | 0666};
	struct stat st;
	uint64_t fh;
	mode_t mask;

	(void)state;
	fsd_stop(&d);
	mask = umask(077);
	fsd_init(&d, &(struct fs_config){0});
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR, 0666, &entry, &fh), 0);
	assert_int_equal(stat(fsd_path(&d, "share/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(entry.attr.mode, st.st_mode);
	assert_int_equal(fsd_call_name(&d, FUSE_MKDIR, FUSE_ROOT_ID, &dir, sizeof(dir), "d"), 0);
	assert_int_equal(stat(fsd_path(&d, "share/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(fsd_call_name(&d, FUSE_MKNOD, FUSE_ROOT_ID, &node, sizeof(node), "n"), 0);
	assert_int_equal(stat(fsd_path(&d, "share/n"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0666);
	umask(mask);
}

static void test_unlinked_but_open(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	uint64_t fh;

	(void)state;
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "f", O_RDWR, 0600, &entry, &fh), 0);
	assert_int_equal(fsd_write(&d, entry.nodeid, fh, 0, "still", 5), 0);
	assert_int_equal(fsd_call_name(&d, FUSE_UNLINK, FUSE_ROOT_ID, NULL, 0, "f"), 0);
	assert_int_equal(access(fsd_path(&d, "share/f"), F_OK), -1);
	assert_int_equal(fsd_getattr(&d, entry.nodeid, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 5);
	fsd_forget(&d, entry.nodeid, 1);
	assert_int_equal(fsd_read(&d, entry.nodeid, fh, 0, 5), 0);
	assert_memory_equal(d.reply, "still", 5);
	assert_int_equal(fsd_release(&d, entry.nodeid, fh), 0);
	assert_int_equal(fsd_getattr(&d, entry.nodeid, &attr), -ESTALE);
}

static int rename_to(uint64_t dir, const char *old, uint64_t to, const char *name, uint32_t flags)
{
	const struct fuse_rename2_in in = {.newdir = to, .flags = flags};

	fsd_begin(&d, FUSE_RENAME2, dir);
	fsd_add(&d, &in, sizeof(in));
	fsd_add_name(&d, old);
	fsd_add_name(&d, name);
	return fsd_send(&d);
}

/* Nodes go with the files, also when their descriptors are gone. */
static void test_rename(void **state)
{
	struct fuse_attr attr;
	uint64_t dir, file, below;

	(void)state;
	mkdir(fsd_path(&d, "share/a"), 0755);
	mkdir(fsd_path(&d, "share/b"), 0755);
	mkdir(fsd_path(&d, "share/a/sub"), 0755);
	fsd_put(&d, "share/a/f", "1");
	fsd_put(&d, "share/a/sub/g", "2");
	file = fsd_walk(&d, "a/f");
	below = fsd_walk(&d, "a/sub/g");
	dir = fsd_walk(&d, "b");
	assert_int_equal(rename_to(fsd_walk(&d, "a"), "f", dir, "h", 0), 0);
	expect_text("share/b/h", "1");
	assert_int_equal(rename_to(fsd_walk(&d, "a"), "sub", dir, "sub2", 0), 0);
	assert_int_equal(fsd_getattr(&d, file, &attr), 0);
	assert_int_equal(fsd_getattr(&d, below, &attr), 0);
	assert_int_equal(rename_to(dir, "h", dir, "sub2", 1), -EEXIST);
	assert_int_equal(rename_to(dir, "h", dir, "sub2", 2), 0);
	assert_int_equal(rename_to(dir, "h", dir, "x", 8), -EINVAL);
	assert_int_equal(rename_to(dir, "h", 99, "x", 0), -ESTALE);
	assert_int_equal(fsd_getattr(&d, file, &attr), 0);
	assert_int_equal(fsd_getattr(&d, below, &attr), 0);
	expect_text("share/b/sub2", "1");
	expect_text("share/b/h/g", "2");
}

static void test_links(void **state)
{
	const uint64_t dir = FUSE_ROOT_ID;
	struct fuse_link_in in;
	struct stat a, b;

	(void)state;
	fsd_put(&d, "share/f", "");
	in.oldnodeid = fsd_walk(&d, "f");
	assert_int_equal(fsd_call_name(&d, FUSE_LINK, dir, &in, sizeof(in), "g"), 0);
	assert_int_equal(stat(fsd_path(&d, "share/f"), &a), 0);
	assert_int_equal(stat(fsd_path(&d, "share/g"), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	fsd_begin(&d, FUSE_SYMLINK, dir);
	fsd_add_name(&d, "s");
	fsd_add_name(&d, "/etc/passwd");
	assert_int_equal(fsd_send(&d), 0);
	assert_int_equal(lstat(fsd_path(&d, "share/s"), &a), 0);
	assert_true(S_ISLNK(a.st_mode));
	in.oldnodeid = fsd_walk(&d, "s");
	assert_int_equal(fsd_call_name(&d, FUSE_LINK, dir, &in, sizeof(in), "t"), 0);
	assert_int_equal(lstat(fsd_path(&d, "share/t"), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
}

static void test_setattr(void **state)
{
	struct fuse_setattr_in in = {.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_ATIME,
		.mode = S_IFREG | 0604,
		.size = 3,
		.mtime = 1000,
		.mtimensec = 5,
		.atime = 2000};
	struct stat st;
	uint64_t node;

	(void)state;
	fsd_put(&d, "share/f", "12345");
	node = fsd_walk(&d, "f");
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, node, &in, sizeof(in)), 0);
	assert_int_equal(stat(fsd_path(&d, "share/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	assert_int_equal(st.st_atim.tv_sec, 2000);
	/* magic numbers of the host's are none of the client's */
	in = (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtimensec = UTIME_OMIT};
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, node, &in, sizeof(in)), -EINVAL);
	in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = UINT64_MAX};
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, node, &in, sizeof(in)), -EFBIG);
	symlink("x", fsd_path(&d, "share/l"));
	in = (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = 7};
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, fsd_walk(&d, "l"), &in, sizeof(in)), 0);
	assert_int_equal(lstat(fsd_path(&d, "share/l"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 7);
}

static void test_owners(void **state)
{
	struct fuse_setattr_in in = {.valid = FATTR_UID, .uid = geteuid()};
	struct fuse_attr attr;
	const uint32_t foreign = 4711;
	uint64_t node;

	(void)state;
	fsd_put(&d, "share/f", "");
	restart(&(struct fs_config){.owner = FS_OWNER_ROOT, .confined = true});
	node = fsd_walk(&d, "f");
	assert_int_equal(fsd_getattr(&d, node, &attr), 0);
	assert_int_equal(attr.uid, 0);
	in.uid = 0;
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, node, &in, sizeof(in)), 0);
	if (geteuid())
		return;
	/* who has the rights may give files away */
	restart(&(struct fs_config){0});
	node = fsd_walk(&d, "f");
	in.uid = foreign;
	assert_int_equal(fsd_call(&d, FUSE_SETATTR, node, &in, sizeof(in)), 0);
	assert_int_equal(fsd_getattr(&d, node, &attr), 0);
	assert_int_equal(attr.uid, foreign);
	/* nobody's are taken for root's where others are not known */
	assert_int_equal(chown(fsd_path(&d, "share/f"), 65534, 65534), 0);
	assert_int_equal(fsd_getattr(&d, node, &attr), 0);
	assert_int_equal(attr.uid, 65534);
	restart(&(struct fs_config){.confined = true});
	assert_int_equal(fsd_getattr(&d, fsd_walk(&d, "f"), &attr), 0);
	assert_int_equal(attr.uid, 0);
}

/* Names of a directory by READDIR or READDIRPLUS, with so much room for each reply. */
static unsigned int list(
	uint32_t op, uint64_t node, uint64_t fh, uint32_t room, char *seen, unsigned int max)
{
	struct fuse_read_in in = {.fh = fh, .size = room};
	unsigned int n = 0;

	for (;;) {
		const size_t skip = op == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
		size_t at = 0;

		assert_int_equal(fsd_call(&d, op, node, &in, sizeof(in)), 0);
		if (!d.len)
			return n;
		while (at < d.len) {
			const struct fuse_dirent *entry = (const void *)(d.reply + at + skip);
			unsigned int number;
			char name[256] = "";

			memcpy(name, entry->name, entry->namelen);
			if (sscanf(name, "f%u", &number) == 1) {
				assert_true(number < max && !seen[number]);
				seen[number] = 1;
			}
			n++;
			in.offset = entry->off;
			at += ALIGN_UP(skip + sizeof(*entry) + entry->namelen, 8);
		}
		assert_int_equal(at, d.len);
	}
}

static void expect_listed(uint32_t op, uint32_t room)
{
	char seen[1000] = "";
	uint64_t fh;

	assert_int_equal(fsd_opendir(&d, FUSE_ROOT_ID, &fh), 0);
	assert_int_equal(list(op, FUSE_ROOT_ID, fh, room, seen, 1000), 1002);
	for (unsigned int i = 0; i < 1000; i++)
		assert_true(seen[i]);
	assert_int_equal(fsd_release(&d, FUSE_ROOT_ID, fh), 0);
}

static void test_list(void **state)
{
	struct fs_counts counts;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		char path[64];

		snprintf(path, sizeof(path), "share/f%u%.*s", i, i % 20, "xxxxxxxxxxxxxxxxxxxx");
		fsd_put(&d, path, "");
	}
	expect_listed(FUSE_READDIR, 4096);
	expect_listed(FUSE_READDIR, 200);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 1);
	expect_listed(FUSE_READDIRPLUS, 4096);
	fs_count(d.fs, &counts);
	assert_int_equal(counts.nodes, 1001);
	/* no descriptor for any of them */
	assert_int_equal(counts.fds, 0);
	assert_int_equal(counts.handles, 0);
	restart(&(struct fs_config){.read_only = true, .cache = FS_CACHE_ALWAYS});
	{
		char seen[1000] = "";

		assert_int_equal(list(FUSE_READDIRPLUS, FUSE_ROOT_ID, 0, 1000, seen, 1000), 1002);
	}
}

/* What has more files than there are descriptors */
static void test_few_descriptors(void **state)
{
	struct fuse_attr attr;
	struct fs_counts counts;
	char path[256] = "share";
	uint64_t nodes[100], leaf;

	(void)state;
	restart(&(struct fs_config){.max_fds = FS_MIN_FDS});
	for (unsigned int i = 0; i < 100; i++) {
		char name[64];

		snprintf(name, sizeof(name), "share/d%u", i);
		mkdir(fsd_path(&d, name), 0755);
		snprintf(name, sizeof(name), "share/d%u/f", i);
		fsd_put(&d, name, "x");
		nodes[i] = fsd_walk(&d, name + 6);
	}
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t fh;

		assert_int_equal(fsd_getattr(&d, nodes[i], &attr), 0);
		assert_int_equal(fsd_open(&d, nodes[i], O_RDONLY, &fh), 0);
		assert_int_equal(fsd_release(&d, nodes[i], fh), 0);
		fs_count(d.fs, &counts);
		assert_true(counts.fds <= FS_MIN_FDS / 2);
	}
	for (unsigned int i = 0; i < 60; i++) {
		strcat(path, "/x");
		assert_int_equal(mkdir(fsd_path(&d, path), 0755), 0);
	}
	leaf = fsd_walk(&d, path + 6);
	for (unsigned int i = 0; i < 100; i++)
		fsd_walk(&d, "d1/f");
	assert_int_equal(fsd_getattr(&d, leaf, &attr), 0);
}

static void test_too_many_open(void **state)
{
	uint64_t node, fh = 0, first = 0;
	unsigned int n = 0;
	int rc;

	(void)state;
	fsd_put(&d, "share/f", "x");
	restart(&(struct fs_config){.max_fds = FS_MIN_FDS});
	node = fsd_walk(&d, "f");
	while ((rc = fsd_open(&d, node, O_RDONLY, &fh)) == 0)
		first = n++ ? first : fh;
	assert_int_equal(rc, -ENFILE);
	assert_int_equal(n, FS_MIN_FDS / 2);
	assert_int_equal(fsd_release(&d, node, first), 0);
	assert_int_equal(fsd_open(&d, node, O_RDONLY, &fh), 0);
	assert_int_not_equal(fh, first);
}

static int setxattr_to(uint64_t node, const char *name, const char *value, uint32_t flags)
{
	const struct fuse_setxattr_in in = {.size = (uint32_t)strlen(value), .flags = flags};

	fsd_begin(&d, FUSE_SETXATTR, node);
	fsd_add(&d, &in, 8);
	fsd_add_name(&d, name);
	fsd_add(&d, value, strlen(value));
	return fsd_send(&d);
}

static void test_xattr(void **state)
{
	struct fuse_getxattr_in in = {.size = 100};
	char value[8] = "";
	uint64_t node;

	(void)state;
	fsd_put(&d, "share/f", "");
	node = fsd_walk(&d, "f");
	assert_int_equal(setxattr_to(node, "trusted.x", "1", 0), -EOPNOTSUPP);
	assert_int_equal(setxattr_to(node, "security.capability", "1", 0), -EOPNOTSUPP);
	if (setxattr(fsd_path(&d, "share/f"), "user.h", "host", 4, 0) < 0)
		skip();
	assert_int_equal(setxattr_to(node, "user.x", "12", 0), 0);
	assert_int_equal(setxattr_to(node, "user.x", "12", XATTR_CREATE), -EEXIST);
	assert_int_equal(getxattr(fsd_path(&d, "share/f"), "user.x", value, 8), 2);
	assert_int_equal(fsd_call_name(&d, FUSE_GETXATTR, node, &in, sizeof(in), "user.h"), 0);
	assert_int_equal(d.len, 4);
	assert_memory_equal(d.reply, "host", 4);
	assert_int_equal(
		fsd_call_name(&d, FUSE_GETXATTR, node, &in, sizeof(in), "trusted.x"), -ENODATA);
	assert_int_equal(fsd_call(&d, FUSE_LISTXATTR, node, &in, sizeof(in)), 0);
	assert_int_equal(d.len, 14);
	in.size = 3;
	assert_int_equal(
		fsd_call_name(&d, FUSE_GETXATTR, node, &in, sizeof(in), "user.h"), -ERANGE);
	in.size = 0;
	assert_int_equal(fsd_call_name(&d, FUSE_GETXATTR, node, &in, sizeof(in), "user.h"), 0);
	assert_int_equal(*(const uint32_t *)d.reply, 4);
	assert_int_equal(fsd_call_name(&d, FUSE_REMOVEXATTR, node, NULL, 0, "user.x"), 0);
	assert_int_equal(getxattr(fsd_path(&d, "share/f"), "user.x", value, 8), -1);
}

static void test_ranges(void **state)
{
	struct fuse_fallocate_in alloc = {.length = 8192};
	struct fuse_lseek_in seek = {.whence = SEEK_HOLE};
	struct fuse_copy_file_range_in copy = {.len = 5, .off_out = 1};
	struct fuse_entry_out a, b;
	struct stat st;

	(void)state;
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "a", O_RDWR, 0600, &a, &alloc.fh), 0);
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "b", O_RDWR, 0600, &b, &copy.fh_out), 0);
	assert_int_equal(fsd_call(&d, FUSE_FALLOCATE, a.nodeid, &alloc, sizeof(alloc)), 0);
	assert_int_equal(stat(fsd_path(&d, "share/a"), &st), 0);
	assert_int_equal(st.st_size, 8192);
	alloc.mode = 0x20; /* insert a range */
	assert_int_equal(
		fsd_call(&d, FUSE_FALLOCATE, a.nodeid, &alloc, sizeof(alloc)), -EOPNOTSUPP);
	seek.fh = copy.fh_in = alloc.fh;
	assert_int_equal(fsd_call(&d, FUSE_LSEEK, a.nodeid, &seek, sizeof(seek)), 0);
	seek.whence = SEEK_END;
	assert_int_equal(fsd_call(&d, FUSE_LSEEK, a.nodeid, &seek, sizeof(seek)), -EINVAL);
	assert_int_equal(fsd_write(&d, a.nodeid, alloc.fh, 0, "bytes", 5), 0);
	copy.nodeid_out = b.nodeid;
	assert_int_equal(fsd_call(&d, FUSE_COPY_FILE_RANGE, a.nodeid, &copy, sizeof(copy)), 0);
	assert_int_equal(*(const uint32_t *)d.reply, 5);
	assert_int_equal(fsd_read(&d, b.nodeid, copy.fh_out, 0, 10), 0);
	assert_memory_equal(d.reply, "\0bytes", 6);
}

static void test_sync(void **state)
{
	struct fuse_fsync_in in = {0};
	uint64_t zero = 0, fh;
	struct fuse_entry_out a;

	(void)state;
	assert_int_equal(fsd_create(&d, FUSE_ROOT_ID, "a", O_RDWR, 0600, &a, &in.fh), 0);
	assert_int_equal(fsd_call(&d, FUSE_FSYNC, a.nodeid, &in, sizeof(in)), 0);
	in.fsync_flags = 1;
	assert_int_equal(fsd_call(&d, FUSE_FSYNC, a.nodeid, &in, sizeof(in)), 0);
	assert_int_equal(fsd_call(&d, FUSE_FSYNCDIR, a.nodeid, &in, sizeof(in)), -EBADF);
	assert_int_equal(fsd_opendir(&d, FUSE_ROOT_ID, &fh), 0);
	in.fh = fh;
	assert_int_equal(fsd_call(&d, FUSE_FSYNCDIR, FUSE_ROOT_ID, &in, sizeof(in)), 0);
	assert_int_equal(fsd_call(&d, FUSE_SYNCFS, FUSE_ROOT_ID, &zero, sizeof(zero)), 0);
	assert_int_equal(fsd_call(&d, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0), 0);
}

static void test_tmpfile(void **state)
{
	const struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0600};
	struct fuse_entry_out entry;
	struct fuse_link_in link_in;
	struct fuse_open_out opened;
	int rc = fsd_call_name(&d, FUSE_TMPFILE, FUSE_ROOT_ID, &in, sizeof(in), "/");

	(void)state;
	if (rc == -EOPNOTSUPP)
		skip();
	assert_int_equal(rc, 0);
	memcpy(&entry, d.reply, sizeof(entry));
	memcpy(&opened, d.reply + sizeof(entry), sizeof(opened));
	assert_int_equal(fsd_write(&d, entry.nodeid, opened.fh, 0, "temp", 4), 0);
	link_in.oldnodeid = entry.nodeid;
	assert_int_equal(
		fsd_call_name(&d, FUSE_LINK, FUSE_ROOT_ID, &link_in, sizeof(link_in), "named"), 0);
	expect_text("share/named", "temp");
	assert_int_equal(fsd_release(&d, entry.nodeid, opened.fh), 0);
	assert_int_equal(fsd_getattr(&d, entry.nodeid, &entry.attr), 0);
}

/* What somebody does on the host is seen; another file of the name is another one. */
static void test_host_changes(void **state)
{
	struct fuse_entry_out was, is;
	struct fuse_attr attr;
	uint64_t fh;

	(void)state;
	fsd_put(&d, "share/f", "old");
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "f", &was), 0);
	fsd_put(&d, "share/new", "newer");
	assert_int_equal(rename(fsd_path(&d, "share/new"), fsd_path(&d, "share/f")), 0);
	assert_int_equal(fsd_open(&d, was.nodeid, O_RDONLY, &fh), -ESTALE);
	assert_int_equal(fsd_getattr(&d, was.nodeid, &attr), -ESTALE);
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "f", &is), 0);
	assert_int_not_equal(is.nodeid, was.nodeid);
	assert_int_equal(fsd_open(&d, is.nodeid, O_RDONLY, &fh), 0);
	assert_int_equal(fsd_read(&d, is.nodeid, fh, 0, 10), 0);
	assert_memory_equal(d.reply, "newer", 5);
}

static void test_caches(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_open_out out;
	const struct fuse_open_in in = {0};
	uint64_t fh;

	(void)state;
	fsd_put(&d, "share/f", "1");
	restart(&(struct fs_config){.cache = FS_CACHE_NONE});
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "f", &entry), 0);
	assert_int_equal(entry.attr_valid, 0);
	assert_int_equal(fsd_call(&d, FUSE_OPEN, entry.nodeid, &in, sizeof(in)), 0);
	memcpy(&out, d.reply, sizeof(out));
	assert_int_equal(out.open_flags, FOPEN_DIRECT_IO);
	restart(&(struct fs_config){.cache = FS_CACHE_ALWAYS});
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "f", &entry), 0);
	assert_true(entry.attr_valid > 86400 && entry.entry_valid > 86400);
	assert_int_equal(fsd_call(&d, FUSE_OPEN, entry.nodeid, &in, sizeof(in)), 0);
	memcpy(&out, d.reply, sizeof(out));
	assert_int_equal(out.open_flags, FOPEN_KEEP_CACHE);
	/* that nothing is there may be remembered, too */
	assert_int_equal(fsd_lookup(&d, FUSE_ROOT_ID, "none", &entry), 0);
	assert_int_equal(entry.nodeid, 0);
	assert_true(entry.entry_valid > 86400);
	restart(&(struct fs_config){.cache = FS_CACHE_ALWAYS, .read_only = true});
	entry.nodeid = fsd_walk(&d, "f");
	assert_int_equal(fsd_open(&d, entry.nodeid, O_RDONLY, &fh), -ENOSYS);
	assert_int_equal(fsd_opendir(&d, FUSE_ROOT_ID, &fh), -ENOSYS);
	assert_int_equal(fsd_read(&d, entry.nodeid, 0, 0, 10), 0);
	assert_int_equal(d.len, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(test_init), TEST(test_init_versions),
		TEST(test_lookup_tells_what_stat_does), TEST(test_nodes_are_files),
		TEST(test_read_and_write), TEST(test_large), TEST(test_create_what_is_there),
		TEST(test_modes), TEST(test_unlinked_but_open), TEST(test_rename), TEST(test_links),
		TEST(test_setattr), TEST(test_owners), TEST(test_list), TEST(test_few_descriptors),
		TEST(test_too_many_open), TEST(test_xattr), TEST(test_ranges), TEST(test_sync),
		TEST(test_tmpfile), TEST(test_host_changes), TEST(test_caches)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
