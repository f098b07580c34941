/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device (virtio 1.2, 5.2): one or several queues of requests in front of a back end
 * (devices/block/blk.h).
 *
 * What is promised about data: a write is on stable storage when a FLUSH that the driver sent after
 * the write's completion is completed; or when the write itself is, if the driver did not negotiate
 * FLUSH or has set the cache to write-through (CONFIG_WCE). A cache that becomes write-through
 * covers later writes only (5.2.6.1).
 *
 * The size follows the back end: after blk_refresh has found another one, the driver gets a
 * configuration interrupt. Call blk_refresh without the device's lock.
 */
#ifndef BANTAM_VIRTIO_BLK_BLK_H
#define BANTAM_VIRTIO_BLK_BLK_H

#include "vm/core/base.h"
#include "vm/core/counter.h"
#include "vm/core/rate_limit.h"

struct blk;
struct clock;
struct event_loop;
struct guest_mem;
struct log;
struct virtio_device;

enum {
	VIRTIO_BLK_QUEUE_SIZE = 256,
	VIRTIO_BLK_MIN_QUEUE_SIZE = 4, /* header, one segment, status */
	VIRTIO_BLK_MAX_QUEUES = 8,
	VIRTIO_BLK_SERIAL_BYTES = 20,

	/* Of one DISCARD or WRITE_ZEROES request; bounds how long a reset may have to wait. */
	VIRTIO_BLK_MAX_RANGES = 16,
	VIRTIO_BLK_MAX_DISCARD = 1 << 21, /* sectors of each range: 1 GiB */
	VIRTIO_BLK_MAX_ZEROES = 1 << 17,  /* 64 MiB, which may have to be written */
};

struct virtio_blk_config {
	const char *name; /* see virtio_device_config */
	const struct guest_mem *mem;
	struct event_loop *loop; /* where requests are taken and completed, see there too */
	struct log *log;
	/* Outlives the device, which is its listener meanwhile, and the only one to use it. */
	struct blk *blk;
	const char *serial;	 /* at most VIRTIO_BLK_SERIAL_BYTES; NULL: empty; copied */
	unsigned int num_queues; /* 1..VIRTIO_BLK_MAX_QUEUES */
	uint16_t queue_size;	 /* a power of two; 0: VIRTIO_BLK_QUEUE_SIZE */
	/* For limits: its timers run on loop's thread, if there is one. NULL: there are none. */
	const struct clock *clock;
	struct rate_config limit; /* see virtio_blk_set_limit */
	/* See ticks_scale; outlives the device, may be set until the driver comes. NULL: unknown.
	 */
	const uint64_t *ticks_scale;
};

/*
 * Destroy with virtio_device_destroy, while loop is run by another thread if requests may be in
 * flight. -EINVAL for what is out of range, else as virtio_device_create and blk_attach.
 */
int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **ret);

/* What a queue has done since the device was made. */
enum virtio_blk_kind {
	VIRTIO_BLK_READ,
	VIRTIO_BLK_WRITE,
	VIRTIO_BLK_FLUSH,
	VIRTIO_BLK_DISCARD, /* and WRITE_ZEROES */
	VIRTIO_BLK_NUM_KINDS
};

struct virtio_blk_counts {
	struct counter requests[VIRTIO_BLK_NUM_KINDS]; /* that ended well */
	struct counter bytes_read, bytes_written, errors;
	/* From when it was taken out of the queue to its end, without what a limit held it back. */
	struct latencies latencies[VIRTIO_BLK_NUM_KINDS];
};

/* Any thread; q < num_queues. */
const struct virtio_blk_counts *virtio_blk_counts(const struct virtio_device *vdev, unsigned int q);

/*
 * How much may pass from now on: bytes of data, read and written, and requests. What is too much
 * stays in the queues, so a reset or a pause has nothing to wait for. -EINVAL: no valid
 * configuration, or there is no clock. Any thread that holds no lock of the device.
 */
int virtio_blk_set_limit(struct virtio_device *vdev, const struct rate_config *limit);

/*
 * Puts another back end behind the device, when what was under way at the old one is done: the
 * driver learns of the capacity, and keeps all else that it knows. name is for the log and outlives
 * the device. The old one is detached, and the caller's. -EINVAL: one of them is read-only and the
 * other not, or the new one's sectors are larger than those that the driver knows. -ETIMEDOUT: the
 * old one did not finish within two seconds, and stays. As
 * virtio_device_pause: no lock, and while loop is run by another thread.
 */
int virtio_blk_swap(struct virtio_device *vdev, struct blk *blk, const char *name);

#endif
