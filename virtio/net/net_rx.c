/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames from the back end to the driver.
 *
 * How long a frame is, is known when it has been read. So buffers are taken from the queue ahead,
 * enough for the longest frame (one, without MRG_RXBUF), and a frame is read into them where they
 * lie. Those that it filled are used; the others stay here for the next frame, so that each buffer
 * is looked up once, and its iovecs are made once:
 *
 *	chains	[ 0 | 1 | 2 | 3 |   ...   | num_chains )	recv fills 0 and 1: push both,
 *	iov	[ 0 . 1 . 2 | 3 .   ...   | spill ]		then move the rest up
 *
 * When the driver runs short of buffers, or frames have been short for long, the end of a long one
 * lands in the spill. It is copied when there are buffers enough. A frame that does not fit even
 *when the driver has given as much room as it ever did at once is dropped: waiting for more could
 *be for ever.
 *
 * Out of buffers means: the back end is told to be quiet, the driver to notify. With buffers at
 * hand it is the other way round: the driver posts without notifying, and gets one interrupt for
 * all that was there.
 *
 * The guest may change a header while it is judged here, and deceives no one but itself.
 */
#include <endian.h>
#include <string.h>

#include "net_private.h"

static unsigned int queue_of(const struct net_rx *rx)
{
	return 2 * rx->pair;
}

static bool mergeable(const struct net_rx *rx)
{
	return net_negotiated(rx->vnet, VIRTIO_NET_F_MRG_RXBUF);
}

/* ---- buffers ---- */

static unsigned int max_chains(const struct net_rx *rx)
{
	return mergeable(rx) ? NET_RX_AHEAD : 1;
}

/* Drivers cut their buffers out of larger blocks: neighbours make one iovec. */
static int add_iov(struct iovec *iov, int num, const struct iovec *piece)
{
	struct iovec *end = iov + num;

	if (num && (uint8_t *)end[-1].iov_base + end[-1].iov_len == piece->iov_base) {
		end[-1].iov_len += piece->iov_len;
		return num;
	}
	*end = *piece;
	return num + 1;
}

/* A chain of very many pieces gets none: what is meant for it goes through the spill. */
static void map_chains(struct net_rx *rx)
{
	unsigned int i = rx->num_mapped;
	int num = rx->num_iov;

	for (; i < rx->num_chains; i++) {
		const struct virtq_chain *chain = rx->chains[i];
		const struct iovec *piece = chain->iov + chain->num_read;
		const struct iovec *end = piece + chain->num_write;

		if (end - piece > NET_RX_IOVS - num)
			break;
		for (; piece < end; piece++)
			num = add_iov(rx->iov, num, piece);
		rx->mapped += chain->writable;
	}
	rx->num_mapped = i;
	rx->num_iov = num;
}

/* The chains from the first on are no good, or come behind one. */
static void refuse(struct net_rx *rx, unsigned int first)
{
	struct virtio_net *vnet = rx->vnet;

	while (rx->num_chains > first)
		virtio_device_release(vnet->vdev, queue_of(rx), rx->chains[--rx->num_chains]);
	virtio_device_queue_error(
		vnet->vdev, queue_of(rx), "queue %u: no buffer to receive into", queue_of(rx));
}

static void gather(struct net_rx *rx)
{
	const unsigned int max = max_chains(rx);
	unsigned int i = rx->num_chains;

	if (i >= max || rx->room >= NET_MAX_FRAME)
		return;
	rx->num_chains += virtio_device_pop_room(
		rx->vnet->vdev, queue_of(rx), rx->chains + i, max - i, NET_MAX_FRAME - rx->room);
	for (; i < rx->num_chains; i++) {
		const struct virtq_chain *chain = rx->chains[i];

		if (chain->readable || chain->writable < NET_HEADER) {
			refuse(rx, i);
			return;
		}
		rx->room += chain->writable;
	}
	rx->most = MAX(rx->most, rx->room);
	map_chains(rx);
}

/* The first chains are gone, and the bytes of them that were mapped. */
static void move_up(struct net_rx *rx, unsigned int chains, uint64_t bytes)
{
	struct iovec *iov = rx->iov;

	rx->num_chains -= chains;
	memmove(rx->chains, rx->chains + chains, rx->num_chains * sizeof(rx->chains[0]));
	rx->num_mapped -= MIN(chains, rx->num_mapped);
	rx->mapped -= bytes;
	for (; bytes && bytes >= iov->iov_len; iov++)
		bytes -= iov->iov_len;
	if (bytes) {
		iov->iov_base = (uint8_t *)iov->iov_base + bytes;
		iov->iov_len -= bytes;
	}
	rx->num_iov -= (int)(iov - rx->iov);
	memmove(rx->iov, iov, (size_t)rx->num_iov * sizeof(*iov));
}

void net_rx_give_back(struct net_rx *rx)
{
	while (rx->num_chains)
		virtio_device_release(rx->vnet->vdev, queue_of(rx), rx->chains[--rx->num_chains]);
	rx->num_mapped = 0;
	rx->num_iov = 0;
	rx->room = rx->most = rx->mapped = 0;
	rx->expected = NET_MAX_FRAME;
	rx->frame = 0;
}

/* ---- frames ---- */

enum result {
	GO_ON,
	NO_FRAME,  /* ready will come */
	NO_BUFFER, /* a kick will come */
	TOO_MUCH,  /* the timer will come */
};

static enum result need_buffers(const struct net_rx *rx)
{
	return virtio_device_notify_on(rx->vnet->vdev, queue_of(rx)) ? GO_ON : NO_BUFFER;
}

static void drop(struct net_rx *rx)
{
	counter_add(&rx->vnet->pair[rx->pair].counts[VIRTIO_NET_RX].drops, 1);
}

/*
 * The back end is shown as many buffers as frames have needed of late, since the kernel looks at
 * each: the first iovecs, and how many bytes they are. The end of a longer frame spills.
 */
static int offer(const struct net_rx *rx, size_t *room)
{
	int num = 0;

	for (*room = 0; num < rx->num_iov && *room < rx->expected; num++)
		*room += rx->iov[num].iov_len;
	return num;
}

/* Rises at once, and falls slowly: what spills is copied. */
static void expect(struct net_rx *rx, size_t len)
{
	rx->expected = MAX(len, rx->expected - rx->expected / 16);
}

/* Reads a frame, as far as it goes into the buffers. */
static enum result fetch(struct net_rx *rx)
{
	struct net *net = rx->vnet->net;
	struct iovec next;
	size_t room;
	ssize_t n;
	int num;

	if (rx->vnet->flow[VIRTIO_NET_RX].rate.on && !net_limit_admit(rx->vnet, VIRTIO_NET_RX))
		return TOO_MUCH;
	gather(rx);
	if (!rx->num_chains)
		return need_buffers(rx);
	num = offer(rx, &room);
	next = rx->iov[num];
	rx->iov[num] = (struct iovec){
		.iov_base = rx->spill, .iov_len = NET_MAX_FRAME - MIN(room, (size_t)NET_MAX_FRAME)};
	n = net->ops->recv(net, rx->pair, rx->iov, num + (room < NET_MAX_FRAME));
	rx->iov[num] = next;
	if (n < 0)
		return NO_FRAME; /* or none to be had for a reason of the host's: ready tries again
				  */
	if (n >= NET_MIN_FRAME && n <= NET_MAX_FRAME) {
		rx->frame = (size_t)n;
		rx->direct = MIN((size_t)n, room);
		expect(rx, (size_t)n);
		net_limit_take(rx->vnet, VIRTIO_NET_RX, (uint64_t)n);
	} else {
		drop(rx);
	}
	return GO_ON;
}

/* Writes the rest of the frame to where it would have gone. */
static void unspill(const struct net_rx *rx)
{
	const uint8_t *from = rx->spill, *end = rx->spill + (rx->frame - rx->direct);
	uint64_t skip = rx->direct;

	for (unsigned int i = 0; from < end; i++) {
		struct virtq_cursor at = virtq_writer(rx->chains[i]);

		skip -= virtq_skip(&at, skip);
		from += virtq_write(&at, from, (size_t)(end - from));
	}
}

/* False: the driver must not see this frame. */
static bool finish_header(const struct net_rx *rx, unsigned int buffers)
{
	const struct virtio_net *vnet = rx->vnet;
	const uint16_t mtu = net_negotiated(vnet, VIRTIO_NET_F_MTU) ? vnet->config.mtu : 0;
	struct virtq_cursor at = virtq_writer(rx->chains[0]);
	struct virtq_cursor again = at;
	struct net_header header;

	virtq_read(&at, &header, sizeof(header));
	if (!net_header_to_driver(&header, rx->frame, vnet->recv_offloads, mtu))
		return false;
	header.num_buffers = htole16((uint16_t)buffers);
	virtq_write(&again, &header, sizeof(header));
	return true;
}

/* How many buffers the frame needs, and the bytes in them. */
static unsigned int buffers_of(const struct net_rx *rx, uint64_t *bytes)
{
	unsigned int n = 0;

	for (*bytes = 0; *bytes < rx->frame; n++)
		*bytes += rx->chains[n]->writable;
	return n;
}

/* The frame fits. All buffers but the last one are filled (5.1.6.4.1). */
static void push(struct net_rx *rx)
{
	uint64_t bytes;
	const unsigned int buffers = buffers_of(rx, &bytes);

	unspill(rx);
	if (!finish_header(rx, buffers)) {
		drop(rx);
		return;
	}
	net_count(&rx->vnet->pair[rx->pair].counts[VIRTIO_NET_RX], rx->frame);
	virtio_device_push_over(rx->vnet->vdev, queue_of(rx), rx->chains, buffers, rx->frame);
	rx->room -= bytes;
	move_up(rx, buffers, MIN(bytes, rx->mapped));
}

/* NO_BUFFER: it is kept. GO_ON: it was delivered or dropped. */
static enum result deliver(struct net_rx *rx)
{
	while (rx->room < rx->frame) {
		gather(rx);
		if (rx->room >= rx->frame)
			break;
		if (rx->room == rx->most || rx->num_chains == max_chains(rx)) {
			rx->frame = 0;
			drop(rx);
			return GO_ON;
		}
		if (need_buffers(rx) == NO_BUFFER)
			return NO_BUFFER;
	}
	rx->vnet->turn -= (uint32_t)MIN(rx->frame, (size_t)rx->vnet->turn);
	push(rx);
	rx->frame = 0;
	return GO_ON;
}

static enum result step(struct net_rx *rx)
{
	if (!rx->frame) {
		const enum result result = fetch(rx);

		if (!rx->frame)
			return result;
	}
	return deliver(rx);
}

static bool in_use(const struct net_rx *rx)
{
	return rx->pair < rx->vnet->pairs && !rx->vnet->config.down &&
	       virtio_device_queue_usable(rx->vnet->vdev, queue_of(rx));
}

static enum result run(struct net_rx *rx)
{
	struct virtio_net *vnet = rx->vnet;
	enum result result = GO_ON;

	if (!net_limit_begin(vnet, VIRTIO_NET_RX))
		return TOO_MUCH;
	vnet->turn = VIRTIO_NET_TURN_BYTES;
	virtio_device_notify_off(vnet->vdev, queue_of(rx));
	for (unsigned int n = 0; n < VIRTIO_PASS_BUDGET && vnet->turn && result == GO_ON; n++)
		result = step(rx);
	virtio_device_flush(vnet->vdev, queue_of(rx));
	return result;
}

/*
 * What a turn leaves over is no further kick's business: the back end still has it, and says so.
 * A pair that is not in use has no queue either: with few pairs, its number is the control queue's.
 * What the back end was told before is not kept here: it begins anew with a queue that comes back
 * into use, and a copy that is wrong once is a back end that calls for ever.
 */
void net_rx_run(struct net_rx *rx)
{
	const bool on = in_use(rx) && run(rx) < NO_BUFFER && in_use(rx);

	rx->vnet->net->ops->rx_enable(rx->vnet->net, rx->pair, on);
}
