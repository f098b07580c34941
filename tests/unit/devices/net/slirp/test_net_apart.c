/* SPDX-License-Identifier: BSD-2-Clause */
/* User networking in a process of its own: the same guest, real rings, real processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../../devices/net/apart.h"
#include "devices/net/apart.h"
#include "devices/net/net_guest.h"

enum { GUEST_PORT = 7000, BULK = 12 << 20, CHUNK = 65536, PATIENCE_MS = 60000, SLICE_MS = 10 };

static bool sandbox; /* set by main */

struct host_end {
	int fd;
	uint64_t to_send, sent, received;
	unsigned int bad_bytes;
};

struct apart_fixture {
	struct net_guest g; /* first, so that it is *state */
	struct net_forward fwd;
	struct host_end host;
	uint16_t server_port;
	int server;
};

static int set_up(void **state)
{
	struct apart_fixture *f = calloc(1, sizeof(*f));

	net_guest_init(&f->g);
	f->g.apart = true;
	f->host.fd = f->server = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct apart_fixture *f = *state;

	if (f->host.fd >= 0)
		close(f->host.fd);
	if (f->server >= 0)
		close(f->server);
	net_guest_fini(&f->g);
	free(f);
	return 0;
}

/* ---- the two processes, as /proc tells ---- */

/* The child of parent, in the state of a process that lives; 0: there is none. */
static pid_t child_of(pid_t parent)
{
	DIR *dir = opendir("/proc");
	pid_t found = 0;

	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e && !found; e = readdir(dir)) {
		char path[300], line[512];
		const pid_t pid = (pid_t)atol(e->d_name);
		const char *rest;
		ssize_t n;
		char state;
		int fd, ppid;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
		if (fd >= 0)
			close(fd);
		line[n > 0 ? n : 0] = '\0';
		rest = strrchr(line, ')');
		if (rest && sscanf(rest + 1, " %c %d", &state, &ppid) == 2 && ppid == parent &&
			state != 'Z')
			found = pid;
	}
	closedir(dir);
	return found;
}

static pid_t helper_pid(void)
{
	const pid_t keeper = child_of(getpid());

	return keeper ? child_of(keeper) : 0;
}

/* ---- both ends ---- */

static void host_moves(struct host_end *host)
{
	static uint8_t buf[CHUNK];
	const size_t len = (size_t)MIN(host->to_send - host->sent, (uint64_t)CHUNK);
	ssize_t n;

	if (host->fd < 0)
		return;
	fill_stream(buf, host->sent, len);
	n = len ? send(host->fd, buf, len, MSG_NOSIGNAL) : 0;
	host->sent += (uint64_t)MAX(n, 0);
	n = recv(host->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0)
		return;
	host->bad_bytes += check_stream(buf, host->received, (size_t)n) != (size_t)n;
	host->received += (uint64_t)n;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NSEC_PER_MSEC;
}

static void turn(struct apart_fixture *f, int ms)
{
	assert_true(event_loop_step(f->g.fix.loop, ms) >= 0);
	host_moves(&f->host);
	guest_push(&f->g);
}

#define RUN_UNTIL(f, condition)                                                                    \
	for (const uint64_t end_ = now_ms() + PATIENCE_MS; !(condition); turn(f, SLICE_MS))        \
	assert_true(now_ms() < end_)

static void ping(struct apart_fixture *f)
{
	struct flow flow = guest_flow(&f->g, HOST_IP, 0, 0);
	uint8_t frame[128];

	net_fixture_send(
		&f->g.fix, 0, NULL, frame, build_icmp(frame, &flow, 8, "\0\1\0\1pinging", 12));
}

/* Frames may be lost meanwhile. */
static void ping_until_answered(struct apart_fixture *f)
{
	const unsigned int before = f->g.icmp;

	for (const uint64_t end = now_ms() + PATIENCE_MS; f->g.icmp == before;) {
		assert_true(now_ms() < end);
		ping(f);
		for (int i = 0; i < 20 && f->g.icmp == before; i++)
			turn(f, SLICE_MS);
	}
}

static void start(struct apart_fixture *f)
{
	net_guest_start(&f->g);
	ping_until_answered(f);
}

static void add_forward(struct apart_fixture *f, uint16_t port)
{
	f->fwd = (struct net_forward){.host = host_address("127.0.0.1", port),
		.guest = host_address("0.0.0.0", GUEST_PORT)};
	f->g.config.forwards = &f->fwd;
	f->g.config.num_forwards = 1;
}

static void connect_to(struct apart_fixture *f, uint16_t port)
{
	memset(&f->g.tcp, 0, sizeof(f->g.tcp));
	f->g.tcp.mss = NET_SLIRP_MTU - 40;
	guest_listen(&f->g, GUEST_PORT);
	f->host = (struct host_end){.fd = host_connect("127.0.0.1", port)};
	RUN_UNTIL(f, f->g.tcp.established);
}

static void check_transfer(struct apart_fixture *f, uint64_t bytes)
{
	f->host.to_send = f->g.tcp.to_send = bytes;
	RUN_UNTIL(f, f->host.received == bytes && f->g.tcp.received == bytes);
	assert_int_equal(f->host.bad_bytes, 0);
	assert_int_equal(f->g.tcp.bad_bytes, 0);
	assert_int_equal(f->g.tcp.bad_sums, 0);
}

/* ---- tests ---- */

/* As in the same process: addresses, long frames, both directions at once, nothing lost. */
static void test_data(void **state)
{
	struct apart_fixture *f = *state;
	const uint16_t port = host_free_port(SOCK_STREAM);

	add_forward(f, port);
	start(f);
	assert_int_equal(f->g.fix.net->info.mtu, NET_SLIRP_MTU);
	connect_to(f, port);
	check_transfer(f, BULK);
	assert_int_equal(f->g.tcp.retransmitted, 0);
	assert_int_equal(f->g.bad_sums, 0);
}

static void test_datagrams(void **state)
{
	struct apart_fixture *f = *state;
	uint8_t data[1400], got[2000];
	struct flow flow;

	start(f);
	f->server = host_socket(SOCK_DGRAM, SANDBOX_HOST, &f->server_port);
	flow = guest_flow(&f->g, IP4(192, 0, 2, 1), 5555, f->server_port);
	for (unsigned int i = 0; i < 50; i++) {
		const unsigned int before = f->g.udp;
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		ssize_t n = -1;

		memset(data, (int)i, sizeof(data));
		assert_int_equal(guest_send_udp(&f->g, &flow, data, sizeof(data) - i), 0);
		RUN_UNTIL(f, (n = recvfrom(f->server, got, sizeof(got), MSG_DONTWAIT,
				      (struct sockaddr *)&from, &len)) >= 0);
		assert_int_equal(n, sizeof(data) - i);
		assert_memory_equal(got, data, (size_t)n);
		sendto(f->server, got, (size_t)n, 0, (struct sockaddr *)&from, len);
		RUN_UNTIL(f, f->g.udp > before);
		assert_int_equal(f->g.last_udp.len, n);
		assert_memory_equal(f->g.udp_data, data, (size_t)n);
	}
}

/* What a header may not ask for, and frames that are none, are refused on this side. */
static void test_refused(void **state)
{
	struct apart_fixture *f = *state;
	static uint8_t frame[NET_MAX_FRAME];
	const struct net_header csum = {.flags = 1}, gso = {.gso_type = 1};

	start(f);
	assert_int_equal(net_fixture_send(&f->g.fix, 0, &csum, frame, 100), -EINVAL);
	assert_int_equal(net_fixture_send(&f->g.fix, 0, &gso, frame, 100), -EINVAL);
	assert_int_equal(net_fixture_send(&f->g.fix, 0, NULL, frame, 13), -EMSGSIZE);
	assert_int_equal(
		net_fixture_send(&f->g.fix, 0, NULL, frame, 14 + NET_SLIRP_MTU + 1), -EMSGSIZE);
	ping_until_answered(f);
}

/* A dead process costs packets; ports and addresses are there again. */
static void test_killed(void **state)
{
	struct apart_fixture *f = *state;
	const uint16_t port = host_free_port(SOCK_STREAM);
	pid_t first, second;

	add_forward(f, port);
	start(f);
	connect_to(f, port);
	f->host.to_send = f->g.tcp.to_send = UINT64_C(1) << 40;
	RUN_UNTIL(f, f->host.received > 1 << 20 && f->g.tcp.received > 1 << 20);
	first = helper_pid();
	assert_true(first > 0);
	assert_int_equal(kill(first, SIGKILL), 0);
	f->g.tcp.open = f->g.tcp.established = false;
	ping_until_answered(f);
	second = helper_pid();
	assert_true(second > 0 && second != first);
	assert_true(net_fixture_logged(&f->g.fix, "has ended by signal 9"));
	assert_int_equal(f->g.fix.link_changes, 0);
	close(f->host.fd);
	connect_to(f, port);
	check_transfer(f, 1 << 20);
}

/* A port of the host's choice is the same one afterwards. */
static void test_port_stays(void **state)
{
	struct apart_fixture *f = *state;
	unsigned int port;
	char buf[4096];
	ssize_t n;

	add_forward(f, 0);
	start(f);
	n = pread(f->g.fix.log_fd, buf, sizeof(buf) - 1, 0);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_int_equal(sscanf(buf, "bantam: TCP port 127.0.0.1:%u is", &port), 1);
	connect_to(f, (uint16_t)port);
	assert_int_equal(kill(helper_pid(), SIGKILL), 0);
	f->g.tcp.open = f->g.tcp.established = false;
	close(f->host.fd);
	f->host.fd = -1;
	ping_until_answered(f);
	connect_to(f, (uint16_t)port);
	check_transfer(f, 1000);
}

/* The first fields of struct net_apart */
static struct helper *helper_of(struct apart_fixture *f)
{
	const struct {
		struct net net;
		struct helper *helper;
	} *a = (const void *)f->g.fix.net;

	return a->helper;
}

/* What it has left there is not believed, and is its end. */
static void test_broken_ring(void **state)
{
	struct apart_fixture *f = *state;
	static const uint32_t tails[] = {4, APART_IN_SIZE + 8, UINT32_MAX - 7, 3};
	const uint64_t one = 1;
	struct ring_shared *in;
	pid_t first;

	start(f);
	in = apart_ring(helper_memory(helper_of(f)), APART_IN);
	for (unsigned int i = 0; i < ARRAY_SIZE(tails); i++) {
		first = helper_pid();
		assert_int_equal(kill(first, SIGSTOP), 0);
		atomic_fetch_add(&in->tail, tails[i]);
		assert_int_equal(
			write(helper_vm_wake(helper_of(f)), &one, sizeof(one)), sizeof(one));
		RUN_UNTIL(f, helper_pid() && helper_pid() != first);
		ping_until_answered(f);
	}
	assert_true(net_fixture_logged(&f->g.fix, "what cannot be"));
	assert_int_equal(f->g.fix.link_changes, 0);
}

/* The same the other way: a VM that was taken over is not believed either. */
static void test_broken_by_the_vm(void **state)
{
	struct apart_fixture *f = *state;
	struct ring_shared *out;
	pid_t first;

	start(f);
	first = helper_pid();
	out = apart_ring(helper_memory(helper_of(f)), APART_OUT);
	atomic_fetch_add(&out->tail, APART_OUT_SIZE + 8);
	helper_wake(helper_of(f));
	RUN_UNTIL(f, helper_pid() && helper_pid() != first);
	ping_until_answered(f);
}

/* Without a keeper there will be no other process: the cable is out. */
static void test_keeper_killed(void **state)
{
	struct apart_fixture *f = *state;
	const pid_t keeper = (start(f), child_of(getpid())), helper = child_of(keeper);

	assert_true(keeper > 0 && helper > 0);
	assert_true(f->g.fix.net->ops->link(f->g.fix.net));
	assert_int_equal(kill(keeper, SIGKILL), 0);
	RUN_UNTIL(f, f->g.fix.link_changes);
	assert_false(f->g.fix.net->ops->link(f->g.fix.net));
	RUN_UNTIL(f, kill(helper, 0) < 0);
	/* Gone for the next machine, too. */
	net_fixture_detach(&f->g.fix);
	net_fixture_attach(&f->g.fix);
	net_fixture_settle(&f->g.fix);
	assert_false(f->g.fix.net->ops->link(f->g.fix.net));
}

/* A guest that is not there fetches nothing, and the next one does not get what was for it. */
static void test_attached_again(void **state)
{
	struct apart_fixture *f = *state;
	unsigned int before;

	start(f);
	for (unsigned int i = 0; i < 3; i++) {
		ping(f);
		net_fixture_detach(&f->g.fix);
		usleep(50000);
		before = f->g.icmp;
		net_fixture_attach(&f->g.fix);
		net_fixture_settle(&f->g.fix);
		assert_int_equal(f->g.icmp, before);
		ping_until_answered(f);
	}
}

/* How often it has slept. */
static unsigned long sleeps_of(pid_t pid)
{
	static const char name[] = "voluntary_ctxt_switches:";
	char path[64], text[4096];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	at = strstr(text, name);
	assert_non_null(at);
	return strtoul(at + sizeof(name) - 1, NULL, 10);
}

/*
 * A guest that is paused fetches nothing. libslirp stands still until it does, so that connections
 * last; then all goes on.
 */
static void test_paused(void **state)
{
	struct apart_fixture *f = *state;
	const uint16_t port = host_free_port(SOCK_STREAM);
	unsigned long before;

	add_forward(f, port);
	start(f);
	connect_to(f, port);
	f->host.to_send = BULK;
	RUN_UNTIL(f, f->g.tcp.received > 1 << 20);
	f->g.fix.lazy = true;
	for (const uint64_t end = now_ms() + PATIENCE_MS;; turn(f, SLICE_MS)) {
		before = sleeps_of(helper_pid());
		usleep(1500000);
		if (sleeps_of(helper_pid()) == before)
			break;
		assert_true(now_ms() < end);
	}
	f->g.fix.lazy = false;
	net_fixture_rx_enable(&f->g.fix, 0, true);
	check_transfer(f, BULK);
}

/* More frames than there is room for at once. */
static void test_blocked(void **state)
{
	struct apart_fixture *f = *state;
	static const uint8_t data[20000];
	unsigned int sent = 0, blocked = 0;
	struct flow flow;
	pid_t helper;

	start(f);
	helper = helper_pid();
	f->server = host_socket(SOCK_DGRAM, SANDBOX_HOST, &f->server_port);
	flow = guest_flow(&f->g, IP4(192, 0, 2, 1), 5555, f->server_port);
	assert_int_equal(kill(helper, SIGSTOP), 0);
	for (int rc = 0; !rc; sent += !rc) {
		rc = guest_send_udp(&f->g, &flow, data, sizeof(data));
		assert_true(rc == 0 || rc == -EAGAIN);
		blocked += rc != 0;
	}
	assert_int_equal(blocked, 1);
	assert_in_range(sent, 8, 32);
	assert_int_equal(f->g.fix.writable[0], 0);
	assert_int_equal(kill(helper, SIGCONT), 0);
	RUN_UNTIL(f, f->g.fix.writable[0]);
	assert_int_equal(guest_send_udp(&f->g, &flow, data, sizeof(data)), 0);
	/* One that dies meanwhile does not leave the guest waiting. */
	assert_int_equal(kill(helper, SIGSTOP), 0);
	while (guest_send_udp(&f->g, &flow, data, sizeof(data)) == 0)
		continue;
	f->g.fix.writable[0] = 0;
	assert_int_equal(kill(helper, SIGKILL), 0);
	RUN_UNTIL(f, f->g.fix.writable[0]);
	ping_until_answered(f);
}

/* A start that fails says why, and leaves nobody. */
static void test_start_fails(void **state)
{
	struct apart_fixture *f = *state;
	uint16_t port = 0;

	f->server = host_socket(SOCK_STREAM, "127.0.0.1", &port);
	add_forward(f, port);
	assert_int_equal(net_guest_try(&f->g), -EADDRINUSE);
	assert_non_null(strstr(f->g.fix.err.text, "another program has it"));
	assert_int_equal(child_of(getpid()), 0);
}

/* ---- names ---- */

static void ask_name(struct apart_fixture *f, int server)
{
	struct flow flow = guest_flow(&f->g, DNS_IP, 4444, 53);
	uint8_t got[64];

	for (const uint64_t end = now_ms() + PATIENCE_MS;;) {
		assert_true(now_ms() < end);
		guest_send_udp(&f->g, &flow, "question", 8);
		for (int i = 0; i < 30; i++) {
			turn(f, SLICE_MS);
			if (recv(server, got, sizeof(got), MSG_DONTWAIT) == 8)
				return;
		}
	}
}

/* In place: the keeper is where we were when it was forked. */
static void change_names(const char *text)
{
	const int fd = open("/etc/resolv.conf", O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* /etc/resolv.conf is the keeper's to read, and may change. */
static void test_names(void **state)
{
	struct apart_fixture *f = *state;
	uint16_t port = 53;
	int first, second;

	if (!net_sandbox_resolv_conf("nameserver 127.0.0.2\n"))
		skip();
	first = host_socket(SOCK_DGRAM, "127.0.0.2", &port);
	second = host_socket(SOCK_DGRAM, "127.0.0.3", &port);
	start(f);
	ask_name(f, first);
	close(first);
	change_names("nameserver 127.0.0.3\n");
	ask_name(f, second);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_data, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_datagrams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_port_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_ring, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_by_the_vm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keeper_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attached_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_paused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_blocked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_start_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
	};

	sandbox = net_sandbox_enter();
	if (!sandbox)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
