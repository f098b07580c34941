/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_packet.h"

#include <string.h>

uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

/* The sum as it stands over data that includes a right checksum: 0xffff. */
static uint16_t sum(uint32_t acc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		acc += get_be16(p + i);
	if (len & 1)
		acc += (uint32_t)p[len - 1] << 8;
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

static uint16_t pseudo(const struct flow *flow, uint8_t proto, size_t len)
{
	uint8_t header[40] = {0};

	if (flow->v6) {
		memcpy(header, flow->src6, 16);
		memcpy(header + 16, flow->dst6, 16);
	} else {
		put_be32(header, flow->src);
		put_be32(header + 4, flow->dst);
	}
	put_be32(header + 32, (uint32_t)len);
	header[39] = proto;
	return sum(0, header, sizeof(header));
}

static void ether(uint8_t *frame, const struct flow *flow, uint16_t type)
{
	memcpy(frame, flow->dst_mac, 6);
	memcpy(frame + 6, flow->src_mac, 6);
	put_be16(frame + 12, type);
}

void fix_ip4_sum(uint8_t *frame)
{
	put_be16(frame + 24, 0);
	put_be16(frame + 24, (uint16_t)~sum(0, frame + 14, (size_t)(frame[14] & 15) * 4));
}

/* The header alone; returns where the next one goes. */
static uint8_t *ip_header(uint8_t *frame, const struct flow *flow, uint8_t proto, size_t len)
{
	uint8_t *ip = frame + 14;

	ether(frame, flow, flow->v6 ? TYPE_IP6 : TYPE_IP4);
	memset(ip, 0, 40);
	if (flow->v6) {
		ip[0] = 0x60;
		put_be16(ip + 4, (uint16_t)len);
		ip[6] = proto;
		ip[7] = 255;
		memcpy(ip + 8, flow->src6, 16);
		memcpy(ip + 24, flow->dst6, 16);
		return ip + 40;
	}
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(20 + len));
	ip[8] = 64;
	ip[9] = proto;
	put_be32(ip + 12, flow->src);
	put_be32(ip + 16, flow->dst);
	fix_ip4_sum(frame);
	return ip + 20;
}

size_t build_ip(
	uint8_t *frame, const struct flow *flow, uint8_t proto, const void *data, size_t len)
{
	uint8_t *p = ip_header(frame, flow, proto, len);

	memcpy(p, data, len);
	return (size_t)(p - frame) + len;
}

size_t build_udp(uint8_t *frame, const struct flow *flow, const void *data, size_t len)
{
	uint8_t *p = ip_header(frame, flow, IP_UDP, 8 + len);
	uint16_t check;

	put_be16(p, flow->sport);
	put_be16(p + 2, flow->dport);
	put_be16(p + 4, (uint16_t)(8 + len));
	put_be16(p + 6, 0);
	memcpy(p + 8, data, len);
	check = (uint16_t)~sum(pseudo(flow, IP_UDP, 8 + len), p, 8 + len);
	put_be16(p + 6, check ? check : 0xffff);
	return (size_t)(p - frame) + 8 + len;
}

size_t build_tcp(uint8_t *frame, const struct flow *flow, const struct tcp_fields *tcp,
	const void *data, size_t len)
{
	const size_t header = tcp->mss ? 24 : 20;
	uint8_t *p = ip_header(frame, flow, IP_TCP, header + len);

	memset(p, 0, header);
	put_be16(p, flow->sport);
	put_be16(p + 2, flow->dport);
	put_be32(p + 4, tcp->seq);
	put_be32(p + 8, tcp->ack);
	p[12] = (uint8_t)(header / 4 << 4);
	p[13] = tcp->flags;
	put_be16(p + 14, tcp->window);
	put_be16(p + 18, tcp->urgent);
	if (tcp->mss)
		put_be32(p + 20, 0x02040000u | tcp->mss);
	if (len)
		memcpy(p + header, data, len);
	put_be16(p + 16, (uint16_t)~sum(pseudo(flow, IP_TCP, header + len), p, header + len));
	return (size_t)(p - frame) + header + len;
}

/* body is what follows type, code and checksum. */
size_t build_icmp(
	uint8_t *frame, const struct flow *flow, uint8_t type, const void *body, size_t len)
{
	const uint8_t proto = flow->v6 ? IP_ICMP6 : IP_ICMP;
	uint8_t *p = ip_header(frame, flow, proto, 4 + len);

	p[0] = type;
	p[1] = 0;
	put_be16(p + 2, 0);
	memcpy(p + 4, body, len);
	put_be16(p + 2, (uint16_t)~sum(flow->v6 ? pseudo(flow, proto, 4 + len) : 0, p, 4 + len));
	return (size_t)(p - frame) + 4 + len;
}

size_t build_arp(uint8_t *frame, const struct flow *flow, uint16_t op)
{
	uint8_t *p = frame + 14;

	ether(frame, flow, TYPE_ARP);
	put_be16(p, 1);
	put_be16(p + 2, TYPE_IP4);
	p[4] = 6;
	p[5] = 4;
	put_be16(p + 6, op);
	memcpy(p + 8, flow->src_mac, 6);
	put_be32(p + 14, flow->src);
	memset(p + 18, 0, 6);
	put_be32(p + 24, flow->dst);
	return 14 + 28;
}

static bool parse_arp(const uint8_t *p, size_t len, struct parsed *ret)
{
	if (len < 28)
		return false;
	ret->arp_op = get_be16(p + 6);
	ret->flow.src = get_be32(p + 14);
	ret->flow.dst = get_be32(p + 24);
	ret->sums_ok = true;
	return true;
}

static bool parse_l4(const uint8_t *p, size_t len, struct parsed *ret)
{
	const bool has_pseudo = ret->proto != IP_ICMP;
	size_t header = 8;

	if (len < 8)
		return false;
	if (ret->proto == IP_ICMP || ret->proto == IP_ICMP6) {
		ret->icmp_type = p[0];
		ret->icmp_code = p[1];
	} else {
		ret->flow.sport = get_be16(p);
		ret->flow.dport = get_be16(p + 2);
	}
	if (ret->proto == IP_TCP) {
		if (len < 20)
			return false;
		header = (size_t)(p[12] >> 4) * 4;
		ret->tcp = (struct tcp_fields){.seq = get_be32(p + 4),
			.ack = get_be32(p + 8),
			.flags = p[13],
			.window = get_be16(p + 14),
			.urgent = get_be16(p + 18)};
		if (header >= 24 && get_be16(p + 20) == 0x0204)
			ret->tcp.mss = get_be16(p + 22);
	}
	if (header > len)
		return false;
	if (sum(has_pseudo ? pseudo(&ret->flow, ret->proto, len) : 0, p, len) != 0xffff &&
		!(ret->proto == IP_UDP && !get_be16(p + 6)))
		ret->sums_ok = false;
	ret->data = p + header;
	ret->len = len - header;
	return ret->proto == IP_TCP || ret->proto == IP_UDP || ret->proto == IP_ICMP ||
	       ret->proto == IP_ICMP6;
}

static bool parse_ip4(const uint8_t *p, size_t len, struct parsed *ret)
{
	size_t header, total;

	if (len < 20 || p[0] >> 4 != 4)
		return false;
	header = (size_t)(p[0] & 15) * 4;
	total = get_be16(p + 2);
	if (header < 20 || total < header || total > len)
		return false;
	ret->proto = p[9];
	ret->flow.src = get_be32(p + 12);
	ret->flow.dst = get_be32(p + 16);
	ret->sums_ok = sum(0, p, header) == 0xffff;
	return parse_l4(p + header, total - header, ret);
}

static bool parse_ip6(const uint8_t *p, size_t len, struct parsed *ret)
{
	if (len < 40 || p[0] >> 4 != 6 || get_be16(p + 4) > len - 40)
		return false;
	ret->flow.v6 = true;
	ret->proto = p[6];
	memcpy(ret->flow.src6, p + 8, 16);
	memcpy(ret->flow.dst6, p + 24, 16);
	ret->sums_ok = true;
	return parse_l4(p + 40, get_be16(p + 4), ret);
}

bool parse_frame(const uint8_t *frame, size_t len, struct parsed *p)
{
	memset(p, 0, sizeof(*p));
	if (len < 14)
		return false;
	memcpy(p->flow.dst_mac, frame, 6);
	memcpy(p->flow.src_mac, frame + 6, 6);
	p->type = get_be16(frame + 12);
	switch (p->type) {
	case TYPE_ARP:
		return parse_arp(frame + 14, len - 14, p);
	case TYPE_IP4:
		return parse_ip4(frame + 14, len - 14, p);
	case TYPE_IP6:
		return parse_ip6(frame + 14, len - 14, p);
	default:
		return false;
	}
}

static uint8_t stream_byte(uint64_t pos)
{
	uint64_t x = (pos >> 3) * UINT64_C(0x9e3779b97f4a7c15) + 1;

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint8_t)(x >> (8 * (pos & 7)));
}

void fill_stream(uint8_t *buf, uint64_t pos, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = stream_byte(pos + i);
}

size_t check_stream(const uint8_t *buf, uint64_t pos, size_t len)
{
	size_t i = 0;

	while (i < len && buf[i] == stream_byte(pos + i))
		i++;
	return i;
}
