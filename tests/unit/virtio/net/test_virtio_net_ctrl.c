/* SPDX-License-Identifier: BSD-2-Clause */
/* The control queue and more than one pair of queues (virtio 1.2, 5.1.6.5). */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

enum { OK = 0, ERR = 1, RX = 0, MAC = 1, VLAN = 2, ANNOUNCE = 3, MQ = 4, OFFLOADS = 5 };

#define NET_MQ (NET_ALL | VIRTIO_NET_F_MQ)

static uint64_t mac(void)
{
	return vdrv_cfg(&nf.pair[0], 0, 4) | vdrv_cfg(&nf.pair[0], 4, 2) << 32;
}

/* ---- commands ---- */

static void test_5_1_6_5_1_rx_modes(void **state)
{
	static const uint8_t off, on = 1, two[2] = {1, 1};

	(void)state;
	net_start(NET_ALL);
	for (uint8_t command = 0; command < 2; command++) {
		assert_int_equal(net_control(RX, command, &on, 1), OK);
		assert_int_equal(net_control(RX, command, &off, 1), OK);
		assert_int_equal(net_control(RX, command, NULL, 0), ERR);
		assert_int_equal(net_control(RX, command, two, 2), ERR);
	}
	/* those of CTRL_RX_EXTRA, and what there is not */
	for (unsigned int command = 2; command < 256; command++)
		assert_int_equal(net_control(RX, (uint8_t)command, &on, 1), ERR);
	net_start(NET_ALL & ~VIRTIO_NET_F_CTRL_RX);
	assert_int_equal(net_control(RX, 0, &on, 1), ERR);
	assert_false(net_needs_reset());
}

static void test_5_1_6_5_2_mac_table(void **state)
{
	static const struct {
		const char *what;
		uint32_t first, second; /* entries */
		uint32_t len;
		int ack;
	} rows[] = {
		{"both empty", 0, 0, 8, OK},
		{"two and three", 2, 3, 8 + 5 * 6, OK},
		{"many", 100, 100, 8 + 200 * 6, OK},
		{"nothing", 0, 0, 0, ERR},
		{"half a number", 0, 0, 3, ERR},
		{"one table", 0, 0, 4, ERR},
		{"second number cut", 1, 0, 4 + 6 + 3, ERR},
		{"first cut", 2, 0, 4 + 11, ERR},
		{"second cut", 0, 1, 8 + 5, ERR},
		{"more than said", 1, 1, 8 + 12 + 1, ERR},
		{"far too many", UINT32_MAX, 0, 8, ERR},
		{"far too many in the second", 0, UINT32_MAX, 8 + 60, ERR},
	};
	uint8_t data[8 + 200 * 6] = {0};

	(void)state;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(data, 0x42, sizeof(data));
		memcpy(data, &rows[i].first, 4);
		if (rows[i].first < 200)
			memcpy(data + 4 + 6 * rows[i].first, &rows[i].second, 4);
		assert_int_equal(net_control(MAC, 0, data, rows[i].len), rows[i].ack);
	}
	/* so many that 32 bits come round to 2 bytes, and an empty table behind them */
	memset(data, 0, 10);
	memcpy(data, &(const uint32_t){0x2aaaaaab}, 4);
	assert_int_equal(net_control(MAC, 0, data, 10), ERR);
	net_start(NET_ALL & ~VIRTIO_NET_F_CTRL_RX);
	memset(data, 0, 8);
	assert_int_equal(net_control(MAC, 0, data, 8), ERR);
	assert_false(net_needs_reset());
}

static void test_5_1_6_5_2_mac(void **state)
{
	static const uint8_t mine[7] = {2, 4, 6, 8, 10, 12, 14};
	const uint64_t before = mac();
	uint32_t generation;

	(void)state;
	net_start(NET_ALL);
	assert_int_equal(net_control(MAC, 1, mine, 5), ERR);
	assert_int_equal(net_control(MAC, 1, mine, 7), ERR);
	assert_int_equal(net_control(MAC, 1, NULL, 0), ERR);
	assert_int_equal(mac(), before);
	generation = nf.pair[0].t->generation(&nf.pair[0]);
	assert_int_equal(net_control(MAC, 1, mine, 6), OK);
	assert_int_equal(mac(), 0x0c0a08060402);
	assert_int_not_equal(nf.pair[0].t->generation(&nf.pair[0]), generation);
	net_start(NET_ALL & ~VIRTIO_NET_F_CTRL_MAC_ADDR);
	assert_int_equal(net_control(MAC, 1, mine, 6), OK);
	net_start(NET_ALL & ~(VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_CTRL_RX));
	assert_int_equal(net_control(MAC, 1, mine, 6), ERR);
	assert_int_equal(mac(), before);
}

static void test_5_1_6_5_6_guest_offloads(void **state)
{
	static const struct {
		uint64_t features;
		int ack;
		uint32_t offloads;
	} rows[] = {
		{0, OK, 0},
		{VIRTIO_NET_F_GUEST_CSUM, OK, NET_CSUM},
		{VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4, OK, NET_CSUM | NET_TSO4},
		{NET_GUEST_OFFLOADS, OK,
			NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO},
		{NET_GUEST_OFFLOADS & ~VIRTIO_NET_F_GUEST_USO4, OK,
			NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO},
		{VIRTIO_NET_F_GUEST_TSO4, ERR, 0},
		{VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_ECN, ERR, 0},
		{VIRTIO_NET_F_CSUM, ERR, 0},
		{VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MAC, ERR, 0},
		{UINT64_MAX, ERR, 0},
	};
	const uint64_t csum = VIRTIO_NET_F_GUEST_CSUM, none = 0;

	(void)state;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint32_t before = nf.fake.offloads;

		assert_int_equal(net_control(OFFLOADS, 0, &rows[i].features, 8), rows[i].ack);
		assert_int_equal(nf.fake.offloads, rows[i].ack ? before : rows[i].offloads);
	}
	assert_int_equal(net_control(OFFLOADS, 0, &none, 7), ERR);
	assert_int_equal(net_control(OFFLOADS, 0, NULL, 0), ERR);
	assert_int_equal(net_control(OFFLOADS, 1, &none, 8), ERR);
	nf.fake.fail_offloads = -EINVAL;
	assert_int_equal(net_control(OFFLOADS, 0, &none, 8), ERR);
	nf.fake.fail_offloads = 0;
	/* not negotiated: the offload, the command */
	net_start(NET_ALL & ~NET_GUEST_OFFLOADS);
	assert_int_equal(net_control(OFFLOADS, 0, &csum, 8), ERR);
	assert_int_equal(net_control(OFFLOADS, 0, &none, 8), OK);
	net_start(NET_ALL & ~VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	assert_int_equal(net_control(OFFLOADS, 0, &none, 8), ERR);
	assert_false(net_needs_reset());
}

/* What was on its way when an offload was switched off does not come through. */
static void test_5_1_6_5_6_frames_before(void **state)
{
	static const struct net_header gso = {
		.flags = NEEDS_CSUM, .gso_type = GSO_TCPV4, .gso_size = 100, .csum_start = 34};
	const uint64_t csum = VIRTIO_NET_F_GUEST_CSUM;
	struct net_header got;
	uint8_t payload[1000] = {0};
	static uint8_t buf[NET_PAYLOAD_MAX];

	(void)state;
	nf.dirty = true;
	net_start(NET_ALL);
	net_post(0, 10, 2000);
	fake_net_put(&nf.fake, 0, &gso, payload, sizeof(payload));
	net_run();
	assert_int_equal(net_receive(0, &got, buf), sizeof(payload));
	assert_memory_equal(&got.gso_type, &gso.gso_type, 1);
	assert_int_equal(net_control(OFFLOADS, 0, &csum, 8), OK);
	fake_net_put(&nf.fake, 0, &gso, payload, sizeof(payload));
	net_run();
	net_expect_none(0);
	net_arrive(0, 100, 1);
	net_expect_arrived(0, 100, 1, 1);
}

static void test_unknown_commands(void **state)
{
	const uint8_t data[8] = {1};

	(void)state;
	net_start(NET_ALL);
	for (unsigned int class = 0; class < 256; class ++)
		for (unsigned int command = 0; command < 6; command++)
			if (class == VLAN || class == MQ || class > OFFLOADS)
				assert_int_equal(
					net_control((uint8_t) class, (uint8_t)command, data,
						class == VLAN || class == MQ ? 2 : 8),
					ERR);
	assert_int_equal(net_control(ANNOUNCE, 0, data, 1), ERR);
	assert_int_equal(net_control(ANNOUNCE, 1, NULL, 0), ERR);
	net_start(NET_ALL & ~VIRTIO_NET_F_GUEST_ANNOUNCE);
	assert_int_equal(net_control(ANNOUNCE, 0, NULL, 0), ERR);
	assert_false(net_needs_reset());
}

/* 2.7.4.1: a command cut anywhere, and an answer with room to spare */
static void test_2_7_4_1_framing(void **state)
{
	const uint8_t command[8] = {MAC, 1, 2, 9, 9, 9, 9, 9};
	const uint64_t at = net_alloc(64);
	struct vdrv_buf bufs[10];
	uint32_t len;

	(void)state;
	net_start(NET_ALL);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *p = vdrv_at(&nf.pair[0], at, 64);

		memset(p, 0xee, 64);
		for (unsigned int b = 0; b < 8; b++) {
			bufs[b] = (struct vdrv_buf){at + 3 * b, 1};
			p[3 * b] = command[b];
		}
		bufs[8] = (struct vdrv_buf){at + 40, 0};
		bufs[9] = (struct vdrv_buf){at + 50, 10};
		net_add(NET_PAIRS, 0, bufs, 8, 2, i);
		vdrv_kick(&nf.pair[NET_PAIRS], 0);
		assert_int_not_equal(vdrv_get(&nf.pair[NET_PAIRS], 0, &len), VDRV_NO_HEAD);
		assert_int_equal(len, 1);
		assert_int_equal(p[50], OK);
		assert_int_equal(p[51], 0xee);
		assert_int_equal(mac(), 0x090909090902);
	}
}

/* ---- pairs of queues ---- */

static void start_pairs(uint64_t features)
{
	nf.config.max_pairs = NET_PAIRS;
	net_restart();
	net_start(features);
}

static void test_5_1_2_control_queue_number(void **state)
{
	const uint8_t on = 1;

	(void)state;
	/* behind the last pair, if the driver knows of more than one; else behind that */
	start_pairs(NET_MQ);
	assert_int_equal(nf.pair[NET_PAIRS].first, 2 * NET_PAIRS);
	assert_int_equal(net_control(RX, 0, &on, 1), OK);
	net_start(NET_ALL);
	assert_int_equal(nf.pair[NET_PAIRS].first, 2);
	assert_int_equal(net_control(RX, 0, &on, 1), OK);
	assert_false(net_needs_reset());
}

/*
 * Frames for a pair that the driver does not know of have nothing to do with the control queue,
 * whose number it would have.
 */
static void test_5_1_2_frames_for_the_control_queue(void **state)
{
	const uint64_t features = NET_ALL & ~VIRTIO_F_EVENT_IDX;
	const uint8_t on = 1;

	(void)state;
	start_pairs(features);
	for (unsigned int i = 0; i < 3; i++) {
		net_arrive(1, 100, 1);
		assert_int_equal(net_control(RX, 0, &on, 1), OK);
		net_start(features);
	}
	assert_int_equal(nf.fake.queued[1].num, 3);
}

static void test_5_1_6_5_5_pairs_set(void **state)
{
	static const uint16_t bad[] = {0, NET_PAIRS + 1, 0x8000, 0xffff};

	(void)state;
	start_pairs(NET_MQ);
	assert_int_equal(net_set_pairs(2), OK);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(net_set_pairs(bad[i]), ERR);
		assert_int_equal(nf.fake.pairs, 2);
	}
	assert_int_equal(net_control(MQ, 0, "", 1), ERR);
	assert_int_equal(net_control(MQ, 0, "\1\0\0", 3), ERR);
	assert_int_equal(net_control(MQ, 1, "\1", 2), ERR);
	nf.fake.fail_queues = -EBUSY;
	assert_int_equal(net_set_pairs(3), ERR);
	nf.fake.fail_queues = 0;
	assert_int_equal(nf.fake.pairs, 2);
	assert_int_equal(net_set_pairs(NET_PAIRS), OK);
	assert_int_equal(nf.fake.pairs, NET_PAIRS);
	assert_int_equal(net_set_pairs(1), OK);
	assert_int_equal(nf.fake.pairs, 1);
	assert_false(net_needs_reset());
}

/* Only pairs in use receive. */
static void test_5_1_6_5_5_receive(void **state)
{
	(void)state;
	start_pairs(NET_MQ);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		net_post(k, 8, 500);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		net_arrive(k, 100 + k, (uint8_t)k);
	net_expect_arrived(0, 100, 0, 1);
	net_expect_none(1);
	net_expect_none(2);
	assert_int_equal(net_set_pairs(2), OK);
	net_run();
	net_expect_arrived(1, 101, 1, 1);
	net_expect_none(2);
	assert_int_equal(net_set_pairs(3), OK);
	net_run();
	net_expect_arrived(2, 102, 2, 1);
	for (unsigned int k = 0; k < NET_PAIRS; k++) {
		net_arrive(k, 200 + k, (uint8_t)k);
		net_expect_arrived(k, 200 + k, (uint8_t)k, 1);
	}
	assert_int_equal(net_set_pairs(1), OK);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		net_arrive(k, 300 + k, (uint8_t)k);
	net_expect_arrived(0, 300, 0, 1);
	net_expect_none(1);
	net_expect_none(2);
	assert_false(nf.fake.rx_on[1]);
	/* They come when the pair is in use again. */
	assert_int_equal(net_set_pairs(3), OK);
	net_run();
	net_expect_arrived(1, 301, 1, 1);
	net_expect_arrived(2, 302, 2, 1);
}

/* A frame that was waiting for buffers in a pair that goes out of use */
static void test_5_1_6_5_5_frame_waits(void **state)
{
	(void)state;
	start_pairs(NET_MQ);
	assert_int_equal(net_set_pairs(2), OK);
	net_post(1, 20, 100);
	net_arrive(1, 50, 1);
	net_arrive(1, 1980, 2); /* waits */
	net_expect_arrived(1, 50, 1, 1);
	net_expect_none(1);
	assert_int_equal(net_set_pairs(1), OK);
	net_post(1, 20, 100);
	net_expect_none(1);
	assert_int_equal(net_set_pairs(2), OK);
	nf.dirty = true;
	net_arrive(1, 60, 3);
	net_expect_arrived(1, 60, 3, 1);
	net_expect_none(1);
}

static void test_5_1_6_5_5_send(void **state)
{
	(void)state;
	start_pairs(NET_MQ);
	assert_int_equal(net_set_pairs(NET_PAIRS), OK);
	for (unsigned int k = 0; k < NET_PAIRS; k++) {
		net_send_pattern(k, 100 + k, (uint8_t)k);
		net_expect_sent_pattern(k, 100 + k, (uint8_t)k);
		assert_int_equal(net_sent(k), 1);
	}
	/* Each is full by itself. */
	fake_net_allow(&nf.fake, 0);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		net_send_pattern(k, 200 + k, (uint8_t)k);
	net_expect_none_sent();
	fake_net_allow(&nf.fake, 2);
	net_expect_sent_pattern(0, 200, 0);
	net_expect_sent_pattern(1, 201, 1);
	net_expect_none_sent();
	fake_net_allow(&nf.fake, UINT_MAX);
	net_expect_sent_pattern(2, 202, 2);
	/* What comes in a pair that is out of use is not sent, and does not stay either. */
	assert_int_equal(net_set_pairs(1), OK);
	net_send_pattern(1, 300, 1);
	net_send_pattern(2, 300, 2);
	assert_int_equal(net_sent(1), 2);
	assert_int_equal(net_sent(2), 2);
	net_expect_none_sent();
	net_send_pattern(0, 300, 0);
	net_expect_sent_pattern(0, 300, 0);
	assert_false(net_needs_reset());
}

/* Queues that a driver without MQ has no business with */
static void test_5_1_2_queues_not_negotiated(void **state)
{
	(void)state;
	nf.config.max_pairs = NET_PAIRS;
	net_restart();
	for (unsigned int q = 2; q <= 2 * NET_PAIRS; q++) {
		const struct vdrv_buf bufs[] = {{net_alloc(3), 3}, {net_alloc(1), 1}};
		struct vdrv *d = &nf.pair[q / 2];

		assert_true(net_negotiate(NET_RING));
		net_setup_queues();
		nf.pair[NET_PAIRS].first = 2 * NET_PAIRS;
		vdrv_queue_setup(d, q % 2, 64);
		vdrv_driver_ok(&nf.pair[0]);
		memset(vdrv_at(d, bufs[0].gpa, bufs[0].len), 0, bufs[0].len);
		net_add(q / 2, q % 2, bufs, 1, 1, false);
		nf.pair[0].t->notify(d, q % 2);
		assert_true(net_needs_reset());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_5_1_rx_modes),
		NET_TEST(test_5_1_6_5_2_mac_table),
		NET_TEST(test_5_1_6_5_2_mac),
		NET_TEST(test_5_1_6_5_6_guest_offloads),
		NET_TEST(test_5_1_6_5_6_frames_before),
		NET_TEST(test_unknown_commands),
		NET_TEST(test_2_7_4_1_framing),
		NET_TEST(test_5_1_2_control_queue_number),
		NET_TEST(test_5_1_2_frames_for_the_control_queue),
		NET_TEST(test_5_1_6_5_5_pairs_set),
		NET_TEST(test_5_1_6_5_5_receive),
		NET_TEST(test_5_1_6_5_5_frame_waits),
		NET_TEST(test_5_1_6_5_5_send),
		NET_TEST(test_5_1_2_queues_not_negotiated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
