/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a file that the client names is found on the host, and nothing else is.
 *
 * The client names a node it was told of, and at most one component below it. A component is looked
 * at by statx, which does not follow it. To get at a file it is opened with O_PATH, which starts
 * nothing, from the nearest directory above it that has a descriptor, beneath that and without
 * following a link (openat2); and is only taken if it is the file that the client was told of. So
 * whoever renames and replaces on the host meanwhile makes it another file, or none (ESTALE), but
 * never one outside. Only what is known so to be a regular file or a directory is opened for data,
 * through the descriptor's own entry in /proc/self/fd, of which a descriptor is held: there is no
 * /proc to be found by name in the sandbox.
 *
 * By default one mount is all that is served. Another one that lies on it, and in any case those of
 * file systems that lead back into the host's kernel or into this process (procfs, say), look like
 * an empty directory or file: a stub.
 */
#include <errno.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs_private.h"

/* Not in all headers */
#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif
#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif

enum {
	/* Of the way up to a directory with a descriptor: so many openat2 of PATH_MAX at most. */
	MAX_STEPS = 8,
};

bool fs_type_denied(int fd)
{
	static const uint32_t types[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC,
		TRACEFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, CONFIGFS_MAGIC,
		SECURITYFS_MAGIC, BPF_FS_MAGIC, DEVPTS_SUPER_MAGIC, MQUEUE_MAGIC, NSFS_MAGIC,
		PID_FS_MAGIC, AUTOFS_SUPER_MAGIC, BINFMTFS_MAGIC, EFIVARFS_MAGIC, SELINUX_MAGIC,
		SMACK_MAGIC, AAFS_MAGIC, PSTOREFS_MAGIC};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((uint32_t)st.f_type == types[i])
			return true;
	return false;
}

struct fs_fd_name fs_fd_name(int fd)
{
	struct fs_fd_name name;

	snprintf(name.text, sizeof(name.text), "%d", fd);
	return name;
}

int fs_statx(int fd, const char *name, struct statx *st)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

	return statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, st) < 0
		       ? -errno
		       : 0;
}

/* ---- opening beneath ---- */

static int openat2_path(struct fs *fs, int dir, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

	if (!fs->config.mounts)
		how.resolve |= RESOLVE_NO_XDEV;
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* A rename elsewhere on the host may make the kernel unsure; other descriptors may be too many. */
static int open_path(struct fs *fs, int dir, const char *path)
{
	int fd = -1;

	for (unsigned int tries = 0; tries < 64; tries++) {
		fd = openat2_path(fs, dir, path);
		if (fd >= 0)
			return fd;
		if (errno == EMFILE || errno == ENFILE) {
			if (!fs_nodes_trim(fs))
				return -ENFILE;
		} else if (errno != EAGAIN && errno != EINTR) {
			break;
		}
	}
	return errno == EAGAIN ? -ESTALE : -errno;
}

int fs_open_name(struct fs *fs, int dir, const char *name, struct statx *st)
{
	int fd = open_path(fs, dir, name);
	int rc = fd < 0 ? fd : fs_statx(fd, "", st);

	if (rc >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- descriptors of nodes ---- */

/* One that is there: of any kind, so for looking and as a directory only. */
static int present_fd(struct fs *fs, struct fs_node *node)
{
	if (node->path_fd >= 0) {
		fs_node_touch(fs, node);
		return node->path_fd;
	}
	if (node->handle)
		return fs->handles[node->handle].fd;
	fs_node_touch(fs, node);
	return node->data_fd;
}

static int missing(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR || rc == -ELOOP || rc == -EXDEV ? -ESTALE : rc;
}

/* The path of node from *from, the nearest node above that has a descriptor or that far up. */
static const char *path_to(
	struct fs *fs, const struct fs_node *node, char path[PATH_MAX], struct fs_node **from)
{
	size_t at = PATH_MAX - 1;
	struct fs_node *parent;

	path[at] = '\0';
	do {
		const size_t len = node->name ? strlen(node->name) : 0;

		if (!node->name || len + 1 > at)
			break;
		if (path[at])
			path[--at] = '/';
		at -= len;
		memcpy(path + at, node->name, len);
		parent = fs_node_at(fs, node->parent);
		*from = parent;
		node = parent;
	} while (present_fd(fs, parent) < 0);
	return path + at;
}

static int reopen(struct fs *fs, struct fs_node *node, unsigned int steps)
{
	char path[PATH_MAX];
	struct fs_node *from = NULL;
	const char *rest = path_to(fs, node, path, &from);
	struct statx st;
	int fd;

	if (!from || !steps)
		return -ESTALE;
	fd = present_fd(fs, from);
	if (fd < 0)
		fd = reopen(fs, from, steps - 1);
	if (fd >= 0)
		fd = fs_open_name(fs, fd, rest, &st);
	if (fd < 0)
		return missing(fd);
	if (!fs_node_is(fs, node, &st)) {
		close(fd);
		return -ESTALE;
	}
	fs_node_keep(fs, node, &node->path_fd, fd);
	return fd;
}

int fs_path_fd(struct fs *fs, struct fs_node *node)
{
	const int fd = present_fd(fs, node);

	if (node->stub)
		return -EACCES;
	return fd >= 0 ? fd : reopen(fs, node, MAX_STEPS);
}

int fs_open_node(struct fs *fs, struct fs_node *node, int flags)
{
	int path_fd, fd;

	if (node->type != S_IFREG && node->type != S_IFDIR)
		return node->type == S_IFLNK ? -ELOOP : -ENXIO;
	for (;;) {
		path_fd = fs_path_fd(fs, node);
		if (path_fd < 0)
			return path_fd;
		fd = openat(fs->proc_fd, fs_fd_name(path_fd).text,
			flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0)
			return fd;
		if ((errno != EMFILE && errno != ENFILE) || !fs_nodes_trim(fs))
			return -errno;
	}
}

int fs_data_fd(struct fs *fs, struct fs_node *node)
{
	int fd;

	if (node->data_fd >= 0) {
		fs_node_touch(fs, node);
		return node->data_fd;
	}
	fd = fs_open_node(fs, node, node->type == S_IFDIR ? O_RDONLY | O_DIRECTORY : O_RDONLY);
	if (fd >= 0)
		fs_node_keep(fs, node, &node->data_fd, fd);
	return fd;
}

/* ---- looking ---- */

/* Nothing of what is there is told. */
static void stub_stat(struct statx *st)
{
	const bool dir = S_ISDIR(st->stx_mode);

	st->stx_mode = dir ? S_IFDIR | 0555 : S_IFREG | 0444;
	st->stx_nlink = dir ? 2 : 1;
	st->stx_uid = st->stx_gid = 0;
	st->stx_size = st->stx_blocks = 0;
}

static int stat_by_name(struct fs *fs, struct fs_node *node, struct statx *st)
{
	struct fs_node *parent;
	int fd;

	if (!node->name)
		return -ESTALE;
	parent = fs_node_at(fs, node->parent);
	fd = fs_path_fd(fs, parent);
	return fd < 0 ? fd : missing(fs_statx(fd, node->name, st));
}

int fs_stat_node(struct fs *fs, struct fs_node *node, struct statx *st)
{
	const int fd = present_fd(fs, node);
	int rc = fd >= 0 ? fs_statx(fd, "", st) : stat_by_name(fs, node, st);

	if (rc < 0)
		return rc;
	if (node->stub)
		stub_stat(st);
	return node->stub || fs_node_is(fs, node, st) ? 0 : -ESTALE;
}

/* Another mount: whether its other side is served. */
static bool is_stub(struct fs *fs, int dir, const char *name, const struct statx *was)
{
	struct statx st;
	int fd;
	bool denied;

	if (!fs->config.mounts)
		return true;
	fd = fs_open_name(fs, dir, name, &st);
	if (fd < 0)
		return true;
	denied = st.stx_mnt_id != was->stx_mnt_id || fs_type_denied(fd);
	close(fd);
	return denied;
}

int fs_look_up(struct fs *fs, struct fs_node *dir, const char *name, struct statx *st,
	struct fs_node **ret)
{
	struct fs_node *node;
	bool stub = false;
	int fd, rc;

	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	if (dir->stub || fs_hides_name(fs, dir, name))
		return -ENOENT;
	fd = fs_path_fd(fs, dir);
	rc = fd < 0 ? fd : fs_statx(fd, name, st);
	if (rc < 0)
		return rc;
	if (fs_hides_file(fs, st))
		return -ENOENT;
	if (st->stx_mnt_id != dir->mnt_id)
		stub = is_stub(fs, fd, name, st);
	if (stub)
		stub_stat(st);
	rc = fs_node_get(fs, st, &node);
	if (rc < 0)
		return rc;
	node->stub = stub;
	rc = fs_node_move(fs, node, dir, name);
	if (rc < 0) {
		fs_node_put(fs, node);
		return rc;
	}
	*ret = node;
	return 0;
}
