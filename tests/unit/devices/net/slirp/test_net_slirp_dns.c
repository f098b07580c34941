/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking: which name server is asked, by which IP, and what happens when it is silent. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../../devices/net/slirp/slirp_dns.h"
#include "devices/net/net_guest.h"

static bool sandbox; /* set by main */

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

static void start(struct net_guest *g, const char *resolv_conf)
{
	if (!sandbox || !net_sandbox_resolv_conf(resolv_conf))
		skip();
	net_guest_start(g);
}

static int server_on(const char *address)
{
	uint16_t port = 53;

	return host_socket(SOCK_DGRAM, address, &port);
}

/* Whether a question has come to the server, which answers, unless it is dead. */
static bool is_asked(struct net_guest *g, int server, bool dead)
{
	union net_address from;
	socklen_t len = sizeof(from);
	char buf[64];

	if (recvfrom(server, buf, sizeof(buf), 0, &from.sa, &len) != 9)
		return false;
	assert_memory_equal(buf, "question?", 9);
	if (!dead)
		assert_int_equal(sendto(server, "answer!", 7, 0, &from.sa, len), 7);
	net_fixture_settle(&g->fix);
	return true;
}

static void question(struct net_guest *g, const struct flow *flow)
{
	assert_int_equal(guest_send_udp(g, flow, "question?", 9), 0);
	net_fixture_settle(&g->fix);
}

/* From the address that was asked, with a right checksum. */
static void assert_answer(struct net_guest *g, const struct flow *flow)
{
	assert_int_equal(g->udp, 1);
	g->udp = 0;
	assert_int_equal(g->last_udp.len, 7);
	assert_memory_equal(g->udp_data, "answer!", 7);
	assert_int_equal(g->last_udp.flow.v6, flow->v6);
	assert_int_equal(g->last_udp.flow.sport, 53);
	assert_int_equal(g->last_udp.flow.dport, flow->sport);
	if (flow->v6) {
		assert_memory_equal(g->last_udp.flow.src6, flow->dst6, 16);
	} else {
		assert_int_equal(g->last_udp.flow.src, flow->dst);
		assert_int_equal(g->last_udp.flow.dst, flow->src);
	}
	assert_memory_equal(g->last_udp.flow.dst_mac, flow->src_mac, 6);
	assert_int_equal(g->bad_sums, 0);
}

static void served(struct net_guest *g, const struct flow *flow, int server)
{
	question(g, flow);
	assert_true(is_asked(g, server, false));
	assert_answer(g, flow);
}

/* ---- by IPv6 ---- */

static void test_ipv6_only(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	uint8_t frame[128];
	size_t len;
	int server;

	start(g, "search example.org\nnameserver ::1\n");
	server = server_on("::1");
	served(g, &flow, server);
	flow.sport = 2001;
	served(g, &flow, server);
	/* IPv4 can do without a checksum. */
	len = build_udp(frame, &flow, "question?", 9);
	memset(frame + 14 + 20 + 6, 0, 2);
	assert_int_equal(net_fixture_send(&g->fix, 0, NULL, frame, len), 0);
	net_fixture_settle(&g->fix);
	assert_true(is_asked(g, server, false));
	assert_answer(g, &flow);
	/* Who speaks IPv6 is not translated. */
	flow = guest_flow6(g, "fec0::3", 2000, 53);
	served(g, &flow, server);
	close(server);
}

static void test_ipv6_given(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_DGRAM, "::1", &port);
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);

	g->config.dns = host_address("::1", port);
	net_guest_start(g);
	served(g, &flow, server);
	flow = guest_flow6(g, "fec0::3", 2000, 53);
	served(g, &flow, server);
	/* Only that, and only there. */
	flow.dport = port;
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), -EACCES);
	flow = guest_flow6(g, "::1", 2000, port);
	assert_int_equal(guest_send_udp(g, &flow, "x", 1), -EACCES);
	close(server);
}

/* Long answers come by TCP. */
static void test_ipv6_by_tcp(void **state)
{
	struct net_guest *g = *state;
	uint16_t port = 0;
	const int server = host_socket(SOCK_STREAM, "::1", &port);
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	char buf[64];
	int fd;

	g->config.dns = host_address("::1", port);
	net_guest_start(g);
	g->tcp.mss = 1460;
	guest_connect(g, &flow);
	g->tcp.to_send = 20;
	net_fixture_settle(&g->fix);
	assert_true(g->tcp.established);
	fd = accept(server, NULL, NULL);
	assert_true(fd >= 0);
	net_fixture_settle(&g->fix);
	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 20);
	assert_int_equal(send(fd, buf, 20, 0), 20);
	net_fixture_settle(&g->fix);
	assert_int_equal(g->tcp.received, 20);
	assert_int_equal(g->tcp.bad_bytes + g->tcp.bad_sums, 0);
	close(fd);
	close(server);
}

/* ---- several ---- */

static void test_silent(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	int first, second;

	start(g, "nameserver 127.0.0.53\nnameserver 127.0.0.54\n");
	first = server_on("127.0.0.53");
	second = server_on("127.0.0.54");
	served(g, &flow, first);
	/* Slow is not silent. */
	question(g, &flow);
	fake_clock_advance(&g->fix.clock, 900 * NSEC_PER_MSEC);
	question(g, &flow);
	assert_true(is_asked(g, first, true) && is_asked(g, first, true));
	fake_clock_advance(&g->fix.clock, 5 * NSEC_PER_SEC);
	served(g, &flow, second);
	/* It stays with that, */
	fake_clock_advance(&g->fix.clock, 60 * NSEC_PER_SEC);
	served(g, &flow, second);
	assert_false(is_asked(g, first, true));
	/* until it is silent, too. */
	question(g, &flow);
	assert_true(is_asked(g, second, true));
	fake_clock_advance(&g->fix.clock, 5 * NSEC_PER_SEC);
	served(g, &flow, first);
	close(first);
	close(second);
}

/* A host that is there and has no server says so at once. */
static void test_refused(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	int second;

	start(g, "nameserver 127.0.0.53\nnameserver 127.0.0.54\n");
	second = server_on("127.0.0.54");
	question(g, &flow);
	assert_int_equal(g->icmp, 1);
	served(g, &flow, second);
	close(second);
}

/* From an IPv4 server to an IPv6 one, and back when that refuses. */
static void test_other_family(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	int first, second;

	start(g, "nameserver ::1\nnameserver 127.0.0.53\n");
	first = server_on("127.0.0.53");
	second = server_on("::1");
	question(g, &flow);
	assert_true(is_asked(g, first, true));
	fake_clock_advance(&g->fix.clock, 2 * NSEC_PER_SEC);
	served(g, &flow, second);
	close(second);
	question(g, &flow);
	served(g, &flow, first);
	close(first);
}

/* ---- the file ---- */

static void test_none(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	int server;

	start(g, "search example.org\n#nameserver 192.0.2.1\n");
	server = server_on("127.0.0.1");
	served(g, &flow, server);
	close(server);
}

/* A host that moves into another network has another server. */
static void test_changed(void **state)
{
	struct net_guest *g = *state;
	struct flow flow = guest_flow(g, DNS_IP, 2000, 53);
	int first, second;

	start(g, "nameserver 127.0.0.53\n");
	first = server_on("127.0.0.53");
	second = server_on("::1");
	served(g, &flow, first);
	usleep(20000); /* the grain of files' times */
	assert_true(net_sandbox_resolv_conf("nameserver ::1\n"));
	fake_clock_advance(&g->fix.clock, 2 * NSEC_PER_SEC);
	served(g, &flow, second);
	close(first);
	close(second);
}

/* Each server: 4 or 6, then = for one that libslirp knows, or its address. */
static const struct {
	const char *text, *servers;
} files[] = {
	{"nameserver 192.0.2.1", "4="},
	{"nameserver\t192.0.2.1 \t\nnameserver  192.0.2.2\n", "4= 4192.0.2.2"},
	{"nameserver 2001:db8::1\nnameserver 192.0.2.1\nnameserver 2001:db8::2\n",
		"4= 6= 62001:db8::2"},
	{"nameserver fe80::1%eth0\nnameserver fe80::2%eth0\nnameserver ::1\n", "6= 6::1"},
	{"", "4127.0.0.1"},
	{"\n\n", "4127.0.0.1"},
	{"nameserver", "4127.0.0.1"},
	{"nameserver \n192.0.2.1", "4127.0.0.1"},
	{"nameservers 192.0.2.1\n nameserver 192.0.2.1\n;nameserver 192.0.2.1", "4127.0.0.1"},
	{"nameserver 192.0.2\nnameserver host.example.org\n", "4127.0.0.1"},
	{"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	 "nameserver 192.0.2.4\nnameserver 192.0.2.5\nnameserver ::1\n",
		"4= 4192.0.2.2 4192.0.2.3 4192.0.2.4"},
	{"nameserver 1111111111111111111111111111111111111111111111111111111111111111111111111111",
		"4127.0.0.1"},
};

static void test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct slirp_dns dns = {0};
		char text[256] = "";

		slirp_dns_parse(&dns, files[i].text);
		for (unsigned int n = 0; n < dns.num; n++) {
			const struct slirp_dns_server *server = &dns.servers[n];

			assert_int_equal(server->port, 53);
			strcat(text, n ? " " : "");
			strcat(text, server->v6 ? "6" : "4");
			if (server->alias)
				strcat(text, "=");
			else
				inet_ntop(server->v6 ? AF_INET6 : AF_INET, server->address,
					text + strlen(text), INET6_ADDRSTRLEN);
		}
		assert_string_equal(text, files[i].servers);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ipv6_only),
		TEST(test_ipv6_given),
		TEST(test_ipv6_by_tcp),
		TEST(test_silent),
		TEST(test_refused),
		TEST(test_other_family),
		TEST(test_none),
		TEST(test_changed),
		cmocka_unit_test(test_files),
	};

	sandbox = net_sandbox_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
