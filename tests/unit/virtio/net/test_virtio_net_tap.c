/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on a tap, with nothing of ours between the driver and the system calls below the
 * tap: queues that go out of use and come back, under drivers that come and go.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "devices/net/fake_tap_sys.h"
#include "virtio_net_fixture.h"
#include "vm/core/error.h"

enum { PAIRS = 2, FRAME = 1000, MANY = 40 };

#define CHOSEN (VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ)

static struct {
	struct fake_tap_sys kernel;
	struct net *tap;
} tf;

static void plug(void)
{
	struct virtio_net *vnet;

	assert_int_equal(virtio_net_create(&nf.config, &vnet), 0);
	net_plug(vnet);
}

/* The machine is built anew; the tap stays, as it does over a reboot. */
static void reboot(void)
{
	rig_unplug(&nf.rig);
	plug();
}

static int set_up(void **state)
{
	const struct net_tap_config config = {.queues = PAIRS, .sys = &tf.kernel.table};
	struct error err = {0};

	net_set_up(state);
	nf.loop = true;
	net_restart();
	rig_unplug(&nf.rig);
	fake_tap_init(&tf.kernel);
	assert_int_equal(net_tap_create(&config, &tf.tap, &err), 0);
	nf.config.net = tf.tap;
	nf.config.max_pairs = PAIRS;
	plug();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_unplug(&nf.rig);
	tf.tap->ops->close(tf.tap);
	assert_int_equal(fake_tap_fini(&tf.kernel), 0);
	return net_tear_down(state);
}

/* ---- the network's side ---- */

static void arrive(unsigned int queue, uint8_t seed)
{
	uint8_t frame[NET_HEADER + FRAME] = {0};

	net_pattern(frame + NET_HEADER, FRAME, seed);
	assert_int_equal(
		send(tf.kernel.queues[queue].peer, frame, sizeof(frame), 0), sizeof(frame));
	net_run();
}

/* Frames that have come out of the queue since the last call. */
static unsigned int drain(unsigned int queue)
{
	uint8_t frame[NET_HEADER + FRAME + 1];
	unsigned int n = 0;

	while (recv(tf.kernel.queues[queue].peer, frame, sizeof(frame), 0) == NET_HEADER + FRAME)
		n++;
	return n;
}

/* The same, with all that follows from it, until nothing comes any more. */
static unsigned int drain_all(unsigned int queue)
{
	unsigned int all = 0, n;

	net_run();
	while ((n = drain(queue)) > 0) {
		all += n;
		net_run();
	}
	return all;
}

/* ---- the driver's side ---- */

static void start_pairs(uint16_t pairs)
{
	net_start(CHOSEN);
	net_run();
	assert_int_equal(net_set_pairs(pairs), 0);
	net_run();
}

/* The queue takes no more, and there are frames left: how many were given to it. */
static unsigned int fill(unsigned int pair)
{
	unsigned int n = 0;

	for (; n < MANY; n++)
		net_send_pattern(pair, FRAME, (uint8_t)n);
	assert_true(net_sent(pair) < MANY);
	return n;
}

static void expect_sending(unsigned int pair)
{
	drain_all(pair);
	net_sent(pair);
	net_send_pattern(pair, FRAME, 7);
	assert_int_equal(drain_all(pair), 1);
	assert_int_equal(net_sent(pair), 1);
}

static void expect_receiving(unsigned int pair)
{
	arrive(pair, 3);
	net_post(pair, 1, NET_HEADER + FRAME);
	net_expect_arrived(pair, FRAME, 3, 1);
}

/* ---- sending ---- */

/* What the pair could not send before it went out of use is sent when it is back. */
static void test_full_out_of_use(void **state)
{
	unsigned int given, sent;

	(void)state;
	start_pairs(2);
	given = fill(1);
	assert_int_equal(net_set_pairs(1), 0);
	sent = drain_all(1);
	assert_true(sent < given);
	assert_int_equal(net_set_pairs(2), 0);
	assert_int_equal(sent + drain_all(1), given);
	expect_sending(1);
	expect_sending(0);
}

/* The same while the network still takes nothing. */
static void test_full_and_still_full(void **state)
{
	unsigned int given;

	(void)state;
	start_pairs(2);
	given = fill(1);
	assert_int_equal(net_set_pairs(1), 0);
	assert_int_equal(net_set_pairs(2), 0);
	assert_int_equal(drain_all(1), given);
	expect_sending(1);
}

static void test_full_at_a_reset(void **state)
{
	(void)state;
	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		start_pairs(2);
		fill(pair);
		nf.pair[0].t->set_status(&nf.pair[0], 0);
		net_run();
		start_pairs(2);
		for (unsigned int k = 0; k < PAIRS; k++)
			expect_sending(k);
	}
}

/* The next driver begins while the network still takes nothing. */
static void test_full_over_a_reset(void **state)
{
	(void)state;
	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		unsigned int given;

		start_pairs(2);
		fill(pair);
		nf.pair[0].t->set_status(&nf.pair[0], 0);
		start_pairs(2);
		given = fill(pair);
		assert_true(drain_all(pair) > given);
		expect_sending(pair);
	}
}

static void test_full_over_a_reboot(void **state)
{
	(void)state;
	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		start_pairs(2);
		fill(pair);
		reboot();
		start_pairs(2);
		for (unsigned int k = 0; k < PAIRS; k++)
			expect_sending(k);
	}
}

/* ---- receiving ---- */

/* A frame for which nobody is there, or has a buffer, is waited for in peace. */
static void wait_in_peace(void)
{
	arrive(1, 1);
	start_pairs(2);
	arrive(1, 2);
	net_run();
	assert_true(event_loop_step(nf.rig.loop, 0) == 0);
	net_post(1, 4, NET_HEADER + FRAME);
	net_expect_arrived(1, FRAME, 1, 1);
	net_expect_arrived(1, FRAME, 2, 1);
	for (unsigned int k = 0; k < PAIRS; k++)
		expect_receiving(k);
}

static void test_quiet_after_a_reboot(void **state)
{
	(void)state;
	start_pairs(2);
	for (unsigned int i = 0; i < 3; i++) {
		reboot();
		wait_in_peace();
	}
}

static void test_quiet_at_a_second_start(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		wait_in_peace();
		nf.pair[0].t->set_status(&nf.pair[0], 0);
	}
}

/* With as many buffers as frames, with none, and with queues that the driver has not set up. */
static void test_out_of_use_and_back(void **state)
{
	(void)state;
	start_pairs(2);
	for (unsigned int i = 0; i < 5; i++) {
		expect_receiving(1);
		if (i % 2)
			arrive(1, 9);
		assert_int_equal(net_set_pairs(1), 0);
		expect_receiving(0);
		assert_int_equal(net_set_pairs(2), 0);
		if (i % 2) {
			net_post(1, 1, NET_HEADER + FRAME);
			net_expect_arrived(1, FRAME, 9, 1);
		}
	}
	nf.pair[0].t->set_status(&nf.pair[0], 0);
	assert_true(net_negotiate(CHOSEN));
	vdrv_queue_setup(&nf.pair[NET_PAIRS], 0, 64);
	vdrv_driver_ok(&nf.pair[0]);
	assert_int_equal(net_set_pairs(2), 0);
	for (unsigned int k = 0; k < PAIRS; k++)
		arrive(k, 1);
}

#define TEST(f)                                                                                    \
	{#f "/mmio", f, set_up, tear_down, (void *)(uintptr_t)RIG_MMIO},                           \
	{                                                                                          \
#f "/pci-msix", f, set_up, tear_down, (void *)(uintptr_t)RIG_PCI_MSIX              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_full_out_of_use),
		TEST(test_full_and_still_full),
		TEST(test_full_at_a_reset),
		TEST(test_full_over_a_reset),
		TEST(test_full_over_a_reboot),
		TEST(test_quiet_after_a_reboot),
		TEST(test_quiet_at_a_second_start),
		TEST(test_out_of_use_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
