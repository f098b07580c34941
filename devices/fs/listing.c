/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories, as their entries are read. Places in one are the host's own numbers; an invented one
 * is for the host's file system to refuse or to make something of.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs_private.h"

enum { ALIGNMENT = 8 };

static int open_dir(struct fs *fs, struct fs_node *node, uint64_t *fh)
{
	if (node->type != S_IFDIR)
		return -ENOTDIR;
	return fs_handle_open(fs, node, O_RDONLY | O_DIRECTORY, fh);
}

ssize_t fs_op_opendir(struct fs *fs, struct fs_call *call)
{
	struct fuse_open_out out = {0};
	int rc = 0;

	if (fs_without_open(fs))
		return -ENOSYS;
	/* There is nothing to open. */
	if (!call->node->stub || call->node->type != S_IFDIR)
		rc = open_dir(fs, call->node, &out.fh);
	if (rc < 0)
		return rc;
	fs_fill_open(fs, call->node, &out);
	return fs_put(call, &out, sizeof(out));
}

/* The place that the next entries are read from; NULL for pos: it has to be looked for. */
static int listing_fd(struct fs *fs, struct fs_call *call, int64_t **pos)
{
	struct fs_handle *handle = fs_handle(fs, call->node, call->in.read.fh);

	*pos = NULL;
	if (call->node->type != S_IFDIR)
		return -ENOTDIR;
	if (handle) {
		*pos = &handle->pos;
		return handle->fd;
	}
	return fs_without_open(fs) ? fs_data_fd(fs, call->node) : -EBADF;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* With plus: tells of the entry's file, which counts as a LOOKUP. Others are told as a name. */
static void fill_entry(struct fs *fs, struct fs_node *dir, const struct dirent64 *entry,
	struct fuse_entry_out *out)
{
	struct fs_node *node;
	struct statx st;

	memset(out, 0, sizeof(*out));
	if (!is_dots(entry->d_name) && !fs_look_up(fs, dir, entry->d_name, &st, &node))
		fs_fill_entry(fs, node, &st, out);
}

/* Bytes written, or 0 where there is no room for it. */
static size_t put_dirent(
	struct fs *fs, struct fs_call *call, const struct dirent64 *entry, bool plus, size_t room)
{
	static const char zeros[ALIGNMENT];
	const size_t name = strlen(entry->d_name);
	struct fuse_direntplus out;
	const size_t head = plus ? sizeof(out) : sizeof(out.dirent);
	const size_t len = ALIGN_UP(head + name, ALIGNMENT);

	if (len > room)
		return 0;
	if (plus)
		fill_entry(fs, call->node, entry, &out.entry_out);
	out.dirent = (struct fuse_dirent){.ino = entry->d_ino,
		.off = (uint64_t)entry->d_off,
		.namelen = (uint32_t)name,
		.type = entry->d_type};
	if (plus && out.entry_out.nodeid)
		out.dirent.ino = out.entry_out.attr.ino;
	fs_put(call, plus ? (void *)&out : (void *)&out.dirent, head);
	fs_put(call, entry->d_name, name);
	fs_put(call, zeros, len - head - name);
	return len;
}

/*
 * Puts what was read; *pos is behind the last entry that was put or passed over. False: there is no
 * more room.
 */
static bool put_entries(struct fs *fs, struct fs_call *call, size_t n, bool plus, size_t room,
	size_t *done, int64_t *pos)
{
	for (size_t at = 0; at < n;) {
		const struct dirent64 *entry = (const void *)(fs->scratch + at);
		size_t len = 1;

		if (!fs_hides_entry(fs, call->node, entry->d_name, entry->d_ino)) {
			len = put_dirent(fs, call, entry, plus, room - *done);
			*done += len;
			if (!len)
				return false;
		}
		*pos = entry->d_off;
		at += entry->d_reclen;
	}
	return true;
}

static ssize_t list(struct fs *fs, struct fs_call *call, int fd, int64_t *known, bool plus)
{
	const size_t room = (size_t)MIN((uint64_t)call->in.read.size, call->out.left);
	int64_t pos = (int64_t)call->in.read.offset;
	size_t done = 0;
	ssize_t n = 0;
	bool more = true;

	if (!known || *known != pos)
		if (lseek(fd, (off_t)pos, SEEK_SET) < 0)
			return -errno;
	/* What it would not have room for is not read: entries are longer there than here. */
	while (more && !done) {
		n = getdents64(fd, fs->scratch, MIN(MAX(room, 512u), sizeof(fs->scratch)));
		more = n > 0 && put_entries(fs, call, (size_t)n, plus, room, &done, &pos);
	}
	if (known)
		*known = n > 0 && !more ? -1 : pos;
	return n < 0 ? -errno : n > 0 && !done ? -EINVAL : (ssize_t)done;
}

/* What a directory has that has nothing. */
static ssize_t list_stub(struct fs *fs, struct fs_call *call, bool plus)
{
	const size_t room = (size_t)MIN((uint64_t)call->in.read.size, call->out.left);
	size_t done = 0;

	for (uint64_t i = call->in.read.offset; i < 2; i++) {
		struct dirent64 entry = {
			.d_ino = call->node->ino, .d_off = (int64_t)i + 1, .d_type = DT_DIR};
		size_t len;

		memcpy(entry.d_name, "..", 3);
		entry.d_name[1 + i] = '\0';
		len = put_dirent(fs, call, &entry, plus, room - done);
		if (!len)
			break;
		done += len;
	}
	return (ssize_t)done;
}

static ssize_t list_any(struct fs *fs, struct fs_call *call, bool plus)
{
	int64_t *pos;
	int fd;

	if (call->node->stub && call->node->type == S_IFDIR)
		return list_stub(fs, call, plus);
	if (call->in.read.offset > INT64_MAX)
		return -EINVAL;
	fd = listing_fd(fs, call, &pos);
	return fd < 0 ? fd : list(fs, call, fd, pos, plus);
}

ssize_t fs_op_readdir(struct fs *fs, struct fs_call *call)
{
	return list_any(fs, call, false);
}

ssize_t fs_op_readdirplus(struct fs *fs, struct fs_call *call)
{
	return list_any(fs, call, true);
}

ssize_t fs_op_fsyncdir(struct fs *fs, struct fs_call *call)
{
	const struct fs_handle *handle = fs_handle(fs, call->node, call->in.fsync.fh);

	if (!handle || call->node->type != S_IFDIR)
		return -EBADF;
	return fsync(handle->fd) < 0 ? -errno : 0;
}
