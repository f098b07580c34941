/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames from the driver to the back end.
 *
 * A frame goes to the host straight from guest memory. Its header does not: the few bytes are
 * copied, as they are judged, and what was judged is what the back end must see. A chain of more
 * pieces than one system call takes is copied too; no driver in its right mind makes one.
 *
 * A driver asks to be told of each frame that is done, to free its memory. But most often an answer
 * comes, and the interrupt for that has it look at both queues. So when little was sent, the
 * interrupt is put off (virtio_device_flush_later): it goes out after NET_TX_SETTLE_NS, or with the
 * next frame, if the driver has not looked by then.
 *
 * When the back end is full, the chain goes back to its queue, and the queue is left alone until
 * writable comes. The driver's notifications are off meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "net_private.h"

static int send_frame(struct virtio_net *vnet, unsigned int pair, const struct virtq_chain *chain)
{
	struct virtq_cursor at = virtq_reader(chain), payload;
	const size_t len = (size_t)chain->readable;
	struct iovec *iov = vnet->iov;
	struct net_header header;
	int n;

	if (len < NET_MIN_FRAME || len > NET_MAX_FRAME)
		return -EINVAL;
	virtq_read(&at, &header, sizeof(header));
	if (!net_header_from_driver(&header, len, vnet->send_offloads))
		return -EINVAL;
	payload = at;
	iov[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	if (virtq_iov(&at, at.left, iov + 1, IOV_MAX - 1, &n) < payload.left) {
		iov[1] = (struct iovec){.iov_base = vnet->bounce, .iov_len = payload.left};
		virtq_read(&payload, vnet->bounce, payload.left);
		n = 1;
	}
	return vnet->net->ops->send(vnet->net, pair, iov, n + 1, len);
}

/* A frame that is refused is done with; its driver has no way to hear of it. False: not now. */
static bool transmit(struct virtio_net *vnet, unsigned int pair, const struct virtq_chain *chain)
{
	struct virtio_net_counts *counts = &vnet->pair[pair].counts[VIRTIO_NET_TX];
	const int rc = send_frame(vnet, pair, chain);

	if (rc >= 0)
		net_count(counts, chain->readable);
	else if (rc != -EAGAIN)
		counter_add(&counts->drops, 1);
	if (rc < 0 && rc != -EAGAIN)
		log_limited(vnet->config.log, &vnet->limit, LOG_DEBUG, "%s: frame not sent: %s",
			vnet->config.name, strerror(-rc));
	return rc != -EAGAIN;
}

static bool handle(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct virtio_net *vnet = opaque;
	const unsigned int pair = q / 2;

	if (chain->writable) {
		net_refuse(vnet, q, chain, "a frame in a writable buffer");
		return false;
	}
	if (vnet->flow[VIRTIO_NET_TX].rate.on && !net_limit_admit(vnet, VIRTIO_NET_TX)) {
		virtio_device_unpop(vnet->vdev, q, chain);
		return false;
	}
	/* 5.1.6.5.5: pairs that are not in use send nothing; nor does a card without its cable. */
	if (pair < vnet->pairs && !vnet->config.down && !transmit(vnet, pair, chain)) {
		vnet->pair[pair].tx_blocked = true;
		virtio_device_unpop(vnet->vdev, q, chain);
		return false;
	}
	net_limit_take(vnet, VIRTIO_NET_TX, MAX(chain->readable, (uint64_t)NET_HEADER));
	vnet->turn -= (uint32_t)MIN(chain->readable, (uint64_t)vnet->turn);
	virtio_device_push(vnet->vdev, q, chain, 0);
	if (!vnet->turn)
		virtio_device_kick_again(vnet->vdev, q);
	return vnet->turn;
}

void net_tx_settle(void *opaque)
{
	struct virtio_net *vnet = opaque;

	virtio_device_lock(vnet->vdev);
	vnet->settling = false;
	for (unsigned int i = 0; i < vnet->config.max_pairs; i++)
		virtio_device_flush(vnet->vdev, 2 * i + 1);
	virtio_device_unlock(vnet->vdev);
}

static void flush(struct virtio_net *vnet, unsigned int q, unsigned int frames)
{
	const struct clock *clock = vnet->config.clock;
	const uint32_t bytes = VIRTIO_NET_TURN_BYTES - vnet->turn;

	if (!clock || frames > NET_TX_FEW || bytes > NET_MAX_FRAME) {
		virtio_device_flush(vnet->vdev, q);
		return;
	}
	if (!virtio_device_flush_later(vnet->vdev, q) || vnet->settling)
		return;
	vnet->settling = true;
	clock_arm(clock, &vnet->settle, clock_monotonic_ns(clock) + NET_TX_SETTLE_NS);
}

void net_tx_kick(struct virtio_net *vnet, unsigned int pair)
{
	const unsigned int q = 2 * pair + 1;

	if (vnet->pair[pair].tx_blocked || !net_limit_begin(vnet, VIRTIO_NET_TX))
		return;
	vnet->turn = VIRTIO_NET_TURN_BYTES;
	flush(vnet, q, virtio_device_drain(vnet->vdev, q, handle));
}
