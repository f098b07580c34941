/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests, as they come: a header, a structure by the operation, names, data. Whatever is looked
 * at is copied first, as the client can change it; data is not looked at. The table says what an
 * operation's request has, and how much room its reply needs at least, so that nothing is done
 * whose answer could not be given.
 *
 * Reference: the kernel's include/uapi/linux/fuse.h, and fs/fuse as the client.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs_private.h"

enum {
	MAX_PAGES = FS_MAX_IO / 4096,
	MAX_BACKGROUND = 64,
	OLDEST_MINOR = 31, /* the first with virtiofs */
	INIT_IN_MIN = 16,
	INIT_OUT_OLD = 24,
	SETXATTR_IN = 8, /* without FUSE_SETXATTR_EXT */
};

/* What is said about an operation */
enum {
	CHANGES = 1 << 0,  /* refused on a read-only share */
	NO_REPLY = 1 << 1, /* whatever happens */
	NO_NODE = 1 << 2,  /* the header's node means nothing */
	HAS_DATA = 1 << 3, /* behind structure and names: more than nothing */
	NAME = 1 << 4,	   /* a component */
	NAME2 = 1 << 5,	   /* and a second one */
	TARGET = 1 << 6,   /* a second text that is no component */
	TEXT = 1 << 7,	   /* a text that is no component (an attribute's name) */
	SHORTER = 1 << 8,  /* the structure may be shorter */
};

struct op {
	fs_op *fn; /* NULL: not implemented */
	uint16_t flags;
	uint16_t in_size;
	uint16_t out_size;
};

#define IN(name) sizeof(((struct fs_call *)0)->in.name)
#define ENTRY	 sizeof(struct fuse_entry_out)
#define OPENED	 sizeof(struct fuse_open_out)
#define ATTR	 sizeof(struct fuse_attr_out)

static const struct op ops[] = {
	[FUSE_LOOKUP] = {fs_op_lookup, NAME, 0, ENTRY},
	[FUSE_FORGET] = {fs_op_forget, NO_REPLY, IN(forget), 0},
	[FUSE_GETATTR] = {fs_op_getattr, 0, IN(getattr), ATTR},
	[FUSE_SETATTR] = {fs_op_setattr, CHANGES, IN(setattr), ATTR},
	[FUSE_READLINK] = {fs_op_readlink, 0, 0, 0},
	[FUSE_SYMLINK] = {fs_op_symlink, CHANGES | NAME | TARGET, 0, ENTRY},
	[FUSE_MKNOD] = {fs_op_mknod, CHANGES | NAME, IN(mknod), ENTRY},
	[FUSE_MKDIR] = {fs_op_mkdir, CHANGES | NAME, IN(mkdir), ENTRY},
	[FUSE_UNLINK] = {fs_op_unlink, CHANGES | NAME, 0, 0},
	[FUSE_RMDIR] = {fs_op_rmdir, CHANGES | NAME, 0, 0},
	[FUSE_RENAME] = {fs_op_rename, CHANGES | NAME | NAME2, IN(rename), 0},
	[FUSE_LINK] = {fs_op_link, CHANGES | NAME, IN(link), ENTRY},
	[FUSE_OPEN] = {fs_op_open, 0, IN(open), OPENED},
	[FUSE_READ] = {fs_op_read, 0, IN(read), 0},
	[FUSE_WRITE] = {fs_op_write, CHANGES | HAS_DATA, IN(write), sizeof(struct fuse_write_out)},
	[FUSE_STATFS] = {fs_op_statfs, 0, 0, sizeof(struct fuse_statfs_out)},
	[FUSE_RELEASE] = {fs_op_release, 0, IN(release), 0},
	[FUSE_FSYNC] = {fs_op_fsync, 0, IN(fsync), 0},
	[FUSE_SETXATTR] = {fs_op_setxattr, CHANGES | TEXT | HAS_DATA, SETXATTR_IN, 0},
	[FUSE_GETXATTR] = {fs_op_getxattr, TEXT, IN(getxattr), sizeof(struct fuse_getxattr_out)},
	[FUSE_LISTXATTR] = {fs_op_listxattr, 0, IN(getxattr), sizeof(struct fuse_getxattr_out)},
	[FUSE_REMOVEXATTR] = {fs_op_removexattr, CHANGES | TEXT, 0, 0},
	[FUSE_INIT] = {fs_op_init, NO_NODE | SHORTER, IN(init), INIT_OUT_OLD},
	[FUSE_OPENDIR] = {fs_op_opendir, 0, IN(open), OPENED},
	[FUSE_READDIR] = {fs_op_readdir, 0, IN(read), 0},
	[FUSE_RELEASEDIR] = {fs_op_release, 0, IN(release), 0},
	[FUSE_FSYNCDIR] = {fs_op_fsyncdir, 0, IN(fsync), 0},
	[FUSE_ACCESS] = {fs_op_access, 0, IN(access), 0},
	[FUSE_CREATE] = {fs_op_create, CHANGES | NAME, IN(create), ENTRY + OPENED},
	[FUSE_INTERRUPT] = {NULL, NO_REPLY, 0, 0},
	[FUSE_DESTROY] = {fs_op_destroy, NO_NODE, 0, 0},
	[FUSE_BATCH_FORGET] = {fs_op_batch_forget, NO_REPLY | NO_NODE | HAS_DATA, IN(batch_forget),
		0},
	[FUSE_FALLOCATE] = {fs_op_fallocate, CHANGES, IN(fallocate), 0},
	[FUSE_READDIRPLUS] = {fs_op_readdirplus, 0, IN(read), 0},
	[FUSE_RENAME2] = {fs_op_rename2, CHANGES | NAME | NAME2, IN(rename2), 0},
	[FUSE_LSEEK] = {fs_op_lseek, 0, IN(lseek), sizeof(struct fuse_lseek_out)},
	[FUSE_COPY_FILE_RANGE] = {fs_op_copy, CHANGES, IN(copy), sizeof(struct fuse_write_out)},
	[FUSE_SYNCFS] = {fs_op_syncfs, HAS_DATA, 0, 0},
	[FUSE_TMPFILE] = {fs_op_tmpfile, CHANGES | TEXT, IN(create), ENTRY + OPENED},
};

/* ---- the beginning and the end ---- */

static uint64_t wanted_flags(const struct fs *fs)
{
	uint64_t flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_MAX_PAGES |
			 FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
			 FUSE_INIT_EXT | FUSE_ABORT_ERROR | FUSE_HANDLE_KILLPRIV_V2;

	if (fs->config.cache == FS_CACHE_ALWAYS)
		flags |= FUSE_CACHE_SYMLINKS;
	else
		flags |= FUSE_AUTO_INVAL_DATA;
	/* Where no OPEN comes, a SETATTR has to, for us to refuse it. */
	if (fs_without_open(fs))
		flags &= ~(uint64_t)FUSE_ATOMIC_O_TRUNC;
	return flags;
}

/* A client that is newer asks again by our major version; what it knows besides, it does without.
 */
ssize_t fs_op_init(struct fs *fs, struct fs_call *call)
{
	const struct fuse_init_in *in = &call->in.init;
	const uint64_t has =
		in->flags | (in->flags & FUSE_INIT_EXT ? (uint64_t)in->flags2 << 32 : 0);
	const uint64_t flags = has & wanted_flags(fs);
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32),
		.max_background = MAX_BACKGROUND,
		.congestion_threshold = MAX_BACKGROUND * 3 / 4,
		.max_write = FS_MAX_IO,
		.time_gran = 1,
		.max_pages = MAX_PAGES};

	if (in->major < FUSE_KERNEL_VERSION ||
		(in->major == FUSE_KERNEL_VERSION && in->minor < OLDEST_MINOR))
		return -EPROTO;
	if (in->major == FUSE_KERNEL_VERSION) {
		fs_reset(fs);
		/* Which may be another one than when the directory was opened. */
		fs->uid = geteuid();
		fs->gid = getegid();
		fs->started = fs->num_slots > FS_ROOT;
	}
	return fs_put(call, &out, MIN(sizeof(out), (size_t)call->out.left));
}

ssize_t fs_op_destroy(struct fs *fs, struct fs_call *call)
{
	(void)call;
	fs_reset(fs);
	return 0;
}

ssize_t fs_op_forget(struct fs *fs, struct fs_call *call)
{
	if (call->node->index != FS_ROOT)
		fs_node_forget(fs, call->node, call->in.forget.nlookup);
	return 0;
}

/* As many as there are, whatever the count says. */
ssize_t fs_op_batch_forget(struct fs *fs, struct fs_call *call)
{
	struct fuse_forget_one one;

	for (uint32_t i = 0; i < call->in.batch_forget.count; i++) {
		struct fs_node *node;

		if (fs_stream_read(&call->data, &one, sizeof(one)) < sizeof(one))
			break;
		node = fs_node_by_id(fs, one.nodeid);
		if (node && node->index != FS_ROOT)
			fs_node_forget(fs, node, one.nlookup);
	}
	return 0;
}

/* ---- the form of a request ---- */

static bool is_component(const char *name)
{
	const size_t len = strlen(name);

	return len && len <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int read_name(
	struct fs *fs, struct fs_call *call, unsigned int i, bool component, const char **ret)
{
	const size_t size = component ? NAME_MAX + 1 : sizeof(fs->names[i]);
	const int len = fs_stream_string(&call->data, fs->names[i], size);

	if (len < 0)
		return len;
	if (component && !is_component(fs->names[i]))
		return -EINVAL;
	*ret = fs->names[i];
	return 0;
}

static int read_names(struct fs *fs, struct fs_call *call, unsigned int flags)
{
	int rc = 0;

	if (flags & (NAME | TEXT))
		rc = read_name(fs, call, 0, flags & NAME, &call->name);
	if (!rc && (flags & (NAME2 | TARGET)))
		rc = read_name(fs, call, 1, flags & NAME2, &call->name2);
	if (!rc && (flags & TARGET) && !*call->name2)
		rc = -ENOENT;
	return rc;
}

static int read_rest(struct fs *fs, struct fs_call *call, const struct op *op)
{
	size_t n;
	int rc;

	memset(&call->in, 0, sizeof(call->in));
	n = fs_stream_read(&call->data, &call->in, op->in_size);
	if (n < op->in_size && (!(op->flags & SHORTER) || n < INIT_IN_MIN))
		return -EINVAL;
	rc = read_names(fs, call, op->flags);
	if (rc < 0)
		return rc;
	return call->data.left && !(op->flags & (HAS_DATA | SHORTER)) ? -EINVAL : 0;
}

/* What is asked for is possible. */
static int check(struct fs *fs, struct fs_call *call, const struct op *op)
{
	if (!fs->started && op->fn != fs_op_init)
		return -EIO;
	if (!(op->flags & NO_NODE)) {
		call->node = fs_node_by_id(fs, call->h.nodeid);
		if (!call->node)
			return -ESTALE;
	}
	if ((op->flags & CHANGES) && fs->config.read_only)
		return -EROFS;
	return call->out.left < op->out_size ? -EINVAL : 0;
}

/* ---- replies ---- */

ssize_t fs_put(struct fs_call *call, const void *bytes, size_t len)
{
	return (ssize_t)fs_stream_write(&call->out, bytes, len);
}

static const struct op *find_op(uint32_t opcode, int *error)
{
	static const struct op none;

	*error = opcode == FUSE_IOCTL ? -ENOTTY : -ENOSYS;
	return opcode < ARRAY_SIZE(ops) ? &ops[opcode] : &none;
}

static ssize_t run(struct fs *fs, struct fs_call *call, const struct op *op, int unknown)
{
	int rc;

	if (!op->fn)
		return unknown;
	rc = read_rest(fs, call, op);
	if (!rc)
		rc = check(fs, call, op);
	return rc < 0 ? rc : op->fn(fs, call);
}

/* The kernel's own are below 512. */
static int32_t error_of(ssize_t rc)
{
	return rc < 0 ? (int32_t)MAX(rc, (ssize_t)-511) : 0;
}

size_t fs_serve(struct fs *fs, const struct fs_buffers *buffers)
{
	struct fs_call call = {.data = fs_stream(buffers->in, buffers->num_in),
		.out = fs_stream(buffers->out, buffers->num_out)};
	const uint64_t readable = call.data.left;
	struct fs_stream header = call.out;
	struct fuse_out_header out = {.len = sizeof(out)};
	const struct op *op;
	bool replies;
	ssize_t rc;
	int unknown;

	fs->counts.requests++;
	if (fs_stream_read(&call.data, &call.h, sizeof(call.h)) < sizeof(call.h))
		return 0;
	op = find_op(call.h.opcode, &unknown);
	replies = !(op->flags & NO_REPLY);
	if (replies && fs_stream_skip(&call.out, sizeof(out)) < sizeof(out))
		return 0;
	rc = call.h.len == readable ? run(fs, &call, op, unknown) : -EINVAL;
	if (!replies)
		return 0;
	out.unique = call.h.unique;
	out.error = error_of(rc);
	if (rc > 0)
		out.len += (uint32_t)rc;
	fs_stream_write(&header, &out, sizeof(out));
	return out.len;
}
