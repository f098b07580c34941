/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What passes between the guest and libslirp, and under which addresses. libslirp keeps the guest
 * from the host's loopback only where the guest asks for it by the host's virtual address; the
 * filter sees to the rest:
 *
 * - Addresses that are the host itself in other words (127.0.0.0/8, 0.0.0.0/8, ::1, ::,
 *   ::ffff:127.0.0.1, link-local) never get through; nor do protocols that nobody here needs.
 * - Somebody on the host's loopback who has sent a datagram to a forwarded port may be answered,
 *   under the address and port that the datagram had come from.
 * - What answers at 10.0.2.3 and fec0::3 is the name server of the hour (slirp_dns.h), on whatever
 *   port it listens, and by whichever IP.
 * - Fragments come in order and complete, or not at all.
 * - What libslirp keeps without a bound (fragments, sockets, lost DHCP replies) is bounded.
 *
 * One thread.
 */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_FILTER_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_FILTER_H

#include "slirp_dns.h"
#include "vm/core/base.h"

struct clock;

/* Addresses of the guest's network, in host order */
#define SLIRP_NET4   UINT32_C(0x0a000200) /* 10.0.2.0/24 */
#define SLIRP_MASK4  UINT32_C(0xffffff00)
#define SLIRP_HOST4  (SLIRP_NET4 + 2)
#define SLIRP_DNS4   (SLIRP_NET4 + 3)
#define SLIRP_GUEST4 (SLIRP_NET4 + 15)
/* and fec0::/64, in network order */
#define SLIRP_NET6                                                                                 \
	{                                                                                          \
		0xfe, 0xc0                                                                         \
	}
#define SLIRP_HOST6                                                                                \
	{                                                                                          \
		0xfe, 0xc0, [15] = 2                                                               \
	}
#define SLIRP_DNS6                                                                                 \
	{                                                                                          \
		0xfe, 0xc0, [15] = 3                                                               \
	}
#define SLIRP_PREFIX6 64

enum {
	SLIRP_FILTER_PEERS = 1024,
	SLIRP_FILTER_PORTS = 65536 / 8, /* bytes, with a bit for each port */
	SLIRP_FILTER_HEAD = 128,	/* of a frame for the guest: longer than all headers */
};

/* Somebody on the host's loopback who has sent from port to the guest's guest_port. */
struct slirp_peer {
	uint32_t address; /* 127.x.y.z, or 1 for ::1; 0: nobody */
	uint16_t port, guest_port;
};

/* The datagram of which the last fragment was a piece. */
struct slirp_fragments {
	uint32_t src, dst, next; /* next: where the next piece must begin; 0: it is complete */
	uint16_t id;
	uint8_t proto;
	unsigned int held; /* how many pieces there were */
	/* Of datagrams that were not completed: */
	unsigned int abandoned;
	uint64_t since_ns;
};

struct slirp_filter {
	const struct clock *clock;
	struct slirp_dns dns;
	/* private: */
	unsigned int dhcp_unanswered;
	struct slirp_fragments fragments;
	struct slirp_peer peers[SLIRP_FILTER_PEERS]; /* by a hash, the latest wins */
	/* Guest ports whose last words went to 10.0.2.3 and fec0::3; UDP, TCP. */
	uint8_t dns_ports[2][2][SLIRP_FILTER_PORTS];
};

enum slirp_verdict {
	SLIRP_DROP,
	SLIRP_PASS,
	SLIRP_PASS_AS_IP6, /* from somebody whose neighbour advertisement goes before it */
};

/*
 * A frame from the guest, of 14 bytes at least and with room for SLIRP_NAT46_MORE, rewritten if
 * need be. full: as many sockets as there may be are open, so nothing may pass that could open
 * another one.
 */
enum slirp_verdict slirp_filter_out(
	struct slirp_filter *filter, uint8_t *frame, size_t *len, bool full);

/*
 * A frame of libslirp's for the guest, of len bytes, of which SLIRP_FILTER_HEAD, or all, are at
 * frame; no others are looked at or changed.
 */
void slirp_filter_in(struct slirp_filter *filter, uint8_t *frame, size_t len);

/* Whether it is an answer to a packet that was passed on as IPv6. */
bool slirp_filter_is_answer(const uint8_t *frame, size_t len);
/* Makes such an answer what the guest waits for; false: drop it. */
bool slirp_filter_answer(struct slirp_filter *filter, uint8_t *frame, size_t *len);

#endif
