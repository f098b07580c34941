/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a file is, besides its data. Numbers of files are the host's where they are of the device
 * that the served directory is on; others have their device's index in the upper bits.
 *
 * In a user namespace that knows one user the kernel shows everybody else as nobody. Most of them
 * are root, and programs rely on files of the system being root's; so that is what they are said to
 * be. The rights are the host's to check in any case.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs_private.h"

enum {
	NOBODY = 65534, /* the kernel's overflow user and group */
	DEV_SHIFT = 48,
	MODE_BITS = 07777,
	FOR_EVER_S = 365 * 24 * 3600,
};

/* ---- of the host, for the client ---- */

/* With owner=root, we and root change places. */
static uint32_t take_id(const struct fs *fs, uint32_t id, uint32_t ours)
{
	if (fs->config.owner != FS_OWNER_ROOT)
		return id;
	return id == ours ? 0 : id == 0 ? ours : id;
}

static uint32_t show_id(const struct fs *fs, uint32_t id, uint32_t ours)
{
	if (fs->config.owner == FS_OWNER_HOST && fs->config.confined && id == NOBODY)
		return 0;
	return take_id(fs, id, ours);
}

static uint64_t show_ino(const struct fs_node *node)
{
	const uint64_t mixed = node->ino * UINT64_C(0x9e3779b97f4a7c15);

	if (!node->dev)
		return node->ino;
	if (node->ino >> DEV_SHIFT)
		return mixed ^ (uint64_t)node->dev << DEV_SHIFT;
	return node->ino | (uint64_t)node->dev << DEV_SHIFT;
}

uint64_t fs_validity(const struct fs *fs)
{
	static const uint32_t seconds[] = {
		[FS_CACHE_AUTO] = 1, [FS_CACHE_ALWAYS] = FOR_EVER_S, [FS_CACHE_NONE] = 0};

	return seconds[fs->config.cache];
}

void fs_fill_attr(
	struct fs *fs, const struct fs_node *node, const struct statx *st, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = show_ino(node),
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = show_id(fs, st->stx_uid, fs->uid),
		.gid = show_id(fs, st->stx_gid, fs->gid),
		/* As the kernel encodes it for 32 bits */
		.rdev = (st->stx_rdev_minor & 0xff) | (st->stx_rdev_major & 0xfff) << 8 |
			(st->stx_rdev_minor & 0xfff00) << 12,
		.blksize = st->stx_blksize,
	};
}

void fs_fill_entry(
	struct fs *fs, struct fs_node *node, const struct statx *st, struct fuse_entry_out *out)
{
	*out = (struct fuse_entry_out){.nodeid = fs_node_id(node),
		.entry_valid = fs_validity(fs),
		.attr_valid = fs_validity(fs)};
	fs_fill_attr(fs, node, st, &out->attr);
	node->nlookup++;
}

static ssize_t put_attr(struct fs *fs, struct fs_call *call, const struct statx *st)
{
	struct fuse_attr_out out = {.attr_valid = fs_validity(fs)};

	fs_fill_attr(fs, call->node, st, &out.attr);
	return fs_put(call, &out, sizeof(out));
}

ssize_t fs_op_getattr(struct fs *fs, struct fs_call *call)
{
	const struct fs_handle *handle = NULL;
	struct statx st;
	int rc;

	if (call->in.getattr.getattr_flags & FUSE_GETATTR_FH)
		handle = fs_handle(fs, call->node, call->in.getattr.fh);
	rc = handle ? fs_statx(handle->fd, "", &st) : fs_stat_node(fs, call->node, &st);
	return rc < 0 ? rc : put_attr(fs, call, &st);
}

/* ---- changes ---- */

/* What it has already may be asked for; what is not there for us may not. */
static int set_owner(struct fs *fs, struct fs_call *call, int fd)
{
	const struct fuse_setattr_in *in = &call->in.setattr;
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	struct statx st;
	int rc = fs_statx(fd, "", &st);

	if (rc < 0)
		return rc;
	if ((in->valid & FATTR_UID) && in->uid != show_id(fs, st.stx_uid, fs->uid))
		uid = take_id(fs, in->uid, fs->uid);
	if ((in->valid & FATTR_GID) && in->gid != show_id(fs, st.stx_gid, fs->gid))
		gid = take_id(fs, in->gid, fs->gid);
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0)
		return 0;
	return errno == EINVAL ? -EPERM : -errno;
}

static int set_size(struct fs *fs, struct fs_call *call)
{
	const struct fuse_setattr_in *in = &call->in.setattr;
	const struct fs_handle *handle =
		in->valid & FATTR_FH ? fs_handle(fs, call->node, in->fh) : NULL;
	int fd, rc;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (handle && ftruncate(handle->fd, (off_t)in->size) == 0)
		return 0;
	if (call->node->type != S_IFREG)
		return -EINVAL;
	fd = fs_open_node(fs, call->node, O_WRONLY);
	if (fd < 0)
		return fd;
	rc = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
	if (!rc && (in->valid & FATTR_KILL_SUIDGID))
		rc = fs_drop_suid(fs, fd);
	close(fd);
	return rc;
}

static bool fill_time(struct timespec *ts, uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
	uint32_t nsec)
{
	*ts = (struct timespec){.tv_nsec = UTIME_OMIT};
	if (valid & now)
		ts->tv_nsec = UTIME_NOW;
	else if (valid & set)
		*ts = (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
	return !(valid & set) || (valid & now) || nsec < NSEC_PER_SEC;
}

static int set_times(struct fs *fs, const struct fuse_setattr_in *in, int fd)
{
	struct timespec ts[2];

	if (!fill_time(&ts[0], in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec) ||
		!fill_time(
			&ts[1], in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec))
		return -EINVAL;
	return utimensat(fs->proc_fd, fs_fd_name(fd).text, ts, 0) < 0 ? -errno : 0;
}

static int set_all(struct fs *fs, struct fs_call *call, int fd)
{
	const struct fuse_setattr_in *in = &call->in.setattr;
	int rc = 0;

	/* Before the mode, as it may clear bits of that. */
	if (in->valid & (FATTR_UID | FATTR_GID))
		rc = set_owner(fs, call, fd);
	if (!rc && (in->valid & FATTR_MODE))
		rc = fchmodat(fs->proc_fd, fs_fd_name(fd).text, in->mode & MODE_BITS, 0) < 0
			     ? -errno
			     : 0;
	if (!rc && (in->valid & FATTR_SIZE))
		rc = set_size(fs, call);
	if (!rc && (in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		rc = set_times(fs, in, fd);
	return rc;
}

ssize_t fs_op_setattr(struct fs *fs, struct fs_call *call)
{
	int fd = fs_path_fd(fs, call->node);
	int rc = fd < 0 ? fd : set_all(fs, call, fd);
	struct statx st;

	if (rc >= 0)
		rc = fs_stat_node(fs, call->node, &st);
	return rc < 0 ? rc : put_attr(fs, call, &st);
}

int fs_drop_suid(struct fs *fs, int fd)
{
	struct statx st;
	int rc = fs_statx(fd, "", &st);
	mode_t drop = S_ISUID;

	if (rc < 0)
		return rc;
	if (st.stx_mode & S_IXGRP)
		drop |= S_ISGID;
	if (!(st.stx_mode & drop))
		return 0;
	return fchmodat(fs->proc_fd, fs_fd_name(fd).text, st.stx_mode & MODE_BITS & ~drop, 0) < 0
		       ? -errno
		       : 0;
}

/* ---- the rest ---- */

ssize_t fs_op_readlink(struct fs *fs, struct fs_call *call)
{
	const int fd = call->node->type == S_IFLNK ? fs_path_fd(fs, call->node) : -EINVAL;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", fs->scratch, MIN(call->out.left, (uint64_t)PATH_MAX));
	return n < 0 ? -errno : fs_put(call, fs->scratch, (size_t)n);
}

ssize_t fs_op_statfs(struct fs *fs, struct fs_call *call)
{
	struct fuse_statfs_out out = {0};
	struct statfs st;
	const int fd = call->node->stub ? fs->root_fd : fs_path_fd(fs, call->node);

	if (fd < 0)
		return fd;
	if (fstatfs(fd, &st) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.namelen = (uint32_t)st.f_namelen,
		.frsize = (uint32_t)st.f_frsize};
	return fs_put(call, &out, sizeof(out));
}

ssize_t fs_op_access(struct fs *fs, struct fs_call *call)
{
	const int fd = fs_path_fd(fs, call->node);
	const int mask = (int)(call->in.access.mask & (R_OK | W_OK | X_OK));

	if (fd < 0)
		return fd;
	if ((mask & W_OK) && fs->config.read_only)
		return -EROFS;
	return faccessat(fs->proc_fd, fs_fd_name(fd).text, mask, 0) < 0 ? -errno : 0;
}
