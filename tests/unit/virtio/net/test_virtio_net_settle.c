/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts for frames sent, and how long they may be put off
 * (virtio/net/net_tx.c; 2.7.7, 2.7.10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_clock.h"
#include "virtio_net_fixture.h"

#define LONG_AGO NSEC_PER_MSEC

#define FLAGS	 (NET_ALL & ~VIRTIO_F_EVENT_IDX)

static struct fake_clock hands;

static uint8_t take_irq(void)
{
	return nf.pair[0].t->take_irq(&nf.pair[0]);
}

static void start(uint64_t features)
{
	net_start(features);
	vdrv_want_irq(&nf.pair[0], NET_TX, 0);
	take_irq();
}

static void send_frame(size_t len)
{
	net_send_pattern(0, len, 1);
	net_expect_sent_pattern(0, len, 1);
}

static int set_up(void **state)
{
	net_set_up(state);
	fake_clock_init(&hands);
	nf.config.clock = &hands.clock;
	net_restart();
	return 0;
}

static int tear_down(void **state)
{
	net_tear_down(state);
	assert_int_equal(fake_clock_armed(&hands), 0);
	return 0;
}

static void test_one_frame(void **state)
{
	static const uint64_t features[] = {NET_ALL, FLAGS};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		start(features[i]);
		send_frame(60);
		assert_int_equal(take_irq(), 0);
		assert_int_equal(net_sent(0), 1);
		fake_clock_advance(&hands, LONG_AGO);
		assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
		fake_clock_advance(&hands, LONG_AGO);
		assert_int_equal(take_irq(), 0);
		assert_int_equal(fake_clock_armed(&hands), 0);
	}
}

/* The driver has looked, and asks to be told of the next frame. */
static void test_no_longer_wanted(void **state)
{
	(void)state;
	start(NET_ALL);
	for (unsigned int i = 0; i < 100; i++) {
		send_frame(60);
		assert_int_equal(net_sent(0), 1);
		vdrv_want_irq(&nf.pair[0], NET_TX, 0);
		assert_true(fake_clock_armed(&hands) <= 1);
	}
	assert_int_equal(take_irq(), 0);
	fake_clock_advance(&hands, LONG_AGO);
	assert_int_equal(take_irq(), 0);
	/* without the event index, while it works on the queue */
	start(FLAGS);
	send_frame(60);
	vdrv_no_irq(&nf.pair[0], NET_TX, true);
	fake_clock_advance(&hands, LONG_AGO);
	assert_int_equal(take_irq(), 0);
}

/* Not wanted at all */
static void test_later_one_wanted(void **state)
{
	(void)state;
	start(NET_ALL);
	vdrv_want_irq(&nf.pair[0], NET_TX, 3);
	for (unsigned int i = 0; i < 3; i++)
		send_frame(60);
	assert_int_equal(fake_clock_armed(&hands), 0);
	send_frame(60);
	assert_int_equal(fake_clock_armed(&hands), 1);
	assert_int_equal(take_irq(), 0);
	fake_clock_advance(&hands, LONG_AGO);
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
}

static void test_next_frame_settles(void **state)
{
	static const uint64_t features[] = {NET_ALL, FLAGS};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		start(features[i]);
		send_frame(60);
		assert_int_equal(take_irq(), 0);
		send_frame(60);
		assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
		assert_int_equal(net_sent(0), 2);
		fake_clock_advance(&hands, LONG_AGO);
		assert_int_equal(take_irq(), 0);
	}
}

static void add(size_t len)
{
	const struct vdrv_buf buf = {net_alloc(NET_HEADER + len), (uint32_t)(NET_HEADER + len)};

	memset(vdrv_at(&nf.pair[0], buf.gpa, buf.len), 0, buf.len);
	net_add(0, NET_TX, &buf, 1, 0, false);
}

/* What fills a queue, or the memory that a sender may use, does not wait. */
static void test_much_at_once(void **state)
{
	static const struct {
		unsigned int frames;
		size_t len;
		uint8_t irq;
	} cases[] = {{8, 60, 0}, {9, 60, VIRTIO_ISR_QUEUE}, {1, NET_PAYLOAD_MAX, 0},
		{2, NET_PAYLOAD_MAX / 2, VIRTIO_ISR_QUEUE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(NET_ALL);
		for (unsigned int n = 0; n < cases[i].frames; n++)
			add(cases[i].len);
		vdrv_kick(&nf.pair[0], NET_TX);
		net_run();
		assert_int_equal(take_irq(), cases[i].irq);
		assert_int_equal(net_sent(0), cases[i].frames);
		fake_clock_advance(&hands, LONG_AGO);
		assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE - cases[i].irq);
	}
	while (nf.fake.sent.first)
		free(fake_net_take(&nf.fake));
}

/* 2.4.1, 2.6.1 */
static void test_reset_settles(void **state)
{
	(void)state;
	start(NET_ALL);
	send_frame(60);
	start(NET_ALL);
	fake_clock_advance(&hands, LONG_AGO);
	assert_int_equal(take_irq(), 0);
	send_frame(60);
	nf.pair[0].t->queue_reset(&nf.pair[0], NET_TX);
	fake_clock_advance(&hands, LONG_AGO);
	assert_int_equal(take_irq(), 0);
	start(NET_ALL);
	send_frame(60);
	/* and the card goes */
}

#define SETTLE_ON(f, name, kind)                                                                   \
	{                                                                                          \
#f "/" name, f, set_up, tear_down, (void *)(uintptr_t)(kind)                       \
	}
#define SETTLE_TEST(f)                                                                             \
	SETTLE_ON(f, "mmio", RIG_MMIO), SETTLE_ON(f, "pci-intx", RIG_PCI_INTX),                    \
		SETTLE_ON(f, "pci-msix", RIG_PCI_MSIX)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SETTLE_TEST(test_one_frame),
		SETTLE_TEST(test_no_longer_wanted),
		SETTLE_TEST(test_later_one_wanted),
		SETTLE_TEST(test_next_frame_settles),
		SETTLE_TEST(test_much_at_once),
		SETTLE_TEST(test_reset_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
