/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/apart.h"

enum {
	ECHO_REPLY = 0,
	ROUTER_ADVERTISEMENT = 134,
	NEIGHBOUR_SOLICITATION = 135,
	NEIGHBOUR_ADVERTISEMENT = 136,
	WINDOW = 65535,
};

static uint8_t frame[FRAME_MAX + 64];

/* ---- sending ---- */

static int send_frame(struct net_guest *g, size_t len)
{
	return net_fixture_send(&g->fix, 0, NULL, frame, len);
}

struct flow guest_flow(struct net_guest *g, uint32_t dst, uint16_t sport, uint16_t dport)
{
	struct flow flow = {.dst_mac = {0x52, 0x55, 10, 0, 2, 2},
		.src = GUEST_IP,
		.sport = sport,
		.dport = dport};

	memcpy(flow.src_mac, g->mac, 6);
	flow.dst = dst;
	return flow;
}

struct flow guest_flow6(struct net_guest *g, const char *dst, uint16_t sport, uint16_t dport)
{
	struct flow flow = guest_flow(g, 0, sport, dport);

	flow.v6 = true;
	memcpy(flow.src6, g->ip6, 16);
	assert_int_equal(inet_pton(AF_INET6, dst, flow.dst6), 1);
	return flow;
}

int guest_send_udp(struct net_guest *g, const struct flow *flow, const void *data, size_t len)
{
	return send_frame(g, build_udp(frame, flow, data, len));
}

int guest_send_tcp(struct net_guest *g, const struct flow *flow, const struct tcp_fields *tcp,
	const void *data, size_t len)
{
	return send_frame(g, build_tcp(frame, flow, tcp, data, len));
}

/* ---- the connection ---- */

static int tcp_emit(struct net_guest *g, uint8_t flags, uint32_t seq, const void *data, size_t len)
{
	struct guest_tcp *tcp = &g->tcp;
	const struct tcp_fields fields = {.seq = seq,
		.ack = tcp->rcv_nxt,
		.flags = flags,
		.window = tcp->deaf ? 0 : WINDOW,
		.mss = flags & TCP_SYN ? tcp->mss : 0};

	return guest_send_tcp(g, &tcp->flow, &fields, data, len);
}

void guest_connect(struct net_guest *g, const struct flow *flow)
{
	const uint16_t mss = g->tcp.mss;

	g->tcp = (struct guest_tcp){.flow = *flow,
		.open = true,
		.snd_una = 0xfffff000, /* soon to wrap */
		.mss = mss};
	g->tcp.snd_nxt = g->tcp.snd_una + 1;
	assert_int_equal(tcp_emit(g, TCP_SYN, g->tcp.snd_una, NULL, 0), 0);
}

void guest_listen(struct net_guest *g, uint16_t port)
{
	g->tcp.open = g->tcp.passive = true;
	g->tcp.flow.sport = port;
}

static void finish(struct net_guest *g)
{
	struct guest_tcp *tcp = &g->tcp;

	if (tcp->fin_sent || !tcp->fin_when_sent || tcp->sent < tcp->to_send)
		return;
	if (tcp_emit(g, TCP_FIN | TCP_ACK, tcp->snd_nxt, NULL, 0) == 0) {
		tcp->snd_nxt++;
		tcp->fin_sent = true;
	}
}

void guest_push(struct net_guest *g)
{
	static uint8_t data[65536];
	struct guest_tcp *tcp = &g->tcp;

	while (tcp->established && tcp->sent < tcp->to_send) {
		const uint32_t flight = tcp->snd_nxt - tcp->snd_una;
		size_t len = (size_t)MIN(tcp->to_send - tcp->sent, (uint64_t)tcp->peer_mss);

		/* As Linux does: a segment that does not fit waits for a window that it fits in. */
		if (flight + len > tcp->peer_window)
			break;
		fill_stream(data, tcp->sent, len);
		if (tcp_emit(g, TCP_ACK | TCP_PSH, tcp->snd_nxt, data, len) < 0)
			break; /* writable comes */
		tcp->snd_nxt += (uint32_t)len;
		tcp->sent += len;
	}
	if (tcp->established)
		finish(g);
}

static void take_syn(struct net_guest *g, const struct parsed *p)
{
	struct guest_tcp *tcp = &g->tcp;

	g->last_syn = *p;
	tcp->rcv_nxt = p->tcp.seq + 1;
	tcp->peer_mss = p->tcp.mss ? p->tcp.mss : 536;
	tcp->peer_window = p->tcp.window;
	if (!tcp->passive) {
		assert_true(p->tcp.flags & TCP_ACK);
		tcp->snd_una = p->tcp.ack;
		tcp->established = true;
		tcp_emit(g, TCP_ACK, tcp->snd_nxt, NULL, 0);
		guest_push(g);
		return;
	}
	tcp->passive = false;
	tcp->flow = guest_flow(g, p->flow.src, p->flow.dport, p->flow.sport);
	tcp->snd_una = 0xfffff000;
	tcp->snd_nxt = tcp->snd_una + 1;
	tcp_emit(g, TCP_SYN | TCP_ACK, tcp->snd_una, NULL, 0);
}

static void take_data(struct net_guest *g, const struct parsed *p)
{
	struct guest_tcp *tcp = &g->tcp;

	if (p->tcp.seq != tcp->rcv_nxt) {
		tcp->retransmitted++;
		tcp_emit(g, TCP_ACK, tcp->snd_nxt, NULL, 0);
		return;
	}
	tcp->longest = MAX(tcp->longest, (unsigned int)p->len);
	if (check_stream(p->data, tcp->received, p->len) != p->len)
		tcp->bad_bytes++;
	tcp->received += p->len;
	tcp->rcv_nxt += (uint32_t)p->len;
	if (p->tcp.flags & TCP_FIN) {
		tcp->fin_seen = true;
		tcp->rcv_nxt++;
	}
	tcp_emit(g, TCP_ACK, tcp->snd_nxt, NULL, 0);
}

static void on_tcp(struct net_guest *g, const struct parsed *p)
{
	struct guest_tcp *tcp = &g->tcp;

	if (p->tcp.flags & TCP_RST)
		g->rst++;
	if (!tcp->open || p->flow.dport != tcp->flow.sport ||
		(!tcp->passive && p->flow.sport != tcp->flow.dport))
		return;
	tcp->bad_sums += !p->sums_ok;
	if (p->tcp.flags & TCP_RST) {
		tcp->reset = true;
		tcp->established = tcp->open = false;
		return;
	}
	if (p->tcp.flags & TCP_SYN) {
		take_syn(g, p);
		return;
	}
	if ((int32_t)(p->tcp.ack - tcp->snd_una) > 0)
		tcp->snd_una = p->tcp.ack;
	tcp->peer_window = p->tcp.window;
	tcp->established = true;
	if (!tcp->deaf && (p->len || p->tcp.flags & TCP_FIN))
		take_data(g, p);
	guest_push(g);
}

/* ---- the rest of the stack ---- */

static void on_arp(struct net_guest *g, const struct parsed *p)
{
	struct flow flow = guest_flow(g, p->flow.src, 0, 0);

	g->arp_replies += p->arp_op == 2;
	if (p->arp_op == 1 && p->flow.dst == GUEST_IP)
		send_frame(g, build_arp(frame, &flow, 2));
}

static void on_udp(struct net_guest *g, const struct parsed *p)
{
	struct flow back = p->flow;

	g->udp++;
	g->last_udp = *p;
	memcpy(g->udp_data, p->data, p->len);
	g->last_udp.data = g->udp_data;
	if (!g->echo_udp)
		return;
	memcpy(back.dst_mac, p->flow.src_mac, 6);
	memcpy(back.src_mac, g->mac, 6);
	memcpy(back.dst6, p->flow.src6, 16);
	memcpy(back.src6, p->flow.dst6, 16);
	back.dst = p->flow.src;
	back.src = p->flow.dst;
	back.dport = p->flow.sport;
	back.sport = p->flow.dport;
	guest_send_udp(g, &back, g->udp_data, p->len);
}

/* Says that the guest's address is at its MAC address. */
static void advertise(struct net_guest *g, const struct parsed *p)
{
	uint8_t body[28] = {[0] = 0x60};
	struct flow flow = guest_flow6(g, "::", 0, 0);

	memcpy(flow.dst6, p->flow.src6, 16);
	memcpy(body + 4, g->ip6, 16);
	body[20] = 2;
	body[21] = 1;
	memcpy(body + 22, g->mac, 6);
	send_frame(g, build_icmp(frame, &flow, NEIGHBOUR_ADVERTISEMENT, body, sizeof(body)));
}

static void on_icmp(struct net_guest *g, const struct parsed *p)
{
	if (p->flow.v6 && p->icmp_type == NEIGHBOUR_SOLICITATION) {
		advertise(g, p);
		return;
	}
	g->icmp++;
	g->last_icmp = *p;
	memcpy(g->icmp_data, p->data, MIN(p->len, sizeof(g->icmp_data)));
	g->last_icmp.data = g->icmp_data;
	if (p->flow.v6 && p->icmp_type == ROUTER_ADVERTISEMENT)
		g->ra++;
}

static void on_frame(struct net_fixture *fix, unsigned int queue, const struct net_header *header,
	const uint8_t *data, size_t len)
{
	struct net_guest *g = container_of(fix, struct net_guest, fix);
	const struct net_header want = {.flags = g->vouched ? 2 : 0};
	struct parsed p;

	assert_int_equal(queue, 0);
	assert_memory_equal(header, &want, sizeof(want));
	assert_true(parse_frame(data, len, &p));
	g->bad_sums += !p.sums_ok;
	if (p.type == TYPE_ARP)
		on_arp(g, &p);
	else if (p.proto == IP_UDP)
		on_udp(g, &p);
	else if (p.proto == IP_TCP)
		on_tcp(g, &p);
	else
		on_icmp(g, &p);
}

/* ---- fixture ---- */

void net_guest_init(struct net_guest *g)
{
	memset(g, 0, sizeof(*g));
	net_fixture_init(&g->fix);
	g->fix.on_frame = on_frame;
	memcpy(g->mac, "\x52\x54\x00\x12\x34\x56", 6);
	inet_pton(AF_INET6, "fec0::5054:ff:fe12:3456", g->ip6);
	g->tcp.mss = NET_SLIRP_MTU - 40;
	g->config = (struct net_slirp_config){.clock = &g->fix.clock.clock, .log = &g->fix.log};
}

static int create(struct net_guest *g)
{
	struct net_apart_config apart = {.log = &g->fix.log, .mtu = g->config.mtu};
	int rc;

	if (!g->apart)
		return net_slirp_create(&g->config, &g->fix.net, &g->fix.err);
	rc = net_slirp_fork(&g->config, NULL, &apart.helper, &g->fix.err);
	if (rc < 0)
		return rc;
	rc = net_apart_create(&apart, &g->fix.net, &g->fix.err);
	if (rc < 0)
		helper_close(apart.helper);
	return rc;
}

int net_guest_try(struct net_guest *g)
{
	return create(g);
}

void net_guest_start(struct net_guest *g)
{
	if (create(g) < 0)
		fail_msg("%s", g->fix.err.text);
	net_fixture_attach(&g->fix);
}

void net_guest_fini(struct net_guest *g)
{
	net_fixture_fini(&g->fix);
}

/* ---- the host's side ---- */

union net_address host_address(const char *address, uint16_t port)
{
	union net_address ret = {0};

	if (strchr(address, ':')) {
		ret.in6.sin6_family = AF_INET6;
		ret.in6.sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, address, &ret.in6.sin6_addr), 1);
	} else {
		ret.in.sin_family = AF_INET;
		ret.in.sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, address, &ret.in.sin_addr), 1);
	}
	return ret;
}

static socklen_t size_of(const union net_address *address)
{
	return address->sa.sa_family == AF_INET6 ? sizeof(address->in6) : sizeof(address->in);
}

int host_socket(int type, const char *address, uint16_t *port)
{
	union net_address at = host_address(address, *port);
	const int fd = socket(at.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &at.sa, size_of(&at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, &at.sa, &len), 0);
	*port = ntohs(at.in.sin_port);
	return fd;
}

int host_connect(const char *address, uint16_t port)
{
	const union net_address to = host_address(address, port);
	const int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &to.sa, size_of(&to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK), 0);
	return fd;
}

uint16_t host_free_port(int type)
{
	uint16_t port = 0;

	close(host_socket(type, "127.0.0.1", &port));
	return port;
}
