/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the FUSE server: serve.c (requests, their form, INIT), names.c (directories' entries),
 * data.c (open files), listing.c (open directories), attributes.c, xattr.c; and what they stand on:
 * nodes.c (files that the client knows), handles.c (files that it has open), place.c (how a node is
 * found on the host), hide.c, fs.c (life).
 */
#ifndef BANTAM_DEVICES_FS_FS_PRIVATE_H
#define BANTAM_DEVICES_FS_FS_PRIVATE_H

#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "devices/fs/fs.h"
#include "stream.h"

enum {
	FS_ROOT = 1, /* index of the directory that is served; 0 is no node */
	FS_CHUNK = 1024,
	FS_MAX_DEVS = 1 << 15,
	FS_SCRATCH = 1 << 16, /* bytes: the longest value of an attribute, entries of a directory */
	FS_MAX_IOV = 1024,    /* what the kernel takes at once */
};

/*
 * A file that the client knows. It is the same file as long as device, number, mount and time of
 * birth are; name and parent are where it was last seen, to open it again.
 */
struct fs_node {
	uint64_t nlookup; /* how often the client was told of it, and has not forgotten */
	uint64_t ino, mnt_id, btime;
	char *name; /* NULL: it has none */
	uint32_t index;
	uint32_t parent;
	uint32_t dev; /* index of struct fs_dev */
	uint32_t generation;
	uint32_t next; /* in its chain of the hash, or of what is free */
	uint32_t children;
	uint32_t handle;       /* the first one, see struct fs_handle; 0 for none */
	uint32_t newer, older; /* among nodes with descriptors */
	int path_fd, data_fd;  /* O_PATH; for reading; -1 for none */
	uint16_t type;	       /* S_IFMT */
	bool used;
	bool stub; /* a mount point whose other side is not served: looks empty */
};

struct fs_handle {
	uint32_t generation;
	uint32_t node; /* 0: free */
	uint32_t next; /* of the same node, or free */
	int fd;
	int64_t pos; /* of a directory's descriptor */
};

struct fs_dev {
	uint32_t major, minor;
};

struct fs_hidden {
	char *path;	   /* components, separated by single slashes */
	const char *name;  /* the last one, in path */
	int fd, parent_fd; /* O_PATH, so that their numbers stay theirs; -1: there was none */
	struct statx st, parent_st;
};

struct fs {
	struct fs_config config; /* without strings */
	int root_fd;
	int proc_fd;	      /* /proc/self/fd */
	struct statx root_st; /* when it was opened */
	uint32_t uid, gid;    /* ours */
	mode_t umask;
	bool privileged; /* may change owners */
	bool started;	 /* after INIT */

	struct fs_hidden hidden[FS_MAX_HIDE];
	unsigned int num_hidden;

	struct fs_node *chunks[FS_MAX_NODES / FS_CHUNK];
	uint32_t num_slots; /* that were ever used, the first two among them */
	uint32_t free_node; /* 0 for none */
	uint32_t num_nodes;
	uint32_t *buckets;
	uint32_t num_buckets; /* a power of two */

	uint32_t newest, oldest; /* nodes with descriptors, the root not among them */
	uint32_t num_fds, max_path_fds;

	struct fs_handle *handles; /* [0] is none */
	uint32_t num_handle_slots, free_handle, num_handles, max_handles;

	struct fs_dev *devs;
	uint32_t num_devs;

	struct fs_counts counts;
	struct iovec iov[FS_MAX_IOV];
	char names[2][PATH_MAX];
	_Alignas(8) char scratch[FS_SCRATCH];
};

/* ---- nodes.c ---- */

int fs_nodes_init(struct fs *fs);
void fs_nodes_fini(struct fs *fs);

static inline struct fs_node *fs_node_at(const struct fs *fs, uint32_t index)
{
	return &fs->chunks[index / FS_CHUNK][index % FS_CHUNK];
}

/* NULL: the client has no such node. */
struct fs_node *fs_node_by_id(const struct fs *fs, uint64_t id);
static inline uint64_t fs_node_id(const struct fs_node *node)
{
	return (uint64_t)node->generation << 32 | node->index;
}

/* Whether a file on the host is the node's. */
bool fs_node_is(const struct fs *fs, const struct fs_node *node, const struct statx *st);
/* The node of a file, made if there is none. -ENOMEM, also when there are too many. */
int fs_node_get(struct fs *fs, const struct statx *st, struct fs_node **ret);
/* NULL: there is none. */
struct fs_node *fs_node_find(const struct fs *fs, const struct statx *st);
/* Where it was seen. -ENOMEM. */
int fs_node_move(struct fs *fs, struct fs_node *node, struct fs_node *parent, const char *name);
/* Drops it, and parents, if nobody needs them. */
void fs_node_put(struct fs *fs, struct fs_node *node);
void fs_node_forget(struct fs *fs, struct fs_node *node, uint64_t times);

/* Keeps a descriptor, which is the nodes' then; makes room for it before. */
void fs_node_keep(struct fs *fs, struct fs_node *node, int *place, int fd);
void fs_node_touch(struct fs *fs, struct fs_node *node);
/* Closes the older half of those that are kept: true if there was any. */
bool fs_nodes_trim(struct fs *fs);

/* ---- handles.c ---- */

/* -ENFILE: there are too many. fd is the handle's then. */
int fs_handle_add(struct fs *fs, struct fs_node *node, int fd, uint64_t *fh);
/* The node's file, opened anew for a handle. -errno. */
int fs_handle_open(struct fs *fs, struct fs_node *node, int flags, uint64_t *fh);
/* NULL: it is not a handle of that node. */
struct fs_handle *fs_handle(struct fs *fs, const struct fs_node *node, uint64_t fh);
void fs_handle_drop(struct fs *fs, struct fs_node *node, uint64_t fh);
void fs_handles_drop_all(struct fs *fs);

/* ---- place.c ---- */

/* By name, in a directory, no further: a descriptor with O_PATH, and what it is. -errno. */
int fs_open_name(struct fs *fs, int dir, const char *name, struct statx *st);
/* Both valid until the next but one call of these. -errno: -ESTALE where it is no more. */
int fs_path_fd(struct fs *fs, struct fs_node *node);
int fs_data_fd(struct fs *fs, struct fs_node *node);
/* The file of a node, opened anew: regular files and directories only. The caller's. -errno. */
int fs_open_node(struct fs *fs, struct fs_node *node, int flags);
/* What a node is now. */
int fs_stat_node(struct fs *fs, struct fs_node *node, struct statx *st);
/* The node of an entry, not yet counted as told. */
int fs_look_up(struct fs *fs, struct fs_node *dir, const char *name, struct statx *st,
	struct fs_node **ret);
/* For *at calls in proc_fd, which follow it: the file of a descriptor. */
struct fs_fd_name {
	char text[12];
};
struct fs_fd_name fs_fd_name(int fd);
bool fs_type_denied(int fd);
int fs_statx(int fd, const char *name, struct statx *st);

/* ---- hide.c ---- */

int fs_hide(struct fs *fs, const char *path, struct error *err);
void fs_hide_fini(struct fs *fs);
bool fs_hides_name(const struct fs *fs, const struct fs_node *dir, const char *name);
/* The same for an entry of a listing. */
bool fs_hides_entry(const struct fs *fs, const struct fs_node *dir, const char *name, uint64_t ino);
bool fs_hides_file(const struct fs *fs, const struct statx *st);

/* ---- requests ---- */

struct fs_call {
	struct fuse_in_header h;
	struct fs_node *node;
	union {
		struct fuse_init_in init;
		struct fuse_forget_in forget;
		struct fuse_batch_forget_in batch_forget;
		struct fuse_getattr_in getattr;
		struct fuse_setattr_in setattr;
		struct fuse_mknod_in mknod;
		struct fuse_mkdir_in mkdir;
		struct fuse_rename_in rename;
		struct fuse_rename2_in rename2;
		struct fuse_link_in link;
		struct fuse_open_in open;
		struct fuse_create_in create;
		struct fuse_read_in read;
		struct fuse_write_in write;
		struct fuse_release_in release;
		struct fuse_fsync_in fsync;
		struct fuse_setxattr_in setxattr;
		struct fuse_getxattr_in getxattr;
		struct fuse_access_in access;
		struct fuse_fallocate_in fallocate;
		struct fuse_lseek_in lseek;
		struct fuse_copy_file_range_in copy;
	} in;
	const char *name, *name2;
	struct fs_stream data; /* what the request has behind all this */
	struct fs_stream out;  /* room for the reply, behind its header */
};

/* Bytes behind the reply's header, or -errno. */
typedef ssize_t fs_op(struct fs *fs, struct fs_call *call);

fs_op fs_op_init, fs_op_destroy, fs_op_forget, fs_op_batch_forget;
fs_op fs_op_lookup, fs_op_symlink, fs_op_mknod, fs_op_mkdir, fs_op_unlink, fs_op_rmdir,
	fs_op_rename, fs_op_rename2, fs_op_link, fs_op_create, fs_op_tmpfile;
fs_op fs_op_open, fs_op_read, fs_op_write, fs_op_release, fs_op_fsync, fs_op_fallocate, fs_op_lseek,
	fs_op_copy, fs_op_syncfs;
fs_op fs_op_opendir, fs_op_readdir, fs_op_readdirplus, fs_op_fsyncdir;
fs_op fs_op_getattr, fs_op_setattr, fs_op_readlink, fs_op_statfs, fs_op_access;
fs_op fs_op_setxattr, fs_op_getxattr, fs_op_listxattr, fs_op_removexattr;

/* Puts a reply's next bytes into it: their number. There is room (see serve.c). */
ssize_t fs_put(struct fs_call *call, const void *bytes, size_t len);
/* The reply of those that tell of a file, and count that. */
void fs_fill_entry(
	struct fs *fs, struct fs_node *node, const struct statx *st, struct fuse_entry_out *out);
void fs_fill_attr(
	struct fs *fs, const struct fs_node *node, const struct statx *st, struct fuse_attr *attr);
void fs_fill_open(const struct fs *fs, const struct fs_node *node, struct fuse_open_out *out);
/* The flags for the host of those that the client opens a file with. */
int fs_open_flags(uint32_t flags);
/* Opens a file and makes a handle for it. */
int fs_open_handle(struct fs *fs, struct fs_node *node, uint32_t flags, uint64_t *fh);
/* A file that was written by somebody else than its owner keeps no set-user-ID. */
int fs_drop_suid(struct fs *fs, int fd);
/* How long the client may believe. */
uint64_t fs_validity(const struct fs *fs);
/* Whether OPEN and OPENDIR are not needed. */
static inline bool fs_without_open(const struct fs *fs)
{
	return fs->config.read_only && fs->config.cache == FS_CACHE_ALWAYS;
}

#endif
