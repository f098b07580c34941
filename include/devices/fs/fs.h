/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A directory of the host, served to a hostile client by FUSE's protocol (<linux/fuse.h>): bytes of
 * a request in, bytes of its reply out. Knows nothing of virtio.
 *
 * What a client can name is what lies beneath the directory; how that is kept so is in
 * devices/fs/place.c. One thread at a time; calls may take as long as the host's file system does.
 */
#ifndef BANTAM_DEVICES_FS_FS_H
#define BANTAM_DEVICES_FS_FS_H

#include <sys/uio.h>

#include "vm/core/base.h"

struct error;
struct fs;

enum {
	FS_MAX_HIDE = 16,
	FS_MIN_FDS = 64,	/* descriptors of one directory that is served */
	FS_MAX_PATH_FDS = 4096, /* of them, at most so many of files that are not open */
	FS_MAX_NODES = 4 << 20, /* files that a client can know at a time */
	FS_MAX_IO = 1 << 20,	/* bytes of a READ or WRITE that a client is told to keep to */
};

/* How long a client may believe what it was told. */
enum fs_cache {
	FS_CACHE_AUTO,	 /* for a second; data until a file is opened again */
	FS_CACHE_ALWAYS, /* for ever: nobody else changes anything */
	FS_CACHE_NONE,	 /* not at all */
};

enum fs_owner {
	FS_OWNER_HOST, /* owners are the host's */
	FS_OWNER_ROOT, /* this process's user and root change places */
};

struct fs_config {
	const char *path; /* a directory */
	bool read_only;
	enum fs_cache cache;
	enum fs_owner owner;
	/* What is mounted beneath is served, too; otherwise mount points look empty. */
	bool mounts;
	/* Paths beneath it, which a client does not see. */
	const char *const *hide;
	unsigned int num_hide;
	/*
	 * This process will be in a user namespace that knows its own user only: files of nobody
	 * are taken for root's then.
	 */
	bool confined;
	unsigned int max_fds; /* at least FS_MIN_FDS */
};

/*
 * Opens the directory; config is not needed afterwards. -errno with a line that names the path, and
 * what to try.
 */
int fs_create(const struct fs_config *config, struct fs **ret, struct error *err);
/* NULL is allowed. */
void fs_destroy(struct fs *fs);
/* As after fs_create: the client is another one. */
void fs_reset(struct fs *fs);

/*
 * The client's memory: in is never written and out never read, and what is in them may change at
 * any time. Neither is needed when the call that gets it has returned.
 */
struct fs_buffers {
	const struct iovec *in, *out;
	int num_in, num_out;
};

/* Does what a request asks for. The bytes that the reply has in out; 0: there is no reply. */
size_t fs_serve(struct fs *fs, const struct fs_buffers *buffers);

/* The directory, for who restricts this process to it: valid as long as fs. */
int fs_root_fd(const struct fs *fs);

struct fs_counts {
	uint32_t nodes, handles, fds;
	uint64_t requests, bytes_read, bytes_written;
};
/* By the thread that serves, or while none does. */
void fs_count(const struct fs *fs, struct fs_counts *counts);

#endif
