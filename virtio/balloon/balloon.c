/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon as a device: features, configuration space, and which queue is what.
 *
 *	0 inflate	arrays of page numbers			balloon_pages.c
 *	1 deflate	the same the other way			here: there is nothing to do
 *	2 stats		a buffer that is kept			balloon_stats.c
 *	3, 4 reporting	buffers that are free pages		balloon_pages.c
 *
 * Reporting is number 4 (5.5.2). But Linux leaves queues out of its count whose feature was not
 * negotiated; without free page hinting, which is not offered, it takes the number behind the last
 * queue it has, which is 3, or 2 without statistics. So any queue from 2 on that is not the
 * statistics' is for reports.
 *
 * Locking: the device's lock, over everything but what is constant. Between the vCPUs and us it is
 * held for a pass over a queue at most, which balloon_pages.c keeps short.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "balloon_private.h"
#include "vm/core/guest_mem.h"

enum role { INFLATE, DEFLATE, STATS, REPORTING, NONE };

uint32_t balloon_get_cfg(const struct virtio_balloon *b, unsigned int off)
{
	uint32_t value;

	memcpy(&value, b->cfg + off, sizeof(value));
	return le32toh(value);
}

static void set_cfg(struct virtio_balloon *b, unsigned int off, uint32_t value)
{
	value = htole32(value);
	memcpy(b->cfg + off, &value, sizeof(value));
}

bool balloon_negotiated(const struct virtio_balloon *b, uint64_t feature)
{
	return virtio_device_negotiated(b->vdev) & feature;
}

static enum role role_of(const struct virtio_balloon *b, unsigned int q)
{
	if (q == BALLOON_Q_INFLATE)
		return INFLATE;
	if (q == BALLOON_Q_DEFLATE)
		return DEFLATE;
	if (q == BALLOON_Q_STATS && balloon_negotiated(b, VIRTIO_BALLOON_F_STATS_VQ))
		return STATS;
	return balloon_negotiated(b, VIRTIO_BALLOON_F_PAGE_REPORTING) ? REPORTING : NONE;
}

static uint64_t features(void *opaque)
{
	const struct virtio_balloon *b = opaque;
	uint64_t offered = VIRTIO_BALLOON_F_STATS_VQ;

	if (b->config.deflate_on_oom)
		offered |= VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	if (b->config.free_page_reporting)
		offered |= VIRTIO_BALLOON_F_PAGE_REPORTING | VIRTIO_BALLOON_F_PAGE_POISON;
	return offered;
}

/* What a driver wrote goes with it. */
static void forget_driver(struct virtio_balloon *b)
{
	set_cfg(b, BALLOON_CFG_ACTUAL, 0);
	set_cfg(b, BALLOON_CFG_POISON_VAL, 0);
	b->stats.valid = 0;
}

/* The one before may have gone before DRIVER_OK, without a stop. */
static int set_features(void *opaque, uint64_t chosen)
{
	(void)chosen;
	forget_driver(opaque);
	return 0;
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	const struct virtio_balloon *b = opaque;

	memcpy(buf, b->cfg + off, len);
}

/* Once for each target: a guest that goes to and fro is no news. */
static void look_at_target(struct virtio_balloon *b)
{
	const uint32_t pages = balloon_get_cfg(b, BALLOON_CFG_ACTUAL);
	char text[64];

	if (b->told || pages != balloon_get_cfg(b, BALLOON_CFG_NUM_PAGES))
		return;
	b->told = true;
	snprintf(text, sizeof(text), "has its target of %llu MiB",
		(unsigned long long)pages * VIRTIO_BALLOON_PAGE / MiB);
	log_notice(b->config.log, NOTICE_BALLOON, b->config.name, text);
}

/* 5.5.6.6.1: poison_val is fixed from DRIVER_OK on. */
static bool writable(const struct virtio_balloon *b, uint32_t off)
{
	if (off >= BALLOON_CFG_POISON_VAL)
		return balloon_negotiated(b, VIRTIO_BALLOON_F_PAGE_POISON) &&
		       !virtio_device_running(b->vdev);
	return off >= BALLOON_CFG_ACTUAL && off < BALLOON_CFG_ACTUAL + sizeof(uint32_t);
}

static void cfg_write(void *opaque, uint32_t off, const void *buf, uint32_t len)
{
	struct virtio_balloon *b = opaque;

	for (uint32_t i = 0; i < len; i++)
		if (writable(b, off + i))
			b->cfg[off + i] = ((const uint8_t *)buf)[i];
	look_at_target(b);
}

static int start(void *opaque)
{
	balloon_stats_set_timer(opaque);
	return 0;
}

static void queue_stop(void *opaque, unsigned int q)
{
	struct virtio_balloon *b = opaque;

	if (b->held[q].chain)
		virtio_device_release(b->vdev, q, b->held[q].chain);
	b->held[q].chain = NULL;
}

static void stop(void *opaque)
{
	struct virtio_balloon *b = opaque;

	for (unsigned int q = 0; q < BALLOON_QUEUES_REPORTING; q++)
		queue_stop(b, q);
	balloon_stats_set_timer(b);
	forget_driver(b);
}

/* A page that was discarded comes back by itself. */
static bool take_deflated(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_balloon *b = opaque;

	virtio_device_push(b->vdev, q, chain, 0);
	return true;
}

static void kick(void *opaque, unsigned int q)
{
	struct virtio_balloon *b = opaque;

	switch (role_of(b, q)) {
	case INFLATE:
	case REPORTING:
		balloon_pages_kick(b, q);
		break;
	case DEFLATE:
		virtio_device_process(b->vdev, q, take_deflated);
		break;
	case STATS:
		balloon_stats_kick(b);
		break;
	case NONE:
		virtio_device_queue_error(b->vdev, q, "queue %u was not negotiated", q);
		break;
	}
}

static void destroy(void *opaque)
{
	struct virtio_balloon *b = opaque;

	clock_disarm_sync(b->config.clock, &b->timer);
	free(b);
}

static const struct virtio_device_ops ops = {.features = features,
	.set_features = set_features,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.start = start,
	.stop = stop,
	.queue_stop = queue_stop,
	.kick = kick,
	.destroy = destroy};

static int dont_need(void *opaque, void *hva, size_t len)
{
	(void)opaque;
	return madvise(hva, len, MADV_DONTNEED) < 0 ? -errno : 0;
}

static uint64_t ram_size(const struct guest_mem *mem)
{
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += regions[i].size;
	return size;
}

/* Page numbers have 32 bits. */
static bool target_ok(const struct virtio_balloon *b, uint64_t bytes)
{
	return bytes <= b->ram && bytes / VIRTIO_BALLOON_PAGE <= UINT32_MAX;
}

static int create_device(struct virtio_balloon *b)
{
	uint16_t sizes[BALLOON_QUEUES_REPORTING];
	const struct virtio_device_config device = {.name = b->config.name,
		.id = VIRTIO_ID_BALLOON,
		.ops = &ops,
		.opaque = b,
		.num_queues =
			b->config.free_page_reporting ? BALLOON_QUEUES_REPORTING : BALLOON_QUEUES,
		.queue_sizes = sizes,
		.cfg_size = BALLOON_CFG_SIZE,
		.mem = b->config.mem,
		.loop = b->config.loop,
		.log = b->config.log};

	for (unsigned int q = 0; q < BALLOON_QUEUES_REPORTING; q++)
		sizes[q] = VIRTIO_BALLOON_QUEUE_SIZE;
	return virtio_device_create(&device, &b->vdev);
}

int virtio_balloon_create(const struct virtio_balloon_config *config, struct virtio_balloon **ret)
{
	struct virtio_balloon *b;
	int rc = -EINVAL;

	if (!is_power_of_two(config->page_size) || config->page_size < VIRTIO_BALLOON_PAGE)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->config = *config;
	if (!config->discard)
		b->config.discard = dont_need;
	b->ram = ram_size(config->mem);
	balloon_stats_init(b);
	b->told = config->target < VIRTIO_BALLOON_PAGE; /* nothing is in it */
	if (target_ok(b, config->target)) {
		set_cfg(b, BALLOON_CFG_NUM_PAGES, (uint32_t)(config->target / VIRTIO_BALLOON_PAGE));
		rc = create_device(b);
	}
	if (rc < 0) {
		free(b);
		return rc;
	}
	*ret = b;
	return 0;
}

struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon)
{
	return balloon->vdev;
}

int virtio_balloon_set_target(struct virtio_balloon *balloon, uint64_t bytes)
{
	const uint32_t pages = (uint32_t)(bytes / VIRTIO_BALLOON_PAGE);

	if (!target_ok(balloon, bytes))
		return -EINVAL;
	virtio_device_lock(balloon->vdev);
	if (pages != balloon_get_cfg(balloon, BALLOON_CFG_NUM_PAGES)) {
		set_cfg(balloon, BALLOON_CFG_NUM_PAGES, pages);
		balloon->told = false;
		look_at_target(balloon);
		virtio_device_config_changed(balloon->vdev);
	}
	virtio_device_unlock(balloon->vdev);
	return 0;
}

uint64_t virtio_balloon_target(struct virtio_balloon *balloon)
{
	uint64_t bytes;

	virtio_device_lock(balloon->vdev);
	bytes = (uint64_t)balloon_get_cfg(balloon, BALLOON_CFG_NUM_PAGES) * VIRTIO_BALLOON_PAGE;
	virtio_device_unlock(balloon->vdev);
	return bytes;
}

uint64_t virtio_balloon_actual(struct virtio_balloon *balloon)
{
	uint64_t bytes;

	virtio_device_lock(balloon->vdev);
	bytes = (uint64_t)balloon_get_cfg(balloon, BALLOON_CFG_ACTUAL) * VIRTIO_BALLOON_PAGE;
	virtio_device_unlock(balloon->vdev);
	return MIN(bytes, balloon->ram);
}
