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
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../iov.h"
#include "slirp_forward.h"
#include "slirp_private.h"
#include "vm/core/error.h"

enum {
	MAX_SOCKETS = 2048,
	HEADER_NEEDS_CSUM = 1,
	HEADER_DATA_VALID = 2,
};

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

/* False: the filter is against it. */
static bool input(struct net_slirp *s, size_t len)
{
	uint8_t neighbour[SLIRP_NAT46_NEIGHBOUR];
	const enum slirp_verdict verdict =
		slirp_filter_out(&s->filter, s->frame, &len, s->poll.live >= s->max_sockets);

	if (verdict == SLIRP_DROP)
		return false;
	if (!s->ticking)
		net_slirp_tell_time(s);
	if (verdict == SLIRP_PASS_AS_IP6) {
		slirp_nat46_neighbour(s->frame, neighbour);
		s->lib.input(s->slirp, neighbour, sizeof(neighbour));
	}
	s->lib.input(s->slirp, s->frame, (int)len);
	return true;
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
	if (header.flags & HEADER_NEEDS_CSUM || header.gso_type)
		return -EINVAL;
	if (!input(s, len))
		return -EACCES;
	net_slirp_wake(s);
	return 0;
}

static ssize_t slirp_recv(struct net *net, unsigned int queue, const struct iovec *iov, int num_iov)
{
	struct net_slirp *s = to_slirp(net);
	struct iov_cursor cursor = {.iov = iov, .num_iov = num_iov};
	const struct net_header header = {.flags = s->vouch ? HEADER_DATA_VALID : 0};
	const uint8_t *frame;
	size_t len;
	bool fits;

	(void)queue;
	frame = frame_ring_peek(&s->ring, &len);
	if (!frame)
		return -EAGAIN;
	fits = iov_size(iov, num_iov, NET_HEADER + len) == NET_HEADER + len &&
	       iov_write(&cursor, &header, NET_HEADER) && iov_write(&cursor, frame, len);
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

	s->lib.cleanup(s->slirp);
	slirp_poll_fini(&s->poll);
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

/* The rest of the descriptors is for the rest of the process. */
static unsigned int socket_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > MAX_SOCKETS)
		return MAX_SOCKETS;
	return (unsigned int)limit.rlim_cur / 2;
}

static int make_slirp(struct net_slirp *s, const struct net_slirp_config *config)
{
	const SlirpConfig slirp = {
		.version = 4,
		.restricted = config->restricted,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(SLIRP_NET4),
		.vnetmask.s_addr = htonl(SLIRP_MASK4),
		.vhost.s_addr = htonl(SLIRP_HOST4),
		.vdhcp_start.s_addr = htonl(SLIRP_GUEST4),
		.vnameserver.s_addr = htonl(SLIRP_DNS4),
		.in6_enabled = true,
		.vprefix_addr6.s6_addr = SLIRP_NET6,
		.vprefix_len = SLIRP_PREFIX6,
		.vhost6.s6_addr = SLIRP_HOST6,
		.vnameserver6.s6_addr = SLIRP_DNS6,
		.if_mtu = s->net.info.mtu,
		.if_mru = s->net.info.mtu,
		.disable_host_loopback = !config->host_loopback,
		.disable_dns = config->dns.sa.sa_family,
	};

	s->slirp = s->lib.new(&slirp, &net_slirp_callbacks, s);
	if (!s->slirp)
		return -EINVAL;
	net_slirp_tell_time(s);
	return 0;
}

/* The port is at the same place in both. */
static bool is_server(const union net_address *dns)
{
	const struct in6_addr *in6 = &dns->in6.sin6_addr;

	if (!dns->in.sin_port)
		return false;
	if (dns->sa.sa_family == AF_INET)
		return dns->in.sin_addr.s_addr;
	return dns->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(in6) &&
	       !IN6_IS_ADDR_LINKLOCAL(in6);
}

static int check(const struct net_slirp_config *config, struct error *err)
{
	if (config->mtu && (config->mtu < NET_SLIRP_MIN_MTU || config->mtu > NET_SLIRP_MTU))
		return error_set(err, -EINVAL, "user network: the MTU is %u, not %d to %d",
			config->mtu, NET_SLIRP_MIN_MTU, NET_SLIRP_MTU);
	if (config->num_forwards > NET_SLIRP_MAX_FORWARDS)
		return error_set(err, -EINVAL, "user network: more than %d forwarded ports",
			NET_SLIRP_MAX_FORWARDS);
	if (config->dns.sa.sa_family && !is_server(&config->dns))
		return error_set(err, -EINVAL,
			"user network: the name server must be an address and a port");
	return 0;
}

static struct net_slirp *allocate(const struct net_slirp_config *config)
{
	struct net_slirp *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->net.ops = &slirp_ops;
	s->net.info = (struct net_info){.recv_offloads = NET_CSUM,
		.max_queues = 1,
		.mtu = config->mtu ? config->mtu : NET_SLIRP_MTU};
	s->clock = config->clock;
	s->log = config->log;
	s->max_sockets = socket_limit();
	s->filter.clock = config->clock;
	/* Restricted, the guest has no name server, be it on the host's loopback. */
	if (config->restricted)
		s->filter.dns.given = true;
	else
		slirp_dns_init(&s->filter.dns, config->clock, &config->dns);
	net_slirp_init_turns(s);
	return s;
}

int net_slirp_create(const struct net_slirp_config *config, struct net **ret, struct error *err)
{
	struct net_slirp *s;
	int rc = check(config, err);

	if (rc < 0)
		return rc;
	s = allocate(config);
	if (!s)
		return error_set_errno(err, -ENOMEM, "user network");
	rc = slirp_lib_open(&s->lib, err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	rc = slirp_poll_init(&s->poll);
	if (rc < 0)
		goto free_s;
	s->sockets.fd = s->poll.epoll_fd;
	s->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake.fd < 0) {
		rc = -errno;
		goto fini_poll;
	}
	rc = make_slirp(s, config);
	if (rc < 0)
		goto close_wake;
	for (unsigned int i = 0; i < config->num_forwards; i++) {
		rc = slirp_forward_add(&s->lib, s->slirp, &config->forwards[i], s->log, err);
		if (rc < 0) {
			slirp_close(&s->net);
			return rc;
		}
	}
	*ret = &s->net;
	return 0;

close_wake:
	close(s->wake.fd);
fini_poll:
	slirp_poll_fini(&s->poll);
free_s:
	free(s);
	return error_set_errno(err, rc, "user network");
}
