/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames from the guest (virtio 1.2, 5.1.6.2): framing, a back end that is full, turns. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

static uint8_t take_irq(void)
{
	return nf.pair[0].t->take_irq(&nf.pair[0]);
}

static void test_5_1_6_2_send(void **state)
{
	static const uint64_t features[] = {
		NET_ALL, NET_PLAIN, NET_ALL & ~VIRTIO_F_EVENT_IDX, NET_PLAIN | VIRTIO_F_EVENT_IDX};
	static const size_t lens[] = {14, 15, 60, 1514, 9014, NET_PAYLOAD_MAX - 1, NET_PAYLOAD_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		net_start(features[i]);
		for (uint8_t n = 0; n < 3 * ARRAY_SIZE(lens); n++) {
			net_send_pattern(0, lens[n % ARRAY_SIZE(lens)], n);
			assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
			net_expect_sent_pattern(0, lens[n % ARRAY_SIZE(lens)], n);
			assert_int_equal(net_sent(0), 1);
			vdrv_want_irq(&nf.pair[0], NET_TX, 0);
		}
		assert_false(net_needs_reset());
	}
}

/* A chain that a test fills */
static void send_chain(const struct vdrv_buf *bufs, unsigned int n, size_t len, uint8_t seed)
{
	static uint8_t bytes[NET_MAX_FRAME];
	size_t done = 0;

	memset(bytes, 0, NET_HEADER);
	net_pattern(bytes + NET_HEADER, len - NET_HEADER, seed);
	for (unsigned int i = 0; i < n; i++)
		for (uint32_t b = 0; b < bufs[i].len; b++)
			memcpy(vdrv_at(&nf.pair[0], bufs[i].gpa + b, 1), bytes + done++, 1);
	assert_int_equal(done, len);
}

/* 2.7.4.1: any framing, in rings and tables, down to single bytes, across regions */
static void test_2_7_4_1_framing(void **state)
{
	static struct vdrv_buf bufs[64];
	const uint64_t at = net_alloc(2000);

	(void)state;
	net_start(NET_ALL);
	for (unsigned int cut = 1; cut < 30; cut++)
		for (unsigned int indirect = 0; indirect < 2; indirect++) {
			/* a piece of cut bytes, then the rest; an empty piece between */
			bufs[0] = (struct vdrv_buf){at + 500, cut};
			bufs[1] = (struct vdrv_buf){at, 0};
			bufs[2] = (struct vdrv_buf){at + 1000, 60 - cut};
			send_chain(bufs, 3, 60, (uint8_t)cut);
			net_add(0, NET_TX, bufs, 3, 0, indirect);
			vdrv_kick(&nf.pair[0], NET_TX);
			net_expect_sent_pattern(0, 60 - NET_HEADER, (uint8_t)cut);
			assert_int_equal(net_sent(0), 1);
		}
	for (unsigned int i = 0; i < RIG_BYTES; i++)
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE + i, 1};
	send_chain(bufs, RIG_BYTES, RIG_BYTES, 5);
	for (unsigned int indirect = 0; indirect < 2; indirect++) {
		net_add(0, NET_TX, bufs, RIG_BYTES, 0, indirect);
		vdrv_kick(&nf.pair[0], NET_TX);
		net_expect_sent_pattern(0, RIG_BYTES - NET_HEADER, 5);
	}
	net_add(0, NET_TX, &(struct vdrv_buf){RIG_BYTES_BASE, RIG_BYTES}, 1, 0, false);
	vdrv_kick(&nf.pair[0], NET_TX);
	net_expect_sent_pattern(0, RIG_BYTES - NET_HEADER, 5);
	assert_int_equal(net_sent(0), 3);
}

/* More pieces than a system call takes */
static void test_2_7_4_1_more_than_iov_max(void **state)
{
	static struct vdrv_buf bufs[1024];
	uint64_t at;

	(void)state;
	nf.config.queue_size = 1024;
	net_restart();
	net_start(NET_ALL);
	at = net_alloc(1024);
	/* 12 of them are the header, and the device's copy of it is one more: 1023 is the most that
	 * goes as it is. */
	for (unsigned int pieces = 1020; pieces <= 1024; pieces++)
		for (unsigned int indirect = 0; indirect < 2; indirect++) {
			unsigned int n = 0;
			size_t len = 0;

			for (; n < pieces - 1; n++, len++)
				bufs[n] = (struct vdrv_buf){at + n, 1};
			bufs[n++] = (struct vdrv_buf){RIG_BYTES_BASE, RIG_BYTES};
			len += RIG_BYTES;
			send_chain(bufs, n, len, (uint8_t)pieces);
			net_add(0, NET_TX, bufs, n, 0, indirect);
			vdrv_kick(&nf.pair[0], NET_TX);
			net_expect_sent_pattern(0, len - NET_HEADER, (uint8_t)pieces);
			assert_int_equal(net_sent(0), 1);
			assert_in_range(nf.fake.max_iovs, 2, IOV_MAX);
		}
	/* and exactly as many as it takes */
	for (int over = -1; over <= 1; over++) {
		const unsigned int singles =
			(unsigned int)(IOV_MAX - 1 + NET_HEADER - RIG_BYTES + over);
		unsigned int n = 0;

		for (; n < singles; n++)
			bufs[n] = (struct vdrv_buf){at + n, 1};
		bufs[n++] = (struct vdrv_buf){RIG_BYTES_BASE, RIG_BYTES};
		send_chain(bufs, n, singles + RIG_BYTES, 3);
		nf.fake.max_iovs = 0;
		net_add(0, NET_TX, bufs, n, 0, true);
		vdrv_kick(&nf.pair[0], NET_TX);
		net_expect_sent_pattern(0, singles + RIG_BYTES - NET_HEADER, 3);
		assert_int_equal(nf.fake.max_iovs, over > 0 ? 2 : IOV_MAX + over);
	}
	assert_false(net_needs_reset());
}

/* What is no frame comes back, and nobody hears of it. */
static void test_no_frames(void **state)
{
	static const uint32_t lens[] = {0, 1, 11, 12, 13, 25, NET_MAX_FRAME + 1, 0x80000};
	const uint64_t at = RIG_RAM_BASE + 0x60000;

	(void)state;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		net_add(0, NET_TX, &(struct vdrv_buf){at, lens[i]}, 1, 0, false);
		vdrv_kick(&nf.pair[0], NET_TX);
		assert_int_equal(net_sent(0), 1);
		net_expect_none_sent();
		net_send_pattern(0, 20, 1);
		assert_int_equal(net_sent(0), 1);
		net_expect_sent_pattern(0, 20, 1);
	}
	assert_int_equal(nf.fake.sends, ARRAY_SIZE(lens));
	assert_false(net_needs_reset());
}

static void test_frames_that_the_host_drops(void **state)
{
	static const int errors[] = {-EIO, -EINVAL, -ENETDOWN, -EMSGSIZE};

	(void)state;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		nf.fake.refuse = errors[i];
		net_send_pattern(0, 20, 1);
		assert_int_equal(net_sent(0), 1);
		net_expect_none_sent();
	}
	nf.fake.refuse = 0;
	net_send_pattern(0, 20, 2);
	net_expect_sent_pattern(0, 20, 2);
	assert_false(net_needs_reset());
}

/* ---- back-pressure ---- */

static void test_full(void **state)
{
	static const uint64_t features[] = {NET_ALL, NET_PLAIN};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		unsigned int sends;

		net_start(features[i]);
		fake_net_allow(&nf.fake, 3);
		for (uint8_t n = 0; n < 40; n++)
			net_send_pattern(0, 100 + n, n);
		sends = nf.fake.sends;
		assert_int_equal(net_sent(0), 3);
		/* Kicks change nothing. */
		for (unsigned int n = 0; n < 10; n++)
			nf.pair[0].t->notify(&nf.pair[0], NET_TX);
		net_run();
		assert_int_equal(nf.fake.sends, sends);
		assert_int_equal(virtio_device_in_flight(nf.rig.vdev, 1), 0);
		for (unsigned int left = 37; left; left -= MIN(left, 5)) {
			fake_net_allow(&nf.fake, 5);
			assert_int_equal(net_sent(0), MIN(left, 5));
		}
		fake_net_allow(&nf.fake, UINT_MAX);
		for (uint8_t n = 0; n < 40; n++)
			net_expect_sent_pattern(0, 100 + n, n);
		net_expect_none_sent();
		net_send_pattern(0, 50, 1);
		net_expect_sent_pattern(0, 50, 1);
		net_sent(0);
	}
}

/* Somebody else receives meanwhile. */
static void test_full_one_way(void **state)
{
	(void)state;
	net_start(NET_ALL);
	fake_net_allow(&nf.fake, 0);
	net_send_pattern(0, 100, 1);
	net_post(0, 10, 2000);
	for (uint8_t n = 0; n < 10; n++) {
		net_arrive(0, 1000, n);
		net_expect_arrived(0, 1000, n, 1);
	}
	net_arrive(0, 1000, 99);
	net_expect_none(0);
	/* Both are stuck; each gets going again by itself. */
	fake_net_allow(&nf.fake, 1);
	net_expect_sent_pattern(0, 100, 1);
	net_expect_none(0);
	fake_net_allow(&nf.fake, 0);
	net_send_pattern(0, 100, 2);
	net_post(0, 1, 2000);
	net_expect_arrived(0, 1000, 99, 1);
	net_expect_none_sent();
	fake_net_allow(&nf.fake, 1);
	net_expect_sent_pattern(0, 100, 2);
}

static void test_reset_while_full(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		net_start(NET_ALL);
		fake_net_allow(&nf.fake, 0);
		net_send_pattern(0, 100, 1);
		net_send_pattern(0, 100, 2);
		if (i % 2) {
			nf.pair[0].t->queue_reset(&nf.pair[0], NET_TX);
			vdrv_queue_setup(&nf.pair[0], NET_TX, 64);
		} else {
			net_start(NET_ALL);
		}
		/* The back end is as full as before. */
		net_send_pattern(0, 100, 3);
		assert_int_equal(net_sent(0), 0);
		if (i / 2)
			fake_net_allow(&nf.fake, UINT_MAX);
		nf.pair[0].t->set_status(&nf.pair[0], 0);
		fake_net_allow(&nf.fake, UINT_MAX);
		if (i / 2)
			net_expect_sent_pattern(0, 100, 3);
		net_expect_none_sent();
		net_start(NET_ALL);
		net_send_pattern(0, 100, 4);
		net_expect_sent_pattern(0, 100, 4);
		assert_int_equal(net_sent(0), 1);
	}
}

/* ---- turns, notifications ---- */

/* Frames queued at once, so that one kick finds all of them. */
static void queue_frames(unsigned int n, uint32_t len)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x60000, len};

	memset(vdrv_at(&nf.pair[0], buf.gpa, len), 0, len);
	while (n--)
		net_add(0, NET_TX, &buf, 1, 0, false);
	vdrv_kick(&nf.pair[0], NET_TX);
}

static void test_turns(void **state)
{
	(void)state;
	nf.loop = true;
	nf.config.queue_size = 1024;
	net_restart();
	net_start(NET_ALL);
	/* by number */
	queue_frames(1000, 100);
	assert_int_equal(event_loop_step(nf.rig.loop, 0), 1);
	assert_int_equal(nf.fake.sent.num, VIRTIO_PASS_BUDGET);
	net_run();
	assert_int_equal(nf.fake.sent.num, 1000);
	assert_int_equal(net_sent(0), 1000);
	/* and by bytes */
	queue_frames(64, NET_MAX_FRAME);
	assert_int_equal(event_loop_step(nf.rig.loop, 0), 1);
	assert_int_equal(nf.fake.sent.num, 1000 + VIRTIO_NET_TURN_BYTES / NET_MAX_FRAME + 1);
	net_run();
	assert_int_equal(nf.fake.sent.num, 1064);
	/* also where nothing is sent */
	queue_frames(60, 0x80000);
	assert_int_equal(event_loop_step(nf.rig.loop, 0), 1);
	assert_int_equal(net_sent(0), 64 + 2);
	net_run();
	assert_int_equal(net_sent(0), 58);
}

static void test_turns_without_a_loop(void **state)
{
	(void)state;
	net_start(NET_ALL);
	queue_frames(64, NET_MAX_FRAME);
	assert_int_equal(nf.fake.sent.num, 64);
	fake_net_allow(&nf.fake, 0);
	net_sent(0);
	queue_frames(64, NET_MAX_FRAME);
	fake_net_allow(&nf.fake, 63);
	assert_int_equal(nf.fake.sent.num, 127);
	fake_net_allow(&nf.fake, 2);
	assert_int_equal(nf.fake.sent.num, 128);
	assert_int_equal(net_sent(0), 64);
}

static void test_2_7_7_one_interrupt_per_batch(void **state)
{
	(void)state;
	net_start(NET_ALL);
	take_irq();
	memset(nf.rig.msis, 0, sizeof(nf.rig.msis));
	queue_frames(50, 100);
	if (nf.kind == RIG_PCI_MSIX) {
		unsigned int sum = 0;

		for (unsigned int v = 0; v < ARRAY_SIZE(nf.rig.msis); v++)
			sum += nf.rig.msis[v];
		assert_int_equal(sum, 1);
	}
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
	assert_int_equal(net_sent(0), 50);
	/* none that is not wanted */
	vdrv_want_irq(&nf.pair[0], NET_TX, 30);
	queue_frames(30, 100);
	assert_int_equal(take_irq(), 0);
	queue_frames(1, 100);
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_2_send),
		NET_TEST(test_2_7_4_1_framing),
		NET_TEST(test_2_7_4_1_more_than_iov_max),
		NET_TEST(test_no_frames),
		NET_TEST(test_frames_that_the_host_drops),
		NET_TEST(test_full),
		NET_TEST(test_full_one_way),
		NET_TEST(test_reset_while_full),
		NET_TEST(test_turns),
		NET_TEST(test_turns_without_a_loop),
		NET_TEST(test_2_7_7_one_interrupt_per_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
