/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A card that may only do so much, in each direction. A frame that is too much is not taken: the
 * driver's stays in its queue, with notifications off; the network's stays in the back end, which
 * is told to be quiet. All queues of the direction are left alone until the timer, which runs them
 * again. So there is nothing to undo when the device is reset, paused or destroyed.
 *
 * The queues share the limit, so each in its turn is the first one to be served.
 */
#include <errno.h>

#include "net_private.h"

static void run_all(struct virtio_net *vnet, enum virtio_net_direction direction)
{
	struct net_flow *flow = &vnet->flow[direction];
	const unsigned int pairs = vnet->config.max_pairs;

	virtio_device_lock(vnet->vdev);
	flow->held_back = false;
	flow->first_pair = (flow->first_pair + 1) % pairs;
	for (unsigned int i = 0; i < pairs; i++)
		virtio_device_kick_again(vnet->vdev,
			2 * ((flow->first_pair + i) % pairs) + (direction == VIRTIO_NET_TX));
	virtio_device_unlock(vnet->vdev);
}

static void run_rx(void *opaque)
{
	run_all(opaque, VIRTIO_NET_RX);
}

static void run_tx(void *opaque)
{
	run_all(opaque, VIRTIO_NET_TX);
}

int net_limit_init(struct virtio_net *vnet)
{
	static void (*const run[])(void *opaque) = {
		[VIRTIO_NET_RX] = run_rx, [VIRTIO_NET_TX] = run_tx};

	for (unsigned int i = 0; i < VIRTIO_NET_NUM_DIRECTIONS; i++) {
		const struct rate_config *limit = &vnet->config.limit[i];
		struct net_flow *flow = &vnet->flow[i];

		flow->timer = (struct timer){.fn = run[i], .opaque = vnet};
		if (!limit->bytes.size && !limit->ops.size)
			continue;
		if (!vnet->config.clock || vnet->config.vhost || !rate_config_valid(limit))
			return -EINVAL;
		rate_limit_init(&flow->rate, limit, clock_monotonic_ns(vnet->config.clock));
	}
	return 0;
}

void net_limit_fini(struct virtio_net *vnet)
{
	for (unsigned int i = 0; vnet->config.clock && i < VIRTIO_NET_NUM_DIRECTIONS; i++)
		clock_disarm_sync(vnet->config.clock, &vnet->flow[i].timer);
}

bool net_limit_begin(struct virtio_net *vnet, enum virtio_net_direction direction)
{
	struct net_flow *flow = &vnet->flow[direction];

	if (flow->held_back)
		return false;
	if (flow->rate.on)
		flow->now_ns = clock_monotonic_ns(vnet->config.clock);
	return true;
}

bool net_limit_admit(struct virtio_net *vnet, enum virtio_net_direction direction)
{
	struct net_flow *flow = &vnet->flow[direction];
	const uint64_t wait_ns = rate_limit_wait(&flow->rate, flow->now_ns);

	if (!wait_ns)
		return true;
	flow->held_back = true;
	clock_arm(vnet->config.clock, &flow->timer, flow->now_ns + wait_ns);
	return false;
}

int virtio_net_set_limit(struct virtio_net *vnet, enum virtio_net_direction direction,
	const struct rate_config *limit)
{
	const struct clock *clock = vnet->config.clock;
	struct net_flow *flow = &vnet->flow[direction];
	uint64_t now_ns;

	if (vnet->vhost)
		return -EOPNOTSUPP;
	if (!clock || !rate_config_valid(limit))
		return -EINVAL;
	virtio_device_lock(vnet->vdev);
	now_ns = clock_monotonic_ns(clock);
	rate_limit_init(&flow->rate, limit, now_ns);
	if (flow->held_back)
		clock_arm(clock, &flow->timer, now_ns);
	virtio_device_unlock(vnet->vdev);
	return 0;
}
