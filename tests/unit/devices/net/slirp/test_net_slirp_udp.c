/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking: name servers, datagrams, forwarded ports for datagrams. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/net_guest.h"

enum { GUEST_PORT = 7000 };

static bool sandbox, resolv_conf; /* set by main */

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

/* What has come to the socket, from whom; -1: nothing. */
static ssize_t take(int fd, char buf[2000], union net_address *from)
{
	socklen_t len = sizeof(*from);

	return recvfrom(fd, buf, 2000, 0, &from->sa, &len);
}

static void give(int fd, const void *data, size_t len, const union net_address *to)
{
	const socklen_t size = to->sa.sa_family == AF_INET6 ? sizeof(to->in6) : sizeof(to->in);

	assert_int_equal(sendto(fd, data, len, 0, &to->sa, size), len);
}

/* A question of the guest's that the server gets and answers. */
static void ask(struct net_guest *g, const struct flow *flow, int server)
{
	const unsigned int before = g->udp;
	union net_address from;
	char buf[2000];

	assert_int_equal(guest_send_udp(g, flow, "who is it?", 10), 0);
	assert_int_equal(take(server, buf, &from), 10);
	assert_memory_equal(buf, "who is it?", 10);
	give(server, "it is me", 8, &from);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->udp, before + 1);
	assert_int_equal(g->last_udp.len, 8);
	assert_memory_equal(g->udp_data, "it is me", 8);
	assert_int_equal(g->last_udp.flow.sport, flow->dport);
	assert_int_equal(g->last_udp.flow.dport, flow->sport);
	if (flow->v6)
		assert_memory_equal(g->last_udp.flow.src6, flow->dst6, 16);
	else
		assert_int_equal(g->last_udp.flow.src, flow->dst);
	assert_int_equal(g->bad_sums, 0);
}

/* ---- name servers ---- */

/* The one in resolv.conf, on the loopback, which is closed to the guest otherwise. */
static void test_dns_of_the_host(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 53;
	struct flow flow;
	int server, server6;

	if (!resolv_conf)
		skip();
	server = host_socket(SOCK_DGRAM, "127.0.0.53", &port);
	server6 = host_socket(SOCK_DGRAM, "::1", &port);
	net_guest_start(g);
	flow = guest_flow(g, DNS_IP, 2000, 53);
	ask(g, &flow, server);
	flow = guest_flow6(g, "fec0::3", 2000, 53);
	ask(g, &flow, server6);
	close(server);
	close(server6);
}

static void test_dns_given(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	struct flow flow;
	char buf[2000];
	union net_address from;

	g->config.dns = host_address("127.0.0.1", port);
	net_guest_start(g);
	flow = guest_flow(g, DNS_IP, 2000, 53);
	ask(g, &flow, server);
	ask(g, &flow, server);
	flow.sport = 2001;
	ask(g, &flow, server);
	/* Only that, and only there. */
	flow.dport = port;
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), -EACCES);
	flow.dst = IP4(127, 0, 0, 1);
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), -EACCES);
	flow.dst = HOST_IP;
	guest_send_udp(g, &flow, "x", 1);
	net_fixture_settle(&g->fix);
	assert_int_equal(take(server, buf, &from), -1);
	close(server);
}

/* Who asks the server under its own name gets the answer from that. */
static void test_dns_given_and_direct(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	struct flow alias, direct;
	int server;

	if (!sandbox)
		skip();
	server = host_socket(SOCK_DGRAM, SANDBOX_HOST, &port);
	g->config.dns = host_address(SANDBOX_HOST, port);
	net_guest_start(g);
	alias = guest_flow(g, DNS_IP, 2000, 53);
	direct = guest_flow(g, IP4(192, 0, 2, 1), 2001, port);
	ask(g, &alias, server);
	ask(g, &direct, server);
	ask(g, &alias, server);
	direct.sport = 2000;
	ask(g, &direct, server);
	ask(g, &alias, server);
	close(server);
}

/* Long answers come by TCP. */
static void test_dns_given_by_tcp(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_STREAM, "127.0.0.1", &port);
	struct flow flow;
	int fd;

	g->config.dns = host_address("127.0.0.1", port);
	net_guest_start(g);
	flow = guest_flow(g, DNS_IP, 2000, 53);
	guest_connect(g, &flow);
	net_fixture_settle(&g->fix);
	assert_true(g->tcp.established);
	fd = accept(server, NULL, NULL);
	assert_true(fd >= 0);
	close(fd);
	close(server);
}

/* ---- ordinary datagrams ---- */

static void test_datagrams(void **state)
{
	struct net_guest *g = *state;
	static uint8_t data[NET_SLIRP_MTU - 28];
	uint16_t port = 0;
	union net_address from;
	socklen_t from_len = sizeof(from);
	struct flow flow;
	int server;

	if (!sandbox)
		skip();
	server = host_socket(SOCK_DGRAM, SANDBOX_HOST, &port);
	net_guest_start(g);
	flow = guest_flow(g, IP4(192, 0, 2, 1), 2000, port);
	ask(g, &flow, server);
	/* As long as the network's MTU allows. */
	fill_stream(data, 0, sizeof(data));
	assert_int_equal(guest_send_udp(g, &flow, data, sizeof(data)), 0);
	memset(data, 0, sizeof(data));
	assert_int_equal(
		recvfrom(server, data, sizeof(data), 0, &from.sa, &from_len), sizeof(data));
	assert_int_equal(check_stream(data, 0, sizeof(data)), sizeof(data));
	give(server, data, sizeof(data), &from);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->last_udp.len, sizeof(data));
	assert_int_equal(check_stream(g->udp_data, 0, sizeof(data)), sizeof(data));
	close(server);
}

/* Bytes [from, to) of an IP packet's payload, as a fragment. */
static int send_piece(struct net_guest *g, const uint8_t *whole, size_t from, size_t to, size_t len)
{
	static uint8_t piece[FRAME_MAX];

	memcpy(piece, whole, 34);
	memcpy(piece + 34, whole + 34 + from, to - from);
	put_be16(piece + 16, (uint16_t)(20 + to - from));
	put_be16(piece + 20, (uint16_t)((to < len ? 0x2000 : 0) | from / 8));
	fix_ip4_sum(piece);
	return net_fixture_send(&g->fix, 0, NULL, piece, 34 + to - from);
}

enum { LEN = 30000, HALF = 16000, WHOLE = 8 + LEN };

static void test_fragments(void **state)
{
	static uint8_t data[LEN], frame[FRAME_MAX];
	struct net_guest *g = *state;
	uint16_t port = 0;
	struct flow flow;
	int server;

	if (!sandbox)
		skip();
	server = host_socket(SOCK_DGRAM, SANDBOX_HOST, &port);
	net_guest_start(g);
	flow = guest_flow(g, IP4(192, 0, 2, 1), 2000, port);
	fill_stream(data, 0, LEN);
	build_udp(frame, &flow, data, LEN);
	for (unsigned int i = 0; i < 2000; i++) {
		put_be16(frame + 18, (uint16_t)i);
		assert_int_equal(send_piece(g, frame, 0, HALF, WHOLE), 0);
		assert_int_equal(send_piece(g, frame, HALF, HALF + 8, WHOLE), 0);
		assert_int_equal(send_piece(g, frame, HALF + 8, WHOLE, WHOLE), 0);
		memset(data, 0, LEN);
		assert_int_equal(recv(server, data, LEN, 0), LEN);
		assert_int_equal(check_stream(data, 0, LEN), LEN);
	}
	close(server);
}

static void test_fragments_refused(void **state)
{
	static uint8_t data[LEN], frame[FRAME_MAX];
	struct net_guest *g = *state;
	struct flow flow;
	unsigned int passed = 0;

	net_guest_start(g);
	flow = guest_flow(g, IP4(192, 0, 2, 1), 2000, 2000);
	build_udp(frame, &flow, data, LEN);
	/* The last one first, alone; a piece of nothing; none of a multiple of 8 bytes */
	assert_int_equal(send_piece(g, frame, HALF, WHOLE, WHOLE), -EACCES);
	assert_int_equal(send_piece(g, frame, 0, 0, WHOLE), -EACCES);
	assert_int_equal(send_piece(g, frame, 0, HALF + 1, WHOLE), -EACCES);
	/* A gap, an overlap, another datagram's; and then the one that fits */
	assert_int_equal(send_piece(g, frame, 0, HALF, WHOLE), 0);
	assert_int_equal(send_piece(g, frame, HALF + 8, WHOLE, WHOLE), -EACCES);
	assert_int_equal(send_piece(g, frame, HALF - 8, WHOLE, WHOLE), -EACCES);
	frame[18]++;
	assert_int_equal(send_piece(g, frame, HALF, WHOLE, WHOLE), -EACCES);
	frame[18]--;
	assert_int_equal(send_piece(g, frame, HALF, WHOLE, WHOLE), 0);
	assert_int_equal(send_piece(g, frame, HALF, WHOLE, WHOLE), -EACCES);
	/* Beginnings without an end: libslirp keeps them for half a minute. */
	for (unsigned int i = 0; i < 3000; i++)
		passed += send_piece(g, frame, 0, 8, WHOLE) == 0;
	assert_int_equal(passed, 1001);
	fake_clock_advance(&g->fix.clock, 30 * NSEC_PER_SEC);
	assert_int_equal(send_piece(g, frame, 0, 8, WHOLE), 0);
}

/* libslirp's clock stands still while nothing happens, and flows live for four minutes of it. */
static void test_after_a_pause(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	struct flow flow;

	g->config.dns = host_address("127.0.0.1", port);
	net_guest_start(g);
	fake_clock_advance(&g->fix.clock, 3600 * NSEC_PER_SEC);
	flow = guest_flow(g, DNS_IP, 2000, 53);
	ask(g, &flow, server);
	/* After those four minutes nothing is left to wait for but router advertisements. */
	assert_int_equal(fake_clock_armed(&g->fix.clock), 2);
	fake_clock_advance(&g->fix.clock, 250 * NSEC_PER_SEC);
	assert_int_equal(fake_clock_armed(&g->fix.clock), 1);
	fake_clock_advance(&g->fix.clock, 36000 * NSEC_PER_SEC);
	ask(g, &flow, server);
	close(server);
}

/* Sockets are not made without end. */
static void test_many_flows(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	const struct tcp_fields syn = {.flags = TCP_SYN, .window = 1000};
	struct rlimit old, limit;
	unsigned int passed = 0;
	struct flow flow;

	getrlimit(RLIMIT_NOFILE, &old);
	limit = old;
	limit.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &limit);
	g->config.dns = host_address("127.0.0.1", port);
	net_guest_start(g);
	flow = guest_flow(g, DNS_IP, 0, 53);
	for (unsigned int i = 0; i < 1000; i++) {
		flow.sport = (uint16_t)(3000 + i);
		passed += guest_send_udp(g, &flow, "x", 1) == 0;
	}
	assert_int_equal(passed, 50);
	assert_int_equal(guest_send_tcp(g, &flow, &syn, NULL, 0), -EACCES);
	/* They go when they are not used any more. */
	net_fixture_settle(&g->fix);
	fake_clock_advance(&g->fix.clock, 300 * NSEC_PER_SEC);
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	close(server);
}

/* ---- forwarded ports ---- */

static void forward(
	struct net_guest *g, struct net_forward *fwd, const char *host, const char *guest)
{
	*fwd = (struct net_forward){.udp = true,
		.host = host_address(host, host_free_port(SOCK_DGRAM)),
		.guest = host_address(guest, GUEST_PORT)};
	g->config.forwards = fwd;
	g->config.num_forwards = 1;
	g->echo_udp = true;
	net_guest_start(g);
	/* The guest says who it is, for libslirp to find it. */
	for (int i = 0; i < 2; i++) {
		const struct flow hello =
			i ? guest_flow6(g, "ff02::2", 0, 0) : guest_flow(g, HOST_IP, 0, 0);
		uint8_t frame[128];

		net_fixture_send(&g->fix, 0, NULL, frame,
			i ? build_icmp(frame, &hello, 133, "\0\0\0\0", 4)
			  : build_arp(frame, &hello, 1));
	}
	net_fixture_settle(&g->fix);
}

static void check_echo(struct net_guest *g, int client, const struct net_forward *fwd)
{
	union net_address from;
	char buf[2000];

	for (unsigned int i = 0; i < 3; i++) {
		give(client, "anybody there?", 14, &fwd->host);
		net_fixture_settle(&g->fix);
		assert_int_equal(take(client, buf, &from), 14);
		assert_memory_equal(buf, "anybody there?", 14);
		assert_int_equal(from.in.sin_port, fwd->host.in.sin_port);
	}
	assert_int_equal(g->last_udp.flow.dport, GUEST_PORT);
	assert_int_equal(g->bad_sums, 0);
}

static void test_forward_to_loopback_clients(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0, other = 0;
	const int client = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	const int second = host_socket(SOCK_DGRAM, "127.0.0.77", &other);
	struct net_forward fwd;
	union net_address from;
	struct flow flow;
	char buf[2000];

	forward(g, &fwd, "127.0.0.1", "0.0.0.0");
	check_echo(g, client, &fwd);
	assert_int_equal(g->last_udp.flow.src, HOST_IP);
	check_echo(g, second, &fwd);
	assert_int_equal(g->last_udp.flow.src, HOST_IP);
	check_echo(g, client, &fwd);
	close(second);
	/* Answers are all that may be sent there. */
	flow = guest_flow(g, HOST_IP, GUEST_PORT, port);
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), 0);
	assert_int_equal(take(client, buf, &from), 1);
	flow.sport++;
	guest_send_udp(g, &flow, "x", 1);
	assert_int_equal(take(client, buf, &from), -1);
	close(client);
}

static void test_forward_ipv6(void **state)
{
	static const uint8_t host6[16] = {0xfe, 0xc0, [15] = 2};
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int client = host_socket(SOCK_DGRAM, "::1", &port);
	struct net_forward fwd;

	forward(g, &fwd, "::1", "::");
	check_echo(g, client, &fwd);
	assert_memory_equal(g->last_udp.flow.src6, host6, 16);
	close(client);
}

static void test_forward_to_others(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	struct net_forward fwd;
	int client;

	if (!sandbox)
		skip();
	client = host_socket(SOCK_DGRAM, SANDBOX_HOST, &port);
	forward(g, &fwd, SANDBOX_HOST, "10.0.2.15");
	check_echo(g, client, &fwd);
	assert_int_equal(g->last_udp.flow.src, IP4(192, 0, 2, 1));
	close(client);
}

/* A forwarded port that nobody has spoken from yet has nothing to blame an error on. */
static void test_forward_before_the_guest(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int client = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
	struct net_forward fwd = {.udp = true,
		.host = host_address("127.0.0.1", host_free_port(SOCK_DGRAM)),
		.guest = host_address("0.0.0.0", GUEST_PORT)};

	g->config.forwards = &fwd;
	g->config.num_forwards = 1;
	net_guest_start(g);
	/* Nobody has 10.0.2.15: libslirp asks for it, and then gives up. */
	for (unsigned int i = 0; i < 10; i++)
		give(client, "x", 1, &fwd.host);
	net_fixture_settle(&g->fix);
	fake_clock_advance(&g->fix.clock, 10 * NSEC_PER_SEC);
	net_fixture_settle(&g->fix);
	close(client);
	for (unsigned int i = 0; i < 10; i++) {
		union net_address to = fwd.host;
		const int gone = host_socket(SOCK_DGRAM, "127.0.0.1", &(uint16_t){0});

		give(gone, "x", 1, &to);
		close(gone);
		net_fixture_settle(&g->fix);
	}
	assert_true(g->fix.frames > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dns_of_the_host),
		TEST(test_dns_given),
		TEST(test_dns_given_and_direct),
		TEST(test_dns_given_by_tcp),
		TEST(test_datagrams),
		TEST(test_fragments),
		TEST(test_fragments_refused),
		TEST(test_after_a_pause),
		TEST(test_many_flows),
		TEST(test_forward_to_loopback_clients),
		TEST(test_forward_ipv6),
		TEST(test_forward_to_others),
		TEST(test_forward_before_the_guest),
	};

	sandbox = net_sandbox_enter();
	resolv_conf = sandbox && net_sandbox_resolv_conf("nameserver 127.0.0.53\nnameserver ::1\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
