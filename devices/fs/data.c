/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files. Data moves between the client's memory and the host's file system without a copy. A
 * reply that is short means the end of a file, so whatever a client asks for is done up to the end.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs_private.h"

enum { COPY_AT_ONCE = 64 << 20 }; /* bytes, so that others get their turn */

int fs_open_flags(uint32_t flags)
{
	const uint32_t keep = O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC;
	int ret = (int)(flags & keep);

	if ((ret & O_ACCMODE) == O_ACCMODE)
		ret = (ret & ~O_ACCMODE) | O_RDWR;
	return ret | O_NONBLOCK | O_NOCTTY;
}

void fs_fill_open(const struct fs *fs, const struct fs_node *node, struct fuse_open_out *out)
{
	out->open_flags = 0;
	if (fs->config.cache == FS_CACHE_ALWAYS)
		out->open_flags = FOPEN_KEEP_CACHE;
	if (fs->config.cache == FS_CACHE_ALWAYS && node->type == S_IFDIR)
		out->open_flags |= FOPEN_CACHE_DIR;
	if (fs->config.cache == FS_CACHE_NONE && node->type == S_IFREG)
		out->open_flags = FOPEN_DIRECT_IO;
}

int fs_open_handle(struct fs *fs, struct fs_node *node, uint32_t flags, uint64_t *fh)
{
	const int ours = fs_open_flags(flags);

	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : node->type == S_IFLNK ? -ELOOP : -ENXIO;
	if (fs->config.read_only && ((ours & O_ACCMODE) != O_RDONLY || (ours & O_TRUNC)))
		return -EROFS;
	return fs_handle_open(fs, node, ours, fh);
}

ssize_t fs_op_open(struct fs *fs, struct fs_call *call)
{
	struct fuse_open_out out = {0};
	int rc;

	if (fs_without_open(fs))
		return -ENOSYS;
	rc = fs_open_handle(fs, call->node, call->in.open.flags, &out.fh);
	if (rc < 0)
		return rc;
	if ((call->in.open.flags & O_TRUNC) && (call->in.open.open_flags & FUSE_OPEN_KILL_SUIDGID))
		fs_drop_suid(fs, fs_handle(fs, call->node, out.fh)->fd);
	fs_fill_open(fs, call->node, &out);
	return fs_put(call, &out, sizeof(out));
}

/* Where a client need not open anything, it has no handles. */
static int file_fd(struct fs *fs, struct fs_node *node, uint64_t fh)
{
	const struct fs_handle *handle = fs_handle(fs, node, fh);

	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -EBADF;
	if (handle)
		return handle->fd;
	return fs_without_open(fs) ? fs_data_fd(fs, node) : -EBADF;
}

/* Both ways: bytes from *s on, until there are no more or it does not go on. */
static ssize_t transfer(struct fs *fs, int fd, struct fs_stream *s, size_t len, uint64_t offset,
	ssize_t (*move)(int fd, const struct iovec *iov, int num, off_t offset, int flags))
{
	size_t done = 0;
	ssize_t n = 1;
	int num;

	while (done < len && n > 0) {
		if (!fs_stream_iov(s, len - done, fs->iov, FS_MAX_IOV, &num))
			break;
		n = move(fd, fs->iov, num, (off_t)(offset + done), 0);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n > 0)
			done += fs_stream_skip(s, (size_t)n);
	}
	return n < 0 && !done ? -errno : (ssize_t)done;
}

static bool offset_ok(uint64_t offset, uint64_t len)
{
	return offset <= INT64_MAX && len <= (uint64_t)INT64_MAX - offset;
}

ssize_t fs_op_read(struct fs *fs, struct fs_call *call)
{
	const struct fuse_read_in *in = &call->in.read;
	const size_t len = (size_t)MIN((uint64_t)in->size, call->out.left);
	const int fd = file_fd(fs, call->node, in->fh);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!offset_ok(in->offset, len))
		return -EINVAL;
	n = transfer(fs, fd, &call->out, len, in->offset, preadv2);
	if (n > 0)
		fs->counts.bytes_read += (uint64_t)n;
	return n;
}

ssize_t fs_op_write(struct fs *fs, struct fs_call *call)
{
	const struct fuse_write_in *in = &call->in.write;
	const int fd = file_fd(fs, call->node, in->fh);
	struct fuse_write_out out = {0};
	ssize_t n;

	if (fd < 0)
		return fd;
	if (in->size != call->data.left || !offset_ok(in->offset, in->size))
		return -EINVAL;
	n = transfer(fs, fd, &call->data, in->size, in->offset, pwritev2);
	if (n < 0)
		return n;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		fs_drop_suid(fs, fd);
	fs->counts.bytes_written += (uint64_t)n;
	out.size = (uint32_t)n;
	return fs_put(call, &out, sizeof(out));
}

ssize_t fs_op_release(struct fs *fs, struct fs_call *call)
{
	fs_handle_drop(fs, call->node, call->in.release.fh);
	return 0;
}

ssize_t fs_op_fsync(struct fs *fs, struct fs_call *call)
{
	const int fd = file_fd(fs, call->node, call->in.fsync.fh);
	const bool data = call->in.fsync.fsync_flags & FUSE_FSYNC_FDATASYNC;

	if (fd < 0)
		return fd;
	return (data ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

ssize_t fs_op_fallocate(struct fs *fs, struct fs_call *call)
{
	const struct fuse_fallocate_in *in = &call->in.fallocate;
	const int fd = file_fd(fs, call->node, in->fh);

	if (fd < 0)
		return fd;
	if (in->mode &
		~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (!offset_ok(in->offset, in->length))
		return -EINVAL;
	return fallocate(fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

ssize_t fs_op_lseek(struct fs *fs, struct fs_call *call)
{
	const struct fuse_lseek_in *in = &call->in.lseek;
	const int fd = file_fd(fs, call->node, in->fh);
	struct fuse_lseek_out out;
	off_t at;

	if (fd < 0)
		return fd;
	if (in->offset > INT64_MAX || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
		return -EINVAL;
	at = lseek(fd, (off_t)in->offset, (int)in->whence);
	out.offset = (uint64_t)at;
	return at < 0 ? -errno : fs_put(call, &out, sizeof(out));
}

ssize_t fs_op_copy(struct fs *fs, struct fs_call *call)
{
	const struct fuse_copy_file_range_in *in = &call->in.copy;
	struct fs_node *to = fs_node_by_id(fs, in->nodeid_out);
	const size_t len = (size_t)MIN(in->len, (uint64_t)COPY_AT_ONCE);
	struct fuse_write_out out;
	off_t from_at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	int from_fd, to_fd;
	ssize_t n;

	if (!to)
		return -ESTALE;
	from_fd = file_fd(fs, call->node, in->fh_in);
	to_fd = from_fd < 0 ? from_fd : file_fd(fs, to, in->fh_out);
	if (to_fd < 0)
		return to_fd;
	if (in->flags || !offset_ok(in->off_in, len) || !offset_ok(in->off_out, len))
		return -EINVAL;
	n = copy_file_range(from_fd, &from_at, to_fd, &to_at, len, 0);
	out = (struct fuse_write_out){.size = (uint32_t)n};
	return n < 0 ? -errno : fs_put(call, &out, sizeof(out));
}

/* All of what is served, whatever the request names. */
ssize_t fs_op_syncfs(struct fs *fs, struct fs_call *call)
{
	const int fd = fs_data_fd(fs, fs_node_at(fs, FS_ROOT));

	(void)call;
	if (fd < 0)
		return fd;
	if (fs->config.mounts) {
		sync();
		return 0;
	}
	return syncfs(fd) < 0 ? -errno : 0;
}
