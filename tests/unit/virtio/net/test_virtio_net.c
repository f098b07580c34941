/* SPDX-License-Identifier: BSD-2-Clause */
/* The network card as a device: construction, features, configuration space, link. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

enum { CFG_STATUS = 6, CFG_MAX_PAIRS = 8, CFG_MTU = 10, LINK_UP = 1, ANNOUNCE = 2 };

static struct vdrv *drv(void)
{
	return &nf.pair[0];
}

static uint64_t offered(void)
{
	const uint64_t high = drv()->t->features(drv(), 1);

	return high << 32 | drv()->t->features(drv(), 0);
}

/* ---- construction ---- */

static void test_create_refused(void **state)
{
	static const struct {
		const char *what;
		uint8_t mac[6];
		unsigned int max_pairs;
		uint16_t queue_size, mtu, net_mtu;
		int fail_attach, error;
	} rows[] = {
		{"no address", {0}, 1, 64, 0, 0, 0, -EINVAL},
		{"a group's address", {1, 2, 3, 4, 5, 6}, 1, 64, 0, 0, 0, -EINVAL},
		{"too many pairs", {2}, VIRTIO_NET_MAX_PAIRS + 1, 64, 0, 0, 0, -EINVAL},
		{"odd queue size", {2}, 1, 65, 0, 0, 0, -EINVAL},
		{"queue too long", {2}, 1, 2 * VIRTQ_MAX_SIZE, 0, 0, 0, -EINVAL},
		{"small MTU", {2}, 1, 64, 67, 0, 0, -EINVAL},
		{"small MTU of the back end", {2}, 1, 64, 0, 1, 0, -EINVAL},
		{"not attached", {2}, 1, 64, 0, 0, -EBUSY, -EBUSY},
	};
	struct fake_net fake;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct virtio_net_config config = nf.config;
		struct virtio_net *vnet = NULL;

		fake_net_init(&fake);
		config.net = &fake.net;
		memcpy(config.mac, rows[i].mac, sizeof(config.mac));
		config.max_pairs = rows[i].max_pairs;
		config.queue_size = rows[i].queue_size;
		config.mtu = rows[i].mtu;
		fake.net.info.mtu = rows[i].net_mtu;
		fake.fail_attach = rows[i].fail_attach;
		assert_int_equal(virtio_net_create(&config, &vnet), rows[i].error);
		assert_null(vnet);
		fake_net_fini(&fake);
	}
}

static void test_create_defaults(void **state)
{
	(void)state;
	nf.config.queue_size = 0;
	nf.config.max_pairs = 0;
	net_restart();
	nf.config.queue_size = VIRTIO_NET_QUEUE_SIZE;
	for (unsigned int q = 0; q < 3; q++)
		assert_int_equal(drv()->t->queue_max(drv(), q), q < 3 ? VIRTIO_NET_QUEUE_SIZE : 0);
	assert_false(offered() & (VIRTIO_NET_F_MQ | VIRTIO_NET_F_MTU));
	nf.config.max_pairs = VIRTIO_NET_MAX_PAIRS;
	net_restart();
	assert_int_equal(vdrv_cfg(drv(), CFG_MAX_PAIRS, 2), FAKE_NET_QUEUES);
}

/* ---- 5.1.3 ---- */

static void test_5_1_3_features(void **state)
{
	(void)state;
	assert_int_equal(offered(), NET_ALL);
	nf.config.mtu = 1400;
	nf.config.max_pairs = 2;
	net_restart();
	assert_int_equal(offered(), NET_ALL | VIRTIO_NET_F_MTU | VIRTIO_NET_F_MQ);
	nf.info.max_queues = 1;
	nf.info.send_offloads = nf.info.recv_offloads = 0;
	net_restart();
	assert_int_equal(offered(),
		(NET_ALL | VIRTIO_NET_F_MTU) & ~(NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS |
						       VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
}

/* 2.2.2: nothing is offered that needs what is not, whatever the back end says it can do. */
static void test_2_2_2_offloads_without_what_they_need(void **state)
{
	static const struct {
		uint32_t offloads;
		uint64_t host, guest;
	} rows[] = {
		{NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO, 0, 0},
		{NET_CSUM | NET_ECN, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
		{NET_ECN, 0, 0},
		{NET_CSUM | NET_TSO6 | NET_ECN,
			VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN,
			VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN},
		{NET_CSUM | NET_USO, VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_USO,
			VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_USO4 |
				VIRTIO_NET_F_GUEST_USO6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		nf.info.send_offloads = rows[i].offloads;
		nf.info.recv_offloads = 0;
		net_restart();
		assert_int_equal(
			offered() & (NET_HOST_OFFLOADS | NET_GUEST_OFFLOADS), rows[i].host);
		nf.info.send_offloads = 0;
		nf.info.recv_offloads = rows[i].offloads;
		net_restart();
		assert_int_equal(
			offered() & (NET_HOST_OFFLOADS | NET_GUEST_OFFLOADS), rows[i].guest);
	}
}

static void test_5_1_3_1_requirements(void **state)
{
	static const struct {
		uint64_t feature, need; /* one of the latter */
	} rows[] = {
		{VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_ECN,
			VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6},
		{VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_ECN,
			VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6},
		{VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ},
	};

	(void)state;
	nf.config.max_pairs = 2;
	net_restart();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_false(net_negotiate(NET_PLAIN | rows[i].feature));
		for (unsigned int bit = 0; bit < 64; bit++)
			if (rows[i].need & VIRTIO_BIT(bit))
				assert_true(net_negotiate(
					NET_PLAIN | rows[i].feature | VIRTIO_BIT(bit)));
	}
	/* Each one alone that needs nothing, and again all of it */
	for (unsigned int bit = 0; bit < 64; bit++)
		if ((offered() & VIRTIO_BIT(bit)) &&
			!((NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS | NET_CTRL | VIRTIO_NET_F_MQ) &
				VIRTIO_BIT(bit)))
			assert_true(net_negotiate(NET_PLAIN | VIRTIO_BIT(bit)));
	assert_true(net_negotiate(NET_PLAIN | VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	assert_true(net_negotiate(offered()));
}

static void test_5_1_3_not_offered(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!((NET_ALL | VIRTIO_NET_F_GUEST_CSUM) & VIRTIO_BIT(bit)))
			assert_false(net_negotiate(NET_PLAIN | VIRTIO_BIT(bit)));
}

/* ---- 5.1.4 ---- */

static void expect_mac(const uint8_t *mac)
{
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(vdrv_cfg(drv(), i, 1), mac[i]);
}

static void test_5_1_4_config(void **state)
{
	static const uint8_t theirs[6] = {0x02, 1, 2, 3, 4, 5};

	(void)state;
	nf.config.mtu = 9000;
	nf.config.max_pairs = 3;
	net_restart();
	/* 2.5.2: before FEATURES_OK */
	expect_mac(net_mac);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
	assert_int_equal(vdrv_cfg(drv(), CFG_MAX_PAIRS, 2), 3);
	assert_int_equal(vdrv_cfg(drv(), CFG_MTU, 2), 9000);
	net_start(NET_PLAIN);
	for (uint32_t i = 0; i < 12; i++)
		vdrv_set_cfg(drv(), i, 1, 0xff);
	expect_mac(net_mac);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
	assert_int_equal(vdrv_cfg(drv(), CFG_MAX_PAIRS, 4), 9000 << 16 | 3);
	/* What the back end says, where the user has said nothing */
	nf.info.has_mac = true;
	memcpy(nf.info.mac, theirs, sizeof(theirs));
	nf.info.mtu = 65521;
	net_restart();
	expect_mac(net_mac);
	assert_int_equal(vdrv_cfg(drv(), CFG_MTU, 2), 9000);
	memset(nf.config.mac, 0, sizeof(nf.config.mac));
	nf.config.mtu = 0;
	net_restart();
	expect_mac(theirs);
	assert_int_equal(vdrv_cfg(drv(), CFG_MTU, 2), 65521);
}

static void test_5_1_4_link(void **state)
{
	uint32_t generation = drv()->t->generation(drv());

	(void)state;
	fake_net_set_link(&nf.fake, false);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), 0);
	assert_int_not_equal(drv()->t->generation(drv()), generation);
	assert_int_equal(drv()->t->take_irq(drv()), 0); /* 2.1.2: not before DRIVER_OK */
	net_start(NET_ALL);
	assert_int_equal(drv()->t->take_irq(drv()), 0);
	fake_net_set_link(&nf.fake, true);
	assert_int_equal(drv()->t->take_irq(drv()), VIRTIO_ISR_CONFIG);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
	generation = drv()->t->generation(drv());
	fake_net_set_link(&nf.fake, true); /* no news */
	assert_int_equal(drv()->t->take_irq(drv()), 0);
	assert_int_equal(drv()->t->generation(drv()), generation);
}

/* A person pulls the cable: nothing passes, whatever the driver does, and then it does again. */
static void test_pulled_cable(void **state)
{
	(void)state;
	net_start(NET_ALL);
	net_post(0, 4, 2048);
	virtio_net_set_link(nf.vnet, false);
	assert_int_equal(drv()->t->take_irq(drv()), VIRTIO_ISR_CONFIG);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), 0);
	net_send_pattern(0, 100, 1);
	net_run();
	net_expect_none_sent();
	assert_int_equal(net_sent(0), 1); /* lost, as on a card */
	net_arrive(0, 200, 2);
	net_expect_none(0);
	fake_net_set_link(&nf.fake, false);
	fake_net_set_link(&nf.fake, true); /* the other end's is no matter */
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), 0);
	virtio_net_set_link(nf.vnet, true);
	net_run();
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
	net_expect_arrived(0, 200, 2, 1);
	net_send_pattern(0, 100, 3);
	net_run();
	net_expect_sent_pattern(0, 100, 3);
	assert_false(net_needs_reset());
}

static void test_5_1_4_link_down_at_first(void **state)
{
	struct virtio_net_config config = nf.config;
	struct fake_net fake;
	struct virtio_net *vnet;

	(void)state;
	fake_net_init(&fake);
	fake.link_up = false;
	config.net = &fake.net;
	assert_int_equal(virtio_net_create(&config, &vnet), 0);
	virtio_device_lock(virtio_net_device(vnet));
	assert_int_equal(virtio_device_cfg_load(virtio_net_device(vnet), CFG_STATUS, 2), 0);
	virtio_device_unlock(virtio_net_device(vnet));
	virtio_device_destroy(virtio_net_device(vnet));
	fake_net_fini(&fake);
}

static void test_5_1_6_5_4_announce(void **state)
{
	uint32_t generation;

	(void)state;
	assert_int_equal(virtio_net_announce(nf.vnet), -EAGAIN);
	net_start(NET_ALL & ~VIRTIO_NET_F_GUEST_ANNOUNCE);
	assert_int_equal(virtio_net_announce(nf.vnet), -EAGAIN);
	net_start(NET_ALL & ~VIRTIO_NET_F_STATUS);
	assert_int_equal(virtio_net_announce(nf.vnet), -EAGAIN);
	assert_int_equal(drv()->t->take_irq(drv()), 0);
	net_start(NET_ALL);
	generation = drv()->t->generation(drv());
	assert_int_equal(virtio_net_announce(nf.vnet), 0);
	assert_int_equal(drv()->t->take_irq(drv()), VIRTIO_ISR_CONFIG);
	assert_int_not_equal(drv()->t->generation(drv()), generation);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP | ANNOUNCE);
	assert_int_equal(net_control(3, 0, NULL, 0), 0);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
	/* What a driver has not answered goes with it. */
	assert_int_equal(virtio_net_announce(nf.vnet), 0);
	net_start(NET_ALL);
	assert_int_equal(vdrv_cfg(drv(), CFG_STATUS, 2), LINK_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_MMIO(test_create_refused),
		NET_TEST(test_create_defaults),
		NET_TEST(test_5_1_3_features),
		NET_TEST(test_2_2_2_offloads_without_what_they_need),
		NET_TEST(test_5_1_3_1_requirements),
		NET_TEST(test_5_1_3_not_offered),
		NET_TEST(test_5_1_4_config),
		NET_TEST(test_5_1_4_link),
		NET_TEST(test_pulled_cable),
		NET_MMIO(test_5_1_4_link_down_at_first),
		NET_TEST(test_5_1_6_5_4_announce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
