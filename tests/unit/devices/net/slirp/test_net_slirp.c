/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking: what the guest's network has to offer, and to whom it is closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/net_guest.h"

enum { DHCP_DISCOVER = 1, DHCP_OFFER = 2, DHCP_REQUEST = 3, DHCP_ACK = 5 };

static int set_up(void **state)
{
	struct net_guest *g = calloc(1, sizeof(*g));

	net_guest_init(g);
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	net_guest_fini(*state);
	free(*state);
	return 0;
}

/* ---- DHCP ---- */

static void dhcp(struct net_guest *g, uint8_t type)
{
	uint8_t message[300] = {1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78};
	struct flow flow = guest_flow(g, UINT32_MAX, 68, 67);

	memset(flow.dst_mac, 0xff, 6);
	flow.src = 0;
	memcpy(message + 28, g->mac, 6);
	memcpy(message + 236, "\x63\x82\x53\x63\x35\x01", 6);
	message[242] = type;
	message[243] = 0xff;
	assert_int_equal(guest_send_udp(g, &flow, message, sizeof(message)), 0);
	net_fixture_settle(&g->fix);
}

/* The option's value, or NULL. */
static const uint8_t *dhcp_option(const struct net_guest *g, uint8_t option)
{
	const uint8_t *p = g->udp_data + 240;

	while (*p != 0xff && p < g->udp_data + g->last_udp.len) {
		if (*p == option)
			return p + 2;
		p += *p ? 2 + p[1] : 1;
	}
	return NULL;
}

static void test_dhcp(void **state)
{
	struct net_guest *g = *state;

	net_guest_start(g);
	dhcp(g, DHCP_DISCOVER);
	assert_int_equal(g->udp, 1);
	assert_int_equal(g->last_udp.flow.src, HOST_IP);
	assert_int_equal(get_be32(g->udp_data + 4), 0x12345678);
	assert_int_equal(get_be32(g->udp_data + 16), GUEST_IP);
	assert_int_equal(*dhcp_option(g, 53), DHCP_OFFER);
	dhcp(g, DHCP_REQUEST);
	assert_int_equal(g->udp, 2);
	assert_int_equal(*dhcp_option(g, 53), DHCP_ACK);
	assert_int_equal(get_be32(dhcp_option(g, 1)), 0xffffff00);
	assert_int_equal(get_be32(dhcp_option(g, 3)), HOST_IP);
	assert_int_equal(get_be32(dhcp_option(g, 6)), DNS_IP);
	assert_null(dhcp_option(g, 12)); /* host name */
	assert_null(dhcp_option(g, 67)); /* boot file */
	assert_int_equal(g->bad_sums, 0);
}

/* libslirp has 16 addresses, and forgets memory when they are given away. */
static void test_dhcp_starved(void **state)
{
	struct net_guest *g = *state;
	unsigned int passed = 0;
	uint8_t message[300] = {1, 1, 6};
	struct flow flow = guest_flow(g, UINT32_MAX, 68, 67);

	net_guest_start(g);
	memcpy(message + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
	for (unsigned int i = 0; i < 3000; i++) {
		put_be32(message + 30, i);
		passed += guest_send_udp(g, &flow, message, sizeof(message)) == 0;
	}
	net_fixture_settle(&g->fix);
	assert_int_equal(g->udp, 16);
	assert_int_equal(passed, 1016);
}

/* ---- neighbours ---- */

static void test_arp(void **state)
{
	struct net_guest *g = *state;
	uint8_t frame[64];
	struct flow flow;

	net_guest_start(g);
	for (unsigned int i = 2; i < 6; i++) {
		flow = guest_flow(g, IP4(10, 0, 2, i), 0, 0);
		assert_int_equal(
			net_fixture_send(&g->fix, 0, NULL, frame, build_arp(frame, &flow, 1)), 0);
		net_fixture_settle(&g->fix);
		assert_int_equal(g->arp_replies, MIN(i - 1, 2));
	}
}

static void test_router_advertisement(void **state)
{
	static const uint8_t solicitation[4];
	static const uint8_t prefix[16] = {0xfe, 0xc0};
	struct net_guest *g = *state;
	const uint8_t *option;
	struct flow flow;
	uint8_t frame[128];

	net_guest_start(g);
	flow = guest_flow6(g, "ff02::2", 0, 0);
	net_fixture_send(&g->fix, 0, NULL, frame,
		build_icmp(frame, &flow, 133, solicitation, sizeof(solicitation)));
	net_fixture_settle(&g->fix);
	assert_int_equal(g->ra, 1);
	assert_int_equal(g->bad_sums, 0);
	/* Lifetimes and times, the router's MAC address, the prefix */
	option = g->icmp_data + 8;
	assert_int_equal(option[0], 1);
	option += 8;
	assert_int_equal(option[0], 3);
	assert_int_equal(option[2], 64);
	assert_memory_equal(option + 16, prefix, sizeof(prefix));
	/* They come unasked as well, though nothing else makes the loop turn. */
	fake_clock_advance(&g->fix.clock, 700 * NSEC_PER_SEC);
	net_fixture_settle(&g->fix);
	assert_true(g->ra >= 2);
}

static void ping(struct net_guest *g, const struct flow *flow, uint8_t type)
{
	uint8_t frame[128];

	net_fixture_send(
		&g->fix, 0, NULL, frame, build_icmp(frame, flow, type, "\0\1\0\1pinging", 12));
	net_fixture_settle(&g->fix);
}

static void test_ping(void **state)
{
	static const char *const v6[] = {"fec0::2", "fec0::3", "fe80::2", "fe80::3"};
	struct net_guest *g = *state;
	struct flow flow;

	net_guest_start(g);
	flow = guest_flow(g, HOST_IP, 0, 0);
	ping(g, &flow, 8);
	assert_int_equal(g->icmp, 1);
	assert_int_equal(g->last_icmp.icmp_type, 0);
	assert_int_equal(g->last_icmp.flow.src, HOST_IP);
	for (unsigned int i = 0; i < ARRAY_SIZE(v6); i++) {
		flow = guest_flow6(g, v6[i], 0, 0);
		ping(g, &flow, 128);
		assert_int_equal(g->icmp, i + 2);
		assert_int_equal(g->last_icmp.icmp_type, 129);
	}
	/* libslirp would write a line to stderr. */
	flow = guest_flow6(g, "2001:db8::1", 0, 0);
	ping(g, &flow, 128);
	assert_int_equal(g->icmp, 5);
}

/* The guest need not look at checksums, which are right all the same. */
static void test_vouched(void **state)
{
	struct net_guest *g = *state;
	struct flow flow;

	net_guest_start(g);
	for (unsigned int i = 0; i < 3; i++) {
		g->vouched = i % 2;
		assert_int_equal(
			g->fix.net->ops->set_offloads(g->fix.net, g->vouched ? NET_CSUM : 0), 0);
		flow = guest_flow(g, HOST_IP, 0, 0);
		ping(g, &flow, 8);
		flow = guest_flow6(g, "fec0::2", 0, 0);
		ping(g, &flow, 128);
		assert_int_equal(g->icmp, 2 * i + 2);
		assert_int_equal(g->bad_sums, 0);
	}
}

/* ---- the host's loopback ---- */

static bool connects(struct net_guest *g, const struct flow *flow, int listener)
{
	const struct tcp_fields syn = {.flags = TCP_SYN, .window = 1000, .mss = 1460};
	int fd;

	guest_send_tcp(g, flow, &syn, NULL, 0);
	net_fixture_settle(&g->fix);
	/* libslirp connects at once, and on the loopback that is it. */
	fd = accept(listener, NULL, NULL);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool reaches(struct net_guest *g, const struct flow *flow, int receiver)
{
	char buf[16];

	guest_send_udp(g, flow, "hello", 5);
	net_fixture_settle(&g->fix);
	return recv(receiver, buf, sizeof(buf), 0) == 5;
}

static const uint32_t ways4[] = {HOST_IP, IP4(127, 0, 0, 1), IP4(127, 9, 9, 9), 0, IP4(0, 0, 0, 1),
	UINT32_MAX, IP4(10, 0, 2, 3), IP4(10, 0, 2, 255)};
static const char *const ways6[] = {"fec0::2", "fec0::3", "fec0::99", "::1",
	"::", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0.0.0.0", "fe80::2", "ff02::1"};

/* The addresses by which the guest reaches what listens on all of the host's addresses. */
static unsigned int count_ways(struct net_guest *g)
{
	uint16_t port = 0, sport = 2000;
	const int tcp4 = host_socket(SOCK_STREAM, "0.0.0.0", &port);
	const int udp4 = host_socket(SOCK_DGRAM, "0.0.0.0", &port);
	uint16_t port6 = 0;
	const int tcp6 = host_socket(SOCK_STREAM, "::", &port6);
	const int udp6 = host_socket(SOCK_DGRAM, "::", &port6);
	unsigned int ways = 0;
	struct flow flow;

	for (size_t i = 0; i < ARRAY_SIZE(ways4); i++) {
		flow = guest_flow(g, ways4[i], sport++, port);
		ways += connects(g, &flow, tcp4) + reaches(g, &flow, udp4);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ways6); i++) {
		flow = guest_flow6(g, ways6[i], sport++, port6);
		ways += connects(g, &flow, tcp6) + reaches(g, &flow, udp6);
	}
	close(tcp4);
	close(udp4);
	close(tcp6);
	close(udp6);
	return ways;
}

static void test_loopback_closed(void **state)
{
	struct net_guest *g = *state;

	net_guest_start(g);
	assert_int_equal(count_ways(g), 0);
}

/* In pieces, so that ports are nowhere near addresses. */
static void test_loopback_closed_to_fragments(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int udp = host_socket(SOCK_DGRAM, "0.0.0.0", &port);
	uint8_t frame[256];

	net_guest_start(g);
	for (size_t i = 0; i < ARRAY_SIZE(ways4); i++) {
		struct flow flow = guest_flow(g, ways4[i], 3000, port);
		char buf[64];

		build_udp(frame, &flow, "in two pieces, ok", 16);
		put_be16(frame + 14 + 2, 20 + 16);
		put_be16(frame + 14 + 6, 0x2000);
		fix_ip4_sum(frame);
		net_fixture_send(&g->fix, 0, NULL, frame, 14 + 20 + 16);
		put_be16(frame + 14 + 2, 20 + 8);
		put_be16(frame + 14 + 6, 2);
		fix_ip4_sum(frame);
		memmove(frame + 34, frame + 34 + 16, 8);
		net_fixture_send(&g->fix, 0, NULL, frame, 14 + 20 + 8);
		net_fixture_settle(&g->fix);
		assert_int_equal(recv(udp, buf, sizeof(buf), 0), -1);
	}
	close(udp);
}

static void test_loopback_opened(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int tcp = host_socket(SOCK_STREAM, "127.0.0.1", &port);
	const int udp = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	struct flow flow = guest_flow(g, HOST_IP, 2000, port);

	g->config.host_loopback = true;
	net_guest_start(g);
	assert_true(connects(g, &flow, tcp));
	assert_true(reaches(g, &flow, udp));
	/* As what it is for the guest, and not by other names. */
	flow.dst = IP4(127, 0, 0, 1);
	assert_false(connects(g, &flow, tcp));
	assert_false(reaches(g, &flow, udp));
	close(tcp);
	close(udp);
}

/* What is refused is refused at once. */
static void test_refusal(void **state)
{
	const struct tcp_fields syn = {.flags = TCP_SYN, .window = 1000};
	struct net_guest *g = *state;
	struct flow flow;

	net_guest_start(g);
	flow = guest_flow(g, HOST_IP, 2000, 22);
	guest_send_tcp(g, &flow, &syn, NULL, 0);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->icmp, 1);
	assert_int_equal(g->last_icmp.icmp_type, 3);
	guest_send_udp(g, &flow, "x", 1);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->icmp, 2);
}

static void test_restricted(void **state)
{
	struct net_guest *g = *state;
	const uint32_t out[] = {IP4(192, 0, 2, 1), HOST_IP, DNS_IP};
	uint16_t port = 0;
	const int tcp = host_socket(SOCK_STREAM, "0.0.0.0", &port);
	const int udp = host_socket(SOCK_DGRAM, "0.0.0.0", &port);

	g->config.restricted = true;
	net_guest_start(g);
	for (size_t i = 0; i < ARRAY_SIZE(out); i++) {
		const struct flow flow = guest_flow(g, out[i], 2000, port);

		assert_false(connects(g, &flow, tcp));
		assert_false(reaches(g, &flow, udp));
	}
	dhcp(g, DHCP_DISCOVER);
	assert_int_equal(g->udp, 1);
	assert_null(dhcp_option(g, 3));
	close(tcp);
	close(udp);
}

/* ---- configuration ---- */

static void refused(struct net_guest *g, int rc, const char *why)
{
	struct net *net = NULL;

	assert_int_equal(net_slirp_create(&g->config, &net, &g->fix.err), rc);
	assert_null(net);
	assert_non_null(strstr(g->fix.err.text, why));
	assert_int_equal(fake_clock_armed(&g->fix.clock), 0);
}

static void test_configuration(void **state)
{
	struct net_guest *g = *state;

	g->config.mtu = 1279;
	refused(g, -EINVAL, "the MTU is 1279, not 1280 to 21880");
	g->config.mtu = NET_SLIRP_MTU + 1;
	refused(g, -EINVAL, "the MTU is 21881");
	g->config.mtu = 0;
	g->config.dns = host_address("::", 53);
	refused(g, -EINVAL, "must be an address and a port");
	g->config.dns = host_address("fe80::1", 53);
	refused(g, -EINVAL, "must be an address and a port");
	g->config.dns = host_address("127.0.0.1", 0);
	refused(g, -EINVAL, "must be an address and a port");
	g->config.dns.sa.sa_family = AF_UNIX;
	refused(g, -EINVAL, "must be an address and a port");
	g->config.dns.sa.sa_family = 0;
	net_guest_start(g);
	assert_int_equal(g->fix.net->info.mtu, NET_SLIRP_MTU);
	assert_int_equal(g->fix.net->info.max_queues, 1);
	assert_int_equal(g->fix.net->info.send_offloads, 0);
	assert_int_equal(g->fix.net->info.recv_offloads, NET_CSUM);
	assert_true(g->fix.net->ops->link(g->fix.net));
	assert_int_equal(g->fix.net->ops->set_offloads(g->fix.net, 0), 0);
	assert_int_equal(g->fix.net->ops->set_offloads(g->fix.net, NET_TSO4), -EINVAL);
	assert_int_equal(g->fix.net->ops->set_queues(g->fix.net, 1), 0);
	assert_int_equal(g->fix.net->ops->set_queues(g->fix.net, 2), -EINVAL);
}

static void test_forward_errors(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int listener = host_socket(SOCK_STREAM, "127.0.0.1", &port);
	struct net_forward forward = {.guest = host_address("0.0.0.0", 80)};
	char text[64];

	g->config.forwards = &forward;
	g->config.num_forwards = 1;
	forward.host = host_address("127.0.0.1", port);
	snprintf(text, sizeof(text), "TCP port 127.0.0.1:%u: Address already in use", port);
	refused(g, -EADDRINUSE, text);
	close(listener);
	forward.host = host_address("198.51.100.1", 5000);
	forward.udp = true;
	refused(g, -EADDRNOTAVAIL, "UDP port 198.51.100.1:5000");
	forward.host = host_address("::1", 5000);
	refused(g, -EINVAL, "both");
	forward.guest = host_address("::", 0);
	refused(g, -EINVAL, "1 to 65535");
}

/* What was logged about the port that has led to the guest's last of all. */
static uint16_t logged_port(struct net_guest *g, const char *before, const char *after)
{
	char text[4096] = "", *at, *end;
	unsigned long port;

	assert_true(pread(g->fix.log_fd, text, sizeof(text) - 1, 0) > 0);
	at = strstr(text, before);
	assert_non_null(at);
	port = strtoul(at + strlen(before), &end, 10);
	assert_memory_equal(end, after, strlen(after));
	return (uint16_t)port;
}

/* Four that are free; what is logged is what connects. */
static void test_forward_anywhere(void **state)
{
	struct net_guest *g = *state;
	const struct net_forward forwards[] = {
		{.host = host_address("127.0.0.1", 0), .guest = host_address("0.0.0.0", 22)},
		{.host = host_address("127.0.0.1", host_free_port(SOCK_STREAM)),
			.guest = host_address("0.0.0.0", 23)},
		{.host = host_address("::1", 0), .guest = host_address("::", 24)},
		{.udp = true,
			.host = host_address("127.0.0.1", 0),
			.guest = host_address("0.0.0.0", 25)},
		{.host = host_address("127.0.0.1", 0), .guest = host_address("0.0.0.0", 26)},
	};
	union net_address taken;
	uint16_t ports[3];
	int fd;

	g->config.forwards = forwards;
	g->config.num_forwards = ARRAY_SIZE(forwards);
	net_guest_start(g);
	ports[0] = logged_port(g, "TCP port 127.0.0.1:", " is forwarded to the guest's port 22\n");
	ports[1] = logged_port(g, "TCP port [::1]:", " is forwarded to the guest's port 24\n");
	ports[2] = logged_port(g, "UDP port 127.0.0.1:", " is forwarded to the guest's port 25\n");
	assert_false(net_fixture_logged(&g->fix, "the guest's port 23"));
	guest_listen(g, 22);
	fd = host_connect("127.0.0.1", ports[0]);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->last_syn.flow.dport, 22);
	close(fd);
	close(host_connect("::1", ports[1]));
	/* It is taken: nobody else can have it. */
	taken = host_address("127.0.0.1", ports[2]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, &taken.sa, sizeof(taken.in)), -1);
	close(fd);
}

/* ---- frames that are none ---- */

static void test_bad_frames(void **state)
{
	const struct net_header csum = {.flags = 1}, gso = {.gso_type = 1};
	struct net_guest *g = *state;
	static uint8_t frame[FRAME_MAX + 100];
	struct iovec iov = {.iov_base = frame, .iov_len = sizeof(frame)};

	net_guest_start(g);
	assert_int_equal(net_fixture_send(&g->fix, 0, NULL, frame, 13), -EMSGSIZE);
	assert_int_equal(
		net_fixture_send(&g->fix, 0, NULL, frame, 14 + NET_SLIRP_MTU + 1), -EMSGSIZE);
	assert_int_equal(net_fixture_send(&g->fix, 0, &csum, frame, 60), -EINVAL);
	assert_int_equal(net_fixture_send(&g->fix, 0, &gso, frame, 60), -EINVAL);
	assert_int_equal(net_fixture_send(&g->fix, 0, NULL, frame, 60), -EACCES);
	/* Shorter than it claims to be. */
	iov.iov_len = 50;
	assert_int_equal(g->fix.net->ops->send(g->fix.net, 0, &iov, 1, 60), -EINVAL);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->fix.frames, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dhcp),
		TEST(test_dhcp_starved),
		TEST(test_arp),
		TEST(test_router_advertisement),
		TEST(test_ping),
		TEST(test_vouched),
		TEST(test_loopback_closed),
		TEST(test_loopback_closed_to_fragments),
		TEST(test_loopback_opened),
		TEST(test_refusal),
		TEST(test_restricted),
		TEST(test_configuration),
		TEST(test_forward_errors),
		TEST(test_forward_anywhere),
		TEST(test_bad_frames),
	};

	net_sandbox_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
