/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that may only do so much. A request that is too much is put back into its queue, the
 * driver's notifications stay off, and all queues are left alone until the timer: what is held back
 * is in the guest's memory alone, and nothing here has to be undone when the device is reset,
 * paused or destroyed. A timer that comes in vain kicks queues that have nothing.
 *
 * The queues share the limit, so each in its turn is the first one to be served.
 */
#include <errno.h>

#include "blk_private.h"

enum { NOT_DATA = 16 + 1 /* header and status */ };

static void take_up(void *opaque)
{
	struct virtio_blk *vblk = opaque;

	virtio_device_lock(vblk->vdev);
	vblk->held_back = false;
	vblk->first_queue = (vblk->first_queue + 1) % vblk->num_queues;
	for (unsigned int i = 0; i < vblk->num_queues; i++)
		virtio_device_kick_again(vblk->vdev, (vblk->first_queue + i) % vblk->num_queues);
	virtio_device_unlock(vblk->vdev);
}

int vblk_limit_init(struct virtio_blk *vblk, const struct virtio_blk_config *config)
{
	const struct rate_config *limit = &config->limit;

	vblk->clock = config->clock;
	vblk->timer = (struct timer){.fn = take_up, .opaque = vblk};
	if (!limit->bytes.size && !limit->ops.size)
		return 0;
	if (!config->clock || !rate_config_valid(limit))
		return -EINVAL;
	rate_limit_init(&vblk->rate, limit, clock_monotonic_ns(config->clock));
	return 0;
}

void vblk_limit_fini(struct virtio_blk *vblk)
{
	if (vblk->clock)
		clock_disarm_sync(vblk->clock, &vblk->timer);
}

bool vblk_limit_begin(struct virtio_blk *vblk)
{
	if (vblk->held_back)
		return false;
	if (vblk->rate.on)
		vblk->now_ns = clock_monotonic_ns(vblk->clock);
	return true;
}

bool vblk_limit_admit(struct virtio_blk *vblk, unsigned int q, struct virtq_chain *chain)
{
	const uint64_t wait_ns = rate_limit_wait(&vblk->rate, vblk->now_ns);

	if (!wait_ns) {
		rate_limit_take(&vblk->rate, chain->readable + chain->writable - NOT_DATA);
		return true;
	}
	virtio_device_unpop(vblk->vdev, q, chain);
	vblk->held_back = true;
	clock_arm(vblk->clock, &vblk->timer, vblk->now_ns + wait_ns);
	return false;
}

int virtio_blk_set_limit(struct virtio_device *vdev, const struct rate_config *limit)
{
	struct virtio_blk *vblk = virtio_device_opaque(vdev);
	uint64_t now_ns;

	if (!vblk->clock || !rate_config_valid(limit))
		return -EINVAL;
	virtio_device_lock(vdev);
	now_ns = clock_monotonic_ns(vblk->clock);
	rate_limit_init(&vblk->rate, limit, now_ns);
	if (vblk->held_back)
		clock_arm(vblk->clock, &vblk->timer, now_ns);
	virtio_device_unlock(vdev);
	return 0;
}
