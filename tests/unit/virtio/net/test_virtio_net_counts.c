/* SPDX-License-Identifier: BSD-2-Clause */
/* What a card counts: frames, bytes and drops, by pair and direction, on each transport. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/device.h"
#include "virtio_net_fixture.h"

static void expect(unsigned int pair, enum virtio_net_direction direction, uint64_t frames,
	uint64_t bytes, uint64_t drops)
{
	const struct virtio_net_counts *counts = virtio_net_counts(nf.vnet, pair, direction);

	assert_int_equal(counter_read(&counts->frames), frames);
	assert_int_equal(counter_read(&counts->bytes), bytes);
	assert_int_equal(counter_read(&counts->drops), drops);
}

static void test_sent(void **state)
{
	(void)state;
	net_start(NET_ALL);
	for (unsigned int i = 0; i < 5; i++)
		net_send_pattern(0, 100 + i, 1);
	expect(0, VIRTIO_NET_TX, 5, 510, 0);
	/* Too short, and refused by the host */
	net_send_pattern(0, 3, 1);
	nf.fake.refuse = -EIO;
	net_send_pattern(0, 100, 1);
	nf.fake.refuse = 0;
	expect(0, VIRTIO_NET_TX, 5, 510, 2);
	/* One that has to wait is counted once. */
	fake_net_allow(&nf.fake, 0);
	net_send_pattern(0, 100, 1);
	expect(0, VIRTIO_NET_TX, 5, 510, 2);
	fake_net_allow(&nf.fake, 10);
	net_run();
	expect(0, VIRTIO_NET_TX, 6, 610, 2);
	expect(0, VIRTIO_NET_RX, 0, 0, 0);
}

static void test_received(void **state)
{
	(void)state;
	nf.config.max_pairs = 2;
	net_restart();
	net_start(NET_ALL | VIRTIO_NET_F_MQ);
	assert_int_equal(net_set_pairs(2), 0);
	net_post(0, 10, 2048);
	net_post(1, 10, 2048);
	net_arrive(0, 1000, 1);
	net_arrive(1, 500, 1);
	/* In several buffers */
	net_arrive(0, 5000, 1);
	expect(0, VIRTIO_NET_RX, 2, 6000, 0);
	expect(1, VIRTIO_NET_RX, 1, 500, 0);
}

/* Longer than all that the driver has ever given */
static void test_dropped(void **state)
{
	(void)state;
	net_start(NET_ALL & ~VIRTIO_NET_F_MRG_RXBUF);
	net_post(0, 4, 200);
	net_arrive(0, 1000, 1);
	net_arrive(0, 100, 1);
	expect(0, VIRTIO_NET_RX, 1, 100, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_sent),
		NET_TEST(test_received),
		NET_TEST(test_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
