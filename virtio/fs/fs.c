/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queue 0 has requests that must not wait for others (FORGET); queue 1 has all the rest. There is
 * one of those, as there is one thread.
 *
 *	kick: pop ─► fs_serve, without the lock ─► push, and an interrupt if there is no more
 *
 * A request is done on the queue's thread, in one go, straight between the guest's memory and the
 * host's file system: most of them take the host a few microseconds, less than it would take to
 * hand them to another thread. While one is at it, the device's lock is free, so that registers
 * answer; the chain is in flight then, and a reset waits for it as it does for a disk's.
 *
 * What the client knows of files is forgotten with the next start: nothing is in flight then.
 */
#include "virtio/fs/fs.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/fs/fs.h"
#include "virtio/device.h"
#include "virtio/queue/virtqueue.h"
#include "vm/core/sparse_alloc.h"

enum {
	NUM_QUEUES = 2,
	NUM_REQUEST_QUEUES = NUM_QUEUES - 1,
	CFG_NUM_QUEUES = VIRTIO_FS_TAG_MAX,
	CFG_SIZE = CFG_NUM_QUEUES + 4,
	MAX_IOV = VIRTQ_MAX_SIZE + VIRTQ_SPARE_IOVECS,
	BATCH = 16, /* used buffers that the driver may wait for */
};

struct virtio_fs {
	struct virtio_device *vdev;
	struct fs *fs;
	uint8_t cfg[CFG_SIZE];
	/* Of the request that is being served */
	struct iovec in[MAX_IOV], out[MAX_IOV];
};

static void serve(struct virtio_fs *vfs, unsigned int q, struct virtq_chain *chain)
{
	struct fs_buffers buffers = {.in = vfs->in, .out = vfs->out};
	struct virtq_cursor reader = virtq_reader(chain), writer = virtq_writer(chain);
	size_t written;

	virtq_iov(&reader, UINT64_MAX, vfs->in, MAX_IOV, &buffers.num_in);
	virtq_iov(&writer, UINT64_MAX, vfs->out, MAX_IOV, &buffers.num_out);
	virtio_device_unlock(vfs->vdev);
	written = fs_serve(vfs->fs, &buffers);
	virtio_device_lock(vfs->vdev);
	virtio_device_push(vfs->vdev, q, chain, (uint32_t)written);
}

/* As virtio_device_process, but for the lock, and for a driver that waits for one of many. */
static void kick(void *opaque, unsigned int q)
{
	struct virtio_fs *vfs = opaque;
	struct virtq_chain *chain;
	unsigned int n = 0;
	bool more = true;

	virtio_device_notify_off(vfs->vdev, q);
	while (more && n < VIRTIO_PASS_BUDGET) {
		if (virtio_device_pop(vfs->vdev, q, &chain)) {
			serve(vfs, q, chain);
			if (++n % BATCH == 0)
				virtio_device_flush(vfs->vdev, q);
		} else {
			virtio_device_flush(vfs->vdev, q);
			more = virtio_device_notify_on(vfs->vdev, q);
		}
	}
	virtio_device_flush(vfs->vdev, q);
	if (more)
		virtio_device_kick_again(vfs->vdev, q);
}

static uint64_t features(void *opaque)
{
	(void)opaque;
	return VIRTIO_F_IN_ORDER;
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	const struct virtio_fs *vfs = opaque;

	memcpy(buf, vfs->cfg + off, len);
}

static int start(void *opaque)
{
	struct virtio_fs *vfs = opaque;

	fs_reset(vfs->fs);
	return 0;
}

static void destroy(void *opaque)
{
	struct virtio_fs *vfs = opaque;

	fs_reset(vfs->fs);
	sparse_free(vfs, sizeof(*vfs));
}

static const struct virtio_device_ops ops = {.features = features,
	.cfg_read = cfg_read,
	.start = start,
	.kick = kick,
	.destroy = destroy};

int virtio_fs_create(const struct virtio_fs_config *config, struct virtio_device **ret)
{
	const uint16_t size = config->queue_size ? config->queue_size : VIRTIO_FS_QUEUE_SIZE;
	const uint16_t sizes[NUM_QUEUES] = {size, size};
	const uint32_t num_queues = htole32(NUM_REQUEST_QUEUES);
	const size_t len = strlen(config->tag);
	struct virtio_device_config device = {.name = config->name,
		.id = VIRTIO_ID_FS,
		.ops = &ops,
		.num_queues = NUM_QUEUES,
		.queue_sizes = sizes,
		.cfg_size = CFG_SIZE,
		.mem = config->mem,
		.loop = config->loop,
		.log = config->log};
	struct virtio_fs *vfs;
	int rc;

	if (!len || len > VIRTIO_FS_TAG_MAX)
		return -EINVAL;
	vfs = sparse_alloc(sizeof(*vfs));
	if (!vfs)
		return -ENOMEM;
	vfs->fs = config->fs;
	memcpy(vfs->cfg, config->tag, len);
	memcpy(vfs->cfg + CFG_NUM_QUEUES, &num_queues, sizeof(num_queues));
	device.opaque = vfs;
	rc = virtio_device_create(&device, &vfs->vdev);
	if (rc < 0) {
		sparse_free(vfs, sizeof(*vfs));
		return rc;
	}
	*ret = vfs->vdev; /* NOLINT(clang-analyzer-unix.Malloc): its destroy operation frees vfs */
	return 0;
}
