/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended attributes: a user's own, and file capabilities to read. What else there is belongs to
 * the host's kernel (ACLs, labels, an overlay's own), and a client is told that it is not there.
 * They are reached through an open file, so regular files and directories have them only, as for
 * those of users the kernel has it.
 */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs_private.h"

static const char user_prefix[] = "user.";

static bool is_user(const char *name)
{
	return !strncmp(name, user_prefix, sizeof(user_prefix) - 1);
}

static bool may_read(const char *name)
{
	return is_user(name) || !strcmp(name, "security.capability");
}

static bool has_some(const struct fs_node *node)
{
	return (node->type == S_IFREG || node->type == S_IFDIR) && !node->stub;
}

/* Who may not read the file cannot get at them; which is as if there were none. */
static int readable_fd(struct fs *fs, struct fs_node *node)
{
	const int fd = has_some(node) ? fs_data_fd(fs, node) : -EACCES;

	return fd == -EACCES || fd == -EPERM ? -ENODATA : fd;
}

static ssize_t answer(struct fs *fs, struct fs_call *call, size_t len, uint32_t size)
{
	const struct fuse_getxattr_out out = {.size = (uint32_t)len};

	if (!size)
		return fs_put(call, &out, sizeof(out));
	if (len > size || len > call->out.left)
		return -ERANGE;
	return fs_put(call, fs->scratch, len);
}

ssize_t fs_op_getxattr(struct fs *fs, struct fs_call *call)
{
	const int fd = may_read(call->name) ? readable_fd(fs, call->node) : -ENODATA;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = fgetxattr(fd, call->name, fs->scratch, sizeof(fs->scratch));
	return n < 0 ? -errno : answer(fs, call, (size_t)n, call->in.getxattr.size);
}

/* Leaves those in the list that can be read. */
static size_t filter(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < len; at += n) {
		n = strnlen(list + at, len - at) + 1;
		if (at + n > len || !may_read(list + at))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

ssize_t fs_op_listxattr(struct fs *fs, struct fs_call *call)
{
	const int fd = readable_fd(fs, call->node);
	ssize_t n = 0;

	if (fd < 0 && fd != -ENODATA)
		return fd;
	if (fd >= 0)
		n = flistxattr(fd, fs->scratch, sizeof(fs->scratch));
	if (n < 0)
		return -errno;
	return answer(fs, call, filter(fs->scratch, (size_t)n), call->in.getxattr.size);
}

static int writable_fd(struct fs *fs, struct fs_call *call)
{
	if (!is_user(call->name))
		return -EOPNOTSUPP;
	return has_some(call->node) ? fs_data_fd(fs, call->node) : -EPERM;
}

ssize_t fs_op_setxattr(struct fs *fs, struct fs_call *call)
{
	const int fd = writable_fd(fs, call);
	const uint32_t size = call->in.setxattr.size, flags = call->in.setxattr.flags;

	if (fd < 0)
		return fd;
	if (size > sizeof(fs->scratch))
		return -E2BIG;
	if (size != call->data.left || (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)))
		return -EINVAL;
	fs_stream_read(&call->data, fs->scratch, size);
	return fsetxattr(fd, call->name, fs->scratch, size, (int)flags) < 0 ? -errno : 0;
}

ssize_t fs_op_removexattr(struct fs *fs, struct fs_call *call)
{
	const int fd = writable_fd(fs, call);

	if (fd < 0)
		return fd;
	return fremovexattr(fd, call->name) < 0 ? -errno : 0;
}
