/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on user networking in a process of its own: the driver's half, the card, the
 * rings, libslirp, and nothing of a test's between them. The driver asks who has the host's
 * address.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/net/apart.h"
#include "devices/net/net_packet.h"
#include "virtio_net_fixture.h"
#include "vm/core/error.h"

enum { PATIENCE_S = 60, LOOKS = 200, BUFFER = NET_HEADER + 14 + NET_SLIRP_MTU };

#define CHOSEN (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MTU)

static struct net *net;

static void plug(void)
{
	struct virtio_net *vnet;

	assert_int_equal(virtio_net_create(&nf.config, &vnet), 0);
	net_plug(vnet);
}

static int set_up(void **state)
{
	const struct net_slirp_config slirp = {.restricted = true};
	struct net_apart_config config = {0};
	struct error err = {""};

	signal(SIGPIPE, SIG_IGN);
	net_set_up(state);
	nf.loop = true;
	net_restart();
	rig_unplug(&nf.rig);
	assert_int_equal(net_slirp_fork(&slirp, NULL, &config.helper, &err), 0);
	if (net_apart_create(&config, &net, &err) < 0)
		fail_msg("%s", err.text);
	nf.config.net = net;
	nf.config.mtu = 0;
	plug();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_unplug(&nf.rig);
	net->ops->close(net);
	return net_tear_down(state);
}

static void ask(void)
{
	struct flow flow = {.src = IP4(10, 0, 2, 15), .dst = IP4(10, 0, 2, 2)};
	const struct net_header header = {0};
	uint8_t frame[64];
	size_t len;

	memset(flow.dst_mac, 0xff, sizeof(flow.dst_mac));
	memcpy(flow.src_mac, net_mac, sizeof(flow.src_mac));
	len = build_arp(frame, &flow, 1);
	net_send(0, &header, frame, len);
}

/* True: the answer has come. Whatever else comes is libslirp's own. */
static bool is_answered(void)
{
	static uint8_t frame[NET_PAYLOAD_MAX];
	struct net_header header;
	struct parsed p;
	int len;

	net_run();
	while ((len = net_receive(0, &header, frame)) >= 0) {
		net_post(0, 1, BUFFER);
		if (parse_frame(frame, (size_t)len, &p) && p.type == TYPE_ARP && p.arp_op == 2 &&
			p.flow.src == IP4(10, 0, 2, 2))
			return true;
	}
	return false;
}

static bool ask_once(void)
{
	ask();
	for (unsigned int i = 0; i < LOOKS; i++) {
		if (is_answered()) {
			net_sent(0);
			return true;
		}
		usleep(1000);
	}
	net_sent(0);
	return false;
}

static void ask_until_answered(void)
{
	const time_t end = time(NULL) + PATIENCE_S;

	while (!ask_once())
		assert_true(time(NULL) < end);
}

static void start(void)
{
	net_start(CHOSEN);
	net_post(0, 8, BUFFER);
	net_run();
}

/* The helper: the keeper's child, which is ours. */
static pid_t helper_pid(void)
{
	char path[64];
	int keeper = 0, helper = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &keeper) == 1) {
		fclose(file);
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
		file = fopen(path, "re");
	}
	if (file && fscanf(file, "%d", &helper) != 1)
		helper = 0;
	if (file)
		fclose(file);
	return helper;
}

static void test_asks(void **state)
{
	(void)state;
	assert_int_equal(net->info.mtu, NET_SLIRP_MTU);
	start();
	for (unsigned int i = 0; i < 20; i++)
		ask_until_answered();
}

static void test_killed(void **state)
{
	pid_t helper = helper_pid();

	(void)state;
	if (!helper)
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	start();
	ask_until_answered();
	assert_int_equal(kill(helper, SIGKILL), 0);
	ask_until_answered();
	assert_false(net_needs_reset());
	assert_true(helper_pid() != helper);
}

/* The machine is built anew, and the driver begins again; the process is the same. */
static void test_reboot(void **state)
{
	const pid_t helper = helper_pid();

	(void)state;
	start();
	ask_until_answered();
	for (unsigned int i = 0; i < 3; i++) {
		ask();
		rig_unplug(&nf.rig);
		plug();
		start();
		ask_until_answered();
	}
	assert_int_equal(helper_pid(), helper);
}

#define TEST(f) NET_ON(f, "mmio", RIG_MMIO), NET_ON(f, "pci-msix", RIG_PCI_MSIX)
#undef NET_ON
#define NET_ON(f, name, kind)                                                                      \
	{                                                                                          \
#f "/" name, f, set_up, tear_down, (void *)(uintptr_t)(kind)                       \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_asks),
		TEST(test_killed),
		TEST(test_reboot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
