/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking: TCP connections, and what holds them back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../../devices/net/slirp/slirp_private.h"
#include "devices/net/net_guest.h"

enum { GUEST_PORT = 7000, BULK = 6 << 20, CHUNK = 65536, TURNS = 20000 };

static bool sandbox; /* set by main */

/* The host's end: a stream of bytes each way. */
struct host_end {
	int fd;
	uint64_t to_send, sent, received;
	unsigned int bad_bytes;
	bool end_seen, deaf, failed;
};

struct tcp_fixture {
	struct net_guest g; /* first, so that it is *state */
	struct net_forward fwd;
	struct host_end host;
	size_t most_used; /* of the ring */
};

static int set_up(void **state)
{
	struct tcp_fixture *f = calloc(1, sizeof(*f));

	net_guest_init(&f->g);
	f->host.fd = -1;
	f->fwd =
		(struct net_forward){.host = host_address("127.0.0.1", host_free_port(SOCK_STREAM)),
			.guest = host_address("0.0.0.0", GUEST_PORT)};
	f->g.config.forwards = &f->fwd;
	f->g.config.num_forwards = 1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct tcp_fixture *f = *state;

	if (f->host.fd >= 0)
		close(f->host.fd);
	net_guest_fini(&f->g);
	free(f);
	return 0;
}

static struct net_slirp *slirp_of(struct tcp_fixture *f)
{
	return container_of(f->g.fix.net, struct net_slirp, net);
}

/* ---- the host's end ---- */

static bool host_writes(struct host_end *host)
{
	static uint8_t buf[CHUNK];
	const size_t len = (size_t)MIN(host->to_send - host->sent, (uint64_t)CHUNK);
	ssize_t n;

	if (!len)
		return false;
	fill_stream(buf, host->sent, len);
	n = send(host->fd, buf, len, MSG_NOSIGNAL);
	if (n < 0) {
		host->failed |= errno != EAGAIN;
		return false;
	}
	host->sent += (uint64_t)n;
	return true;
}

static bool host_reads(struct host_end *host)
{
	static uint8_t buf[CHUNK];
	ssize_t n;

	if (host->deaf || host->end_seen)
		return false;
	n = recv(host->fd, buf, sizeof(buf), 0);
	if (n < 0) {
		host->failed |= errno != EAGAIN;
		return false;
	}
	host->end_seen = n == 0;
	host->bad_bytes += check_stream(buf, host->received, (size_t)n) != (size_t)n;
	host->received += (uint64_t)n;
	return n > 0;
}

/* Both ends do what they can, until nothing moves any more. libslirp's short timer counts, too. */
static void run(struct tcp_fixture *f)
{
	unsigned int still = 0;

	for (unsigned int i = 0; still < 4; i++) {
		bool moved = event_loop_step(f->g.fix.loop, still ? 3 : 0) > 0;

		assert_true(i < TURNS);
		f->most_used = MAX(f->most_used, slirp_of(f)->ring.used);
		moved |= host_writes(&f->host);
		moved |= host_reads(&f->host);
		guest_push(&f->g);
		still = moved ? 0 : still + 1;
		if (!moved)
			fake_clock_advance(&f->g.fix.clock, 3 * NSEC_PER_MSEC);
	}
}

/* From the host to the guest. */
static void open_forward(struct tcp_fixture *f)
{
	net_guest_start(&f->g);
	guest_listen(&f->g, GUEST_PORT);
	f->host.fd = host_connect("127.0.0.1", ntohs(f->fwd.host.in.sin_port));
	run(f);
	assert_true(f->g.tcp.established);
	assert_int_equal(f->g.tcp.flow.dst, HOST_IP);
}

/* ---- data ---- */

static void check_complete(struct tcp_fixture *f, uint64_t to_guest, uint64_t to_host)
{
	const struct guest_tcp *tcp = &f->g.tcp;

	assert_int_equal(tcp->received, to_guest);
	assert_int_equal(f->host.received, to_host);
	assert_int_equal(tcp->bad_bytes, 0);
	assert_int_equal(f->host.bad_bytes, 0);
	assert_int_equal(tcp->bad_sums, 0);
	assert_int_equal(tcp->retransmitted, 0);
	assert_false(f->host.failed);
}

static void test_to_guest(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->host.to_send = BULK;
	run(f);
	check_complete(f, BULK, 0);
	assert_int_equal(f->g.last_syn.tcp.mss, NET_SLIRP_MTU - 40);
	assert_true(f->g.tcp.longest == NET_SLIRP_MTU - 40);
}

static void test_to_host(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->g.tcp.to_send = BULK;
	run(f);
	check_complete(f, 0, BULK);
}

static void test_both_ways(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->host.to_send = BULK / 2;
	f->g.tcp.to_send = BULK / 2;
	run(f);
	check_complete(f, BULK / 2, BULK / 2);
}

/* A guest that did not take the MTU. */
static void test_small_segments(void **state)
{
	struct tcp_fixture *f = *state;

	f->g.tcp.mss = 1460;
	open_forward(f);
	f->host.to_send = BULK / 2;
	f->g.tcp.to_send = BULK / 2;
	run(f);
	check_complete(f, BULK / 2, BULK / 2);
	assert_int_equal(f->g.tcp.longest, 1460);
}

static void test_configured_mtu(void **state)
{
	struct tcp_fixture *f = *state;

	f->g.config.mtu = 1500;
	open_forward(f);
	assert_int_equal(f->g.fix.net->info.mtu, 1500);
	assert_int_equal(f->g.last_syn.tcp.mss, 1460);
	f->host.to_send = BULK / 4;
	run(f);
	check_complete(f, BULK / 4, 0);
}

static void test_outward(void **state)
{
	struct tcp_fixture *f = *state;
	uint16_t port = 0;
	struct flow flow;
	int listener;

	if (!sandbox)
		skip();
	listener = host_socket(SOCK_STREAM, SANDBOX_HOST, &port);
	net_guest_start(&f->g);
	flow = guest_flow(&f->g, IP4(192, 0, 2, 1), 2000, port);
	guest_connect(&f->g, &flow);
	net_fixture_settle(&f->g.fix);
	assert_true(f->g.tcp.established);
	f->host.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(f->host.fd >= 0);
	f->host.to_send = f->g.tcp.to_send = BULK / 4;
	f->g.tcp.fin_when_sent = true;
	run(f);
	check_complete(f, BULK / 4, BULK / 4);
	assert_true(f->host.end_seen);
	close(f->host.fd);
	f->host.fd = -1;
	net_fixture_settle(&f->g.fix);
	assert_true(f->g.tcp.fin_seen);
	assert_int_equal(f->g.rst, 0);
	close(listener);
}

static void test_refused(void **state)
{
	struct tcp_fixture *f = *state;
	struct flow flow;

	if (!sandbox)
		skip();
	net_guest_start(&f->g);
	flow = guest_flow(&f->g, IP4(192, 0, 2, 1), 2000, host_free_port(SOCK_STREAM));
	guest_connect(&f->g, &flow);
	net_fixture_settle(&f->g.fix);
	assert_true(f->g.tcp.reset);
}

/* Many, one after the other: each leaves nothing behind. */
static void test_connections_come_and_go(void **state)
{
	struct tcp_fixture *f = *state;

	net_guest_start(&f->g);
	for (unsigned int i = 0; i < 50; i++) {
		f->g.tcp = (struct guest_tcp){.mss = 1460, .to_send = 1000, .fin_when_sent = true};
		guest_listen(&f->g, GUEST_PORT);
		f->host = (struct host_end){
			.fd = host_connect("127.0.0.1", ntohs(f->fwd.host.in.sin_port)),
			.to_send = 1000};
		run(f);
		check_complete(f, 1000, 1000);
		assert_true(f->host.end_seen);
		close(f->host.fd);
		f->host.fd = -1;
		net_fixture_settle(&f->g.fix);
		assert_true(f->g.tcp.fin_seen);
	}
	fake_clock_advance(&f->g.fix.clock, 600 * NSEC_PER_SEC);
	net_fixture_settle(&f->g.fix);
	assert_int_equal(slirp_of(f)->poll.live, 0);
	/* The listening socket is polled, and nothing else. */
	assert_int_equal(slirp_of(f)->poll.num_set, 1);
}

/* Something goes on in each pass of the loop, but not for ever. */
static void test_echo_costs(void **state)
{
	struct tcp_fixture *f = *state;
	unsigned int steps = 0;
	uint8_t byte;

	open_forward(f);
	f->g.tcp.to_send = 1;
	guest_push(&f->g);
	assert_int_equal(recv(f->host.fd, &byte, 1, 0), 1);
	while (event_loop_step(f->g.fix.loop, 0) > 0)
		steps++;
	/* One turn for what the guest sent; the acknowledgement is there with it. */
	assert_int_equal(steps, 1);
	assert_int_equal(f->g.tcp.snd_una, f->g.tcp.snd_nxt);
}

/* ---- held back ---- */

/* Nobody fetches: the sender stops, the ring has its bound, and nothing is lost. */
static void test_guest_fetches_nothing(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->host.to_send = BULK;
	f->g.fix.lazy = true;
	run(f);
	assert_true(f->host.sent < BULK);
	assert_true(f->most_used < FRAME_RING_SIZE);
	f->g.fix.lazy = false;
	net_fixture_rx_enable(&f->g.fix, 0, true);
	run(f);
	check_complete(f, BULK, 0);
}

/*
 * The host's program reads nothing, and then slowly: the guest's window closes and must open again
 * without the guest asking.
 */
static void test_host_reads_late(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->host.deaf = true;
	f->g.tcp.to_send = BULK;
	run(f);
	assert_true(f->g.tcp.sent < BULK);
	for (unsigned int i = 0; i < TURNS && f->host.received < BULK; i++) {
		f->host.deaf = false;
		if (!host_reads(&f->host))
			run(f);
		f->host.deaf = true;
		event_loop_step(f->g.fix.loop, 0);
	}
	check_complete(f, 0, BULK);
}

/* Datagrams have no window: they fill the ring up to where sockets are not read any more. */
static void test_flood(void **state)
{
	struct tcp_fixture *f = *state;
	const int client = host_socket(SOCK_DGRAM, "127.0.0.1", &(uint16_t){0});
	static uint8_t data[20000];
	unsigned int fetched;
	size_t used;

	f->fwd.udp = true;
	net_guest_start(&f->g);
	f->g.fix.lazy = true;
	/* libslirp knows where the guest is once it has said a word. */
	fill_stream(data, 0, sizeof(data));
	{
		const struct flow hello = guest_flow(&f->g, HOST_IP, 0, 0);
		uint8_t frame[64];

		net_fixture_send(&f->g.fix, 0, NULL, frame, build_arp(frame, &hello, 1));
	}
	for (unsigned int i = 0; i < 200; i++) {
		sendto(client, data, sizeof(data), 0, &f->fwd.host.sa, sizeof(f->fwd.host.in));
		event_loop_step(f->g.fix.loop, 0);
	}
	used = slirp_of(f)->ring.used;
	assert_true(used > SLIRP_MANY && used < SLIRP_MANY + 2 * sizeof(data));
	fetched = f->g.fix.frames;
	f->g.fix.lazy = false;
	net_fixture_rx_enable(&f->g.fix, 0, true);
	net_fixture_settle(&f->g.fix);
	/* What was in the ring, and what had waited in the socket. */
	assert_true(f->g.fix.frames - fetched > used / sizeof(data));
	assert_int_equal(slirp_of(f)->ring.used, 0);
	assert_int_equal(check_stream(f->g.udp_data, 0, sizeof(data)), sizeof(data));
	close(client);
}

/* The guest sends, and fetches no answers: in the end it has to wait, and is told when not. */
static void test_guest_only_sends(void **state)
{
	struct tcp_fixture *f = *state;
	struct flow flow;
	uint8_t frame[128];
	unsigned int sent = 0;
	size_t len;
	int rc;

	net_guest_start(&f->g);
	f->g.fix.lazy = true;
	flow = guest_flow(&f->g, HOST_IP, 0, 0);
	len = build_icmp(frame, &flow, 8, "\0\1\0\1pinging", 12);
	net_fixture_send(&f->g.fix, 0, NULL, frame, build_arp(frame, &flow, 1));
	len = build_icmp(frame, &flow, 8, "\0\1\0\1pinging", 12);
	while ((rc = net_fixture_send(&f->g.fix, 0, NULL, frame, len)) == 0)
		assert_true(++sent < 100000);
	assert_int_equal(rc, -EAGAIN);
	net_fixture_settle(&f->g.fix);
	assert_int_equal(f->g.fix.writable[0], 0);
	assert_true(slirp_of(f)->ring.used > SLIRP_TOO_MANY);
	f->g.fix.lazy = false;
	net_fixture_rx_enable(&f->g.fix, 0, true);
	net_fixture_settle(&f->g.fix);
	assert_int_equal(f->g.fix.writable[0], 1);
	assert_int_equal(f->g.icmp, sent);
	assert_int_equal(net_fixture_send(&f->g.fix, 0, NULL, frame, len), 0);
}

/*
 * Both directions are stuck, libslirp's buffers full, when the peer resets the connection. libslirp
 * would read into a buffer without room if it were told.
 */
static void test_reset_while_stuck(void **state)
{
	const struct linger linger = {.l_onoff = 1};
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->g.tcp.deaf = true;
	f->host.deaf = true;
	f->host.to_send = f->g.tcp.to_send = BULK;
	run(f);
	assert_true(f->host.sent < BULK);
	assert_true(f->g.tcp.sent < BULK);
	setsockopt(f->host.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(f->host.fd);
	f->host.fd = -1;
	net_fixture_settle(&f->g.fix);
	fake_clock_advance(&f->g.fix.clock, 5 * NSEC_PER_SEC);
	net_fixture_settle(&f->g.fix);
	assert_true(f->g.fix.frames > 0);
}

/* ---- urgent data ---- */

/* More urgent bytes than there are: libslirp must not send what lies behind them. */
static void test_urgent(void **state)
{
	struct tcp_fixture *f = *state;
	struct tcp_fields tcp = {
		.flags = TCP_ACK | TCP_PSH | TCP_URG, .window = 65535, .urgent = 2000};
	uint8_t buf[4096];

	open_forward(f);
	tcp.seq = f->g.tcp.snd_nxt;
	tcp.ack = f->g.tcp.rcv_nxt;
	assert_int_equal(guest_send_tcp(&f->g, &f->g.tcp.flow, &tcp, "!", 1), 0);
	net_fixture_settle(&f->g.fix);
	assert_int_equal(recv(f->host.fd, buf, sizeof(buf), 0), 1);
	assert_int_equal(buf[0], '!');
	/* The other way it is data like other data. */
	fill_stream(buf, 0, 10);
	assert_int_equal(send(f->host.fd, buf, 10, MSG_OOB), 10);
	f->g.tcp.snd_nxt++;
	net_fixture_settle(&f->g.fix);
	assert_int_equal(f->g.tcp.received, 10);
	assert_int_equal(f->g.tcp.bad_bytes, 0);
}

/* ---- the front end comes and goes ---- */

static void test_reattach(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->g.fix.lazy = true;
	f->host.to_send = BULK;
	run(f);
	net_fixture_detach(&f->g.fix);
	assert_int_equal(fake_clock_armed(&f->g.fix.clock), 1);
	net_fixture_settle(&f->g.fix);
	assert_int_equal(slirp_of(f)->ring.used, 0);
	/* Another guest: it knows nothing of the connection, and says so. */
	f->g.tcp = (struct guest_tcp){.mss = 1460};
	close(f->host.fd);
	f->host = (struct host_end){.fd = -1};
	f->g.fix.lazy = false;
	net_fixture_attach(&f->g.fix);
	net_fixture_settle(&f->g.fix);
	f->g.tcp.mss = 1460;
	guest_listen(&f->g, GUEST_PORT);
	f->host.fd = host_connect("127.0.0.1", ntohs(f->fwd.host.in.sin_port));
	f->host.to_send = 100000;
	run(f);
	check_complete(f, 100000, 0);
}

static void detach_in_ready(struct net_fixture *fix, unsigned int queue)
{
	(void)queue;
	net_fixture_detach(fix);
	fix->idle = true;
}

static void test_detach_in_ready(void **state)
{
	struct tcp_fixture *f = *state;

	open_forward(f);
	f->g.fix.on_ready = detach_in_ready;
	f->host.to_send = 1000;
	run(f);
	assert_int_equal(f->g.tcp.received, 0);
	assert_null(slirp_of(f)->loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_to_guest),
		TEST(test_to_host),
		TEST(test_both_ways),
		TEST(test_small_segments),
		TEST(test_configured_mtu),
		TEST(test_outward),
		TEST(test_refused),
		TEST(test_connections_come_and_go),
		TEST(test_echo_costs),
		TEST(test_guest_fetches_nothing),
		TEST(test_host_reads_late),
		TEST(test_flood),
		TEST(test_guest_only_sends),
		TEST(test_reset_while_stuck),
		TEST(test_urgent),
		TEST(test_reattach),
		TEST(test_detach_in_ready),
	};

	sandbox = net_sandbox_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
