/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames to a guest that is short of buffers: they wait, and what cannot wait goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

enum { LONGEST = NET_PAYLOAD_MAX };

#define NO_MRG (NET_ALL & ~VIRTIO_NET_F_MRG_RXBUF)

/* A flood that nobody takes, and then somebody does. */
static void test_flood_without_buffers(void **state)
{
	static const uint64_t features[] = {
		NET_ALL, NO_MRG, NET_PLAIN, NET_PLAIN | VIRTIO_NET_F_MRG_RXBUF};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const unsigned int frames = 300;
		unsigned int recvs, seen = 0;

		net_start(features[i]);
		for (unsigned int n = 0; n < frames; n++)
			net_arrive(0, 60 + n, (uint8_t)n);
		assert_false(nf.fake.rx_on[0]);
		recvs = nf.fake.recvs;
		assert_int_equal(fake_net_round(&nf.fake), 0);
		while (seen < frames) {
			const unsigned int posted = 1 + seen % 7;

			net_post(0, posted, 512);
			for (unsigned int n = 0; n < posted && seen < frames; n++, seen++)
				net_expect_arrived(0, 60 + seen, (uint8_t)seen, 1);
			if (seen < frames)
				assert_false(nf.fake.rx_on[0]);
		}
		net_expect_none(0);
		/* None was asked for in vain, but in the end. */
		assert_in_range(nf.fake.recvs - recvs, frames, frames + 1);
		net_post(0, 1, 512);
		net_arrive(0, 100, 1);
		net_expect_arrived(0, 100, 1, 1);
	}
}

/* A long frame finds half the buffers that it needs: it waits, whole, and so do those behind it. */
static void test_frame_waits_for_buffers(void **state)
{
	(void)state;
	net_start(NET_ALL);
	net_post(0, 50, 1536);
	for (unsigned int i = 0; i < 40; i++)
		net_arrive(0, 1000, (uint8_t)i);
	net_arrive(0, LONGEST, 77);
	net_arrive(0, 50, 78);
	for (unsigned int i = 0; i < 40; i++)
		net_expect_arrived(0, 1000, (uint8_t)i, 1);
	net_expect_none(0);
	assert_false(nf.fake.rx_on[0]);
	/* Each kick that is not enough leaves it waiting. */
	for (unsigned int i = 0; i < 32; i++) {
		net_expect_none(0);
		net_post(0, 1, 1536);
	}
	net_expect_none(0);
	net_post(0, 1, 1536);
	net_expect_arrived(0, LONGEST, 77, 43);
	net_expect_none(0);
	net_post(0, 1, 1536);
	net_expect_arrived(0, 50, 78, 1);
	assert_false(net_needs_reset());
}

/* The same with pieces of every size, so that the seam is everywhere. */
static void test_frame_waits_at_every_seam(void **state)
{
	(void)state;
	for (unsigned int have = 1; have < 20; have++) {
		net_start(NET_ALL);
		net_post(0, 20, 100);
		for (unsigned int i = 0; i < 20 - have; i++)
			net_arrive(0, 14, (uint8_t)i);
		net_arrive(0, 20 * 100 - NET_HEADER, 9);
		for (unsigned int i = 0; i < 20 - have; i++)
			net_expect_arrived(0, 14, (uint8_t)i, 1);
		net_expect_none(0);
		net_post(0, 20 - have, 100);
		net_expect_arrived(0, 20 * 100 - NET_HEADER, 9, 20);
	}
}

/* A driver that never has room for it: the frame goes, the others come. */
static void test_frame_that_never_fits(void **state)
{
	(void)state;
	nf.dirty = true;
	net_start(NET_ALL);
	net_post(0, 8, 1536);
	for (unsigned int i = 0; i < 5; i++) {
		net_arrive(0, LONGEST, 1);
		net_arrive(0, 8 * 1536 - NET_HEADER, 2);
		net_expect_arrived(0, 8 * 1536 - NET_HEADER, 2, 8);
		net_arrive(0, 100, 3);
		net_arrive(0, LONGEST, 4);
		net_post(0, 1, 1536);
		net_expect_arrived(0, 100, 3, 1);
		net_post(0, 8, 1536); /* the long one has taken its turn, and gone */
		net_arrive(0, 200, 5);
		net_expect_arrived(0, 200, 5, 1);
		net_expect_none(0);
		net_start(NET_ALL);
		net_post(0, 8, 1536);
	}
	/* What a driver had before a reset says nothing of what it will have. */
	net_start(NET_ALL);
	net_post(0, 50, 1536);
	net_arrive(0, 100, 1);
	net_expect_arrived(0, 100, 1, 1);
	net_start(NET_ALL);
	net_post(0, 4, 1536);
	net_arrive(0, LONGEST, 2);
	net_arrive(0, 100, 3);
	net_expect_arrived(0, 100, 3, 1);
	/* All entries of the queue are with the device. */
	nf.config.queue_size = 16;
	net_restart();
	net_start(NET_ALL);
	net_post(0, 16, 1536);
	net_arrive(0, LONGEST, 1);
	net_arrive(0, 100, 2);
	net_expect_arrived(0, 100, 2, 1);
	/* More buffers than are taken ahead, each too small. */
	nf.config.queue_size = 256;
	net_restart();
	net_start(NET_ALL);
	net_post(0, 256, 64);
	net_arrive(0, 128 * 64 - NET_HEADER + 1, 1);
	net_arrive(0, 128 * 64 - NET_HEADER, 2);
	net_expect_arrived(0, 128 * 64 - NET_HEADER, 2, 128);
}

/* A reset, of the queue or all, while a frame waits */
static void test_reset_while_a_frame_waits(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		net_start(NET_ALL);
		net_post(0, 20, 100);
		net_arrive(0, 14, 1);
		net_arrive(0, 1980, 2); /* waits */
		net_arrive(0, 50, 3);
		net_expect_arrived(0, 14, 1, 1);
		net_expect_none(0);
		if (i % 2) {
			nf.pair[0].t->queue_reset(&nf.pair[0], NET_RX);
			nf.pair[0].brk = RIG_RAM_BASE + 0x4000;
			vdrv_queue_setup(&nf.pair[0], NET_RX, 64);
		} else {
			net_start(NET_ALL);
		}
		/* of zeros, which could be a header */
		nf.dirty = true;
		for (unsigned int n = 0; n < 30; n++) {
			const struct vdrv_buf buf = {net_alloc(100), 100};

			memset(vdrv_at(&nf.pair[0], buf.gpa, buf.len), 0, buf.len);
			nf.posted[0][net_add(0, NET_RX, &buf, 0, 1, false)] = buf;
		}
		vdrv_kick(&nf.pair[0], NET_RX);
		net_run();
		net_expect_arrived(0, 50, 3, 1);
		net_expect_none(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_flood_without_buffers),
		NET_TEST(test_frame_waits_for_buffers),
		NET_TEST(test_frame_waits_at_every_seam),
		NET_TEST(test_frame_that_never_fits),
		NET_TEST(test_reset_while_a_frame_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
