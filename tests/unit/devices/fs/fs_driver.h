/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver half of FUSE: what a client sends, by way of nothing but bytes, over a directory made
 * for it:
 *
 *	DIR/outside/secret	what no client may touch; watched
 *	DIR/share		what is served
 *
 * Each reply is checked for what holds of all replies; requests and what is not written of a reply
 * must stay as they are.
 */
#ifndef TESTS_FS_DRIVER_H
#define TESTS_FS_DRIVER_H

#include <limits.h>
#include <linux/fuse.h>

#include "devices/fs/fs.h"

enum {
	FSD_BYTES = FS_MAX_IO + 4096,
	FSD_NO_REPLY = 1, /* what fsd_send returns, besides 0 and errors */
	FSD_MAX_IOV = 4096,
};

struct fsd {
	char dir[64], share[80], outside[80];
	struct fs *fs;
	uint64_t unique;
	size_t piece; /* bytes of an iovec; 0: all in one */
	int watch;    /* inotify of outside */
	int watched[2];

	size_t in_len;	 /* of the request that is being made */
	size_t room;	 /* for the reply, with its header */
	size_t len;	 /* of the reply's bytes behind its header */
	uint8_t *in;	 /* header first */
	uint8_t *before; /* the request as it was sent */
	uint8_t *out;	 /* the reply, header first */
	const uint8_t *reply;
	struct iovec iov[2][FSD_MAX_IOV];
};

/* The directories, no server yet. */
void fsd_make(struct fsd *d);
/* A server of it; path is set here. */
void fsd_start(struct fsd *d, const struct fs_config *config);
/* The same, and INIT. */
void fsd_init(struct fsd *d, const struct fs_config *config);
void fsd_stop(struct fsd *d);
/* Stops it, checks that nothing outside was touched, and removes all. */
void fsd_remove(struct fsd *d);
/* Fails if a file outside was opened or changed since. */
void fsd_check_outside(struct fsd *d);

/* A request by pieces: begin, add..., send. The header can be changed before that. */
struct fuse_in_header *fsd_begin(struct fsd *d, uint32_t opcode, uint64_t node);
void fsd_add(struct fsd *d, const void *bytes, size_t len);
void fsd_add_name(struct fsd *d, const char *name);
/* The error that the reply has (0, -errno), or FSD_NO_REPLY. room is set to all for the next one.
 */
int fsd_send(struct fsd *d);

/* Whole requests */
int fsd_call(struct fsd *d, uint32_t opcode, uint64_t node, const void *arg, size_t len);
int fsd_call_name(struct fsd *d, uint32_t opcode, uint64_t node, const void *arg, size_t len,
	const char *name);
int fsd_lookup(struct fsd *d, uint64_t dir, const char *name, struct fuse_entry_out *out);
/* Of a path below the share; fails the test where it is not there. */
uint64_t fsd_walk(struct fsd *d, const char *path);
int fsd_open(struct fsd *d, uint64_t node, uint32_t flags, uint64_t *fh);
int fsd_opendir(struct fsd *d, uint64_t node, uint64_t *fh);
int fsd_read(struct fsd *d, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size);
int fsd_write(struct fsd *d, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
	uint32_t size);
int fsd_create(struct fsd *d, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	struct fuse_entry_out *entry, uint64_t *fh);
int fsd_getattr(struct fsd *d, uint64_t node, struct fuse_attr *attr);
int fsd_release(struct fsd *d, uint64_t node, uint64_t fh);
void fsd_forget(struct fsd *d, uint64_t node, uint64_t times);

/* On the host, below DIR */
void fsd_put(struct fsd *d, const char *path, const char *text);
char *fsd_path(struct fsd *d, const char *path); /* static */

#endif
