/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/blk/blk.h share. */
#ifndef BANTAM_VIRTIO_BLK_BLK_PRIVATE_H
#define BANTAM_VIRTIO_BLK_BLK_PRIVATE_H

#include "devices/block/blk.h"
#include "virtio/blk/blk.h"
#include "virtio/device.h"
#include "vm/core/clock.h"
#include "vm/core/log.h"

/* Features (5.2.3) */
#define VBLK_F_SEG_MAX	    VIRTIO_BIT(2)
#define VBLK_F_RO	    VIRTIO_BIT(5)
#define VBLK_F_BLK_SIZE	    VIRTIO_BIT(6)
#define VBLK_F_FLUSH	    VIRTIO_BIT(9)
#define VBLK_F_TOPOLOGY	    VIRTIO_BIT(10)
#define VBLK_F_CONFIG_WCE   VIRTIO_BIT(11)
#define VBLK_F_MQ	    VIRTIO_BIT(12)
#define VBLK_F_DISCARD	    VIRTIO_BIT(13)
#define VBLK_F_WRITE_ZEROES VIRTIO_BIT(14)

enum { VBLK_CFG_SIZE = 60 };

struct vblk_request {
	struct blk_request req; /* opaque is the device */
	struct virtq_chain *chain;
	unsigned int queue;
	uint8_t *status;
	enum virtio_blk_kind kind;  /* NUM_KINDS: not counted, unless it fails */
	uint64_t since;		    /* ticks */
	struct virtq_cursor ranges; /* DISCARD, WRITE_ZEROES: those not begun */
};

struct virtio_blk {
	/* Constant */
	struct virtio_device *vdev;
	struct event_loop *loop;
	uint32_t logical_block; /* as the driver knows it */
	struct log *log;
	uint64_t features;
	uint16_t queue_size;
	const uint64_t *ticks_scale;
	size_t allocated; /* bytes, of which few are touched by a driver that has little to do */
	unsigned int num_queues;
	const struct clock *clock; /* NULL: no limits */
	uint8_t serial[VIRTIO_BLK_SERIAL_BYTES];

	struct log_limit limit;

	/* Guarded by the device's lock */
	struct blk *blk;
	const char *name;
	uint64_t sectors;
	uint32_t write_flags; /* of writes: BLK_FUA or 0 */
	uint32_t answered;    /* a bit per queue that has something to publish */
	uint8_t cfg[VBLK_CFG_SIZE];
	struct rate_limit rate;
	struct timer timer;	  /* takes up again what it held back */
	bool held_back;		  /* it is armed */
	unsigned int first_queue; /* that is served first then */
	uint64_t now_ns;	  /* of the kick that runs, where there is a limit */
	struct virtio_blk_counts counts[VIRTIO_BLK_MAX_QUEUES];
	struct vblk_request requests[]; /* queue_size for each queue */
};

/* virtio/blk/blk_request.c; ops->kick, and the back end's ready */
void vblk_kick(void *opaque, unsigned int q);
void vblk_ready(void *opaque);

/* virtio/blk/blk_limit.c; the clock as the configuration has it */
int vblk_limit_init(struct virtio_blk *vblk, const struct virtio_blk_config *config);
void vblk_limit_fini(struct virtio_blk *vblk);
/* At the beginning of a kick: whether requests may be looked at. */
bool vblk_limit_begin(struct virtio_blk *vblk);
/* False: the chain has been put back, and its queue will be kicked. Only if rate.on. */
bool vblk_limit_admit(struct virtio_blk *vblk, unsigned int q, struct virtq_chain *chain);

#endif
