/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that the kernel serves (vhost-net): once it is told where a queue is, what wakes it and
 * what it has to signal, frames move between guest memory and the tap without us. The control
 * queue stays here, and so do all decisions.
 *
 *	kick of a queue		start_ring: lent to the kernel, which gets the eventfds
 *	reset of a queue,	net_vhost_stop: the kernel lets go of it, has finished then, and
 *	pair out of use		says how far it has come
 *
 * A queue is lent with its first kick, not when the driver starts: what the driver has agreed on is
 * with the back end by then, and everything is on the loop's thread. So a queue that is reset and
 * enabled again comes back the same way, from its beginning; and so does one of a pair that is out
 * of use for a while, from where it was.
 *
 * The kernel interrupts the driver by the vector's own eventfd. Where there is none (over MMIO, or
 * without MSI-X) it signals one of ours. What it finds wrong with a queue it tells by `error`, and
 * that the tap is gone, too.
 *
 * Locking: the device's lock guards everything. Letting go waits for the kernel's thread, which
 * waits for nobody.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/net/vhost.h"
#include "net_private.h"
#include "vm/core/event_loop.h"

/* Of a pair, as the kernel numbers its queues */
enum { RING_RX, RING_TX, NUM_RINGS };

struct vhost_ring {
	struct virtio_net *vnet;
	unsigned int q;
	bool on;
	struct event_source call; /* instead of a vector's eventfd */
};

struct vhost_pair {
	struct virtio_net *vnet;
	int fd;
	bool owned;
	struct vhost_ring rings[NUM_RINGS];
	struct event_source error;
};

struct net_vhost {
	const struct vhost_sys *sys;
	unsigned int count;
	struct vhost_pair pairs[];
};

#define FEATURES                                                                                   \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MRG_RXBUF)

static struct vhost_ring *ring_of(struct virtio_net *vnet, unsigned int q)
{
	return &vnet->vhost->pairs[q / NUM_RINGS].rings[q % NUM_RINGS];
}

static const struct vhost_pair *pair_of(const struct vhost_ring *ring)
{
	return &ring->vnet->vhost->pairs[ring->q / NUM_RINGS];
}

/* ---- rings ---- */

static int call_fd(const struct vhost_ring *ring, int irq_fd)
{
	return irq_fd >= 0 ? irq_fd : ring->call.fd;
}

static int start_ring(struct vhost_ring *ring)
{
	struct virtio_net *vnet = ring->vnet;
	struct vhost_ring_config config = {
		.index = ring->q % NUM_RINGS,
		.error_fd = pair_of(ring)->error.fd,
		.tap_fd = vnet->net->ops->vhost_fd(vnet->net, ring->q / NUM_RINGS),
	};
	struct virtio_lent lent;
	int rc = virtio_device_lend(vnet->vdev, ring->q, &lent);

	if (rc < 0)
		return rc;
	config.size = lent.size;
	config.desc = lent.desc;
	config.avail = lent.avail;
	config.used = lent.used;
	config.base = lent.position;
	config.kick_fd = lent.kick_fd;
	config.call_fd = call_fd(ring, lent.irq_fd);
	rc = vhost_start_ring(vnet->vhost->sys, pair_of(ring)->fd, &config);
	if (rc < 0) {
		virtio_device_take_back(vnet->vdev, ring->q, lent.position);
		return rc;
	}
	ring->on = true;
	/* The kick that brought us here is the kernel's. */
	virtio_device_kick_again(vnet->vdev, ring->q);
	return 0;
}

void net_vhost_kick(struct virtio_net *vnet, unsigned int q)
{
	struct vhost_ring *ring = ring_of(vnet, q);
	int rc;

	if (ring->on || q / NUM_RINGS >= vnet->pairs)
		return;
	rc = start_ring(ring);
	if (rc < 0)
		virtio_device_needs_reset(
			vnet->vdev, "queue %u: vhost-net refuses: %s", q, strerror(-rc));
}

void net_vhost_stop(struct virtio_net *vnet, unsigned int q)
{
	struct vhost_ring *ring = ring_of(vnet, q);
	uint16_t position = 0;
	int rc;

	if (!ring->on)
		return;
	rc = vhost_stop_ring(vnet->vhost->sys, pair_of(ring)->fd, q % NUM_RINGS, &position);
	ring->on = false;
	virtio_device_take_back(vnet->vdev, q, position);
	if (rc < 0)
		virtio_device_queue_error(vnet->vdev, q,
			"queue %u: vhost-net does not report its progress: %s", q, strerror(-rc));
}

void net_vhost_irq_moved(struct virtio_net *vnet, unsigned int q)
{
	struct vhost_ring *ring = ring_of(vnet, q);

	if (ring->on)
		vhost_set_call(vnet->vhost->sys, pair_of(ring)->fd, q % NUM_RINGS,
			call_fd(ring, virtio_device_irq_fd(vnet->vdev, q)));
}

int net_vhost_agree(struct virtio_net *vnet)
{
	const uint64_t features = virtio_device_negotiated(vnet->vdev) & FEATURES;
	int rc = 0;

	for (unsigned int i = 0; !rc && i < vnet->vhost->count; i++)
		rc = vhost_set_features(vnet->vhost->sys, vnet->vhost->pairs[i].fd, features);
	return rc;
}

/* ---- what the kernel has to say ---- */

static bool take(const struct event_source *source)
{
	uint64_t count;

	return read(source->fd, &count, sizeof(count)) > 0;
}

static void on_call(void *opaque, uint32_t events)
{
	struct vhost_ring *ring = opaque;
	struct virtio_net *vnet = ring->vnet;

	(void)events;
	if (!take(&ring->call))
		return;
	virtio_device_lock(vnet->vdev);
	virtio_device_interrupt(vnet->vdev, ring->q);
	virtio_device_unlock(vnet->vdev);
}

static void on_error(void *opaque, uint32_t events)
{
	struct vhost_pair *pair = opaque;
	struct virtio_net *vnet = pair->vnet;

	(void)events;
	if (!take(&pair->error))
		return;
	virtio_device_lock(vnet->vdev);
	if (!vnet->net->ops->link(vnet->net))
		net_link_changed(vnet);
	else if (virtio_device_running(vnet->vdev))
		virtio_device_needs_reset(vnet->vdev, "vhost-net finds fault with queues %u, %u",
			pair->rings[RING_RX].q, pair->rings[RING_TX].q);
	virtio_device_unlock(vnet->vdev);
}

/* ---- construction ---- */

static int listen_to(struct virtio_net *vnet, struct event_source *source,
	void (*fn)(void *opaque, uint32_t events), void *opaque)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), rc;

	if (fd < 0)
		return -errno;
	*source = (struct event_source){.fd = fd, .events = EPOLLIN, .fn = fn, .opaque = opaque};
	rc = event_loop_add(vnet->config.loop, source);
	if (rc < 0) {
		close(fd);
		source->fd = -1;
	}
	return rc;
}

static void forget(struct virtio_net *vnet, struct event_source *source)
{
	if (source->fd < 0)
		return;
	event_loop_remove(vnet->config.loop, source);
	close(source->fd);
}

static int listen_to_pair(struct vhost_pair *pair)
{
	struct virtio_net *vnet = pair->vnet;
	int rc = listen_to(vnet, &pair->error, on_error, pair);

	for (unsigned int i = 0; !rc && i < NUM_RINGS; i++)
		rc = listen_to(vnet, &pair->rings[i].call, on_call, &pair->rings[i]);
	return rc;
}

static int set_up_pair(struct vhost_pair *pair)
{
	struct virtio_net *vnet = pair->vnet;
	uint64_t features = 0;
	int rc = vhost_own(vnet->vhost->sys, pair->fd, vnet->config.mem, &features);

	if (rc < 0)
		return rc;
	pair->owned = true;
	return FEATURES & ~features ? -ENOTSUP : listen_to_pair(pair);
}

static void init_pair(struct virtio_net *vnet, unsigned int i)
{
	struct vhost_pair *pair = &vnet->vhost->pairs[i];

	pair->vnet = vnet;
	pair->fd = vnet->config.vhost[i];
	pair->error.fd = -1;
	for (unsigned int r = 0; r < NUM_RINGS; r++) {
		pair->rings[r].vnet = vnet;
		pair->rings[r].q = NUM_RINGS * i + r;
		pair->rings[r].call.fd = -1;
	}
}

int net_vhost_create(struct virtio_net *vnet)
{
	const unsigned int count = vnet->config.max_pairs;
	int rc = 0;

	if (!vnet->config.vhost)
		return 0;
	if (!vnet->net->ops->vhost_fd)
		return -EINVAL;
	vnet->vhost = calloc(1, sizeof(*vnet->vhost) + count * sizeof(vnet->vhost->pairs[0]));
	if (!vnet->vhost)
		return -ENOMEM;
	vnet->vhost->sys = vnet->config.vhost_sys ? vnet->config.vhost_sys : &vhost_sys_host;
	while (!rc && vnet->vhost->count < count) {
		init_pair(vnet, vnet->vhost->count);
		rc = set_up_pair(&vnet->vhost->pairs[vnet->vhost->count++]);
	}
	return rc;
}

void net_vhost_destroy(struct virtio_net *vnet)
{
	if (!vnet->vhost)
		return;
	for (unsigned int i = 0; i < vnet->vhost->count; i++) {
		struct vhost_pair *pair = &vnet->vhost->pairs[i];

		if (pair->owned)
			vhost_disown(vnet->vhost->sys, pair->fd);
		forget(vnet, &pair->error);
		for (unsigned int r = 0; r < NUM_RINGS; r++)
			forget(vnet, &pair->rings[r].call);
	}
	free(vnet->vhost);
}
