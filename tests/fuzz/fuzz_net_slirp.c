/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile guest on user networking: frames of any bytes, and datagrams and segments with right
 * checksums that go on with a connection where it is. The Internet is here as well: the calls by
 * which libslirp makes and uses sockets end up in this file, a socket is one of a pair, and nothing
 * leaves the process.
 *
 * The input is a program: an operation, then its operands.
 *
 * Oracles: no socket is pointed at the host's loopback but at the name server, or at somebody there
 * who has sent a datagram before; whatever is sent is memory that may be read; datagrams and
 * segments for the guest have right checksums and never a source on the loopback; as many sockets
 * are open as may be, at most; callbacks come only when they may; memory comes back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../devices/net/slirp/slirp_private.h"
#include "vm/core/event_loop.h"

#include "../unit/fakes/check.h"

#include "../unit/devices/net/net_packet.c"
#include "../unit/fakes/fake_clock.c"

enum { MAX_STEPS = 400, MAX_FDS = 256, MAX_SPOKEN = 64, FLOWS = 4, DNS_PORT = 5353 };

#define LOOPBACK IP4(127, 0, 0, 1)

static struct state {
	const uint8_t *data, *end;
	struct net *net;
	struct event_loop *loop;
	struct fake_clock clock;
	bool inside, fetch, attached;
	bool dns6; /* the name server is on ::1 */
	/* The Internet */
	int peer[MAX_FDS]; /* by descriptor: the other one of the pair, or -1 */
	int domain[MAX_FDS];
	uint8_t mood; /* what the next calls return */
	struct {
		uint32_t ip; /* 1: ::1 */
		uint16_t port;
	} spoken[MAX_SPOKEN];
	unsigned int num_spoken;
	/* Where connections are */
	struct tcp_fields last[FLOWS];
} s;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* Closing libslirp loses what it has in pieces for a guest whose MAC address it does not know. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libglib"; /* whose allocator it uses */
}

static uint8_t take(void)
{
	return s.data < s.end ? *s.data++ : 0;
}

static uint16_t take16(void)
{
	const uint16_t high = take();

	return (uint16_t)(high << 8 | take());
}

/* ---- the Internet ---- */

static bool has_spoken(uint32_t ip, uint16_t port)
{
	for (unsigned int i = 0; i < MIN(s.num_spoken, (unsigned int)MAX_SPOKEN); i++)
		if (s.spoken[i].ip == ip && s.spoken[i].port == port)
			return true;
	return false;
}

static void check_destination(const struct sockaddr *to)
{
	static const uint8_t zero[15];

	if (to->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)to;
		const uint32_t ip = ntohl(in->sin_addr.s_addr);
		const uint16_t port = ntohs(in->sin_port);

		CHECK(ip >> 24 != 0);
		CHECK(ip >> 24 != 127 || (ip == LOOPBACK && port == DNS_PORT && !s.dns6) ||
			has_spoken(ip, port));
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)to;
		const uint8_t *ip = in6->sin6_addr.s6_addr;

		CHECK(to->sa_family == AF_INET6);
		CHECK(memcmp(ip, zero, 10) != 0 ||
			(!memcmp(ip, zero, 15) && ip[15] == 1 &&
				(has_spoken(1, ntohs(in6->sin6_port)) ||
					(s.dns6 && in6->sin6_port == htons(DNS_PORT)))));
	}
}

static bool is_ours(int fd)
{
	return fd >= 0 && fd < MAX_FDS && s.peer[fd] >= 0;
}

/* Reads all of it, for the sanitizer to see. */
static void check_readable(const void *buf, size_t len)
{
	const volatile uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		(void)p[i];
}

int socket(int domain, int type, int protocol)
{
	int fds[2];

	if (domain != AF_INET && domain != AF_INET6)
		return (int)syscall(SYS_socket, domain, type, protocol);
	if ((s.mood & 7) == 7) {
		errno = EACCES;
		return -1;
	}
	if (syscall(SYS_socketpair, AF_UNIX, type, 0, fds) < 0)
		return -1;
	CHECK(fds[0] < MAX_FDS && fds[1] < MAX_FDS);
	/* libslirp has closed its end, if it had this number before. */
	if (s.peer[fds[0]] >= 0)
		close(s.peer[fds[0]]);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	s.peer[fds[0]] = fds[1];
	s.domain[fds[0]] = domain;
	return fds[0];
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	/* Linux says no more than that to a socket that does not block. */
	static const int answers[] = {EINPROGRESS, EINPROGRESS, EHOSTUNREACH, ENETUNREACH};

	if (!is_ours(fd))
		return (int)syscall(SYS_connect, fd, to, len);
	check_destination(to);
	errno = answers[s.mood & 3];
	return -1;
}

/* Nothing is sent to find out whether the connection came about. */
ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (!len && (s.mood & 0x20)) {
		errno = ECONNREFUSED;
		return -1;
	}
	check_readable(buf, len);
	return syscall(SYS_sendto, fd, buf, len, flags | MSG_NOSIGNAL, NULL, 0);
}

ssize_t sendto(
	int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	(void)fd;
	(void)flags;
	(void)to_len;
	check_destination(to);
	if (len > 65535 || (s.mood & 3) == 3) {
		errno = len > 65535 ? EMSGSIZE : EAGAIN;
		return -1;
	}
	check_readable(buf, len);
	return (ssize_t)len;
}

static void speak(uint32_t ip, uint16_t port)
{
	s.spoken[s.num_spoken % MAX_SPOKEN].ip = ip;
	s.spoken[s.num_spoken++ % MAX_SPOKEN].port = port;
}

/* From the loopback or elsewhere. */
static socklen_t fill_source(int fd, struct sockaddr *from)
{
	static const uint32_t ips[] = {LOOPBACK, IP4(127, 3, 2, 1), IP4(192, 0, 2, 9), LOOPBACK};
	const uint32_t ip = ips[s.mood >> 3 & 3];
	const uint16_t port = s.mood & 0x80 ? DNS_PORT : (uint16_t)(40000 + (s.mood & 7));

	if (s.domain[fd] == AF_INET6) {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

		in6.sin6_addr.s6_addr[0] = ip == LOOPBACK ? 0 : 0x20;
		in6.sin6_addr.s6_addr[15] = 1;
		if (ip == LOOPBACK)
			speak(1, port);
		memcpy(from, &in6, sizeof(in6));
		return sizeof(in6);
	}
	if (ip >> 24 == 127)
		speak(ip, port);
	memcpy(from,
		&(struct sockaddr_in){.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = htonl(ip)},
		sizeof(struct sockaddr_in));
	return sizeof(struct sockaddr_in);
}

ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags, struct sockaddr *restrict from,
	socklen_t *restrict from_len)
{
	const ssize_t n = syscall(SYS_recvfrom, fd, buf, len, flags | MSG_DONTWAIT, NULL, NULL);

	if (n >= 0 && from && is_ours(fd))
		*from_len = fill_source(fd, from);
	return n;
}

/* libslirp asks for errors by this: an ICMP message from somewhere on the way. */
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct {
		struct sock_extended_err error;
		struct sockaddr_in from;
	} told = {.error = {.ee_origin = SO_EE_ORIGIN_ICMP, .ee_type = s.mood & 15, .ee_code = 1},
		.from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(IP4(192, 0, 2, 8))}};
	struct cmsghdr *cmsg = msg->msg_control;

	if (!(flags & MSG_ERRQUEUE))
		return syscall(SYS_recvmsg, fd, msg, flags);
	if (!(s.mood & 0x40) || !is_ours(fd) || s.domain[fd] != AF_INET) {
		errno = EAGAIN;
		return -1;
	}
	cmsg->cmsg_level = IPPROTO_IP;
	cmsg->cmsg_type = IP_RECVERR;
	cmsg->cmsg_len = CMSG_LEN(sizeof(told));
	memcpy(CMSG_DATA(cmsg), &told, sizeof(told));
	msg->msg_controllen = CMSG_SPACE(sizeof(told));
	s.mood &= (uint8_t)~0x40;
	return 0;
}

/* The other end of one of the sockets sends, or goes away. */
static void peer_acts(void)
{
	static uint8_t buf[70000];
	const unsigned int pick = take(), n = take();
	int fd = -1;

	for (unsigned int i = 0; i < MAX_FDS && fd < 0; i++)
		if (s.peer[(pick + i) % MAX_FDS] >= 0)
			fd = (int)((pick + i) % MAX_FDS);
	if (fd < 0)
		return;
	if (n == 255) {
		close(s.peer[fd]);
		s.peer[fd] = -1;
		return;
	}
	if (recv(s.peer[fd], buf, sizeof(buf), MSG_DONTWAIT) < 0 && n == 254)
		return;
	fill_stream(buf, n, (size_t)n * n);
	syscall(SYS_sendto, s.peer[fd], buf, (size_t)n * n, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

/* ---- the guest ---- */

static void check_frame(const uint8_t *frame, size_t len)
{
	struct parsed p;

	if (!parse_frame(frame, len, &p) || (p.proto != IP_UDP && p.proto != IP_TCP))
		return;
	/* Of a fragment nothing can be said. */
	if (!p.flow.v6 && get_be16(frame + 20) & 0x3fff)
		return;
	CHECK(p.sums_ok);
	CHECK(p.flow.v6 || p.flow.src >> 24 != 127);
	if (p.proto == IP_TCP) {
		s.last[p.flow.dport % FLOWS] = p.tcp;
		s.last[p.flow.dport % FLOWS].seq += (uint32_t)p.len + ((p.tcp.flags & 3) != 0);
	}
}

static void on_ready(void *opaque, unsigned int queue)
{
	static uint8_t buf[NET_MAX_FRAME];
	const struct iovec iov[] = {{buf, 5}, {buf + 5, sizeof(buf) - 5}};
	ssize_t n;

	(void)opaque;
	CHECK(!s.inside && queue == 0 && s.attached);
	if (!s.fetch) {
		s.net->ops->rx_enable(s.net, 0, false);
		return;
	}
	while ((n = s.net->ops->recv(s.net, 0, iov, 2)) >= 0) {
		CHECK(n >= NET_MIN_FRAME && (size_t)n <= sizeof(buf));
		check_frame(buf + NET_HEADER, (size_t)n - NET_HEADER);
	}
	CHECK(n == -EAGAIN);
}

static void on_writable(void *opaque, unsigned int queue)
{
	(void)opaque;
	CHECK(!s.inside && queue == 0 && s.attached);
}

static const struct net_listener listener = {.ready = on_ready, .writable = on_writable};

static void attach(bool on)
{
	s.inside = true;
	CHECK(s.net->ops->attach(s.net, on ? s.loop : NULL, on ? &listener : NULL, NULL) == 0);
	s.inside = false;
	s.attached = on;
}

static void send_frame(const uint8_t *frame, size_t len)
{
	static uint8_t buf[NET_MAX_FRAME + 65536];
	const struct iovec iov = {buf, NET_HEADER + len};
	int rc;

	if (!s.attached)
		return;
	memset(buf, 0, NET_HEADER);
	memcpy(buf + NET_HEADER, frame, len);
	s.inside = true;
	rc = s.net->ops->send(s.net, 0, &iov, 1, NET_HEADER + len);
	s.inside = false;
	CHECK(rc == 0 || rc == -EAGAIN || rc == -EACCES || rc == -EMSGSIZE || rc == -EINVAL);
}

static uint32_t take_ip(void)
{
	static const uint32_t ips[] = {IP4(10, 0, 2, 2), IP4(10, 0, 2, 3), IP4(10, 0, 2, 15),
		IP4(127, 0, 0, 1), IP4(192, 0, 2, 9), UINT32_MAX, 0, IP4(10, 0, 2, 255)};
	const uint8_t pick = take();

	if (pick < 0xe0)
		return ips[pick % ARRAY_SIZE(ips)];
	return (uint32_t)take16() << 16 | take16();
}

static void take_ip6(uint8_t ip[16])
{
	static const char *const ips[] = {"fec0::2", "fec0::3", "fec0::5054:ff:fe12:3456",
		"fe80::2", "::1", "::", "::ffff:127.0.0.1", "ff02::2", "ff02::1:2", "2001:db8::1",
		"ff02::1"};
	const uint8_t pick = take();

	if (pick < 0xe0)
		inet_pton(AF_INET6, ips[pick % ARRAY_SIZE(ips)], ip);
	else
		for (int i = 0; i < 16; i++)
			ip[i] = take();
}

static uint16_t take_port(void)
{
	static const uint16_t ports[] = {53, 67, 68, 69, 546, 547, DNS_PORT, 80, 40000, 40001, 7};
	const uint8_t pick = take();

	return pick < 0xc0 ? ports[pick % ARRAY_SIZE(ports)] : (uint16_t)(2000 + pick % FLOWS);
}

static struct flow take_flow(void)
{
	struct flow flow = {.src_mac = {2, 0, 0, 0, 0, 1}, .dst_mac = {2, 0, 0, 0, 0, 2}};
	const uint8_t kind = take();

	flow.v6 = kind & 1;
	if (flow.v6) {
		inet_pton(AF_INET6, "fec0::5054:ff:fe12:3456", flow.src6);
		if (kind & 2)
			take_ip6(flow.src6);
		take_ip6(flow.dst6);
	} else {
		flow.src = kind & 2 ? take_ip() : IP4(10, 0, 2, 15);
		flow.dst = take_ip();
	}
	flow.sport = kind & 4 ? take_port() : (uint16_t)(2000 + (kind >> 4) % FLOWS);
	flow.dport = take_port();
	return flow;
}

/* As many bytes as the input says, from it as long as there are some. */
static size_t take_payload(uint8_t *buf)
{
	const uint8_t n = take();
	const size_t len = n < 200 ? n : (size_t)(n - 199) * 380;

	for (size_t i = 0; i < len; i++)
		buf[i] = i < 64 ? take() : (uint8_t)i;
	return len;
}

static void send_udp(uint8_t *frame, uint8_t *payload)
{
	const struct flow flow = take_flow();
	const size_t len = take_payload(payload);

	send_frame(frame, build_udp(frame, &flow, payload, len));
}

/* Near what the other side expects. */
static void send_tcp(uint8_t *frame, uint8_t *payload)
{
	const struct flow flow = take_flow();
	const struct tcp_fields *last = &s.last[flow.sport % FLOWS];
	struct tcp_fields tcp = {.seq = last->ack, .ack = last->seq};
	size_t len;

	tcp.flags = take();
	tcp.seq += (uint32_t)(int8_t)take() * (tcp.flags & 0x80 ? 997 : 0);
	tcp.ack += (uint32_t)(int8_t)take() * (tcp.flags & 0x40 ? 97 : 0);
	tcp.window = (uint16_t)(take() << 8);
	tcp.mss = tcp.flags & TCP_SYN ? take16() : 0;
	tcp.urgent = tcp.flags & TCP_URG ? take16() : 0;
	len = tcp.flags & TCP_SYN ? 0 : take_payload(payload);
	send_frame(frame, build_tcp(frame, &flow, &tcp, payload, len));
}

static void send_icmp(uint8_t *frame, uint8_t *payload)
{
	const struct flow flow = take_flow();
	const uint8_t type = take();
	const size_t len = take_payload(payload);

	send_frame(frame, build_icmp(frame, &flow, type, payload, len));
}

/* A piece of a datagram; what it says of itself need not be true. */
static void send_fragment(uint8_t *frame, uint8_t *payload)
{
	struct flow flow = take_flow();
	static const uint8_t protos[] = {IP_UDP, IP_TCP, IP_ICMP, 50};
	size_t len;

	flow.v6 = false;
	len = build_ip(frame, &flow, protos[take() % 4], payload, take_payload(payload));
	put_be16(frame + 18, take() % 4);
	put_be16(frame + 20, take16());
	fix_ip4_sum(frame);
	send_frame(frame, len);
}

static void send_raw(uint8_t *frame)
{
	static const uint16_t types[] = {TYPE_ARP, TYPE_IP4, TYPE_IP6, 0x88f8, 0x8100};
	const size_t len = 14 + take();

	memset(frame, 2, 12);
	put_be16(frame + 12, types[take() % ARRAY_SIZE(types)]);
	for (size_t i = 14; i < len; i++)
		frame[i] = take();
	if (len >= 34 && frame[12] == 8 && frame[13] == 0)
		fix_ip4_sum(frame);
	send_frame(frame, len);
}

static void send_arp(uint8_t *frame)
{
	struct flow flow = take_flow();
	const uint16_t op = take() % 3;

	flow.v6 = false;
	send_frame(frame, build_arp(frame, &flow, op));
}

static void guest_changes(uint8_t how)
{
	if (how < 4) {
		attach(!s.attached);
		return;
	}
	s.fetch = how & 1;
	if (s.attached)
		s.net->ops->rx_enable(s.net, 0, how & 2);
}

static void step(void)
{
	static uint8_t frame[FRAME_MAX + 70000], payload[70000];

	switch (take() % 12) {
	case 0:
		send_raw(frame);
		break;
	case 1:
		send_arp(frame);
		break;
	case 2:
	case 3:
		send_udp(frame, payload);
		break;
	case 4:
	case 5:
	case 6:
		send_tcp(frame, payload);
		break;
	case 7:
		send_icmp(frame, payload);
		break;
	case 8:
		send_fragment(frame, payload);
		break;
	case 9:
		s.mood = take();
		peer_acts();
		break;
	case 10:
		fake_clock_advance(&s.clock, (uint64_t)take() * take() * NSEC_PER_MSEC);
		break;
	default:
		guest_changes(take());
		break;
	}
	event_loop_step(s.loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_slirp_config config = {.clock = &s.clock.clock};
	const struct rlimit limit = {64, 4096};
	struct net_slirp *slirp;
	uint8_t flags;

	signal(SIGPIPE, SIG_IGN);
	memset(&s, 0, sizeof(s));
	for (int i = 0; i < MAX_FDS; i++)
		s.peer[i] = -1;
	s.data = data;
	s.end = data + size;
	s.fetch = true;
	fake_clock_init(&s.clock);
	/* Which makes 32 sockets. */
	setrlimit(RLIMIT_NOFILE, &limit);
	flags = take();
	config.mtu = flags & 1 ? 1500 : 0;
	s.dns6 = flags & 2;
	if (s.dns6)
		config.dns.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
			.sin6_addr = in6addr_loopback,
			.sin6_port = htons(DNS_PORT)};
	else
		config.dns.in = (struct sockaddr_in){.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(LOOPBACK),
			.sin_port = htons(DNS_PORT)};
	CHECK(event_loop_create(&s.loop) == 0);
	CHECK(net_slirp_create(&config, &s.net, NULL) == 0);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){4096, 4096});
	slirp = container_of(s.net, struct net_slirp, net);
	attach(true);
	for (unsigned int i = 0; i < MAX_STEPS && s.data < s.end; i++) {
		step();
		CHECK(slirp->poll.live <= slirp->max_sockets);
		CHECK(slirp->ring.used <= FRAME_RING_SIZE);
	}
	attach(false);
	s.net->ops->close(s.net);
	CHECK(fake_clock_armed(&s.clock) == 0);
	event_loop_destroy(s.loop);
	for (int i = 0; i < MAX_FDS; i++)
		if (s.peer[i] >= 0)
			close(s.peer[i]);
	return 0;
}
