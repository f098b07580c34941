/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/core/error.h"
#include "vm/core/log.h"

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
		return "; use a port above 1023 (or see net.ipv4.ip_unprivileged_port_start)";
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
	if (!forward->guest.in.sin_port)
		return error_set(err, -EINVAL, "port forwarding: the guest's ports are 1 to 65535");
	return 0;
}

/* ---- a port of the host's choice ---- */

/*
 * libslirp does not tell which port it has got, but what it waits for. Before it is attached to a
 * loop these are the forwards' sockets alone.
 */
struct descriptors {
	int fd[NET_SLIRP_MAX_FORWARDS];
	unsigned int num;
};

static int on_want(int fd, int events, void *opaque)
{
	struct descriptors *all = opaque;

	(void)events;
	if (all->num < NET_SLIRP_MAX_FORWARDS)
		all->fd[all->num++] = fd;
	return -1;
}

static void list_sockets(const struct slirp_lib *lib, Slirp *slirp, struct descriptors *ret)
{
	uint32_t timeout_ms = UINT32_MAX;

	*ret = (struct descriptors){.num = 0};
	lib->pollfds_fill(slirp, &timeout_ms, on_want, ret);
}

static bool has(const struct descriptors *all, int fd)
{
	for (unsigned int i = 0; i < all->num; i++)
		if (all->fd[i] == fd)
			return true;
	return false;
}

/* The address of the socket that is in now and was not before. */
static bool find_new(
	const struct descriptors *before, const struct descriptors *now, union net_address *ret)
{
	for (unsigned int i = 0; i < now->num; i++) {
		socklen_t len = sizeof(*ret);

		if (!has(before, now->fd[i]))
			return getsockname(now->fd[i], &ret->sa, &len) == 0;
	}
	return false;
}

static int add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward)
{
	const socklen_t len = forward->host.sa.sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
								     : sizeof(struct sockaddr_in);
	const int flags = SLIRP_HOSTFWD_V6ONLY | (forward->udp ? SLIRP_HOSTFWD_UDP : 0);

	return lib->add_hostxfwd(slirp, &forward->host.sa, len, &forward->guest.sa, len, flags) < 0
		       ? -errno
		       : 0;
}

static int add_anywhere(const struct slirp_lib *lib, Slirp *slirp,
	const struct net_forward *forward, struct log *log, uint16_t *port)
{
	struct descriptors before, now;
	union net_address address = {.in6 = {0}};
	char text[TEXT];
	int rc;

	list_sockets(lib, slirp, &before);
	rc = add(lib, slirp, forward);
	if (rc < 0)
		return rc;
	list_sockets(lib, slirp, &now);
	if (!find_new(&before, &now, &address))
		return -ENOTSOCK;
	/* At the same place in both. */
	*port = ntohs(address.in.sin_port);
	log_msg(log, LOG_INFO, "%s port %s is forwarded to the guest's port %u",
		forward->udp ? "UDP" : "TCP", to_text(&address, text),
		ntohs(forward->guest.in.sin_port));
	return 0;
}

int slirp_forward_add(const struct slirp_lib *lib, Slirp *slirp, const struct net_forward *forward,
	struct log *log, uint16_t *port, struct error *err)
{
	char host[TEXT], reason[128];
	int rc = check(forward, err);

	if (rc < 0)
		return rc;
	rc = forward->host.in.sin_port ? add(lib, slirp, forward)
				       : add_anywhere(lib, slirp, forward, log, port);
	if (rc == 0)
		return 0;
	return error_set(err, rc, "cannot forward %s port %s: %s%s", forward->udp ? "UDP" : "TCP",
		to_text(&forward->host, host), strerror_r(-rc, reason, sizeof(reason)), advice(rc));
}
