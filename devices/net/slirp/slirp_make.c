/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking's construction: libslirp and what stands around it, whoever calls it in turn. */
#include <errno.h>
#include <sys/resource.h>

#include "slirp_forward.h"
#include "slirp_private.h"
#include "vm/core/error.h"

enum { MAX_SOCKETS = 2048 };

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
		.disable_dns = config->dns.sa.sa_family || s->filter.dns.read,
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

int net_slirp_check(const struct net_slirp_config *config, struct error *err)
{
	int rc = slirp_lib_check(err);

	if (rc < 0)
		return rc;
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

static void init(struct net_slirp *s, const struct slirp_setup *setup)
{
	const struct net_slirp_config *config = setup->config;

	s->sink = setup->sink;
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
	else if (setup->read_names && !config->dns.sa.sa_family)
		slirp_dns_init_read(
			&s->filter.dns, config->clock, setup->read_names, setup->names_opaque);
	else
		slirp_dns_init(&s->filter.dns, config->clock, &config->dns);
}

/* The port that the one before has got stays the forward's, if nobody else has it by now. */
static int add_forward(
	struct net_slirp *s, const struct slirp_setup *setup, unsigned int i, struct error *err)
{
	struct net_forward forward = setup->config->forwards[i];
	uint16_t port = 0;
	int rc;

	if (setup->again && !forward.host.in.sin_port)
		forward.host.in.sin_port = htons(setup->ports[i]);
	rc = slirp_forward_add(&s->lib, s->slirp, &forward, s->log, &port, err);
	if (rc == 0 && setup->ports && port)
		setup->ports[i] = port;
	if (rc < 0 && setup->again) {
		log_msg(s->log, LOG_WARN, "%s", err->text);
		return 0;
	}
	return rc;
}

int net_slirp_make(struct net_slirp *s, const struct slirp_setup *setup, struct error *err)
{
	int rc = slirp_poll_init(&s->poll);

	if (rc < 0)
		return error_set_errno(err, rc, "user network");
	init(s, setup);
	rc = make_slirp(s, setup->config);
	if (rc < 0) {
		slirp_poll_fini(&s->poll);
		return error_set_errno(err, rc, "user network");
	}
	for (unsigned int i = 0; i < setup->config->num_forwards; i++) {
		rc = add_forward(s, setup, i, err);
		if (rc < 0) {
			net_slirp_unmake(s);
			return rc;
		}
	}
	return 0;
}

void net_slirp_unmake(struct net_slirp *s)
{
	s->lib.cleanup(s->slirp);
	slirp_poll_fini(&s->poll);
}
