/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind virtio/balloon/balloon.h share. */
#ifndef BANTAM_VIRTIO_BALLOON_BALLOON_PRIVATE_H
#define BANTAM_VIRTIO_BALLOON_BALLOON_PRIVATE_H

#include "virtio/balloon/balloon.h"
#include "virtio/device.h"
#include "vm/core/clock.h"
#include "vm/core/log.h"

enum {
	BALLOON_Q_INFLATE = 0,
	BALLOON_Q_DEFLATE = 1,
	BALLOON_Q_STATS = 2,
	BALLOON_QUEUES = 3,
	BALLOON_QUEUES_REPORTING = 5,

	/* struct virtio_balloon_config (5.5.4) */
	BALLOON_CFG_NUM_PAGES = 0,
	BALLOON_CFG_ACTUAL = 4,
	BALLOON_CFG_POISON_VAL = 12,
	BALLOON_CFG_SIZE = 16,
};

/* A chain that was popped and is not used yet; NULL: there is none. */
struct balloon_held {
	struct virtq_chain *chain;
	struct virtq_cursor cursor; /* what is to be done of it */
};

struct virtio_balloon {
	/* Constant */
	struct virtio_balloon_config config;
	struct virtio_device *vdev;
	uint64_t ram; /* bytes */

	struct timer timer;
	struct log_limit limit;
	/* The device's lock guards what follows. */
	uint8_t cfg[BALLOON_CFG_SIZE];
	struct balloon_held held[BALLOON_QUEUES_REPORTING];
	uint64_t cost; /* of this pass over a queue */
	bool told;     /* that the target was reached */
	struct virtio_balloon_stats stats;
	uint64_t interval_ns; /* between requests for statistics; 0: nobody wants them */
};

uint32_t balloon_get_cfg(const struct virtio_balloon *b, unsigned int off);
bool balloon_negotiated(const struct virtio_balloon *b, uint64_t feature);

/* virtio/balloon/balloon_pages.c */
void balloon_pages_kick(struct virtio_balloon *b, unsigned int q);

/* virtio/balloon/balloon_stats.c */
void balloon_stats_init(struct virtio_balloon *b);
void balloon_stats_kick(struct virtio_balloon *b);
/* After the driver has come or gone, or interval_ns changed. */
void balloon_stats_set_timer(struct virtio_balloon *b);

#endif
