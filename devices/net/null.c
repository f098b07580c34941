/* SPDX-License-Identifier: BSD-2-Clause */
/* A cable that leads nowhere: nothing comes, and what is sent is gone. */
#include <errno.h>
#include <stdlib.h>

#include "devices/net/net.h"
#include "vm/core/error.h"

static int null_attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	(void)net, (void)loop, (void)listener, (void)opaque;
	return 0;
}

static int null_send(
	struct net *net, unsigned int queue, const struct iovec *iov, int num_iov, size_t len)
{
	(void)net, (void)queue, (void)iov, (void)num_iov, (void)len;
	return 0;
}

static ssize_t null_recv(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov)
{
	(void)net, (void)queue, (void)iov, (void)num_iov;
	return -EAGAIN;
}

static void null_rx_enable(struct net *net, unsigned int queue, bool on)
{
	(void)net, (void)queue, (void)on;
}

static int null_set_offloads(struct net *net, uint32_t offloads)
{
	(void)net, (void)offloads;
	return 0;
}

static int null_set_queues(struct net *net, unsigned int pairs)
{
	(void)net, (void)pairs;
	return 0;
}

static bool null_link(struct net *net)
{
	(void)net;
	return false;
}

static void null_close(struct net *net)
{
	free(net);
}

static const struct net_ops null_ops = {
	.attach = null_attach,
	.send = null_send,
	.recv = null_recv,
	.rx_enable = null_rx_enable,
	.set_offloads = null_set_offloads,
	.set_queues = null_set_queues,
	.link = null_link,
	.close = null_close,
};

int net_null_create(unsigned int queues, struct net **ret, struct error *err)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return error_set_errno(err, -ENOMEM, "network");
	net->ops = &null_ops;
	net->info.max_queues = queues;
	*ret = net;
	return 0;
}
