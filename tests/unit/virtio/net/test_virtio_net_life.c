/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a network card: drivers that come and go, resets, the end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

static struct vdrv *drv(void)
{
	return &nf.pair[0];
}

static void expect_mac(const uint8_t *mac)
{
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(vdrv_cfg(drv(), i, 1), mac[i]);
}

static void test_2_1_2_nothing_before_driver_ok(void **state)
{
	const struct vdrv_buf buf = {net_alloc(NET_HEADER + 20), NET_HEADER + 20};

	(void)state;
	net_arrive(0, 20, 1);
	assert_false(nf.fake.rx_on[0]);
	assert_true(net_negotiate(NET_ALL));
	net_setup_queues();
	memset(vdrv_at(drv(), buf.gpa, buf.len), 0, buf.len);
	net_add(0, NET_TX, &buf, 1, 0, false);
	nf.pair[0].t->notify(&nf.pair[0], NET_TX);
	net_post(0, 4, 100);
	nf.pair[0].t->notify(&nf.pair[0], NET_RX);
	net_run();
	assert_int_equal(nf.fake.sends + nf.fake.recvs + nf.fake.offloads_set, 0);
	assert_int_equal(drv()->t->take_irq(drv()), 0);
	vdrv_driver_ok(drv());
	net_run();
	assert_int_equal(nf.fake.sends, 1);
	assert_int_equal(net_sent(0), 1);
	net_expect_arrived(0, 20, 1, 1);
	assert_int_equal(nf.fake.offloads_set, 1);
}

static void test_2_4_1_reset(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		net_start(NET_ALL);
		net_post(0, 8, 100);
		net_arrive(0, 20, 1);
		net_expect_arrived(0, 20, 1, 1);
		/* with buffers taken ahead */
		assert_true(virtio_device_in_flight(nf.rig.vdev, 0) > 0);
		drv()->t->set_status(drv(), 0);
		assert_int_equal(drv()->t->status(drv()), 0);
		drv()->t->take_irq(drv());
		net_arrive(0, 30, 2); /* the next driver's */
		assert_int_equal(drv()->t->take_irq(drv()), 0);
		net_expect_none(0);
		net_start(i % 2 ? NET_ALL : NET_PLAIN);
		net_post(0, 1, 200);
		net_expect_arrived(0, 30, 2, 1);
	}
}

/* A driver that is gone before the loop has heard of it */
static void test_2_4_1_reset_at_once(void **state)
{
	(void)state;
	nf.loop = true;
	net_restart();
	net_start(NET_ALL);
	drv()->t->set_status(drv(), 0);
	net_arrive(0, 20, 1);
	assert_int_equal(nf.fake.offloads_set + nf.fake.queues_set + nf.fake.recvs, 0);
	net_start(NET_ALL);
	net_post(0, 1, 100);
	net_expect_arrived(0, 20, 1, 1);
	assert_int_equal(nf.fake.offloads_set, 1);
}

/* What the last driver asked for does not concern the next one. */
static void test_2_4_1_settings(void **state)
{
	static const uint8_t mine[6] = {0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};
	const uint64_t none = 0;

	(void)state;
	nf.config.max_pairs = 2;
	net_restart();
	net_start(NET_ALL | VIRTIO_NET_F_MQ);
	assert_int_equal(net_set_pairs(2), 0);
	assert_int_equal(net_control(1, 1, mine, sizeof(mine)), 0);
	assert_int_equal(net_control(5, 0, &none, sizeof(none)), 0);
	assert_int_equal(nf.fake.offloads, 0);
	assert_int_equal(nf.fake.pairs, 2);
	expect_mac(mine);
	drv()->t->set_status(drv(), 0);
	expect_mac(net_mac);
	net_start(NET_ALL | VIRTIO_NET_F_MQ);
	net_post(0, 1, 100);
	assert_int_equal(nf.fake.offloads, nf.info.recv_offloads);
	assert_int_equal(nf.fake.pairs, 1);
	/* a driver that knows less */
	net_start(NET_PLAIN | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_USO4);
	net_post(0, 1, 100);
	assert_int_equal(nf.fake.offloads, NET_CSUM);
}

static void test_2_6_1_queue_reset(void **state)
{
	(void)state;
	net_start(NET_ALL);
	for (unsigned int i = 0; i < 4; i++) {
		const uint16_t size = i % 2 ? 16 : 64;

		net_post(0, 8, 100);
		assert_true(virtio_device_in_flight(nf.rig.vdev, 0) > 0);
		drv()->t->queue_reset(drv(), NET_RX);
		assert_int_equal(virtio_device_in_flight(nf.rig.vdev, 0), 0);
		net_arrive(0, 20, 1);
		assert_false(nf.fake.rx_on[0]);
		drv()->brk = RIG_RAM_BASE + 0x4000;
		vdrv_queue_setup(drv(), NET_RX, size);
		net_post(0, 2, 100);
		net_expect_arrived(0, 20, 1, 1);
		drv()->t->queue_reset(drv(), NET_TX);
		vdrv_queue_setup(drv(), NET_TX, size);
		net_send_pattern(0, 40, 3);
		net_expect_sent_pattern(0, 40, 3);
		assert_int_equal(net_sent(0), 1);
	}
	assert_false(net_needs_reset());
}

static void test_host_refuses(void **state)
{
	(void)state;
	nf.fake.fail_offloads = -EIO;
	net_start(NET_ALL);
	net_post(0, 1, 100);
	assert_true(net_needs_reset());
	nf.fake.fail_offloads = 0;
	nf.fake.fail_queues = -EIO;
	net_start(NET_ALL);
	net_post(0, 1, 100);
	assert_true(net_needs_reset());
	nf.fake.fail_queues = 0;
	net_start(NET_ALL);
	net_post(0, 1, 100);
	assert_false(net_needs_reset());
}

static void test_destroyed_at_work(void **state)
{
	(void)state;
	net_start(NET_ALL);
	net_post(0, 8, 100);
	fake_net_allow(&nf.fake, 0);
	net_send_pattern(0, 40, 3);
	net_arrive(0, 300, 1);
	rig_unplug(&nf.rig);
	assert_null(nf.fake.listener);
}

static void test_with_a_loop(void **state)
{
	(void)state;
	nf.loop = true;
	net_restart();
	net_start(NET_ALL);
	net_post(0, 8, 100);
	net_arrive(0, 300, 1);
	net_expect_arrived(0, 300, 1, 4);
	net_send_pattern(0, 40, 3);
	net_expect_sent_pattern(0, 40, 3);
	fake_net_allow(&nf.fake, 0);
	net_send_pattern(0, 50, 4);
	fake_net_allow(&nf.fake, 1);
	net_run();
	net_expect_sent_pattern(0, 50, 4);
	assert_int_equal(net_sent(0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_2_1_2_nothing_before_driver_ok),
		NET_TEST(test_2_4_1_reset),
		NET_TEST(test_2_4_1_reset_at_once),
		NET_TEST(test_2_4_1_settings),
		NET_TEST(test_2_6_1_queue_reset),
		NET_TEST(test_host_refuses),
		NET_TEST(test_destroyed_at_work),
		NET_TEST(test_with_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
