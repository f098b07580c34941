/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_net_socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(bool ok)
{
	if (!ok)
		abort();
}

static struct socket_net *of(struct net *net)
{
	return container_of(net, struct socket_net, net);
}

static struct socket_net *on_loop(struct net *net)
{
	struct socket_net *s = of(net);

	must(pthread_equal(pthread_self(), s->thread));
	return s;
}

static void set_events(struct socket_queue *q)
{
	event_loop_modify(
		q->owner->loop, &q->source, (q->rx_on ? EPOLLIN : 0) | (q->tx_full ? EPOLLOUT : 0));
}

static void on_event(void *opaque, uint32_t events)
{
	struct socket_queue *q = opaque;
	struct socket_net *s = q->owner;
	const unsigned int queue = (unsigned int)(q - s->queues);

	if (q->tx_full && (events & EPOLLOUT)) {
		q->tx_full = false;
		set_events(q);
		s->listener->writable(s->opaque, queue);
	}
	if (q->rx_on && (events & EPOLLIN))
		s->listener->ready(s->opaque, queue);
}

static void on_link(void *opaque, uint32_t events)
{
	struct socket_net *s = opaque;
	uint64_t count;

	(void)events;
	must(read(s->link.fd, &count, sizeof(count)) > 0);
	s->listener->link_changed(s->opaque);
}

static void detach(struct socket_net *s)
{
	event_loop_remove(s->loop, &s->link);
	for (unsigned int i = 0; i < SOCKET_NET_QUEUES; i++)
		event_loop_remove(s->loop, &s->queues[i].source);
}

static int attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	struct socket_net *s = of(net);

	if (!listener) {
		detach(s);
		return 0;
	}
	must(loop == s->loop);
	s->listener = listener;
	s->opaque = opaque;
	must(event_loop_add(loop, &s->link) == 0);
	for (unsigned int i = 0; i < SOCKET_NET_QUEUES; i++)
		must(event_loop_add(loop, &s->queues[i].source) == 0);
	return 0;
}

static int send_frame(
	struct net *net, unsigned int queue, const struct iovec *iov, int num, size_t len)
{
	struct socket_net *s = on_loop(net);
	struct socket_queue *q = &s->queues[queue];
	const struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)num};

	must(queue < s->pairs);
	if (sendmsg(q->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		return 0;
	must(errno == EAGAIN);
	q->tx_full = true;
	set_events(q);
	return -EAGAIN;
}

static ssize_t recv_frame(struct net *net, unsigned int queue, const struct iovec *iov, int num)
{
	struct socket_net *s = on_loop(net);
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)num};
	const ssize_t n = recvmsg(s->queues[queue].source.fd, &msg, MSG_DONTWAIT);

	must(queue < s->pairs);
	if (n < 0)
		return -errno;
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

static void rx_enable(struct net *net, unsigned int queue, bool on)
{
	struct socket_queue *q = &on_loop(net)->queues[queue];

	q->rx_on = on;
	set_events(q);
}

static int set_offloads(struct net *net, uint32_t offloads)
{
	on_loop(net);
	return offloads & ~net->info.recv_offloads ? -EINVAL : 0;
}

static int set_queues(struct net *net, unsigned int pairs)
{
	on_loop(net)->pairs = pairs;
	return 0;
}

static bool get_link(struct net *net)
{
	return atomic_load(&of(net)->link_up);
}

static const struct net_ops ops = {.attach = attach,
	.send = send_frame,
	.recv = recv_frame,
	.rx_enable = rx_enable,
	.set_offloads = set_offloads,
	.set_queues = set_queues,
	.link = get_link};

void socket_net_create(struct socket_net *s)
{
	memset(s, 0, sizeof(*s));
	s->net.ops = &ops;
	s->net.info = (struct net_info){.send_offloads = NET_CSUM,
		.recv_offloads = NET_CSUM,
		.max_queues = SOCKET_NET_QUEUES};
	atomic_store(&s->link_up, true);
	must(event_loop_create(&s->loop) == 0);
	s->link = (struct event_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.events = EPOLLIN,
		.fn = on_link,
		.opaque = s};
	must(s->link.fd >= 0);
	for (unsigned int i = 0; i < SOCKET_NET_QUEUES; i++) {
		struct socket_queue *q = &s->queues[i];
		int fds[2];

		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
		q->owner = s;
		q->peer = fds[1];
		q->rx_on = true;
		q->source = (struct event_source){
			.fd = fds[0], .events = EPOLLIN, .fn = on_event, .opaque = q};
	}
}

static void *run_loop(void *opaque)
{
	struct socket_net *s = opaque;

	event_loop_run(s->loop);
	return NULL;
}

void socket_net_start(struct socket_net *s)
{
	must(pthread_create(&s->thread, NULL, run_loop, s) == 0);
}

void socket_net_toggle_link(struct socket_net *s)
{
	const uint64_t one = 1;

	atomic_store(&s->link_up, !atomic_load(&s->link_up));
	must(write(s->link.fd, &one, sizeof(one)) > 0);
}

void socket_net_stop(struct socket_net *s)
{
	event_loop_stop(s->loop);
	pthread_join(s->thread, NULL);
}

void socket_net_destroy(struct socket_net *s)
{
	for (unsigned int i = 0; i < SOCKET_NET_QUEUES; i++) {
		close(s->queues[i].peer);
		close(s->queues[i].source.fd);
	}
	close(s->link.fd);
	event_loop_destroy(s->loop);
}
