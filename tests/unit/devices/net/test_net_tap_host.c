/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap back end on the host's kernel, in a network namespace of the test's own: 10.9.0.1 is the
 * host's side of the interface, 10.9.0.2 the guest that the test plays.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_fixture.h"
#include "net_packet.h"

#define HOST  IP4(10, 9, 0, 1)
#define GUEST IP4(10, 9, 0, 2)

enum { PORT = 4000, NEEDS_CSUM = 1, GSO_TCPV4 = 1, MAX_FRAMES = 64 };

static bool sandbox; /* set by main */

struct tap_fixture {
	struct net_fixture base;
	struct net_tap_config config;
	struct net *net;
	struct flow out; /* from the guest to PORT of the host */
	int sock;	 /* the host's, on PORT */
	uint8_t frame[FRAME_MAX], data[65536];

	/* UDP from the host that came in */
	unsigned int datagrams, bad_sums, last_queue;
	struct net_header last_header;
	struct parsed last;
	uint8_t last_data[65536];
};

static struct tap_fixture *fixture_of(struct net_fixture *base)
{
	return container_of(base, struct tap_fixture, base);
}

static void on_frame(struct net_fixture *base, unsigned int queue, const struct net_header *header,
	const uint8_t *frame, size_t len)
{
	struct tap_fixture *f = fixture_of(base);
	struct parsed p;

	/* The kernel says a word or two of its own: neighbours, multicast. */
	if (!parse_frame(frame, len, &p) || p.proto != IP_UDP || p.flow.v6)
		return;
	f->datagrams++;
	f->bad_sums += !p.sums_ok;
	f->last_queue = queue;
	f->last_header = *header;
	f->last = p;
	memcpy(f->last_data, p.data, p.len);
	f->last.data = f->last_data;
}

static int set_up(void **state)
{
	struct tap_fixture *f = calloc(1, sizeof(*f));

	net_fixture_init(&f->base);
	f->base.on_frame = on_frame;
	f->config = (struct net_tap_config){.ifname = "bt0", .queues = 1, .log = &f->base.log};
	f->sock = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct tap_fixture *f = *state;

	net_fixture_fini(&f->base);
	if (f->sock >= 0)
		close(f->sock);
	free(f);
	return 0;
}

/* ---- the host's side ---- */

static void interface_ioctl(unsigned long request, struct ifreq *ifr)
{
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strcpy(ifr->ifr_name, "bt0");
	assert_int_equal(ioctl(fd, request, ifr), 0);
	close(fd);
}

static struct sockaddr_in address(uint32_t ip, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

/* The guest's MAC address is known, so nobody needs to ask for it. */
static void know_guest(struct tap_fixture *f)
{
	const struct sockaddr_in guest = address(GUEST, 0);
	struct arpreq arp = {.arp_flags = ATF_COM | ATF_PERM, .arp_dev = "bt0"};
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(&arp.arp_pa, &guest, sizeof(guest));
	arp.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(arp.arp_ha.sa_data, f->out.src_mac, 6);
	assert_int_equal(ioctl(fd, SIOCSARP, &arp), 0);
	close(fd);
}

static void bring_up(struct tap_fixture *f)
{
	struct sockaddr_in host = address(HOST, 0);
	struct ifreq ifr = {0};

	memcpy(&ifr.ifr_addr, &host, sizeof(host));
	interface_ioctl(SIOCSIFADDR, &ifr);
	host = address(IP4(255, 255, 255, 0), 0);
	memcpy(&ifr.ifr_netmask, &host, sizeof(host));
	interface_ioctl(SIOCSIFNETMASK, &ifr);
	ifr.ifr_flags = IFF_UP;
	interface_ioctl(SIOCSIFFLAGS, &ifr);
	interface_ioctl(SIOCGIFHWADDR, &ifr);
	memcpy(f->out.dst_mac, ifr.ifr_hwaddr.sa_data, 6);
	memcpy(f->out.src_mac, "\x52\x54\x00\x11\x22\x33", 6);
	f->out.src = GUEST;
	f->out.dst = HOST;
	f->out.sport = PORT + 1;
	f->out.dport = PORT;
	know_guest(f);
	host = address(HOST, PORT);
	f->sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->sock, (struct sockaddr *)&host, sizeof(host)), 0);
}

static void create(struct tap_fixture *f)
{
	if (!sandbox)
		skip();
	if (net_tap_create(&f->config, &f->base.net, &f->base.err) < 0)
		fail_msg("%s", f->base.err.text);
	f->net = f->base.net;
	net_fixture_attach(&f->base);
	bring_up(f);
}

static void host_sends_unseen(struct tap_fixture *f, uint64_t pos, size_t len, uint16_t port)
{
	const struct sockaddr_in guest = address(GUEST, port);

	fill_stream(f->data, pos, len);
	assert_int_equal(
		sendto(f->sock, f->data, len, 0, (const struct sockaddr *)&guest, sizeof(guest)),
		len);
}

static void host_sends(struct tap_fixture *f, uint64_t pos, size_t len, uint16_t port)
{
	host_sends_unseen(f, pos, len, port);
	net_fixture_settle(&f->base);
}

/* What has come to PORT: its length, or -1. */
static ssize_t host_gets(struct tap_fixture *f)
{
	return recv(f->sock, f->data, sizeof(f->data), MSG_DONTWAIT);
}

static void guest_sends(struct tap_fixture *f, unsigned int queue, uint64_t pos, size_t len)
{
	fill_stream(f->data, pos, len);
	len = build_udp(f->frame, &f->out, f->data, len);
	assert_int_equal(net_fixture_send(&f->base, queue, NULL, f->frame, len), 0);
}

/* ---- tests ---- */

static void test_frames_both_ways(void **state)
{
	struct tap_fixture *f = *state;
	unsigned int n = 0;

	create(f);
	assert_int_equal(f->net->info.mtu, 1500);
	for (size_t len = 0; len <= 1472; len += 23, n++) {
		guest_sends(f, 0, len, len);
		assert_int_equal(host_gets(f), len);
		assert_int_equal(check_stream(f->data, len, len), len);
		host_sends(f, len * 7, len, PORT + 1);
		assert_int_equal(f->datagrams, n + 1);
		assert_int_equal(f->last.len, len);
		assert_int_equal(check_stream(f->last.data, len * 7, len), len);
	}
	/* Without offloads all of them are complete. */
	assert_int_equal(f->bad_sums, 0);
	assert_int_equal(f->last_header.flags, 0);
	assert_int_equal(f->last_header.gso_type, 0);
}

static void test_checksum_offload(void **state)
{
	struct tap_fixture *f = *state;
	struct net_header header = {.flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	size_t len;

	create(f);
	assert_true(f->net->info.recv_offloads & NET_CSUM);
	assert_int_equal(f->net->ops->set_offloads(f->net, NET_CSUM), 0);
	host_sends(f, 0, 1000, PORT + 1);
	assert_int_equal(f->last_header.flags, NEEDS_CSUM);
	assert_int_equal(f->last_header.csum_start, 34);
	assert_int_equal(f->last_header.csum_offset, 6);
	assert_int_equal(f->bad_sums, 1);
	assert_int_equal(f->net->ops->set_offloads(f->net, 0), 0);
	host_sends(f, 0, 1000, PORT + 1);
	assert_int_equal(f->last_header.flags, 0);
	assert_int_equal(f->bad_sums, 1);
	/* The other way the kernel finishes it: all of it, before the host's own stack looks. */
	fill_stream(f->data, 0, 500);
	len = build_udp(f->frame, &f->out, f->data, 500);
	f->frame[34 + 6] ^= 0xff;
	assert_int_equal(net_fixture_send(&f->base, 0, NULL, f->frame, len), 0);
	assert_int_equal(host_gets(f), -1);
	assert_int_equal(net_fixture_send(&f->base, 0, &header, f->frame, len), 0);
	assert_int_equal(host_gets(f), 500);
}

/* A connection's first segment of 30000 bytes, to be cut into pieces of 1448. */
static void test_segmentation_offload(void **state)
{
	struct net_header header = {.flags = NEEDS_CSUM,
		.gso_type = GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16};
	struct tcp_fields tcp = {.flags = TCP_ACK, .window = 1000};
	struct tap_fixture *f = *state;
	struct sockaddr from;
	socklen_t from_len = sizeof(from);
	int packets;
	ssize_t n;

	create(f);
	assert_true(f->net->info.send_offloads & NET_TSO4);
	packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, htons(TYPE_IP4));
	if (packets < 0)
		skip();
	fill_stream(f->data, 0, 30000);
	n = (ssize_t)build_tcp(f->frame, &f->out, &tcp, f->data, 30000);
	assert_int_equal(net_fixture_send(&f->base, 0, &header, f->frame, (size_t)n), 0);
	n = recvfrom(packets, f->data, sizeof(f->data), MSG_TRUNC, &from, &from_len);
	assert_int_equal(n, 20 + 20 + 30000);
	assert_int_equal(check_stream(f->data + 40, 0, 30000), 30000);
	close(packets);
	/* A header that contradicts the frame. */
	header.hdr_len = 50000;
	header.csum_start = 40000;
	assert_int_equal(net_fixture_send(&f->base, 0, &header, f->frame, 30054), -EINVAL);
}

static void test_two_queues(void **state)
{
	struct tap_fixture *f = *state;

	f->config.queues = 2;
	create(f);
	assert_int_equal(f->net->info.max_queues, 2);
	assert_int_equal(f->net->ops->set_queues(f->net, 2), 0);
	/* An answer comes to the queue that the question was sent from. */
	for (unsigned int i = 0; i < 20; i++) {
		f->out.sport = (uint16_t)(5000 + i);
		guest_sends(f, i % 2, 0, 100);
		assert_int_equal(host_gets(f), 100);
		host_sends(f, 0, 50, f->out.sport);
		assert_int_equal(f->datagrams, i + 1);
		assert_int_equal(f->last_queue, i % 2);
	}
	/* The one that is left gets everything. */
	assert_int_equal(f->net->ops->set_queues(f->net, 1), 0);
	for (unsigned int i = 0; i < 20; i++) {
		host_sends(f, 0, 50, (uint16_t)(5000 + i));
		assert_int_equal(f->datagrams, 20 + i + 1);
		assert_int_equal(f->last_queue, 0);
	}
}

static void test_flood_while_off(void **state)
{
	struct tap_fixture *f = *state;

	create(f);
	net_fixture_rx_enable(&f->base, 0, false);
	for (unsigned int i = 0; i < 5000; i++)
		host_sends_unseen(f, i, 50, PORT + 1);
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.ready[0], 0);
	net_fixture_rx_enable(&f->base, 0, true);
	net_fixture_settle(&f->base);
	/* The interface keeps the first ones, and is as good as new. */
	assert_true(f->datagrams > 100 && f->datagrams < 5000);
	f->datagrams = 0;
	host_sends(f, 0, 50, PORT + 1);
	assert_int_equal(f->datagrams, 1);
}

static void test_too_long(void **state)
{
	struct tap_fixture *f = *state;
	struct net_header header;

	create(f);
	f->base.lazy = true;
	host_sends(f, 0, 1000, PORT + 1);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->frame, 1041), -EMSGSIZE);
	host_sends(f, 0, 1000, PORT + 1);
	assert_int_equal(net_fixture_recv(&f->base, 0, &header, f->frame, 1042), 1042);
}

/* The kernel counts, and says so; each is an interface of its own. */
static void test_pattern(void **state)
{
	struct tap_fixture *f = *state;
	struct net *second = NULL;

	if (!sandbox)
		skip();
	f->config.ifname = "bt%d";
	f->config.queues = 2;
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), 0);
	assert_true(net_fixture_logged(&f->base, "the guest's network is bt0\n"));
	assert_int_equal(net_tap_create(&f->config, &second, &f->base.err), 0);
	assert_true(net_fixture_logged(&f->base, "the guest's network is bt1\n"));
	assert_true(if_nametoindex("bt0") && if_nametoindex("bt1"));
	second->ops->close(second);
	assert_false(net_fixture_logged(&f->base, "%d"));
}

static void test_busy(void **state)
{
	struct tap_fixture *f = *state;
	struct net *second = NULL;

	create(f);
	assert_int_equal(net_tap_create(&f->config, &second, &f->base.err), -EBUSY);
	assert_non_null(strstr(f->base.err.text, "tap bt0: another program uses it"));
	f->config.ifname = "lo";
	assert_int_equal(net_tap_create(&f->config, &second, &f->base.err), -EINVAL);
	assert_non_null(strstr(f->base.err.text, "not a tap"));
}

static int open_tun(const char *name, int flags)
{
	const int fd = open("/dev/net/tun", O_RDWR);
	struct ifreq ifr = {.ifr_flags = (short)flags};

	assert_true(fd >= 0);
	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void test_inherited(void **state)
{
	struct tap_fixture *f = *state;
	int fds[2];

	if (!sandbox)
		skip();
	fds[0] = open_tun("bt0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	fds[1] = open_tun("bt0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	f->config = (struct net_tap_config){.fds = fds, .num_fds = 2, .log = &f->base.log};
	create(f);
	guest_sends(f, 0, 0, 100);
	assert_int_equal(host_gets(f), 100);
	host_sends(f, 0, 50, PORT + 1);
	assert_int_equal(f->datagrams, 1);
	assert_int_equal(f->net->ops->set_queues(f->net, 2), 0);
	guest_sends(f, 1, 0, 100);
	assert_int_equal(host_gets(f), 100);
}

static void test_inherited_refused(void **state)
{
	struct tap_fixture *f = *state;
	int fd;

	if (!sandbox)
		skip();
	f->config.fds = &fd;
	f->config.num_fds = 1;
	fd = open_tun("bt0", IFF_TAP | IFF_NO_PI);
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), -EINVAL);
	assert_non_null(strstr(f->base.err.text, "IFF_VNET_HDR"));
	close(fd);
	fd = open_tun("bt0", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), -EINVAL);
	assert_non_null(strstr(f->base.err.text, "is a tun"));
	close(fd);
	fd = open("/dev/null", O_RDWR);
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), -ENOTTY);
	close(fd);
	assert_int_equal(net_tap_create(&f->config, &f->base.net, &f->base.err), -EBADF);
}

static void delete_interface(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {.header = {.nlmsg_len = sizeof(request),
			     .nlmsg_type = RTM_DELLINK,
			     .nlmsg_flags = NLM_F_REQUEST},
		.info.ifi_index = (int)if_nametoindex("bt0")};
	const int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_int_equal(if_nametoindex("bt0"), 0);
	close(fd);
}

static void test_deleted(void **state)
{
	struct tap_fixture *f = *state;

	create(f);
	delete_interface();
	net_fixture_settle(&f->base);
	assert_int_equal(f->base.link_changes, 1);
	assert_false(f->net->ops->link(f->net));
	assert_true(net_fixture_send(&f->base, 0, NULL, f->frame, 100) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames_both_ways),
		TEST(test_checksum_offload),
		TEST(test_segmentation_offload),
		TEST(test_two_queues),
		TEST(test_flood_while_off),
		TEST(test_too_long),
		TEST(test_pattern),
		TEST(test_busy),
		TEST(test_inherited),
		TEST(test_inherited_refused),
		TEST(test_deleted),
	};

	sandbox = net_sandbox_enter();
	if (sandbox && access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("no /dev/net/tun: tests that need it are skipped\n");
		sandbox = false;
	}
	if (sandbox)
		net_sandbox_no_ipv6();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
