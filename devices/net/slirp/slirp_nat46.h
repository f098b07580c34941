/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's IPv4 packets as IPv6 ones and back, for a name server that has IPv6 only: UDP and TCP,
 * whole packets. The guest's address a.b.c.d is fec0::7634:0:a.b.c.d on the way, so no state is
 * needed; libslirp is told in advance where that is, as the guest would not answer for it.
 */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_NAT46_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_NAT46_H

#include "../packet.h"

enum {
	SLIRP_NAT46_MORE = 20,		      /* bytes by which a packet grows */
	SLIRP_NAT46_NEIGHBOUR = 14 + 40 + 24, /* bytes of that frame */
};

/* p is a whole UDP or TCP packet of *len bytes in frame, with room for SLIRP_NAT46_MORE. */
void slirp_nat46_out(const struct packet *p, uint8_t *frame, size_t *len, const uint8_t dst[16]);
/* A neighbour advertisement for the source of the frame that slirp_nat46_out has made. */
void slirp_nat46_neighbour(const uint8_t *frame, uint8_t ret[SLIRP_NAT46_NEIGHBOUR]);

/* An IPv6 address, of somebody of whom slirp_nat46_out has made one. */
bool slirp_nat46_is_for(const uint8_t address[16]);
/* A UDP or TCP packet for such an address, in frame, becomes IPv4 again, from src (host order). */
void slirp_nat46_in(const struct packet *p, uint8_t *frame, size_t *len, uint32_t src);

#endif
