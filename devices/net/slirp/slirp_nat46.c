/* SPDX-License-Identifier: BSD-2-Clause */
#include "slirp_nat46.h"

#include <string.h>

#include "slirp_filter.h"

enum { IP4_SIZE = 20, IP6_SIZE = 40, MAC_SIZE = 6, NEIGHBOUR_ADVERTISEMENT = 136 };

static const uint8_t prefix[12] = {0xfe, 0xc0, [8] = 0x76, 0x34};

/* ---- checksums (RFC 1071, 1624) ---- */

static uint32_t sum_of(uint32_t acc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		acc += packet_get16(p + i);
	return len % 2 ? acc + ((uint32_t)p[len - 1] << 8) : acc;
}

static uint32_t sum_without(uint32_t acc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 2)
		acc += (uint16_t)~packet_get16(p + i);
	return acc;
}

static void put_sum(uint8_t *field, uint32_t acc, bool udp)
{
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	acc = (uint16_t)~acc;
	if (udp && !acc)
		acc = 0xffff;
	field[0] = (uint8_t)(acc >> 8);
	field[1] = (uint8_t)acc;
}

/* What the pseudo-headers of both have beside the addresses is the same in sum. */
static void change_sum(const struct packet *p, const uint8_t *old, size_t old_len,
	const uint8_t *new, size_t new_len)
{
	const bool udp = p->proto == PACKET_UDP;
	uint8_t *field = p->l4 + (udp ? 6 : 16);
	uint32_t acc = (uint16_t)~packet_get16(field);

	/* None, which IPv6 does not have. */
	if (udp && !packet_get16(field))
		acc = sum_of((uint32_t)p->l4_len + p->proto, p->l4, p->l4_len);
	else
		acc = sum_without(acc, old, old_len);
	put_sum(field, sum_of(acc, new, new_len), udp);
}

/* ---- packets ---- */

static void put16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

void slirp_nat46_out(const struct packet *p, uint8_t *frame, size_t *len, const uint8_t dst[16])
{
	uint8_t header[IP6_SIZE] = {0x60, [6] = p->proto, p->ip[8]};

	put16(header + 4, p->l4_len);
	memcpy(header + 8, prefix, sizeof(prefix));
	memcpy(header + 8 + sizeof(prefix), p->ip + 12, 4);
	memcpy(header + 24, dst, 16);
	change_sum(p, p->ip + 12, 8, header + 8, 32);
	memmove(frame + PACKET_ETHER_SIZE + IP6_SIZE, p->l4, p->l4_len);
	memcpy(frame + PACKET_ETHER_SIZE, header, sizeof(header));
	put16(frame + 12, PACKET_IP6);
	*len = PACKET_ETHER_SIZE + IP6_SIZE + p->l4_len;
}

void slirp_nat46_neighbour(const uint8_t *frame, uint8_t ret[SLIRP_NAT46_NEIGHBOUR])
{
	static const uint8_t host[16] = SLIRP_HOST6;
	const uint8_t *src = frame + PACKET_ETHER_SIZE + 8;
	uint8_t *ip = ret + PACKET_ETHER_SIZE, *icmp = ip + IP6_SIZE;

	memset(ret, 0, SLIRP_NAT46_NEIGHBOUR);
	memcpy(ret, frame, PACKET_ETHER_SIZE);
	ip[0] = 0x60;
	put16(ip + 4, 24);
	ip[6] = PACKET_ICMP6;
	ip[7] = 255;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, host, 16);
	icmp[0] = NEIGHBOUR_ADVERTISEMENT;
	memcpy(icmp + 8, src, 16);
	put_sum(icmp + 2, sum_of(24 + PACKET_ICMP6, ip + 8, 32 + 24), false);
}

bool slirp_nat46_is_for(const uint8_t address[16])
{
	return !memcmp(address, prefix, sizeof(prefix));
}

void slirp_nat46_in(const struct packet *p, uint8_t *frame, size_t *len, uint32_t src)
{
	uint8_t header[IP4_SIZE] = {0x45, [8] = p->ip[7], p->proto};

	put16(header + 2, IP4_SIZE + p->l4_len);
	put16(header + 12, src >> 16);
	put16(header + 14, src);
	memcpy(header + 16, p->ip + 24 + sizeof(prefix), 4);
	put_sum(header + 10, sum_of(0, header, sizeof(header)), false);
	change_sum(p, p->ip + 8, 32, header + 12, 8);
	memmove(frame + PACKET_ETHER_SIZE + IP4_SIZE, p->l4, p->l4_len);
	memcpy(frame + PACKET_ETHER_SIZE, header, sizeof(header));
	put16(frame + 12, PACKET_IP4);
	*len = PACKET_ETHER_SIZE + IP4_SIZE + p->l4_len;
}
