/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An Ethernet frame with IP in it, as a copy that nobody else can change: reading it, and rewriting
 * its addresses and ports. Fields are read byte by byte, and only where their whole header is
 * there.
 */
#ifndef BANTAM_DEVICES_NET_PACKET_H
#define BANTAM_DEVICES_NET_PACKET_H

#include "vm/core/base.h"

enum {
	PACKET_ETHER_SIZE = 14,
	PACKET_ARP = 0x0806, /* Ethernet's types */
	PACKET_IP4 = 0x0800,
	PACKET_IP6 = 0x86dd,
	PACKET_ICMP = 1, /* IP's protocols */
	PACKET_TCP = 6,
	PACKET_UDP = 17,
	PACKET_ICMP6 = 58,
};

struct packet {
	uint8_t *ip, *l4; /* the IP header, and what follows it */
	size_t l4_len;
	bool v6, fragment;
	uint8_t proto;	       /* one of the above */
	uint16_t sport, dport; /* UDP and TCP, whose headers are whole, unless fragment */
};

/* frame has 14 bytes at least. False: something else, or cut short. */
bool packet_parse(struct packet *p, uint8_t *frame, size_t len);

/*
 * Write new, in host order, over a field of the headers of a UDP or TCP packet. Checksums are as
 * right or wrong afterwards as they were (RFC 1624). len is even, and so is the field's place.
 */
void packet_set(const struct packet *p, uint8_t *field, const uint8_t *new, size_t len);
void packet_set16(const struct packet *p, uint8_t *field, uint16_t value);
void packet_set32(const struct packet *p, uint8_t *field, uint32_t value);

static inline uint16_t packet_get16(const uint8_t *field)
{
	return (uint16_t)(field[0] << 8 | field[1]);
}

static inline uint32_t packet_get32(const uint8_t *field)
{
	return (uint32_t)packet_get16(field) << 16 | packet_get16(field + 2);
}

#endif
