/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who answers the guest's questions for names: one server that was given, or those of the host's
 * /etc/resolv.conf, one at a time. Of these libslirp knows the first IPv4 one and the first IPv6
 * one, each by the address under which the guest knows it; the rest is up to the filter, by whose
 * hands packets go to the server's own address and, if need be, from IPv4 to IPv6.
 *
 * IPv4 servers come before IPv6 ones, otherwise they stay in order. A question that follows an
 * unanswered one goes to the next server, which keeps its place until it is silent in turn. With no
 * server in the file, or no file, it is the host's 127.0.0.1, as for the host's own programs.
 *
 * A process that cannot open files has somebody else read it. libslirp knows no server then, and
 * one at a link-local address, whose scope only libslirp can use, is none.
 *
 * One thread.
 */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_DNS_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_DNS_H

#include <time.h>

#include "devices/net/net.h"

enum { SLIRP_DNS_SERVERS = 4, SLIRP_DNS_PORT = 53 };

struct slirp_dns_server {
	bool v6;
	bool alias; /* libslirp knows it by address, which is one of the guest's network */
	uint16_t port;
	uint8_t address[16]; /* as on the wire; IPv4: the first four */
};

struct slirp_dns {
	const struct clock *clock;
	bool given; /* not from the file */
	/* Who reads the file for us; then libslirp knows none of the servers. NULL: we do. */
	size_t (*read)(void *opaque, char *text, size_t size);
	void *read_opaque;
	struct slirp_dns_server servers[SLIRP_DNS_SERVERS];
	unsigned int num, current;
	bool asking; /* the current one, since asked_ns */
	uint64_t asked_ns;
	uint64_t looked_ns; /* at the file, and what it was then */
	struct timespec changed;
};

/* given NULL or of family 0: the host's. */
void slirp_dns_init(
	struct slirp_dns *dns, const struct clock *clock, const union net_address *given);
/* The host's, as read says; it returns up to size bytes. */
void slirp_dns_init_read(struct slirp_dns *dns, const struct clock *clock,
	size_t (*read)(void *opaque, char *text, size_t size), void *opaque);
/* Takes what a resolv.conf says. */
void slirp_dns_parse(struct slirp_dns *dns, const char *text);

/* Where a question of the guest's is to go; NULL: wherever libslirp sends it. */
const struct slirp_dns_server *slirp_dns_ask(struct slirp_dns *dns, bool v6, bool datagram);
/* The server of that address and port, or NULL. */
const struct slirp_dns_server *slirp_dns_find(
	const struct slirp_dns *dns, bool v6, const uint8_t *address, uint16_t port);
void slirp_dns_answered(struct slirp_dns *dns, const struct slirp_dns_server *server);
/* Nobody is there: the next question goes to another one. */
void slirp_dns_failed(struct slirp_dns *dns, const struct slirp_dns_server *server);

#endif
