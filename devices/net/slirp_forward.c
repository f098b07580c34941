/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/core/error.h"

enum { TEXT = INET6_ADDRSTRLEN + sizeof("[]:65535") };

static const char *to_text(const union net_address *address, char text[TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (address->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof(host));
		snprintf(text, TEXT, "[%s]:%u", host, ntohs(address->in6.sin6_port));
	} else {
		inet_ntop(AF_INET, &address->in.sin_addr, host, sizeof(host));
		snprintf(text, TEXT, "%s:%u", host, ntohs(address->in.sin_port));
	}
	return text;
}

static const char *advice(int rc)
{
	switch (rc) {
	case -EADDRINUSE:
		return "; another program has it";
	case -EACCES:
		return "; take a port above 1023 (or see net.ipv4.ip_unprivileged_port_start)";
	case -EADDRNOTAVAIL:
		return "; the host has no such address";
	default:
		return "";
	}
}

/* 0 when they are what libslirp takes. */
static int check(const struct net_forward *forward, struct error *err)
{
	const sa_family_t family = forward->host.sa.sa_family;

	if ((family != AF_INET && family != AF_INET6) || forward->guest.sa.sa_family != family)
		return error_set(err, -EINVAL,
			"port forwarding: host and guest must both have IPv4 or both IPv6 "
			"addresses");
	/* At the same place in both. */
	if (!forward->host.in.sin_port || !forward->guest.in.sin_port)
		return error_set(err, -EINVAL, "port forwarding: ports are 1 to 65535");
	return 0;
}

int slirp_forward_add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward,
	struct error *err)
{
	const socklen_t len = forward->host.sa.sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
								     : sizeof(struct sockaddr_in);
	const int flags = SLIRP_HOSTFWD_V6ONLY | (forward->udp ? SLIRP_HOSTFWD_UDP : 0);
	char host[TEXT], reason[128];
	int rc = check(forward, err);

	if (rc < 0)
		return rc;
	if (lib->add_hostxfwd(slirp, &forward->host.sa, len, &forward->guest.sa, len, flags) == 0)
		return 0;
	rc = -errno;
	return error_set(err, rc, "cannot forward %s port %s: %s%s", forward->udp ? "UDP" : "TCP",
		to_text(&forward->host, host), strerror_r(-rc, reason, sizeof(reason)), advice(rc));
}
