/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User networking: libslirp plays the rest of the world for the guest and speaks to it through the
 * host's sockets.
 *
 *	send ──► filter ──► slirp_input ──► sockets
 *	                        │
 *	recv ◄── ring ◄── filter ◄── on_packet ◄── slirp_pollfds_poll ◄── sockets
 *
 * libslirp is meant to be asked, before each sleep, what it waits for, and to be told afterwards
 *what has happened. Here that is one turn(): tell what has happened (and that time has passed), ask
 *what is waited for, call the front end. A turn follows each batch of socket events, each timer,
 *and, through an eventfd, each batch of frames from the guest: its answers are in the ring already,
 *but the front end must not be called from inside send.
 *
 * Beyond SLIRP_MANY bytes in the ring, sockets are not read; beyond SLIRP_TOO_MANY, send takes
 * nothing, as each frame may be an acknowledgement that lets libslirp send a window full of data
 * (64 KiB). So nothing is lost for want of room, but what a guest brings about that acknowledges
 * what it has not fetched. Both end when the ring is down to SLIRP_FEW.
 *
 * No checksum is left to the guest, but it is told that it need not look at any: libslirp has
 * just made them, of what the host's sockets had checked.
 *
 * libslirp's notion of the time is that of the last turn. When it waits for nothing, there are no
 * turns, and the clock is set before the next frame goes in: libslirp would take a flow that begins
 * then for one as old as the last turn, and close it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../iov.h"
#include "slirp_private.h"
#include "vm/core/error.h"

/* ---- the ring ---- */

static void sink_put(
	struct net_slirp *s, const uint8_t *head, size_t head_len, const uint8_t *frame, size_t len)
{
	uint8_t *copy = s->loop ? frame_ring_put(&s->ring, frame, len) : NULL;

	if (copy)
		memcpy(copy, head, head_len);
}

static size_t sink_used(struct net_slirp *s)
{
	return s->ring.used;
}

static const struct slirp_sink sink = {.put = sink_put, .used = sink_used};

/* ---- ops ---- */

static struct net_slirp *to_slirp(struct net *net)
{
	return container_of(net, struct net_slirp, net);
}

static void detach(struct net_slirp *s)
{
	if (!s->loop)
		return;
	event_loop_remove(s->loop, &s->sockets);
	event_loop_remove(s->loop, &s->wake);
	clock_disarm_sync(s->clock, &s->tick);
	net_slirp_clear_wake(s);
	frame_ring_clear(&s->ring);
	s->ticking = s->blocked = false;
	s->loop = NULL;
	s->listener = NULL;
}

static int slirp_attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	struct net_slirp *s = to_slirp(net);
	int rc;

	detach(s);
	if (!listener)
		return 0;
	rc = event_loop_add(loop, &s->sockets);
	if (rc < 0)
		return rc;
	rc = event_loop_add(loop, &s->wake);
	if (rc < 0) {
		event_loop_remove(loop, &s->sockets);
		return rc;
	}
	s->loop = loop;
	s->listener = listener;
	s->opaque = opaque;
	s->rx_on = true;
	net_slirp_ask(s);
	return 0;
}

static int slirp_send(
	struct net *net, unsigned int queue, const struct iovec *iov, int num_iov, size_t len)
{
	struct net_slirp *s = to_slirp(net);
	struct iov_cursor cursor = {.iov = iov, .num_iov = num_iov};
	struct net_header header;

	(void)queue;
	if (len < NET_MIN_FRAME || len - NET_HEADER > SLIRP_MAX_FRAME)
		return -EMSGSIZE;
	if (s->ring.used > SLIRP_TOO_MANY) {
		s->blocked = true;
		return -EAGAIN;
	}
	len -= NET_HEADER;
	if (!iov_read(&cursor, &header, NET_HEADER) || !iov_read(&cursor, s->frame, len))
		return -EINVAL;
	if (header.flags & NET_HEADER_NEEDS_CSUM || header.gso_type)
		return -EINVAL;
	if (!net_slirp_input(s, len))
		return -EACCES;
	net_slirp_wake(s);
	return 0;
}

static ssize_t slirp_recv(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov)
{
	struct net_slirp *s = to_slirp(net);
	const uint8_t *frame;
	size_t len;
	bool fits;

	(void)queue;
	frame = frame_ring_peek(&s->ring, &len);
	if (!frame)
		return -EAGAIN;
	fits = iov_put_frame(iov, num_iov, s->vouch, frame, len);
	frame_ring_pop(&s->ring);
	if ((s->paused || s->blocked) && s->ring.used <= SLIRP_FEW)
		net_slirp_wake(s);
	return fits ? (ssize_t)(NET_HEADER + len) : -EMSGSIZE;
}

static void slirp_rx_enable(struct net *net, unsigned int queue, bool on)
{
	struct net_slirp *s = to_slirp(net);
	const bool before = s->rx_on;

	(void)queue;
	s->rx_on = on;
	if (on && !before && s->ring.used)
		net_slirp_wake(s);
}

static int slirp_set_offloads(struct net *net, uint32_t offloads)
{
	if (offloads & ~net->info.recv_offloads)
		return -EINVAL;
	to_slirp(net)->vouch = offloads & NET_CSUM;
	return 0;
}

static int slirp_set_queues(struct net *net, unsigned int pairs)
{
	(void)net;
	return pairs == 1 ? 0 : -EINVAL;
}

static bool slirp_link(struct net *net)
{
	(void)net;
	return true;
}

static void slirp_close(struct net *net)
{
	struct net_slirp *s = to_slirp(net);

	net_slirp_unmake(s);
	frame_ring_fini(&s->ring);
	close(s->wake.fd);
	free(s);
}

static const struct net_ops slirp_ops = {
	.attach = slirp_attach,
	.send = slirp_send,
	.recv = slirp_recv,
	.rx_enable = slirp_rx_enable,
	.set_offloads = slirp_set_offloads,
	.set_queues = slirp_set_queues,
	.link = slirp_link,
	.close = slirp_close,
};

/* ---- construction ---- */

int net_slirp_create(const struct net_slirp_config *config, struct net **ret, struct error *err)
{
	const struct slirp_setup setup = {.config = config, .sink = &sink};
	struct net_slirp *s;
	int rc = net_slirp_check(config, err);

	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set_errno(err, -ENOMEM, "user network");
	rc = slirp_lib_open(&s->lib, err);
	if (rc < 0)
		goto free_s;
	net_slirp_init_turns(s);
	s->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake.fd < 0) {
		rc = error_set_errno(err, -errno, "user network");
		goto free_s;
	}
	rc = net_slirp_make(s, &setup, err);
	if (rc < 0)
		goto close_wake;
	s->sockets.fd = s->poll.epoll_fd;
	s->net.ops = &slirp_ops;
	*ret = &s->net;
	return 0;

close_wake:
	close(s->wake.fd);
free_s:
	free(s);
	return rc;
}
