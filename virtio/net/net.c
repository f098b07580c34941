/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network card as a virtio device (virtio 1.2, 5.1): features, configuration space, which queue
 * is what, life. Frames to the back end are in net_tx.c, frames from it in net_rx.c, the control
 * queue in net_ctrl.c, offloads in net_offload.c. Or the kernel serves them: net_vhost.c.
 *
 * Queues come in pairs, receive and transmit; the control queue is behind the last pair, or behind
 * the first one with a driver that does not know of more (5.1.2).
 *
 * Locking: the device's lock guards everything. The back end is called with it held, so its locks
 * stand below, and its callbacks take it. Detaching waits for callbacks and is done without it: in
 * destroy. All of the back end's data path runs on the loop's thread, kicks included, while drivers
 * come and go on vCPUs' threads: start only notes what the new one has chosen, and the back end
 * hears of it before it is asked for anything else. A callback may come with no driver at all; the
 * back end is told to be quiet then.
 */
#include "virtio/net/net.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net_private.h"

/* 5.1.4 */
enum { CFG_MAC = 0, CFG_STATUS = 6, CFG_MAX_PAIRS = 8, CFG_MTU = 10 };
enum { STATUS_LINK_UP = 1, STATUS_ANNOUNCE = 2 };

static uint64_t features(void *opaque)
{
	const struct virtio_net *vnet = opaque;

	return vnet->offered;
}

static int set_features(void *opaque, uint64_t chosen)
{
	(void)opaque;
	return net_features_valid(chosen) ? 0 : -EINVAL;
}

static void cfg_read(void *opaque, uint32_t off, void *buf, uint32_t len)
{
	const struct virtio_net *vnet = opaque;
	const uint16_t rest[] = {htole16((vnet->link_up ? STATUS_LINK_UP : 0) |
					 (vnet->announce ? STATUS_ANNOUNCE : 0)),
		htole16(vnet->config.max_pairs), htole16(vnet->config.mtu)};
	uint8_t cfg[VIRTIO_NET_CFG_SIZE];

	_Static_assert(CFG_STATUS + sizeof(rest) == sizeof(cfg), "as in 5.1.4");
	memcpy(cfg + CFG_MAC, vnet->mac, sizeof(vnet->mac));
	memcpy(cfg + CFG_STATUS, rest, sizeof(rest));
	memcpy(buf, cfg + off, len);
}

/* ---- life of a driver ---- */

static int start(void *opaque)
{
	struct virtio_net *vnet = opaque;
	const uint64_t chosen = virtio_device_negotiated(vnet->vdev);

	vnet->send_offloads = net_send_offloads(chosen);
	vnet->recv_offloads = net_recv_offloads(chosen);
	vnet->pairs = 1;
	vnet->stale = true;
	/* The back end need not remember that it was full; where it still is, it says so again. */
	for (unsigned int i = 0; i < vnet->config.max_pairs; i++)
		vnet->pair[i].tx_blocked = false;
	return 0;
}

static void let_go(struct virtio_net *vnet, unsigned int q)
{
	if (vnet->vhost)
		net_vhost_stop(vnet, q);
	else if (q % 2 == 0)
		net_rx_give_back(&vnet->pair[q / 2].rx);
}

static void stop(void *opaque)
{
	struct virtio_net *vnet = opaque;

	for (unsigned int q = 0; q < 2 * vnet->config.max_pairs; q++)
		let_go(vnet, q);
	memcpy(vnet->mac, vnet->config.mac, sizeof(vnet->mac));
	vnet->announce = false;
}

/* The kernel would go on; a queue of ours sees no buffers. */
static void pause_rings(void *opaque)
{
	struct virtio_net *vnet = opaque;

	for (unsigned int q = 0; vnet->vhost && q < 2 * vnet->config.max_pairs; q++)
		net_vhost_stop(vnet, q);
}

static void queue_stop(void *opaque, unsigned int q)
{
	struct virtio_net *vnet = opaque;

	if (q / 2 < vnet->config.max_pairs)
		let_go(vnet, q);
}

/* On the loop's thread, first of all. */
static void tell_net(struct virtio_net *vnet)
{
	struct net *net = vnet->net;
	int rc;

	if (!vnet->stale || !virtio_device_running(vnet->vdev))
		return;
	vnet->stale = false;
	rc = net->ops->set_offloads(net, vnet->recv_offloads);
	if (rc == 0)
		rc = net->ops->set_queues(net, vnet->pairs);
	if (rc == 0 && vnet->vhost)
		rc = net_vhost_agree(vnet);
	if (rc == 0)
		return;
	vnet->pairs = 0; /* no frame moves */
	virtio_device_needs_reset(vnet->vdev, "the host refuses: %s", strerror(-rc));
}

static void kick(void *opaque, unsigned int q)
{
	struct virtio_net *vnet = opaque;
	const unsigned int pairs =
		net_negotiated(vnet, VIRTIO_NET_F_MQ) ? vnet->config.max_pairs : 1;

	tell_net(vnet);
	if (q < 2 * pairs && vnet->vhost && !vnet->config.down)
		net_vhost_kick(vnet, q);
	else if (q < 2 * pairs && vnet->vhost)
		return; /* the cable is out */
	else if (q < 2 * pairs && q % 2 == 0)
		net_rx_run(&vnet->pair[q / 2].rx);
	else if (q < 2 * pairs)
		net_tx_kick(vnet, q / 2);
	else if (q == 2 * pairs && net_negotiated(vnet, VIRTIO_NET_F_CTRL_VQ))
		net_ctrl_kick(vnet, q);
	else
		virtio_device_queue_error(vnet->vdev, q, "queue %u was not negotiated", q);
}

static void irq_moved(void *opaque, unsigned int q)
{
	net_vhost_irq_moved(opaque, q);
}

static void free_net(struct virtio_net *vnet)
{
	free(vnet->buffers);
	free(vnet);
}

static void destroy(void *opaque)
{
	struct virtio_net *vnet = opaque;

	if (vnet->config.clock)
		clock_disarm_sync(vnet->config.clock, &vnet->settle);
	net_limit_fini(vnet);
	if (vnet->net)
		vnet->net->ops->attach(vnet->net, NULL, NULL, NULL);
	net_vhost_destroy(vnet);
	free_net(vnet);
}

static const struct virtio_device_ops ops = {.features = features,
	.set_features = set_features,
	.cfg_read = cfg_read,
	.start = start,
	.stop = stop,
	.pause = pause_rings,
	.queue_stop = queue_stop,
	.kick = kick,
	.irq_moved = irq_moved,
	.destroy = destroy};

/* ---- called by the back end ---- */

static void on_ready(void *opaque, unsigned int queue)
{
	struct virtio_net *vnet = opaque;

	virtio_device_lock(vnet->vdev);
	tell_net(vnet);
	if (queue < vnet->config.max_pairs && !vnet->vhost)
		net_rx_run(&vnet->pair[queue].rx);
	else
		vnet->net->ops->rx_enable(vnet->net, queue, false);
	virtio_device_unlock(vnet->vdev);
}

static void on_writable(void *opaque, unsigned int queue)
{
	struct virtio_net *vnet = opaque;

	virtio_device_lock(vnet->vdev);
	if (queue < vnet->config.max_pairs) {
		vnet->pair[queue].tx_blocked = false;
		if (virtio_device_running(vnet->vdev))
			virtio_device_kick_again(vnet->vdev, 2 * queue + 1);
	}
	virtio_device_unlock(vnet->vdev);
}

void net_link_changed(struct virtio_net *vnet)
{
	const bool up = !vnet->config.down && vnet->net->ops->link(vnet->net);

	if (up == vnet->link_up)
		return;
	vnet->link_up = up;
	log_msg(vnet->config.log, LOG_DEBUG, "%s: the cable is %s", vnet->config.name,
		up ? "plugged in" : "unplugged");
	virtio_device_config_changed(vnet->vdev);
}

void virtio_net_set_link(struct virtio_net *vnet, bool up)
{
	virtio_device_lock(vnet->vdev);
	vnet->config.down = !up;
	for (unsigned int q = 0; !up && vnet->vhost && q < 2 * vnet->config.max_pairs; q++)
		net_vhost_stop(vnet, q);
	net_link_changed(vnet);
	for (unsigned int q = 0; q < 2 * vnet->config.max_pairs; q++)
		if (virtio_device_running(vnet->vdev) && virtio_device_queue_usable(vnet->vdev, q))
			virtio_device_kick_again(vnet->vdev, q);
	virtio_device_unlock(vnet->vdev);
}

static void on_link_changed(void *opaque)
{
	struct virtio_net *vnet = opaque;

	virtio_device_lock(vnet->vdev);
	net_link_changed(vnet);
	virtio_device_unlock(vnet->vdev);
}

static const struct net_listener listener = {
	.ready = on_ready, .writable = on_writable, .link_changed = on_link_changed};

struct virtio_device *virtio_net_device(struct virtio_net *vnet)
{
	return vnet->vdev;
}

unsigned int virtio_net_pairs(const struct virtio_net *vnet)
{
	return vnet->config.max_pairs;
}

const struct virtio_net_counts *virtio_net_counts(
	const struct virtio_net *vnet, unsigned int pair, enum virtio_net_direction direction)
{
	return &vnet->pair[pair].counts[direction];
}

int virtio_net_announce(struct virtio_net *vnet)
{
	int rc = -EAGAIN;

	virtio_device_lock(vnet->vdev);
	if (virtio_device_running(vnet->vdev) &&
		net_negotiated(vnet, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
		net_negotiated(vnet, VIRTIO_NET_F_STATUS)) {
		vnet->announce = true;
		virtio_device_config_changed(vnet->vdev);
		rc = 0;
	}
	virtio_device_unlock(vnet->vdev);
	return rc;
}

/* ---- construction ---- */

static uint64_t offered(const struct virtio_net *vnet)
{
	uint64_t f = VIRTIO_F_IN_ORDER | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS |
		     VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX |
		     VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_GUEST_ANNOUNCE;
	const uint64_t offloads = net_offload_features(&vnet->net->info);

	if (offloads & net_guest_offload_features())
		f |= VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
	if (vnet->config.mtu)
		f |= VIRTIO_NET_F_MTU;
	if (vnet->config.max_pairs > 1)
		f |= VIRTIO_NET_F_MQ;
	/* The kernel promises no order. */
	if (vnet->config.vhost)
		f &= ~VIRTIO_F_IN_ORDER;
	return f | offloads;
}

/* Fills in what was left to the back end. */
static bool complete(struct virtio_net_config *config)
{
	static const uint8_t none[6];
	const struct net_info *info = &config->net->info;

	if (!memcmp(config->mac, none, sizeof(none)) && info->has_mac)
		memcpy(config->mac, info->mac, sizeof(config->mac));
	if (!memcmp(config->mac, none, sizeof(none)) || (config->mac[0] & 1))
		return false;
	if (!config->mtu)
		config->mtu = info->mtu;
	if (config->mtu && config->mtu < VIRTIO_NET_MIN_MTU)
		return false;
	if (config->max_pairs > VIRTIO_NET_MAX_PAIRS)
		return false;
	config->max_pairs = MAX(1, MIN(config->max_pairs, info->max_queues));
	if (!config->queue_size)
		config->queue_size = VIRTIO_NET_QUEUE_SIZE;
	return true;
}

static int create_device(struct virtio_net *vnet)
{
	uint16_t sizes[2 * VIRTIO_NET_MAX_PAIRS + 1];
	const struct virtio_device_config device = {.name = vnet->config.name,
		.id = VIRTIO_ID_NET,
		.ops = &ops,
		.opaque = vnet,
		.num_queues = 2 * vnet->config.max_pairs + 1,
		.queue_sizes = sizes,
		.cfg_size = VIRTIO_NET_CFG_SIZE,
		.mem = vnet->config.mem,
		.loop = vnet->config.loop,
		.log = vnet->config.log};

	for (unsigned int q = 0; q < ARRAY_SIZE(sizes); q++)
		sizes[q] = vnet->config.queue_size;
	return virtio_device_create(&device, &vnet->vdev);
}

/* Buffers that nobody needs cost no memory. */
static bool init(struct virtio_net *vnet, const struct virtio_net_config *config)
{
	vnet->config = *config;
	vnet->net = config->net;
	vnet->offered = offered(vnet);
	memcpy(vnet->mac, config->mac, sizeof(vnet->mac));
	vnet->link_up = !config->down && vnet->net->ops->link(vnet->net);
	vnet->settle = (struct timer){.fn = net_tx_settle, .opaque = vnet};
	vnet->buffers = malloc((config->max_pairs + 1) * (size_t)NET_MAX_FRAME);
	if (!vnet->buffers)
		return false;
	for (unsigned int i = 0; i < config->max_pairs; i++) {
		struct net_rx *rx = &vnet->pair[i].rx;

		rx->vnet = vnet;
		rx->pair = i;
		rx->spill = vnet->buffers + i * (size_t)NET_MAX_FRAME;
		rx->expected = NET_MAX_FRAME;
	}
	vnet->bounce = vnet->buffers + config->max_pairs * (size_t)NET_MAX_FRAME;
	return true;
}

int virtio_net_create(const struct virtio_net_config *config, struct virtio_net **ret)
{
	struct virtio_net_config full = *config;
	struct virtio_net *vnet;
	int rc = -ENOMEM;

	if (!complete(&full))
		return -EINVAL;
	vnet = calloc(1, sizeof(*vnet) + full.max_pairs * sizeof(vnet->pair[0]));
	if (!vnet)
		return -ENOMEM;
	if (!init(vnet, &full))
		goto free_vnet;
	rc = net_limit_init(vnet);
	if (rc < 0)
		goto free_vnet;
	rc = create_device(vnet);
	if (rc < 0)
		goto free_vnet;
	rc = net_vhost_create(vnet);
	if (!rc)
		rc = vnet->net->ops->attach(vnet->net, vnet->config.loop, &listener, vnet);
	if (rc < 0)
		goto destroy_device;
	*ret = vnet;
	return 0;

destroy_device:
	vnet->net = NULL;
	virtio_device_destroy(vnet->vdev);
	return rc;
free_vnet:
	free_net(vnet);
	return rc;
}
