/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames to the guest (virtio 1.2, 5.1.6.3 and 5.1.6.4): buffers, merged or not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

enum { LONGEST = NET_PAYLOAD_MAX };

#define NO_MRG (NET_ALL & ~VIRTIO_NET_F_MRG_RXBUF)

static uint8_t take_irq(void)
{
	return nf.pair[0].t->take_irq(&nf.pair[0]);
}

static unsigned int buffers_for(size_t payload, uint32_t size)
{
	return (unsigned int)((NET_HEADER + payload + size - 1) / size);
}

static void test_5_1_6_4_one_buffer(void **state)
{
	static const uint64_t features[] = {NET_ALL, NO_MRG, NET_PLAIN,
		NET_PLAIN | VIRTIO_NET_F_MRG_RXBUF, NET_ALL & ~VIRTIO_F_EVENT_IDX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		net_start(features[i]);
		net_post(0, 3, 1600);
		take_irq();
		net_arrive(0, 14, 1);
		assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
		net_arrive(0, 1514, 2);
		net_arrive(0, 1600 - NET_HEADER, 3);
		net_expect_arrived(0, 14, 1, 1);
		net_expect_arrived(0, 1514, 2, 1);
		net_expect_arrived(0, 1600 - NET_HEADER, 3, 1);
		net_expect_none(0);
		assert_false(net_needs_reset());
	}
}

/* Every size of buffer and frame around each other */
static void test_5_1_6_4_merged(void **state)
{
	static const uint32_t sizes[] = {12, 13, 26, 27, 100, 512, 1536, 4096};
	static const size_t lens[] = {14, 15, 60, 88, 89, 500, 1514, 4084, 4085};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(lens); k++) {
			const unsigned int n = buffers_for(lens[k], sizes[i]);

			if (n > 64)
				continue;
			net_start(NET_ALL);
			net_post(0, 64, sizes[i]);
			net_arrive(0, lens[k], 5);
			net_expect_arrived(0, lens[k], 5, n);
			net_expect_none(0);
		}
}

static void test_5_1_6_4_merged_longest(void **state)
{
	static const uint32_t sizes[] = {1536, 1600, 4096, 65536, NET_MAX_FRAME, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const unsigned int n = buffers_for(LONGEST, sizes[i]);

		net_start(NET_ALL);
		net_post(0, n, sizes[i]);
		for (unsigned int round = 0; round < 5; round++) {
			net_arrive(0, LONGEST, 6);
			net_expect_arrived(0, LONGEST, 6, n);
			net_arrive(0, 40, 7);
			net_post(0, n, sizes[i]);
			net_expect_arrived(0, 40, 7, 1);
			net_post(0, 1, sizes[i]);
		}
	}
	/* A byte short of it, and more behind */
	net_start(NET_ALL);
	net_post(0, 1, NET_MAX_FRAME - 1);
	net_post(0, 1, 100);
	net_arrive(0, LONGEST, 8);
	net_expect_arrived(0, LONGEST, 8, 2);
}

/* 2.7.4.1: a buffer is what its descriptors come to, down to single bytes, across regions */
static void test_2_7_4_1_framing(void **state)
{
	static const uint64_t features[] = {NET_ALL, NO_MRG};
	struct vdrv_buf bufs[RIG_BYTES];
	struct net_header header;
	uint8_t want[RIG_BYTES - NET_HEADER];

	(void)state;
	net_pattern(want, sizeof(want), 9);
	for (unsigned int i = 0; i < RIG_BYTES; i++)
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE + i, 1};
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(features); i++) {
		net_start(features[i / 2]);
		net_add(0, NET_RX, bufs, 0, RIG_BYTES, i % 2);
		nf.pair[0].t->notify(&nf.pair[0], NET_RX);
		net_arrive(0, sizeof(want), 9);
		assert_int_not_equal(vdrv_get(&nf.pair[0], NET_RX, NULL), VDRV_NO_HEAD);
		for (unsigned int b = 0; b < NET_HEADER; b++)
			((uint8_t *)&header)[b] = *nf.rig.bytes[b];
		assert_int_equal(header.num_buffers, 1);
		for (unsigned int b = 0; b < sizeof(want); b++)
			assert_int_equal(*nf.rig.bytes[NET_HEADER + b], want[b]);
		/* one descriptor over all of the regions */
		net_add(0, NET_RX, &(struct vdrv_buf){RIG_BYTES_BASE, RIG_BYTES}, 0, 1, false);
		nf.pair[0].t->notify(&nf.pair[0], NET_RX);
		net_arrive(0, sizeof(want), 9);
		assert_int_not_equal(vdrv_get(&nf.pair[0], NET_RX, NULL), VDRV_NO_HEAD);
		for (unsigned int b = 0; b < sizeof(want); b++)
			assert_int_equal(*nf.rig.bytes[NET_HEADER + b], want[b]);
	}
}

/*
 * Chains of more pieces than are mapped: what is meant for them takes another way, and arrives all
 * the same.
 */
static void test_2_7_4_1_chains_of_many_pieces(void **state)
{
	static const unsigned int counts[] = {254, 255, 256, 257, 300, 1000};
	static struct vdrv_buf bufs[1024];

	(void)state;
	nf.config.queue_size = 1024;
	net_restart();
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(counts); i++) {
		const unsigned int n = counts[i / 2];
		const uint64_t at = net_alloc(n);
		int heads[3];

		net_start(i % 2 ? NO_MRG : NET_ALL);
		for (unsigned int b = 0; b < n; b++)
			bufs[b] = (struct vdrv_buf){at + b, 1};
		net_post(0, 1, 100);
		heads[0] = net_add(0, NET_RX, bufs, 0, n, true);
		nf.posted[0][heads[0]] = (struct vdrv_buf){at, n};
		nf.pair[0].t->notify(&nf.pair[0], NET_RX);
		net_post(0, 1, 100);
		net_run();
		memset(vdrv_at(&nf.pair[0], at, n), 0xee, n);
		if (i % 2) {
			net_arrive(0, 80, 1);
			net_arrive(0, n - NET_HEADER, 2);
			net_arrive(0, 80, 3);
			net_expect_arrived(0, 80, 1, 1);
			net_expect_arrived(0, n - NET_HEADER, 2, 1);
			net_expect_arrived(0, 80, 3, 1);
		} else {
			net_arrive(0, 100 + n + 50 - NET_HEADER, 4);
			net_expect_arrived(0, 100 + n + 50 - NET_HEADER, 4, 3);
		}
		net_expect_none(0);
		assert_false(net_needs_reset());
	}
}

/* 5.1.6.3.2: a single buffer, or none */
static void test_5_1_6_3_2_not_merged(void **state)
{
	(void)state;
	net_start(NO_MRG);
	net_post(0, 4, 1526);
	net_arrive(0, 1514, 1);
	nf.dirty = true;
	net_arrive(0, 1515, 2); /* does not fit */
	net_arrive(0, LONGEST, 3);
	net_arrive(0, 1514, 4);
	net_expect_arrived(0, 1514, 1, 1);
	net_expect_arrived(0, 1514, 4, 1);
	net_expect_none(0);
	assert_false(net_needs_reset());
	/* A large buffer is followed by small ones: no frame waits for what does not come. */
	net_start(NO_MRG);
	net_post(0, 1, 4000);
	net_post(0, 3, 1526);
	net_arrive(0, 3000, 1);
	net_arrive(0, 3000, 2);
	net_arrive(0, 500, 3);
	net_expect_arrived(0, 3000, 1, 1);
	net_expect_arrived(0, 500, 3, 1);
	net_expect_none(0);
	/* and by a large one again */
	net_post(0, 3, 1526);
	net_post(0, 1, 4000);
	for (uint8_t i = 0; i < 5; i++)
		net_arrive(0, 600, i);
	net_arrive(0, 3000, 5);
	for (uint8_t i = 0; i < 5; i++)
		net_expect_arrived(0, 600, i, 1);
	net_expect_arrived(0, 3000, 5, 1);
}

/* ---- notifications ---- */

static void test_2_7_10_few_notifications(void **state)
{
	static const uint64_t features[] = {NET_ALL, NET_ALL & ~VIRTIO_F_EVENT_IDX};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(features); k++) {
		unsigned int notifications, enables;

		net_start(features[k]);
		net_post(0, 60, 1536);
		notifications = nf.pair[0].notifications;
		enables = nf.fake.enables;
		/* A driver that keeps up is never asked to notify. */
		for (unsigned int i = 0; i < 500; i++) {
			net_arrive(0, 5000, (uint8_t)i);
			net_expect_arrived(0, 5000, (uint8_t)i, 4);
			net_post(0, 4, 1536);
		}
		assert_int_equal(nf.pair[0].notifications, notifications);
		assert_int_equal(nf.fake.enables, enables);
	}
}

static void test_2_7_7_one_interrupt_per_batch(void **state)
{
	static const struct net_header header;
	uint8_t payload[500];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		net_start(i ? NET_ALL : NET_ALL & ~VIRTIO_F_EVENT_IDX);
		net_post(0, 60, 1536);
		take_irq();
		memset(nf.rig.msis, 0, sizeof(nf.rig.msis));
		for (uint8_t n = 0; n < 20; n++) {
			net_pattern(payload, sizeof(payload), n);
			fake_net_put(&nf.fake, 0, &header, payload, sizeof(payload));
		}
		fake_net_round(&nf.fake);
		if (nf.kind == RIG_PCI_MSIX) {
			unsigned int sum = 0;

			for (unsigned int v = 0; v < ARRAY_SIZE(nf.rig.msis); v++)
				sum += nf.rig.msis[v];
			assert_int_equal(sum, 1);
		}
		assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
		for (uint8_t n = 0; n < 20; n++)
			net_expect_arrived(0, sizeof(payload), n, 1);
	}
}

static void test_turns(void **state)
{
	static const struct net_header header;
	static uint8_t payload[60000];

	(void)state;
	nf.config.queue_size = 1024;
	net_restart();
	net_start(NET_ALL);
	net_post(0, 900, 64);
	for (unsigned int n = 0; n < 600; n++)
		fake_net_put(&nf.fake, 0, &header, payload, 20);
	/* Others get their turn before all of it is done. */
	assert_int_equal(fake_net_round(&nf.fake), 1);
	assert_in_range(nf.fake.queued[0].num, 1, 599);
	fake_net_run(&nf.fake);
	for (unsigned int n = 0; n < 600; n++)
		net_expect(0, payload, 20, 1);
	/* 30 times the same 64 KiB */
	net_start(NET_ALL);
	for (unsigned int n = 0; n < 30; n++) {
		const struct vdrv_buf buf = {RIG_RAM_BASE + 0x80000, 65600};

		nf.posted[0][net_add(0, NET_RX, &buf, 0, 1, false)] = buf;
		fake_net_put(&nf.fake, 0, &header, payload, sizeof(payload));
	}
	nf.pair[0].t->notify(&nf.pair[0], NET_RX);
	assert_in_range(nf.fake.queued[0].num, 1, 20);
	fake_net_run(&nf.fake);
	assert_int_equal(nf.fake.queued[0].num, 0);
}

/* ---- the back end ---- */

/* What is no frame is not passed on, and what is wrong with the host is no endless loop. */
/* The back end is shown no more buffers than short frames need; a long one is whole all the same.
 */
static void test_short_and_long_frames(void **state)
{
	static const size_t lens[] = {LONGEST, 60, 1514, 9000, 60, LONGEST};

	(void)state;
	nf.gap = 16;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned int k = 0; k < 200; k++) {
			net_post(0, 1, 1536);
			net_arrive(0, 60, (uint8_t)k);
			net_expect_arrived(0, 60, (uint8_t)k, 1);
		}
		net_post(0, 64, 1536);
		net_arrive(0, 60, 1);
		net_expect_arrived(0, 60, 1, 1);
		assert_true(nf.fake.recv_iovs <= 2);
		for (unsigned int k = 0; k < 2; k++) {
			const unsigned int buffers = buffers_for(lens[i], 1536);

			net_arrive(0, lens[i], (uint8_t)(k + 7));
			net_expect_arrived(0, lens[i], (uint8_t)(k + 7), buffers);
			net_post(0, buffers, 1536);
			assert_true(nf.fake.recv_iovs <= (k ? (int)buffers + 1 : 2));
		}
		net_start(NET_ALL);
	}
	assert_false(net_needs_reset());
}

/* The back end sees pieces of memory, not buffers. */
static void test_neighbours(void **state)
{
	static const struct {
		size_t len;
		unsigned int buffers;
		int iovs;
	} frames[] = {{LONGEST, 17, 1}, {60, 1, 2}, {9000, 3, 2}, {4084, 1, 2}, {4085, 2, 2}};

	(void)state;
	net_start(NET_ALL);
	net_post(0, 32, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		net_arrive(0, frames[i].len, (uint8_t)i);
		net_expect_arrived(0, frames[i].len, (uint8_t)i, frames[i].buffers);
		assert_int_equal(nf.fake.recv_iovs, frames[i].iovs);
	}
	/* Eight are left; the next one lies elsewhere, and those behind it are its neighbours. */
	net_alloc(16);
	net_post(0, 17, 4096);
	net_arrive(0, LONGEST, 7);
	net_expect_arrived(0, LONGEST, 7, 17);
	assert_int_equal(nf.fake.recv_iovs, 2);
	net_expect_none(0);
	assert_false(net_needs_reset());
}

static void test_bad_frames_of_the_host(void **state)
{
	(void)state;
	nf.dirty = true;
	net_start(NET_ALL);
	net_post(0, 8, 100);
	net_arrive(0, 0, 1);
	net_arrive(0, 13, 1);
	net_arrive(0, LONGEST + 1, 1);
	net_arrive(0, 14, 2);
	net_expect_arrived(0, 14, 2, 1);
	net_expect_none(0);
	/* nor in a buffer that would take it */
	net_start(NO_MRG);
	net_post(0, 2, 70000);
	net_arrive(0, LONGEST + 1, 1);
	net_arrive(0, LONGEST, 2);
	net_expect_arrived(0, LONGEST, 2, 1);
	net_start(NET_ALL);
	net_post(0, 8, 100);
	nf.fake.broken = -EIO;
	fake_net_put(&nf.fake, 0, &(struct net_header){0}, "", 0);
	nf.fake.recvs = 0;
	assert_int_equal(fake_net_round(&nf.fake), 1);
	assert_int_equal(nf.fake.recvs, 1);
	nf.fake.broken = 0;
	net_arrive(0, 20, 3);
	net_expect_arrived(0, 20, 3, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_4_one_buffer),
		NET_MMIO(test_5_1_6_4_merged),
		NET_TEST(test_5_1_6_4_merged_longest),
		NET_TEST(test_2_7_4_1_framing),
		NET_TEST(test_2_7_4_1_chains_of_many_pieces),
		NET_TEST(test_5_1_6_3_2_not_merged),
		NET_TEST(test_2_7_10_few_notifications),
		NET_TEST(test_2_7_7_one_interrupt_per_batch),
		NET_TEST(test_turns),
		NET_TEST(test_short_and_long_frames),
		NET_TEST(test_neighbours),
		NET_TEST(test_bad_frames_of_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
