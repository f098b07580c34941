/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of directories. Names were judged when the request was read (serve.c): one component.
 *
 * What is made is this process's, with the mode that the client asks for; where this process may
 * change owners, it is the client's.
 */
#include <errno.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs_private.h"

enum { PERMISSIONS = 07777 };

/* Its descriptor, for a change of the entry name in it. */
static int dir_fd(struct fs *fs, struct fs_node *dir, const char *name)
{
	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	if (dir->stub)
		return -EACCES;
	/* Whatever happens there, nothing is told of what it is. */
	if (fs_hides_name(fs, dir, name))
		return -EPERM;
	return fs_path_fd(fs, dir);
}

/* The same for one that is taken away: by its number, too. */
static int dir_fd_of_old(struct fs *fs, struct fs_node *dir, const char *name)
{
	struct statx st;
	int fd = dir_fd(fs, dir, name), rc;

	if (fd < 0 || !fs->num_hidden)
		return fd == -EPERM ? -ENOENT : fd;
	rc = fs_statx(fd, name, &st);
	if (rc < 0)
		return rc;
	return fs_hides_file(fs, &st) ? -ENOENT : fd;
}

static ssize_t put_entry(
	struct fs *fs, struct fs_call *call, struct fs_node *node, const struct statx *st)
{
	struct fuse_entry_out out;

	fs_fill_entry(fs, node, st, &out);
	return fs_put(call, &out, sizeof(out));
}

ssize_t fs_op_lookup(struct fs *fs, struct fs_call *call)
{
	const struct fuse_entry_out nothing = {.entry_valid = fs_validity(fs)};
	struct fs_node *node;
	struct statx st;
	int rc = fs_look_up(fs, call->node, call->name, &st, &node);

	/* That there is nothing may be remembered where nothing changes. */
	if (rc == -ENOENT && fs->config.cache == FS_CACHE_ALWAYS)
		return fs_put(call, &nothing, sizeof(nothing));
	return rc < 0 ? rc : put_entry(fs, call, node, &st);
}

/* ---- making ---- */

static bool gives_away(const struct fs *fs, const struct fs_call *call)
{
	return fs->privileged && fs->config.owner == FS_OWNER_HOST &&
	       (call->h.uid != fs->uid || call->h.gid != fs->gid);
}

/*
 * To what was made belongs what the client asked for: the mode, as far as our mask took of
 * it, and where we may, the owner.
 */
static int finish(struct fs *fs, const struct fs_call *call, int fd, uint32_t mode)
{
	const bool give = gives_away(fs, call);
	struct statx st;
	gid_t gid;

	if (give) {
		/* A directory may have given it its own group. */
		if (fs_statx(fd, "", &st) < 0)
			return -errno;
		gid = st.stx_gid == fs->gid ? call->h.gid : (gid_t)-1;
		if (fchownat(fd, "", call->h.uid, gid, AT_EMPTY_PATH) < 0)
			return -errno;
	}
	if (!(mode & fs->umask) && !(give && (mode & (S_ISUID | S_ISGID))))
		return 0;
	return fchmodat(fs->proc_fd, fs_fd_name(fd).text, mode & PERMISSIONS, 0) < 0 ? -errno : 0;
}

enum { NO_MODE = -1 }; /* of a link to a file that was there */

static ssize_t tell_new(struct fs *fs, struct fs_call *call, int mode)
{
	struct fs_node *node;
	struct statx st;
	int fd, rc = fs_look_up(fs, call->node, call->name, &st, &node);

	if (rc < 0)
		return rc;
	if (mode != NO_MODE && (gives_away(fs, call) || ((mode_t)mode & fs->umask))) {
		fd = fs_path_fd(fs, node);
		rc = fd < 0 ? fd : finish(fs, call, fd, (uint32_t)mode);
		if (!rc)
			rc = fs_stat_node(fs, node, &st);
	}
	if (rc < 0) {
		fs_node_put(fs, node);
		return rc;
	}
	return put_entry(fs, call, node, &st);
}

ssize_t fs_op_symlink(struct fs *fs, struct fs_call *call)
{
	const int fd = dir_fd(fs, call->node, call->name);

	if (fd < 0)
		return fd;
	if (symlinkat(call->name2, fd, call->name) < 0)
		return -errno;
	return tell_new(fs, call, 0);
}

/* A device would be the host's. The one without a number is an overlay's mark (whiteout). */
static int check_kind(const struct fuse_mknod_in *in)
{
	switch (in->mode & S_IFMT) {
	case 0:
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFCHR:
		return in->rdev ? -EPERM : 0;
	case S_IFBLK:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

ssize_t fs_op_mknod(struct fs *fs, struct fs_call *call)
{
	const struct fuse_mknod_in *in = &call->in.mknod;
	const int rc = check_kind(in), fd = rc < 0 ? rc : dir_fd(fs, call->node, call->name);

	if (fd < 0)
		return fd;
	if (mknodat(fd, call->name, in->mode & (S_IFMT | PERMISSIONS), 0) < 0)
		return -errno;
	return tell_new(fs, call, (int)(in->mode & PERMISSIONS));
}

ssize_t fs_op_mkdir(struct fs *fs, struct fs_call *call)
{
	const int fd = dir_fd(fs, call->node, call->name);
	const uint32_t mode = call->in.mkdir.mode & PERMISSIONS;

	if (fd < 0)
		return fd;
	if (mkdirat(fd, call->name, mode) < 0)
		return -errno;
	return tell_new(fs, call, (int)mode);
}

ssize_t fs_op_link(struct fs *fs, struct fs_call *call)
{
	struct fs_node *old = fs_node_by_id(fs, call->in.link.oldnodeid);
	int fd, dir;

	if (!old)
		return -ESTALE;
	if (old->type == S_IFDIR)
		return -EPERM;
	fd = fs_path_fd(fs, old);
	dir = fd < 0 ? fd : dir_fd(fs, call->node, call->name);
	if (dir < 0)
		return dir;
	if (linkat(fs->proc_fd, fs_fd_name(fd).text, dir, call->name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return tell_new(fs, call, NO_MODE);
}

/* ---- taking away ---- */

static ssize_t take_away(struct fs *fs, struct fs_call *call, int flags)
{
	const int fd = dir_fd_of_old(fs, call->node, call->name);

	if (fd < 0)
		return fd;
	return unlinkat(fd, call->name, flags) < 0 ? -errno : 0;
}

ssize_t fs_op_unlink(struct fs *fs, struct fs_call *call)
{
	return take_away(fs, call, 0);
}

ssize_t fs_op_rmdir(struct fs *fs, struct fs_call *call)
{
	return take_away(fs, call, AT_REMOVEDIR);
}

/* ---- renaming ---- */

/* A node that was seen elsewhere is here now. */
static void note_move(struct fs *fs, struct fs_node *dir, int fd, const char *name)
{
	struct fs_node *node;
	struct statx st;

	if (fs_statx(fd, name, &st) < 0)
		return;
	node = fs_node_find(fs, &st);
	/* Without memory for the name it cannot be opened again, and that is all. */
	if (node)
		fs_node_move(fs, node, dir, name);
}

static ssize_t rename_in(struct fs *fs, struct fs_call *call, uint64_t to, uint32_t flags)
{
	struct fs_node *new_dir = fs_node_by_id(fs, to);
	int old_fd, new_fd;

	if (!new_dir)
		return -ESTALE;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	old_fd = dir_fd_of_old(fs, call->node, call->name);
	if (old_fd < 0)
		return old_fd;
	new_fd = dir_fd(fs, new_dir, call->name2);
	if (new_fd < 0)
		return new_fd;
	if (renameat2(old_fd, call->name, new_fd, call->name2, flags) < 0)
		return -errno;
	note_move(fs, new_dir, new_fd, call->name2);
	if (flags & RENAME_EXCHANGE)
		note_move(fs, call->node, old_fd, call->name);
	return 0;
}

ssize_t fs_op_rename(struct fs *fs, struct fs_call *call)
{
	return rename_in(fs, call, call->in.rename.newdir, 0);
}

ssize_t fs_op_rename2(struct fs *fs, struct fs_call *call)
{
	return rename_in(fs, call, call->in.rename2.newdir, call->in.rename2.flags);
}

/* ---- making and opening ---- */

/* Only what is made here is opened so; what was there is looked at before. */
static int make_file(struct fs *fs, int dir, const char *name, int flags, uint32_t mode)
{
	const struct open_how how = {
		.flags = (uint64_t)(unsigned int)flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	while (fd < 0 && ((errno == EMFILE && fs_nodes_trim(fs)) || errno == EINTR));
	return fd < 0 ? -errno : fd;
}

static ssize_t put_opened(struct fs *fs, struct fs_call *call, struct fs_node *node,
	const struct statx *st, uint64_t fh)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {.open.fh = fh};

	fs_fill_entry(fs, node, st, &out.entry);
	fs_fill_open(fs, node, &out.open);
	return fs_put(call, &out, sizeof(out));
}

/* fd is the handle's, or is closed. */
static ssize_t tell_opened(
	struct fs *fs, struct fs_call *call, struct fs_node *node, int fd, const struct statx *st)
{
	uint64_t fh;
	const int rc = fs_handle_add(fs, node, fd, &fh);

	if (rc < 0) {
		close(fd);
		fs_node_put(fs, node);
		return rc;
	}
	return put_opened(fs, call, node, st, fh);
}

static ssize_t tell_made(struct fs *fs, struct fs_call *call, int fd, const char *name)
{
	struct fs_node *node = NULL;
	struct statx st;
	int rc = finish(fs, call, fd, call->in.create.mode & PERMISSIONS);

	if (!rc)
		rc = fs_statx(fd, "", &st);
	if (!rc)
		rc = fs_node_get(fs, &st, &node);
	if (!rc && name) {
		rc = fs_node_move(fs, node, call->node, name);
		if (rc < 0)
			fs_node_put(fs, node);
	}
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return tell_opened(fs, call, node, fd, &st);
}

static ssize_t open_there(struct fs *fs, struct fs_call *call)
{
	struct fs_node *node;
	struct statx st;
	uint64_t fh;
	int rc = fs_look_up(fs, call->node, call->name, &st, &node);

	if (rc < 0)
		return rc;
	rc = fs_open_handle(fs, node, call->in.create.flags, &fh);
	if (rc < 0) {
		fs_node_put(fs, node);
		return rc;
	}
	rc = fs_stat_node(fs, node, &st);
	if (rc < 0) {
		fs_handle_drop(fs, node, fh);
		return rc;
	}
	return put_opened(fs, call, node, &st, fh);
}

ssize_t fs_op_create(struct fs *fs, struct fs_call *call)
{
	const struct fuse_create_in *in = &call->in.create;
	const int flags = fs_open_flags(in->flags) & ~O_TRUNC;
	const int dir = dir_fd(fs, call->node, call->name);
	int fd;

	if (dir < 0)
		return dir;
	fd = make_file(fs, dir, call->name, flags, in->mode & PERMISSIONS);
	if (fd == -EEXIST && !(in->flags & O_EXCL))
		return open_there(fs, call);
	return fd < 0 ? fd : tell_made(fs, call, fd, call->name);
}

/* A file without a name, in the directory that the request names. */
ssize_t fs_op_tmpfile(struct fs *fs, struct fs_call *call)
{
	const struct fuse_create_in *in = &call->in.create;
	const int flags = fs_open_flags(in->flags) & ~(O_TRUNC | O_EXCL);
	const int dir = dir_fd(fs, call->node, "");
	int fd;

	if (dir < 0)
		return dir;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	fd = openat(dir, ".", flags | O_TMPFILE | O_CLOEXEC, in->mode & PERMISSIONS);
	return fd < 0 ? -errno : tell_made(fs, call, fd, NULL);
}
