/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All fragments of a datagram carry its destination, so what is refused by address is refused in
 * pieces, too. Ports are in the first one only: no fragments go where ports matter.
 */
#include "slirp_filter.h"

#include <string.h>

#include "../packet.h"
#include "slirp_nat46.h"
#include "vm/core/clock.h"

#define FRAGMENTS_FOR_NS (30 * NSEC_PER_SEC) /* as long as libslirp waits for the rest */

enum {
	PORT_DHCP = 67,
	PORT_TFTP = 69,
	PORT_DHCP6 = 547,
	TCP_SYN = 0x02,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	ICMP_ECHO = 8,
	ICMP6_ECHO = 128,
	MORE_FRAGMENTS = 0x2000,
	PAYLOAD_MAX = 65535 - 20,
	/* Each costs libslirp as much memory as the longest frame. */
	FRAGMENTS_MAX = 1000,
	DHCP_UNANSWERED_MAX = 1000,
};

#define LOOPBACK4      UINT32_C(0x7f000001)
#define LOOPBACK6_PEER 1

static const uint8_t host6[16] = SLIRP_HOST6;
static const uint8_t dns6[16] = SLIRP_DNS6;
static const uint8_t loopback6[16] = {[15] = 1};

/* ---- state ---- */

static struct slirp_peer *peer_slot(struct slirp_filter *filter, uint16_t port, uint16_t guest_port)
{
	return &filter->peers[(port * 31u + guest_port) % SLIRP_FILTER_PEERS];
}

static void note_peer(struct slirp_filter *filter, const struct packet *p, uint32_t address)
{
	*peer_slot(filter, p->sport, p->dport) =
		(struct slirp_peer){.address = address, .port = p->sport, .guest_port = p->dport};
}

/* The address of who is to get this datagram, or 0. */
static uint32_t find_peer(struct slirp_filter *filter, const struct packet *p)
{
	const struct slirp_peer *peer = peer_slot(filter, p->dport, p->sport);

	return peer->port == p->dport && peer->guest_port == p->sport ? peer->address : 0;
}

/* v6: how the guest has asked. */
static uint8_t *dns_ports(
	struct slirp_filter *filter, const struct packet *p, bool v6, uint16_t guest_port)
{
	return &filter->dns_ports[v6][p->proto == PACKET_TCP][guest_port / 8];
}

static bool has_asked(struct slirp_filter *filter, const struct packet *p, bool v6)
{
	return *dns_ports(filter, p, v6, p->dport) >> p->dport % 8 & 1;
}

static const uint8_t *source(const struct packet *p)
{
	return p->ip + (p->v6 ? 8 : 12);
}

static uint8_t *destination(const struct packet *p)
{
	return p->ip + (p->v6 ? 24 : 16);
}

/* Counts what an incomplete datagram leaves with libslirp. */
static bool abandon(struct slirp_filter *filter)
{
	struct slirp_fragments *f = &filter->fragments;
	const uint64_t now = clock_monotonic_ns(filter->clock);

	if (now - f->since_ns >= FRAGMENTS_FOR_NS) {
		f->since_ns = now;
		f->abandoned = 0;
	}
	if (f->abandoned + f->held > FRAGMENTS_MAX)
		return false;
	f->abandoned += f->held;
	f->next = f->held = 0;
	return true;
}

static bool is_next(const struct slirp_fragments *f, const struct packet *p, size_t offset)
{
	return f->next && f->next == offset && f->src == packet_get32(p->ip + 12) &&
	       f->dst == packet_get32(p->ip + 16) && f->id == packet_get16(p->ip + 4) &&
	       f->proto == p->proto;
}

/*
 * libslirp's reassembly does not live up to all that may come (the one in Debian 12 crashes when
 * the last piece is the first). What a network stack sends is in order, and nothing here disorders
 * it.
 */
static bool fragment_passes(struct slirp_filter *filter, const struct packet *p)
{
	struct slirp_fragments *f = &filter->fragments;
	const uint16_t field = packet_get16(p->ip + 6);
	const size_t offset = (field & 0x1fffu) * 8, end = offset + p->l4_len;
	const bool more = field & MORE_FRAGMENTS;

	if (!p->l4_len || (more && p->l4_len % 8) || end > PAYLOAD_MAX || p->ip[0] != 0x45)
		return false;
	if (!offset) {
		if (f->next && !abandon(filter))
			return false;
		f->src = packet_get32(p->ip + 12);
		f->dst = packet_get32(p->ip + 16);
		f->id = packet_get16(p->ip + 4);
		f->proto = p->proto;
		f->held = 0;
	} else if (!is_next(f, p, offset)) {
		return false;
	}
	f->next = more ? (uint32_t)end : 0;
	f->held++;
	return true;
}

/* libslirp loses the memory of a reply for which it has no address left. */
static bool dhcp_passes(struct slirp_filter *filter)
{
	if (filter->dhcp_unanswered >= DHCP_UNANSWERED_MAX)
		return false;
	filter->dhcp_unanswered++;
	return true;
}

/* ---- from the guest ---- */

/* What it opens sockets for, when they are not what it has opened already. */
static bool opens_socket(const struct packet *p)
{
	return p->proto == PACKET_UDP || (p->l4[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * libslirp sends as many urgent bytes as the pointer says, whether it has them or not. Without the
 * flag they are bytes like others.
 */
static void clear_urgent(const struct packet *p)
{
	uint8_t new[2] = {p->l4[12], (uint8_t)(p->l4[13] & ~TCP_URG)};

	if (p->l4[13] & TCP_URG)
		packet_set(p, p->l4 + 12, new, sizeof(new));
}

/* Where the packet is to go as IPv6; NULL: it has been rewritten as what it is, or is right. */
static const struct slirp_dns_server *lead(
	const struct packet *p, const struct slirp_dns_server *server)
{
	if (server->alias && server->v6 == p->v6)
		return NULL;
	if (server->port != p->dport)
		packet_set16(p, p->l4 + 2, server->port);
	if (server->v6 != p->v6)
		return server;
	packet_set(p, destination(p), server->address, p->v6 ? 16 : 4);
	return NULL;
}

/* What is no question gets no answer, where libslirp does not see to that. */
static bool to_dns(
	struct slirp_filter *filter, const struct packet *p, const struct slirp_dns_server **as_ip6)
{
	const struct slirp_dns_server *server;

	if (p->dport != SLIRP_DNS_PORT)
		return !filter->dns.given && !filter->dns.read;
	server = slirp_dns_ask(&filter->dns, p->v6, p->proto == PACKET_UDP);
	*dns_ports(filter, p, p->v6, p->sport) |= (uint8_t)(1 << p->sport % 8);
	if (server)
		*as_ip6 = lead(p, server);
	return true;
}

/* Who asks a server under its own name gets the answer from that. */
static void asked_directly(struct slirp_filter *filter, const struct packet *p)
{
	if (slirp_dns_find(&filter->dns, p->v6, destination(p), p->dport))
		*dns_ports(filter, p, p->v6, p->sport) &= (uint8_t) ~(1 << p->sport % 8);
}

static bool ports_out4(struct slirp_filter *filter, const struct packet *p, uint32_t dst, bool full,
	const struct slirp_dns_server **as_ip6)
{
	if (p->proto == PACKET_UDP && (dst == SLIRP_HOST4 || dst == UINT32_MAX)) {
		const uint32_t peer = find_peer(filter, p);

		if (p->dport == PORT_DHCP)
			return dhcp_passes(filter);
		if (dst == SLIRP_HOST4 && peer >> 24 == 127) {
			packet_set32(p, p->ip + 16, peer);
			return true;
		}
		if (p->dport == PORT_TFTP)
			return false;
	}
	if (full && opens_socket(p))
		return false;
	if (dst == SLIRP_DNS4)
		return to_dns(filter, p, as_ip6);
	asked_directly(filter, p);
	return true;
}

static bool out4(struct slirp_filter *filter, const struct packet *p, bool full,
	const struct slirp_dns_server **as_ip6)
{
	const uint32_t dst = packet_get32(p->ip + 16);

	if (dst >> 24 == 127 || dst >> 24 == 0)
		return false;
	if (p->fragment)
		return !full && (dst & SLIRP_MASK4) != SLIRP_NET4 && fragment_passes(filter, p);
	if (p->proto == PACKET_ICMP)
		return !full || !p->l4_len || p->l4[0] != ICMP_ECHO;
	return ports_out4(filter, p, dst, full, as_ip6);
}

/* libslirp answers for the host and the name server; of others it complains on stderr. */
static bool icmp_out6(const struct packet *p)
{
	static const uint8_t net[8] = SLIRP_NET6, local[8] = {0xfe, 0x80};
	const uint8_t *dst = p->ip + 24;
	static const uint8_t zero[7];

	if (!p->l4_len || p->l4[0] != ICMP6_ECHO)
		return true;
	return (!memcmp(dst, net, sizeof(net)) || !memcmp(dst, local, sizeof(local))) &&
	       !memcmp(dst + 8, zero, sizeof(zero)) && (dst[15] == 2 || dst[15] == 3);
}

static bool out6(struct slirp_filter *filter, const struct packet *p, bool full,
	const struct slirp_dns_server **as_ip6)
{
	static const uint8_t zero[10], dhcp_servers[16] = {0xff, 0x02, [13] = 1, [15] = 2};
	uint8_t *dst = p->ip + 24;

	if (!memcmp(dst, zero, sizeof(zero)))
		return false;
	if (p->proto == PACKET_ICMP6)
		return icmp_out6(p);
	if (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80)
		return false;
	if (p->proto == PACKET_UDP && p->dport == PORT_DHCP6 &&
		(!memcmp(dst, host6, sizeof(host6)) || !memcmp(dst, dhcp_servers, sizeof(host6))))
		return true;
	if (p->proto == PACKET_UDP && !memcmp(dst, host6, sizeof(host6))) {
		if (find_peer(filter, p) == LOOPBACK6_PEER) {
			packet_set(p, dst, loopback6, sizeof(loopback6));
			return true;
		}
		if (p->dport == PORT_TFTP)
			return false;
	}
	if (full && opens_socket(p))
		return false;
	if (!memcmp(dst, dns6, sizeof(dns6)))
		return to_dns(filter, p, as_ip6);
	asked_directly(filter, p);
	return true;
}

enum slirp_verdict slirp_filter_out(
	struct slirp_filter *filter, uint8_t *frame, size_t *len, bool full)
{
	const struct slirp_dns_server *as_ip6 = NULL;
	struct packet p;

	if (packet_get16(frame + 12) == PACKET_ARP)
		return SLIRP_PASS;
	if (!packet_parse(&p, frame, *len))
		return SLIRP_DROP;
	if (p.proto == PACKET_TCP && !p.fragment)
		clear_urgent(&p);
	if (!(p.v6 ? out6(filter, &p, full, &as_ip6) : out4(filter, &p, full, &as_ip6)))
		return SLIRP_DROP;
	if (!as_ip6)
		return SLIRP_PASS;
	slirp_nat46_out(&p, frame, len, as_ip6->address);
	return SLIRP_PASS_AS_IP6;
}

/* ---- to the guest ---- */

/* The server that this comes from, if the guest has asked it as 10.0.2.3 or, v6, as fec0::3. */
static const struct slirp_dns_server *answering(
	struct slirp_filter *filter, const struct packet *p, bool v6)
{
	const struct slirp_dns_server *server =
		slirp_dns_find(&filter->dns, p->v6, source(p), p->sport);

	if (!server || !has_asked(filter, p, v6))
		return NULL;
	if (p->proto == PACKET_UDP)
		slirp_dns_answered(&filter->dns, server);
	return server;
}

/* libslirp's word that nobody is there, about a packet to a name server. */
static void see_error(struct slirp_filter *filter, const struct packet *p)
{
	enum { UNREACHABLE4 = 3, UNREACHABLE6 = 1, HEADER = 8 };
	const uint8_t *ip = p->l4 + HEADER, *ports = ip + (p->v6 ? 40 : 20);
	const struct slirp_dns_server *server;

	if (p->l4_len < HEADER + (p->v6 ? 40u : 20u) + 4 ||
		p->l4[0] != (p->v6 ? UNREACHABLE6 : UNREACHABLE4))
		return;
	server = slirp_dns_find(
		&filter->dns, p->v6, ip + (p->v6 ? 24 : 16), packet_get16(ports + 2));
	if (server)
		slirp_dns_failed(&filter->dns, server);
}

static void in4(struct slirp_filter *filter, const struct packet *p)
{
	const uint32_t src = packet_get32(p->ip + 12);

	if (p->proto == PACKET_UDP && src == SLIRP_HOST4 && p->sport == PORT_DHCP) {
		filter->dhcp_unanswered -= filter->dhcp_unanswered ? 1 : 0;
	} else if (answering(filter, p, false)) {
		packet_set32(p, p->ip + 12, SLIRP_DNS4);
		packet_set16(p, p->l4, SLIRP_DNS_PORT);
	} else if (p->proto == PACKET_UDP && src == SLIRP_HOST4) {
		note_peer(filter, p, LOOPBACK4);
	} else if (p->proto == PACKET_UDP && src >> 24 == 127) {
		note_peer(filter, p, src);
		packet_set32(p, p->ip + 12, SLIRP_HOST4);
	}
}

static void in6(struct slirp_filter *filter, const struct packet *p)
{
	uint8_t *src = p->ip + 8;
	const bool is_host = !memcmp(src, host6, sizeof(host6));

	if (answering(filter, p, true)) {
		packet_set(p, src, dns6, sizeof(dns6));
		packet_set16(p, p->l4, SLIRP_DNS_PORT);
		return;
	}
	if (p->proto != PACKET_UDP || p->sport == PORT_DHCP6)
		return;
	if (!is_host && memcmp(src, loopback6, sizeof(loopback6)))
		return;
	note_peer(filter, p, LOOPBACK6_PEER);
	if (!is_host)
		packet_set(p, src, host6, sizeof(host6));
}

static bool has_ports(const struct packet *p)
{
	return p->proto == PACKET_UDP || p->proto == PACKET_TCP;
}

void slirp_filter_in(struct slirp_filter *filter, uint8_t *frame, size_t len)
{
	struct packet p;

	if (len < PACKET_ETHER_SIZE || !packet_parse(&p, frame, len) || p.fragment)
		return;
	if (!has_ports(&p))
		see_error(filter, &p);
	else if (p.v6)
		in6(filter, &p);
	else
		in4(filter, &p);
}

bool slirp_filter_is_answer(const uint8_t *frame, size_t len)
{
	return len >= PACKET_ETHER_SIZE + 40 && packet_get16(frame + 12) == PACKET_IP6 &&
	       slirp_nat46_is_for(frame + PACKET_ETHER_SIZE + 24);
}

bool slirp_filter_answer(struct slirp_filter *filter, uint8_t *frame, size_t *len)
{
	struct packet p;

	if (!packet_parse(&p, frame, *len))
		return false;
	if (!has_ports(&p)) {
		see_error(filter, &p);
		return false;
	}
	if (!answering(filter, &p, false))
		return false;
	packet_set16(&p, p.l4, SLIRP_DNS_PORT);
	slirp_nat46_in(&p, frame, len, SLIRP_DNS4);
	return true;
}
