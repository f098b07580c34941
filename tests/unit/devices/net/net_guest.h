/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest with a network stack of its own, on user networking. It answers ARP and neighbour
 * solicitations, keeps the last datagram and the last ICMP message, and has one TCP connection,
 * whose other end is a stream of bytes known in advance (fill_stream).
 */
#ifndef TESTS_NET_GUEST_H
#define TESTS_NET_GUEST_H

#include "net_fixture.h"
#include "net_packet.h"

#define GUEST_IP IP4(10, 0, 2, 15)
#define HOST_IP	 IP4(10, 0, 2, 2)
#define DNS_IP	 IP4(10, 0, 2, 3)

struct guest_tcp {
	struct flow flow; /* ours to theirs */
	bool open, passive, established, reset, fin_seen, fin_sent;
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint16_t peer_mss;
	uint32_t peer_window;
	uint64_t received, sent; /* bytes of the streams */
	unsigned int bad_sums, bad_bytes, retransmitted, longest;
	/* What it does */
	bool deaf;	  /* acknowledges nothing and has a window of 0 */
	uint64_t to_send; /* so many bytes in all */
	bool fin_when_sent;
	uint16_t mss;
};

struct net_guest {
	struct net_fixture fix;
	struct net_slirp_config config;
	uint8_t mac[6], ip6[16];
	unsigned int arp_replies, udp, icmp, ra, rst, bad_sums;
	struct parsed last_udp, last_icmp, last_ra, last_syn;
	uint8_t udp_data[65536], icmp_data[2048];
	unsigned int udp_sent_blocked;
	struct guest_tcp tcp;
	/* Answers to each datagram with the same bytes; */
	bool echo_udp;
	uint16_t ping_mtu;
	bool vouched; /* headers say that checksums are right */
	bool apart;   /* libslirp is in a process of its own */
};

/* config may be changed between the two. */
void net_guest_init(struct net_guest *g);
void net_guest_start(struct net_guest *g);
/* Makes the network alone: 0 or what that says. */
int net_guest_try(struct net_guest *g);
void net_guest_fini(struct net_guest *g);

/* From the guest's MAC address and, unless src is given, IP address. dst6 NULL: IPv4. */
struct flow guest_flow(struct net_guest *g, uint32_t dst, uint16_t sport, uint16_t dport);
struct flow guest_flow6(struct net_guest *g, const char *dst, uint16_t sport, uint16_t dport);
/* What net_send says. */
int guest_send_udp(struct net_guest *g, const struct flow *flow, const void *data, size_t len);
int guest_send_tcp(struct net_guest *g, const struct flow *flow, const struct tcp_fields *tcp,
	const void *data, size_t len);

/* Opens the connection; guest_listen takes the one that comes to the port. */
void guest_connect(struct net_guest *g, const struct flow *flow);
void guest_listen(struct net_guest *g, uint16_t port);
/* Sends what the windows allow. */
void guest_push(struct net_guest *g);

/* A socket of the host's on the address and a port of the kernel's choice, which is returned. */
int host_socket(int type, const char *address, uint16_t *port);
/* A connected stream, not blocking. */
int host_connect(const char *address, uint16_t port);
/* A port that is free on 127.0.0.1 and ::1. */
uint16_t host_free_port(int type);
union net_address host_address(const char *address, uint16_t port);

#endif
