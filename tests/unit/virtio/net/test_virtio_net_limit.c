/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cards that may only do so much (virtio/net/net_limit.c), on each transport, with a clock in the
 * test's hands and a driver or a network that always has something to send.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_clock.h"
#include "virtio_net_fixture.h"

enum { LEN = 1000, AHEAD = 8 };

static struct fake_clock hands;

static void start(enum virtio_net_direction direction, struct rate_config limit, unsigned int pairs)
{
	fake_clock_init(&hands);
	nf.config.clock = &hands.clock;
	nf.config.max_pairs = pairs;
	memset(nf.config.limit, 0, sizeof(nf.config.limit));
	nf.config.limit[direction] = limit;
	net_restart();
	net_start(pairs > 1 ? NET_ALL | VIRTIO_NET_F_MQ : NET_ALL);
	if (pairs > 1)
		assert_int_equal(net_set_pairs((uint16_t)pairs), 0);
}

static struct rate_config frames(uint64_t per_second)
{
	return (struct rate_config){.ops = bucket_config_of_rate(per_second, 1)};
}

static unsigned int reached_network(unsigned int queue)
{
	struct fake_frame *frame;
	unsigned int n = 0;

	while ((frame = fake_net_take(&nf.fake))) {
		n += frame->queue == queue;
		assert_int_equal(frame->len, NET_HEADER + LEN);
		free(frame);
	}
	return n;
}

/* Frames that went out of each pair in ms. */
static void send_all_the_time(unsigned int pairs, unsigned int ms, unsigned int sent[NET_PAIRS])
{
	unsigned int waiting[NET_PAIRS] = {0};

	memset(sent, 0, NET_PAIRS * sizeof(sent[0]));
	while (ms--) {
		for (unsigned int k = 0; k < pairs; k++) {
			unsigned int n = net_sent(k);

			sent[k] += n;
			waiting[k] -= n;
			for (; waiting[k] < AHEAD; waiting[k]++)
				net_send_pattern(k, LEN, 1);
		}
		reached_network(0);
		fake_clock_advance(&hands, NSEC_PER_MSEC);
		net_run();
	}
}

static void receive_all_the_time(unsigned int pairs, unsigned int ms, unsigned int got[NET_PAIRS])
{
	static uint8_t payload[NET_MAX_FRAME];
	struct net_header header;

	memset(got, 0, NET_PAIRS * sizeof(got[0]));
	while (ms--) {
		for (unsigned int k = 0; k < pairs; k++) {
			while (nf.fake.queued[k].num < AHEAD)
				net_arrive(k, LEN, 1);
			while (net_receive(k, &header, payload) >= 0) {
				got[k]++;
				net_post(k, 1, 2048);
			}
		}
		fake_clock_advance(&hands, NSEC_PER_MSEC);
		net_run();
	}
}

static void post_all(unsigned int pairs)
{
	for (unsigned int k = 0; k < pairs; k++)
		net_post(k, 20, 2048);
}

static void test_frames_sent(void **state)
{
	unsigned int sent[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_TX, frames(500), 1);
	send_all_the_time(1, 10000, sent);
	assert_in_range(sent[0], 4990, 5003);
	assert_false(net_needs_reset());
}

static void test_bytes_sent(void **state)
{
	unsigned int sent[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_TX, (struct rate_config){.bytes = bucket_config_of_rate(500 * LEN, LEN)},
		1);
	send_all_the_time(1, 10000, sent);
	assert_in_range(sent[0], 4990, 5003);
}

static void test_frames_received(void **state)
{
	unsigned int got[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_RX, frames(500), 1);
	post_all(1);
	receive_all_the_time(1, 10000, got);
	assert_in_range(got[0], 4990, 5003);
	/* The other direction has none. */
	for (unsigned int i = 0; i < 100; i++) {
		net_send_pattern(0, LEN, 1);
		assert_int_equal(net_sent(0), 1);
	}
}

static void test_bytes_received(void **state)
{
	unsigned int got[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_RX, (struct rate_config){.bytes = bucket_config_of_rate(500 * LEN, LEN)},
		1);
	post_all(1);
	receive_all_the_time(1, 10000, got);
	assert_in_range(got[0], 4990, 5003);
}

/* While it is held back, the back end is quiet: it does not call for ever. */
static void test_quiet(void **state)
{
	(void)state;
	start(VIRTIO_NET_RX, frames(1), 1);
	post_all(1);
	for (unsigned int i = 0; i < 5; i++)
		net_arrive(0, LEN, (uint8_t)i);
	assert_false(nf.fake.rx_on[0]);
	/* nor when the driver posts more */
	net_post(0, 1, 2048);
	assert_false(nf.fake.rx_on[0]);
	for (unsigned int i = 0; i < 5; i++) {
		net_expect_arrived(0, LEN, (uint8_t)i, 1);
		fake_clock_advance(&hands, 2 * NSEC_PER_SEC);
		net_run();
	}
	net_expect_none(0);
	assert_true(nf.fake.rx_on[0]);
}

static void test_pairs_share(void **state)
{
	unsigned int n[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_TX, frames(1000), NET_PAIRS);
	send_all_the_time(NET_PAIRS, 2000, n);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		assert_in_range(n[k], 400, 1000);
	assert_in_range(n[0] + n[1] + n[2], 1980, 2003);

	start(VIRTIO_NET_RX, frames(1000), NET_PAIRS);
	post_all(NET_PAIRS);
	receive_all_the_time(NET_PAIRS, 2000, n);
	for (unsigned int k = 0; k < NET_PAIRS; k++)
		assert_in_range(n[k], 400, 1000);
	assert_in_range(n[0] + n[1] + n[2], 1980, 2003);
}

static void test_full_bucket_is_free(void **state)
{
	unsigned int n[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_RX, (struct rate_config){.ops = bucket_config_of_rate(1000000, 0)}, 1);
	post_all(1);
	receive_all_the_time(1, 100, n);
	assert_in_range(n[0], 700, 10000);
	assert_int_equal(hands.fired, 0);
}

static void test_reset(void **state)
{
	(void)state;
	start(VIRTIO_NET_TX, frames(1), 1);
	for (unsigned int i = 0; i < 3; i++)
		net_send_pattern(0, LEN, 1);
	assert_int_equal(net_sent(0), 1);
	net_start(NET_ALL);
	net_send_pattern(0, LEN, 1);
	assert_int_equal(net_sent(0), 0);
	fake_clock_advance(&hands, 2 * NSEC_PER_SEC);
	net_run();
	assert_int_equal(net_sent(0), 1);
}

static void test_change_under_load(void **state)
{
	const struct rate_config none = {0}, faster = frames(500), broken = {.ops = {.size = 1}};
	unsigned int n[NET_PAIRS];

	(void)state;
	start(VIRTIO_NET_RX, frames(1), 1);
	post_all(1);
	receive_all_the_time(1, 10, n);
	assert_in_range(n[0], 1, 2);
	assert_int_equal(virtio_net_set_limit(nf.vnet, VIRTIO_NET_RX, &broken), -EINVAL);
	assert_int_equal(virtio_net_set_limit(nf.vnet, VIRTIO_NET_RX, &faster), 0);
	receive_all_the_time(1, 2000, n);
	assert_in_range(n[0], 990, 1003);
	assert_int_equal(virtio_net_set_limit(nf.vnet, VIRTIO_NET_RX, &none), 0);
	fake_clock_advance(&hands, 1);
	receive_all_the_time(1, 100, n);
	assert_in_range(n[0], 700, 10000);
	assert_int_equal(fake_clock_armed(&hands), 0);
}

static void test_no_clock(void **state)
{
	struct virtio_net *vnet = NULL;
	struct virtio_net_config config = nf.config;

	(void)state;
	config.limit[VIRTIO_NET_TX] = frames(1);
	assert_int_equal(virtio_net_set_limit(nf.vnet, VIRTIO_NET_TX, &config.limit[1]), -EINVAL);
	assert_int_equal(virtio_net_create(&config, &vnet), -EINVAL);
	assert_null(vnet);
}

static int tear_down(void **state)
{
	net_tear_down(state);
	assert_null(hands.first);
	return 0;
}

#define ON(f, name, kind)                                                                          \
	{                                                                                          \
#f "/" name, f, net_set_up, tear_down, (void *)(uintptr_t)(kind)                   \
	}
#define EACH(f)                                                                                    \
	ON(f, "mmio", RIG_MMIO), ON(f, "pci-intx", RIG_PCI_INTX), ON(f, "pci-msix", RIG_PCI_MSIX)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_frames_sent),
		EACH(test_bytes_sent),
		EACH(test_frames_received),
		EACH(test_bytes_received),
		EACH(test_quiet),
		EACH(test_pairs_share),
		EACH(test_full_bucket_is_free),
		EACH(test_reset),
		EACH(test_change_under_load),
		EACH(test_no_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
