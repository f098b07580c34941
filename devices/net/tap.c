/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap: what is written to its descriptor comes out of an interface of the host's, and the other
 * way round, a frame per call. The kernel speaks virtio's header (IFF_VNET_HDR, 12 bytes, little
 * endian), so frames go straight between its buffers and guest memory. Each pair of queues is a
 * descriptor of its own, a source in the loop while it is in use.
 *
 * A queue out of use is detached (TUNSETQUEUE), or the kernel would choose it for frames that
 * nobody fetches. The interface may be deleted at any time: then descriptors report an error for
 * ever, and leave the loop.
 */
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "iov.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

static struct net_tap *to_tap(struct net *net)
{
	return container_of(net, struct net_tap, net);
}

/* ---- the loop ---- */

static void set_events(struct tap_queue *q)
{
	const uint32_t events = (q->rx_on ? EPOLLIN : 0) | (q->blocked ? EPOLLOUT : 0);

	if (q->polled && events != q->source.events)
		event_loop_modify(q->tap->loop, &q->source, events);
}

static void unpoll(struct tap_queue *q)
{
	if (q->polled)
		event_loop_remove(q->tap->loop, &q->source);
	q->polled = false;
}

static int poll_queue(struct tap_queue *q)
{
	int rc;

	q->rx_on = true;
	q->blocked = false;
	q->source.events = EPOLLIN;
	rc = event_loop_add(q->tap->loop, &q->source);
	q->polled = rc == 0;
	return rc;
}

static void lost(struct tap_queue *q)
{
	struct net_tap *tap = q->tap;

	unpoll(q);
	if (atomic_exchange(&tap->gone, true))
		return;
	log_msg(tap->log, LOG_ERROR, "%s is gone; the guest's cable is unplugged", tap->name);
	tap->listener->link_changed(tap->opaque);
}

/* The listener may do anything, detach included. */
static void on_events(void *opaque, uint32_t events)
{
	struct tap_queue *q = opaque;
	struct net_tap *tap = q->tap;

	if (events & (EPOLLERR | EPOLLHUP)) {
		lost(q);
		return;
	}
	if (events & EPOLLOUT && q->blocked) {
		q->blocked = false;
		set_events(q);
		tap->listener->writable(tap->opaque, q->index);
	}
	if (events & EPOLLIN && q->polled && q->rx_on)
		tap->listener->ready(tap->opaque, q->index);
}

/* ---- ops ---- */

static void detach(struct net_tap *tap)
{
	for (unsigned int i = 0; i < tap->num_queues; i++)
		unpoll(&tap->queues[i]);
	tap->loop = NULL;
	tap->listener = NULL;
}

static int tap_attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	struct net_tap *tap = to_tap(net);

	detach(tap);
	if (!listener)
		return 0;
	tap->loop = loop;
	tap->listener = listener;
	tap->opaque = opaque;
	for (unsigned int i = 0; i < tap->active && !atomic_load(&tap->gone); i++) {
		const int rc = poll_queue(&tap->queues[i]);

		if (rc < 0) {
			detach(tap);
			return rc;
		}
	}
	return 0;
}

static int tap_send(
	struct net *net, unsigned int queue, const struct iovec *iov, int num_iov, size_t len)
{
	struct tap_queue *q = &to_tap(net)->queues[queue];

	(void)len;
	if (num_iov > IOV_MAX)
		return -EMSGSIZE;
	if (writev(q->source.fd, iov, num_iov) >= 0)
		return 0;
	if (errno != EAGAIN)
		return -errno;
	q->blocked = true;
	set_events(q);
	return -EAGAIN;
}

/*
 * The kernel cuts a frame that is too long, and does not say so. One byte more than was asked for
 * does, unless no frame can be that long.
 */
static ssize_t read_frame(struct tap_queue *q, const struct iovec *iov, int num_iov, size_t size)
{
	uint8_t spare;
	ssize_t n;

	if (size >= NET_MAX_FRAME && num_iov <= IOV_MAX)
		return readv(q->source.fd, iov, num_iov);
	num_iov = MIN(num_iov, IOV_MAX - 1);
	memcpy(q->iov, iov, (size_t)num_iov * sizeof(*iov));
	q->iov[num_iov] = (struct iovec){.iov_base = &spare, .iov_len = sizeof(spare)};
	n = readv(q->source.fd, q->iov, num_iov + 1);
	if (n > 0 && (size_t)n > iov_size(iov, num_iov, SIZE_MAX)) {
		errno = EMSGSIZE;
		return -1;
	}
	return n;
}

static ssize_t tap_recv(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov)
{
	struct tap_queue *q = &to_tap(net)->queues[queue];
	const size_t size = iov_size(iov, num_iov, NET_MAX_FRAME);
	const struct net_header header = {0};
	struct iov_cursor cursor = {.iov = iov, .num_iov = num_iov};
	ssize_t n;

	/* The kernel leaves num_buffers out. */
	if (size >= NET_HEADER)
		iov_write(&cursor, &header, NET_HEADER);
	n = read_frame(q, iov, num_iov, size);
	if (n < 0 && errno == EINVAL && size < NET_HEADER)
		return -EMSGSIZE;
	return n < 0 ? -errno : n;
}

static void tap_rx_enable(struct net *net, unsigned int queue, bool on)
{
	struct tap_queue *q = &to_tap(net)->queues[queue];

	q->rx_on = on;
	set_events(q);
}

static int tap_offloads(struct net *net, uint32_t offloads)
{
	if (offloads & ~net->info.recv_offloads)
		return -EINVAL;
	return tap_set_offloads(to_tap(net), offloads);
}

static void stop_queue(struct net_tap *tap, unsigned int queue)
{
	unpoll(&tap->queues[queue]);
	tap_attach_queue(tap, queue, false);
}

static int start_queue(struct net_tap *tap, unsigned int queue)
{
	int rc = tap_attach_queue(tap, queue, true);

	if (rc == 0 && tap->loop)
		rc = poll_queue(&tap->queues[queue]);
	if (rc < 0)
		stop_queue(tap, queue);
	return rc;
}

static int tap_set_queues(struct net *net, unsigned int pairs)
{
	struct net_tap *tap = to_tap(net);
	const unsigned int before = tap->active;

	if (!pairs || pairs > tap->num_queues)
		return -EINVAL;
	while (tap->active < pairs) {
		const int rc = start_queue(tap, tap->active);

		if (rc < 0) {
			while (tap->active > before)
				stop_queue(tap, --tap->active);
			return rc;
		}
		tap->active++;
	}
	while (tap->active > pairs)
		stop_queue(tap, --tap->active);
	return 0;
}

static int tap_vhost_fd(struct net *net, unsigned int queue)
{
	return to_tap(net)->queues[queue].source.fd;
}

/* Asks, as the loop hears of it only while it waits for frames: with vhost it does not. */
static bool tap_link(struct net *net)
{
	struct net_tap *tap = to_tap(net);
	struct pollfd look = {.fd = tap->queues[0].source.fd};

	if (poll(&look, 1, 0) > 0 && look.revents & (POLLERR | POLLHUP))
		return false;
	return !atomic_load(&tap->gone);
}

static void tap_close(struct net *net)
{
	struct net_tap *tap = to_tap(net);

	tap_close_queues(tap);
	free(tap);
}

static const struct net_ops tap_ops = {
	.attach = tap_attach,
	.send = tap_send,
	.recv = tap_recv,
	.rx_enable = tap_rx_enable,
	.set_offloads = tap_offloads,
	.set_queues = tap_set_queues,
	.vhost_fd = tap_vhost_fd,
	.link = tap_link,
	.close = tap_close,
};

/* ---- construction ---- */

static struct net_tap *allocate(const struct net_tap_config *config, unsigned int num_queues)
{
	struct net_tap *tap = calloc(1, sizeof(*tap) + num_queues * sizeof(tap->queues[0]));

	if (!tap)
		return NULL;
	tap->net.ops = &tap_ops;
	tap->net.info.max_queues = num_queues;
	tap->sys = config->sys ? config->sys : &tap_sys_host;
	tap->log = config->log;
	tap->active = 1;
	tap->num_queues = num_queues;
	for (unsigned int i = 0; i < num_queues; i++) {
		tap->queues[i].tap = tap;
		tap->queues[i].index = i;
		tap->queues[i].source =
			(struct event_source){.fd = -1, .fn = on_events, .opaque = &tap->queues[i]};
	}
	return tap;
}

int net_tap_create(const struct net_tap_config *config, struct net **ret, struct error *err)
{
	const unsigned int num_queues = config->num_fds ? config->num_fds : config->queues;
	struct net_tap *tap;
	int rc;

	if (!num_queues || num_queues > NET_TAP_MAX_QUEUES)
		return error_set(err, -EINVAL, "tap: %u queues, not 1 to %d", num_queues,
			NET_TAP_MAX_QUEUES);
	tap = allocate(config, num_queues);
	if (!tap)
		return error_set_errno(err, -ENOMEM, "tap");
	rc = tap_open(tap, config, err);
	if (rc < 0) {
		free(tap);
		return rc;
	}
	*ret = &tap->net;
	return 0;
}
