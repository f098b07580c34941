/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file system device (virtio 1.2, 5.11): FUSE's requests by virtqueue. It serves a directory of
 * the host (devices/fs/fs.h) on the thread of its loop.
 */
#ifndef BANTAM_VIRTIO_FS_FS_H
#define BANTAM_VIRTIO_FS_FS_H

#include "vm/core/base.h"

struct event_loop;
struct fs;
struct guest_mem;
struct log;
struct virtio_device;

enum {
	VIRTIO_FS_TAG_MAX = 36, /* bytes, with or without a zero behind them */
	VIRTIO_FS_QUEUE_SIZE = 1024,
};

struct virtio_fs_config {
	const char *name; /* for the log; outlives the device */
	const char *tag;  /* 1 to VIRTIO_FS_TAG_MAX bytes */
	const struct guest_mem *mem;
	struct event_loop *loop; /* see virtio_device_config; its thread alone uses fs */
	struct log *log;
	struct fs *fs;	     /* outlives the device, which resets it */
	uint16_t queue_size; /* 0: VIRTIO_FS_QUEUE_SIZE; others are for tests */
};

/* -EINVAL for a tag that is none. Destroy with virtio_device_destroy. */
int virtio_fs_create(const struct virtio_fs_config *config, struct virtio_device **ret);

#endif
