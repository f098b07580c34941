/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device's features, its configuration space (virtio 1.2, 5.2.3 to 5.2.5) and its life.
 * What it is there for is in virtio/blk/blk_request.c.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blk_private.h"
#include "vm/core/sparse_alloc.h"

/* The loop stands still for so long, if the old disk hangs. */
#define SWAP_PATIENCE_NS (2 * NSEC_PER_SEC)

/* Offsets of 5.2.4 */
enum {
	CFG_CAPACITY = 0,
	CFG_SEG_MAX = 12,
	CFG_BLK_SIZE = 20,
	CFG_PHYSICAL_BLOCK_EXP = 24,
	CFG_MIN_IO_SIZE = 26,
	CFG_WRITEBACK = 32,
	CFG_NUM_QUEUES = 34,
	CFG_MAX_DISCARD_SECTORS = 36,
	CFG_MAX_DISCARD_SEG = 40,
	CFG_DISCARD_SECTOR_ALIGNMENT = 44,
	CFG_MAX_WRITE_ZEROES_SECTORS = 48,
	CFG_MAX_WRITE_ZEROES_SEG = 52,
	CFG_WRITE_ZEROES_MAY_UNMAP = 56,
};

/* ---- the back end's listener ---- */

static void set_capacity(struct virtio_blk *vblk)
{
	uint64_t capacity;

	vblk->sectors = blk_capacity(vblk->blk) / BLK_SECTOR;
	capacity = htole64(vblk->sectors);
	memcpy(vblk->cfg + CFG_CAPACITY, &capacity, sizeof(capacity));
}

static void resized(void *opaque)
{
	struct virtio_blk *vblk = opaque;

	virtio_device_lock(vblk->vdev);
	set_capacity(vblk);
	virtio_device_config_changed(vblk->vdev);
	virtio_device_unlock(vblk->vdev);
}

static const struct blk_listener listener = {.ready = vblk_ready, .resized = resized};

/* ---- features and configuration ---- */

static uint64_t features(void *opaque)
{
	return ((const struct virtio_blk *)opaque)->features;
}

/* 5.2.6.2, conditions 1 and 2 */
static void choose_write_flags(struct virtio_blk *vblk, uint64_t chosen)
{
	const bool can_flush = (chosen & VBLK_F_FLUSH) && vblk->cfg[CFG_WRITEBACK];

	vblk->write_flags = can_flush ? 0 : BLK_FUA;
}

static int set_features(void *opaque, uint64_t chosen)
{
	struct virtio_blk *vblk = opaque;

	vblk->cfg[CFG_WRITEBACK] = vblk->blk->info.write_cache && (chosen & VBLK_F_FLUSH);
	choose_write_flags(vblk, chosen);
	return 0;
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	struct virtio_blk *vblk = opaque;

	/* After a reset nothing is left of what a driver wrote. */
	if (!virtio_device_negotiated(vblk->vdev))
		vblk->cfg[CFG_WRITEBACK] = vblk->blk->info.write_cache;
	memcpy(buf, vblk->cfg + off, len);
}

static void cfg_write(void *opaque, uint32_t off, const void *buf, uint32_t len)
{
	struct virtio_blk *vblk = opaque;
	const uint64_t chosen = virtio_device_negotiated(vblk->vdev);

	if (off != CFG_WRITEBACK || len != 1 || !(chosen & VBLK_F_CONFIG_WCE))
		return;
	vblk->cfg[CFG_WRITEBACK] = *(const uint8_t *)buf != 0;
	choose_write_flags(vblk, chosen);
}

static void put16(uint8_t *p, uint16_t value)
{
	value = htole16(value);
	memcpy(p, &value, sizeof(value));
}

static void put32(uint8_t *p, uint32_t value)
{
	value = htole32(value);
	memcpy(p, &value, sizeof(value));
}

/* All but the capacity and the cache mode. */
static void fill_cfg(struct virtio_blk *vblk, unsigned int num_queues)
{
	const struct blk_info *info = &vblk->blk->info;
	const uint32_t blocks = info->physical_block / info->logical_block;
	uint8_t *cfg = vblk->cfg;

	put32(cfg + CFG_SEG_MAX, vblk->queue_size - 2u);
	put32(cfg + CFG_BLK_SIZE, info->logical_block);
	cfg[CFG_PHYSICAL_BLOCK_EXP] = (uint8_t)__builtin_ctz(blocks);
	put16(cfg + CFG_MIN_IO_SIZE, (uint16_t)blocks);
	put16(cfg + CFG_NUM_QUEUES, (uint16_t)num_queues);
	if (info->read_only)
		return;
	put32(cfg + CFG_MAX_DISCARD_SECTORS, VIRTIO_BLK_MAX_DISCARD);
	put32(cfg + CFG_MAX_DISCARD_SEG, VIRTIO_BLK_MAX_RANGES);
	put32(cfg + CFG_DISCARD_SECTOR_ALIGNMENT, info->discard_granularity / BLK_SECTOR);
	put32(cfg + CFG_MAX_WRITE_ZEROES_SECTORS, VIRTIO_BLK_MAX_ZEROES);
	put32(cfg + CFG_MAX_WRITE_ZEROES_SEG, VIRTIO_BLK_MAX_RANGES);
	cfg[CFG_WRITE_ZEROES_MAY_UNMAP] = 1;
}

const struct virtio_blk_counts *virtio_blk_counts(const struct virtio_device *vdev, unsigned int q)
{
	const struct virtio_blk *vblk = virtio_device_opaque(vdev);

	return &vblk->counts[q];
}

/* ---- life ---- */

static void destroy(void *opaque)
{
	struct virtio_blk *vblk = opaque;

	vblk_limit_fini(vblk);
	blk_detach(vblk->blk);
	sparse_free(vblk, vblk->allocated);
}

static const struct virtio_device_ops ops = {.features = features,
	.set_features = set_features,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.kick = vblk_kick,
	.destroy = destroy};

static bool config_valid(const struct virtio_blk_config *c, uint16_t queue_size)
{
	return c->num_queues >= 1 && c->num_queues <= VIRTIO_BLK_MAX_QUEUES &&
	       queue_size >= VIRTIO_BLK_MIN_QUEUE_SIZE &&
	       (!c->serial || strlen(c->serial) <= VIRTIO_BLK_SERIAL_BYTES);
}

static struct virtio_blk *allocate(const struct virtio_blk_config *config, uint16_t queue_size)
{
	const size_t requests = (size_t)config->num_queues * queue_size;
	const size_t bytes = sizeof(struct virtio_blk) + requests * sizeof(struct vblk_request);
	struct virtio_blk *vblk = sparse_alloc(bytes);

	if (!vblk)
		return NULL;
	vblk->allocated = bytes;
	vblk->blk = config->blk;
	vblk->loop = config->loop;
	vblk->logical_block = config->blk->info.logical_block;
	vblk->name = config->name;
	vblk->log = config->log;
	vblk->queue_size = queue_size;
	vblk->num_queues = config->num_queues;
	vblk->ticks_scale = config->ticks_scale;
	vblk->features = VBLK_F_SEG_MAX | VBLK_F_BLK_SIZE | VBLK_F_FLUSH | VBLK_F_TOPOLOGY;
	vblk->features |= config->blk->info.read_only
				  ? VBLK_F_RO
				  : VBLK_F_CONFIG_WCE | VBLK_F_DISCARD | VBLK_F_WRITE_ZEROES;
	if (config->num_queues > 1)
		vblk->features |= VBLK_F_MQ;
	if (config->serial)
		memcpy(vblk->serial, config->serial, strlen(config->serial));
	fill_cfg(vblk, config->num_queues);
	return vblk;
}

int virtio_blk_create(const struct virtio_blk_config *config, struct virtio_device **ret)
{
	const uint16_t size = config->queue_size ? config->queue_size : VIRTIO_BLK_QUEUE_SIZE;
	uint16_t sizes[VIRTIO_BLK_MAX_QUEUES];
	struct virtio_device_config device = {.name = config->name,
		.id = VIRTIO_ID_BLOCK,
		.ops = &ops,
		.num_queues = config->num_queues,
		.queue_sizes = sizes,
		.cfg_size = VBLK_CFG_SIZE,
		.mem = config->mem,
		.loop = config->loop,
		.log = config->log};
	struct virtio_device *vdev;
	struct virtio_blk *vblk;
	int rc;

	if (!config_valid(config, size))
		return -EINVAL;
	vblk = allocate(config, size);
	if (!vblk)
		return -ENOMEM;
	rc = vblk_limit_init(vblk, config);
	if (rc < 0) {
		sparse_free(vblk, vblk->allocated);
		return rc;
	}
	for (unsigned int q = 0; q < VIRTIO_BLK_MAX_QUEUES; q++)
		sizes[q] = size;
	device.opaque = vblk;
	rc = virtio_device_create(&device, &vdev);
	if (rc < 0) {
		sparse_free(vblk, vblk->allocated);
		return rc;
	}
	vblk->vdev = vdev;
	rc = blk_attach(config->blk, config->loop, &listener, vblk);
	if (rc < 0) {
		virtio_device_destroy(vdev);
		return rc;
	}
	virtio_device_lock(vdev);
	set_capacity(vblk);
	virtio_device_unlock(vdev);
	*ret = vdev;
	return 0;
}

static void put_in(struct virtio_blk *vblk, struct blk *blk, const char *name)
{
	virtio_device_lock(vblk->vdev);
	vblk->blk = blk;
	vblk->name = name;
	virtio_device_rename(vblk->vdev, name);
	set_capacity(vblk);
	virtio_device_config_changed(vblk->vdev);
	virtio_device_unlock(vblk->vdev);
}

int virtio_blk_swap(struct virtio_device *vdev, struct blk *blk, const char *name)
{
	struct virtio_blk *vblk = virtio_device_opaque(vdev);
	struct blk *old = vblk->blk;
	int rc;

	if (blk->info.read_only != old->info.read_only ||
		blk->info.logical_block > vblk->logical_block)
		return -EINVAL;
	virtio_device_pause(vdev);
	rc = virtio_device_wait_idle(vdev, SWAP_PATIENCE_NS) ? 0 : -ETIMEDOUT;
	if (!rc)
		rc = blk_attach(blk, vblk->loop, &listener, vblk);
	if (!rc) {
		put_in(vblk, blk, name);
		blk_detach(old);
	}
	virtio_device_resume(vdev);
	return rc;
}
