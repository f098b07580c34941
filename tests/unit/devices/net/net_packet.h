/* SPDX-License-Identifier: BSD-2-Clause */
/* Ethernet frames as a host sends and reads them: ARP, IPv4, IPv6, UDP, TCP, ICMP. */
#ifndef TESTS_NET_PACKET_H
#define TESTS_NET_PACKET_H

#include "vm/core/base.h"

enum {
	FRAME_MAX = 14 + 65535,
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IP6 = 0x86dd,
	IP_ICMP = 1,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_ICMP6 = 58,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
};

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

/* Who speaks to whom. IPv4 addresses in host order. */
struct flow {
	uint8_t dst_mac[6], src_mac[6];
	bool v6;
	uint32_t src, dst;
	uint8_t src6[16], dst6[16];
	uint16_t sport, dport;
};

struct tcp_fields {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, mss, urgent; /* mss 0: no such option */
};

/* Each builds a whole frame and returns its length. */
size_t build_ip(
	uint8_t *frame, const struct flow *flow, uint8_t proto, const void *data, size_t len);
size_t build_udp(uint8_t *frame, const struct flow *flow, const void *data, size_t len);
size_t build_tcp(uint8_t *frame, const struct flow *flow, const struct tcp_fields *tcp,
	const void *data, size_t len);
size_t build_icmp(
	uint8_t *frame, const struct flow *flow, uint8_t type, const void *body, size_t len);
size_t build_arp(uint8_t *frame, const struct flow *flow, uint16_t op);

/* The IPv4 header's checksum anew, after a change. */
void fix_ip4_sum(uint8_t *frame);

struct parsed {
	struct flow flow;
	uint16_t type;
	uint8_t proto;
	uint8_t icmp_type, icmp_code;
	uint16_t arp_op;
	struct tcp_fields tcp;
	const uint8_t *data; /* behind the last header */
	size_t len;
	bool sums_ok; /* all checksums are right; a UDP checksum of 0 is */
};

/* False: cut short, or neither ARP nor UDP, TCP or ICMP. */
bool parse_frame(const uint8_t *frame, size_t len, struct parsed *p);

uint16_t get_be16(const uint8_t *p);
uint32_t get_be32(const uint8_t *p);
void put_be16(uint8_t *p, uint16_t v);
void put_be32(uint8_t *p, uint32_t v);

/* Pseudo-random bytes: those of the stream's bytes [pos, pos + len), the same for each run. */
void fill_stream(uint8_t *buf, uint64_t pos, size_t len);
/* The first byte that is not the stream's, or len. */
size_t check_stream(const uint8_t *buf, uint64_t pos, size_t len);

#endif
