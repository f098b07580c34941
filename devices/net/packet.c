/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet.h"

#include <string.h>

/* ---- reading ---- */

static bool parse4(struct packet *p, size_t len)
{
	size_t header, total;

	if (len < 20 || p->ip[0] >> 4 != 4)
		return false;
	header = (size_t)(p->ip[0] & 15) * 4;
	total = packet_get16(p->ip + 2);
	if (header < 20 || header > total || total > len)
		return false;
	p->fragment = packet_get16(p->ip + 6) & 0x3fff;
	p->proto = p->ip[9];
	p->l4 = p->ip + header;
	p->l4_len = total - header;
	return p->proto != PACKET_ICMP6;
}

/* Extension headers are not looked behind, nor does libslirp. */
static bool parse6(struct packet *p, size_t len)
{
	if (len < 40 || p->ip[0] >> 4 != 6)
		return false;
	p->v6 = true;
	p->proto = p->ip[6];
	p->l4 = p->ip + 40;
	p->l4_len = packet_get16(p->ip + 4);
	if (p->l4_len > len - 40)
		return false;
	return p->proto != PACKET_ICMP;
}

static bool parse_ip(struct packet *p, uint16_t type, size_t len)
{
	switch (type) {
	case PACKET_IP4:
		return parse4(p, len);
	case PACKET_IP6:
		return parse6(p, len);
	default:
		return false;
	}
}

static bool parse_ports(struct packet *p, size_t header)
{
	if (p->fragment)
		return true;
	if (p->l4_len < header || (p->proto == PACKET_UDP && packet_get16(p->l4 + 4) < header))
		return false;
	p->sport = packet_get16(p->l4);
	p->dport = packet_get16(p->l4 + 2);
	return true;
}

bool packet_parse(struct packet *p, uint8_t *frame, size_t len)
{
	*p = (struct packet){.ip = frame + PACKET_ETHER_SIZE};
	if (!parse_ip(p, packet_get16(frame + 12), len - PACKET_ETHER_SIZE))
		return false;
	switch (p->proto) {
	case PACKET_ICMP:
	case PACKET_ICMP6:
		return true;
	case PACKET_UDP:
		return parse_ports(p, 8);
	case PACKET_TCP:
		return parse_ports(p, 20);
	default:
		return false;
	}
}

/* ---- rewriting ---- */

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void adjust(uint8_t *sum, const uint8_t *old, const uint8_t *new, size_t len)
{
	uint32_t acc = (uint16_t)~packet_get16(sum);

	for (size_t i = 0; i < len; i += 2)
		acc += (uint32_t)(uint16_t)~packet_get16(old + i) + packet_get16(new + i);
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	put16(sum, (uint16_t)~acc);
}

void packet_set(const struct packet *p, uint8_t *field, const uint8_t *new, size_t len)
{
	const bool udp = p->proto == PACKET_UDP;
	uint8_t *sum = p->l4 + (udp ? 6 : 16);

	/* A UDP checksum of 0 is none. */
	if (!udp || packet_get16(sum)) {
		adjust(sum, field, new, len);
		if (udp && !packet_get16(sum))
			put16(sum, 0xffff);
	}
	if (!p->v6 && field < p->l4)
		adjust(p->ip + 10, field, new, len);
	memcpy(field, new, len);
}

void packet_set16(const struct packet *p, uint8_t *field, uint16_t value)
{
	uint8_t new[2];

	put16(new, value);
	packet_set(p, field, new, sizeof(new));
}

void packet_set32(const struct packet *p, uint8_t *field, uint32_t value)
{
	uint8_t new[4];

	put16(new, (uint16_t)(value >> 16));
	put16(new + 2, (uint16_t)value);
	packet_set(p, field, new, sizeof(new));
}
