/* SPDX-License-Identifier: BSD-2-Clause */
/* Checksums and segmentation left to the other side: what a frame's header may say, and may not. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"

enum { LEN = 200 };

/* A kind of frame, and what both sides must have agreed on for it. */
struct kind {
	uint8_t flags, gso_type;
	uint64_t host, guest;
};

static const struct kind kinds[] = {
	{0, 0, 0, 0},
	{NEEDS_CSUM, 0, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
	{NEEDS_CSUM, GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
	{NEEDS_CSUM, GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
	{NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_ECN,
		VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_ECN},
	{NEEDS_CSUM, GSO_TCPV6 | GSO_ECN, VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_HOST_ECN,
		VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN},
	{NEEDS_CSUM, GSO_UDP, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_GUEST_UFO},
	{NEEDS_CSUM, GSO_UDP_L4, VIRTIO_NET_F_HOST_USO,
		VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6},
};

static struct net_header header_of(const struct kind *k)
{
	return (struct net_header){.flags = k->flags,
		.gso_type = k->gso_type,
		.hdr_len = 54,
		.gso_size = k->gso_type ? 100 : 0,
		.csum_start = k->flags ? 34 : 0,
		.csum_offset = k->flags ? 16 : 0};
}

static const uint8_t *payload(void)
{
	static uint8_t bytes[LEN];

	net_pattern(bytes, sizeof(bytes), 3);
	return bytes;
}

static void expect_sent(const struct kind *k, bool allowed)
{
	const struct net_header h = header_of(k);

	net_send(0, &h, payload(), LEN);
	assert_int_equal(net_sent(0), 1); /* in any case */
	if (allowed)
		net_expect_sent(0, &h, payload(), LEN);
	net_expect_none_sent();
}

static void expect_received(const struct kind *k, bool allowed)
{
	struct net_header h = header_of(k), got;
	uint8_t buf[NET_PAYLOAD_MAX];

	fake_net_put(&nf.fake, 0, &h, payload(), LEN);
	net_run();
	if (allowed) {
		assert_int_equal(net_receive(0, &got, buf), LEN);
		h.num_buffers = 1;
		assert_memory_equal(&got, &h, sizeof(h));
		assert_memory_equal(buf, payload(), LEN);
		net_post(0, 1, 512);
	}
	net_expect_none(0);
}

/* Each set that a driver may take, with each kind of frame */
static void for_each_set(uint64_t all, bool host)
{
	unsigned int bits[8], n = 0, sets = 0;

	nf.dirty = true;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (all & VIRTIO_BIT(bit))
			bits[n++] = bit;
	for (unsigned int set = 0; set < 1u << n; set++) {
		uint64_t features = NET_PLAIN;

		for (unsigned int i = 0; i < n; i++)
			if (set & (1u << i))
				features |= VIRTIO_BIT(bits[i]);
		if (!net_negotiate(features))
			continue;
		sets++;
		net_start(features);
		net_post(0, 2, 512);
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			const uint64_t need = host ? kinds[k].host : kinds[k].guest;

			if (host)
				expect_sent(&kinds[k], (features & need) == need);
			else
				expect_received(&kinds[k], (features & need) == need);
		}
	}
	/* Without checksums nothing; else TSO4, TSO6 and ECN in 7 ways, the others freely. */
	assert_int_equal(sets, 1 + 7 * (1u << (n - 4)));
	assert_false(net_needs_reset());
}

static void test_5_1_6_2_all_sets(void **state)
{
	(void)state;
	for_each_set(NET_HOST_OFFLOADS, true);
}

static void test_5_1_6_4_all_sets(void **state)
{
	(void)state;
	for_each_set(NET_GUEST_OFFLOADS, false);
}

/* A back end never sees more than the offloads that it has. */
static void test_all_back_ends(void **state)
{
	(void)state;
	nf.dirty = true;
	for (uint32_t offloads = 0; offloads < 64; offloads++) {
		uint64_t high, features;

		nf.info.send_offloads = nf.info.recv_offloads = offloads;
		net_restart();
		high = nf.pair[0].t->features(&nf.pair[0], 1);
		features = high << 32 | nf.pair[0].t->features(&nf.pair[0], 0);
		net_start(features);
		net_post(0, 2, 512);
		assert_false(nf.fake.offloads & ~offloads);
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			expect_sent(&kinds[k], (features & kinds[k].host) == kinds[k].host);
			expect_received(&kinds[k], (features & kinds[k].guest) == kinds[k].guest);
		}
	}
}

/* 5.1.6.2.2: what the driver must not, and what means nothing */
static void test_5_1_6_2_2_headers(void **state)
{
	static const struct {
		const char *what;
		struct net_header sent, seen;
		bool dropped;
	} rows[] = {
		{"unknown flags", {.flags = 0xfe}, {0}, false},
		{"DATA_VALID", {.flags = DATA_VALID}, {0}, false},
		{"csum fields unused", {.csum_start = 65535, .csum_offset = 65535}, {0}, false},
		{"gso_size unused", {.gso_size = 77}, {0}, false},
		{"num_buffers", {.num_buffers = 5}, {0}, false},
		{"hdr_len too long", {.hdr_len = 65535}, {.hdr_len = LEN}, false},
		{"hdr_len all of it", {.hdr_len = LEN}, {.hdr_len = LEN}, false},
		{"hdr_len one more", {.hdr_len = LEN + 1}, {.hdr_len = LEN}, false},
		{"hdr_len too short", {.flags = 1, .gso_type = 1, .gso_size = 9, .hdr_len = 1},
			{.flags = 1, .gso_type = 1, .gso_size = 9, .hdr_len = 1}, false},
		{"csum at the end", {.flags = 1, .csum_start = LEN - 2},
			{.flags = 1, .csum_start = LEN - 2}, false},
		{"csum half outside", {.flags = 1, .csum_start = LEN - 1}, {0}, true},
		{"csum offset outside", {.flags = 1, .csum_start = 1, .csum_offset = LEN - 2}, {0},
			true},
		{"csum wraps", {.flags = 1, .csum_start = 65535, .csum_offset = 65535}, {0}, true},
		{"csum wraps to the start", {.flags = 1, .csum_start = 65535, .csum_offset = 3},
			{0}, true},
		{"gso without a size", {.flags = 1, .gso_type = 1}, {0}, true},
		{"gso type 2", {.flags = 1, .gso_type = 2, .gso_size = 9}, {0}, true},
		{"gso type 6", {.flags = 1, .gso_type = 6, .gso_size = 9}, {0}, true},
		{"gso type 0x7f", {.flags = 1, .gso_type = 0x7f, .gso_size = 9}, {0}, true},
		{"gso type 0xff", {.flags = 1, .gso_type = 0xff, .gso_size = 9}, {0}, true},
		{"ECN alone", {.flags = 1, .gso_type = GSO_ECN, .gso_size = 9}, {0}, true},
		{"ECN with UFO", {.flags = 1, .gso_type = GSO_ECN | GSO_UDP, .gso_size = 9}, {0},
			true},
		{"ECN with USO", {.flags = 1, .gso_type = GSO_ECN | GSO_UDP_L4, .gso_size = 9}, {0},
			true},
	};

	(void)state;
	net_start(NET_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		net_send(0, &rows[i].sent, payload(), LEN);
		assert_int_equal(net_sent(0), 1);
		if (!rows[i].dropped)
			net_expect_sent(0, &rows[i].seen, payload(), LEN);
		net_expect_none_sent();
	}
	assert_false(net_needs_reset());
}

static uint64_t racing;

static void race(void)
{
	const struct net_header bad = {.flags = 0xff, .gso_type = 0xff, .hdr_len = 0xffff};

	memcpy(vdrv_at(&nf.pair[0], racing, sizeof(bad)), &bad, sizeof(bad));
}

/* What was judged is what the back end gets, whatever the guest does meanwhile. */
static void test_header_changes_in_the_middle(void **state)
{
	static const struct net_header none;
	const struct vdrv_buf buf = {net_alloc(NET_HEADER + LEN), NET_HEADER + LEN};
	uint8_t *p = vdrv_at(&nf.pair[0], buf.gpa, buf.len);

	(void)state;
	racing = buf.gpa;
	nf.fake.on_send = race;
	for (unsigned int i = 0; i < 2; i++) {
		net_start(i ? NET_ALL : NET_PLAIN);
		memset(p, 0, NET_HEADER);
		memcpy(p + NET_HEADER, payload(), LEN);
		net_add(0, NET_TX, &buf, 1, 0, false);
		vdrv_kick(&nf.pair[0], NET_TX);
		net_expect_sent(0, &none, payload(), LEN);
		assert_int_equal(p[0], 0xff);
		/* A frame that the back end did not take is judged anew. */
		fake_net_allow(&nf.fake, 0);
		memset(p, 0, NET_HEADER);
		net_add(0, NET_TX, &buf, 1, 0, false);
		vdrv_kick(&nf.pair[0], NET_TX);
		assert_int_equal(net_sent(0), 1);
		fake_net_allow(&nf.fake, UINT_MAX);
		net_expect_none_sent();
		assert_int_equal(net_sent(0), 1);
	}
}

/* 5.1.6.4.1: flags are 0 without GUEST_CSUM, and otherwise those of the specification */
static void test_5_1_6_4_1_flags(void **state)
{
	static const struct {
		uint64_t features;
		uint8_t from, to;
		bool dropped;
	} rows[] = {
		{NET_PLAIN, 0, 0, false},
		{NET_PLAIN, DATA_VALID, 0, false},
		{NET_PLAIN, 0xfe, 0, false},
		{NET_PLAIN, NEEDS_CSUM, 0, true},
		{NET_ALL, DATA_VALID, DATA_VALID, false},
		{NET_ALL, 0xfe, DATA_VALID, false},
		{NET_ALL, NEEDS_CSUM, NEEDS_CSUM, false},
		{NET_ALL, 0xff, NEEDS_CSUM | DATA_VALID, false},
	};
	struct net_header got;
	uint8_t buf[NET_PAYLOAD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct net_header h = {.flags = rows[i].from, .csum_start = 34};

		net_start(rows[i].features);
		net_post(0, 4, 512);
		fake_net_put(&nf.fake, 0, &h, payload(), LEN);
		net_run();
		if (rows[i].dropped) {
			net_expect_none(0);
			continue;
		}
		assert_int_equal(net_receive(0, &got, buf), LEN);
		assert_int_equal(got.flags, rows[i].to);
		assert_int_equal(got.num_buffers, 1);
	}
}

/* 5.1.4.1: nothing longer than the MTU but what is to be segmented; a VLAN's tag does not count */
static void test_5_1_4_1_mtu(void **state)
{
	static const struct net_header gso = {
		.flags = 1, .gso_type = GSO_TCPV4, .gso_size = 1000, .csum_start = 34};
	struct net_header got;
	static uint8_t buf[NET_PAYLOAD_MAX];

	(void)state;
	nf.dirty = true;
	nf.config.mtu = 1400;
	net_restart();
	net_start(NET_ALL | VIRTIO_NET_F_MTU);
	net_post(0, 30, 512);
	net_arrive(0, 1419, 1);
	net_expect_none(0);
	net_arrive(0, 1418, 2);
	net_expect_arrived(0, 1418, 2, 3);
	fake_net_put(&nf.fake, 0, &gso, buf, 5000);
	net_run();
	assert_int_equal(net_receive(0, &got, buf), 5000);
	/* A driver that does not care gets them all. */
	net_start(NET_ALL);
	net_post(0, 30, 512);
	net_arrive(0, 1419, 1);
	net_expect_arrived(0, 1419, 1, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_MMIO(test_5_1_6_2_all_sets),
		NET_MMIO(test_5_1_6_4_all_sets),
		NET_MMIO(test_all_back_ends),
		NET_TEST(test_5_1_6_2_2_headers),
		NET_TEST(test_header_changes_in_the_middle),
		NET_TEST(test_5_1_6_4_1_flags),
		NET_TEST(test_5_1_4_1_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
