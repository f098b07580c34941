/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_net_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Rings below, a piece for each driver; buffers above. */
enum {
	DRIVER_RAM = 0x10000,
	BUFFERS = RIG_RAM_BASE + (NET_PAIRS + 1) * DRIVER_RAM,
	BUFFERS_END = RIG_RAM_BASE + RIG_RAM_SIZE,
	UNTOUCHED = 0xee,
};

struct net_fixture nf;
const uint8_t net_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

/* ---- life ---- */

/* Each pair has a driver: queue q of it is another one of the device. */
static void attach(void)
{
	vdrv_attach(&nf.pair[0], &nf.rig);
	for (unsigned int k = 1; k <= NET_PAIRS; k++) {
		nf.pair[k] = nf.pair[0];
		nf.pair[k].first = 2 * k;
	}
}

void net_plug(struct virtio_net *vnet)
{
	nf.vnet = vnet;
	rig_plug(&nf.rig, virtio_net_device(vnet));
	attach();
}

static void create(void)
{
	struct virtio_net *vnet;

	rig_create(&nf.rig, nf.kind);
	if (nf.loop)
		assert_int_equal(event_loop_create(&nf.rig.loop), 0);
	fake_net_init(&nf.fake);
	nf.fake.net.info = nf.info;
	nf.config.mem = nf.rig.mem;
	nf.config.loop = nf.rig.loop;
	nf.config.net = &nf.fake.net;
	nf.brk = BUFFERS;
	assert_int_equal(virtio_net_create(&nf.config, &vnet), 0);
	net_plug(vnet);
}

static void destroy(void)
{
	rig_destroy(&nf.rig);
	fake_net_fini(&nf.fake);
}

int net_set_up(void **state)
{
	memset(&nf, 0, sizeof(nf));
	nf.kind = (enum rig_kind)(uintptr_t)*state;
	fake_net_init(&nf.fake);
	nf.info = nf.fake.net.info;
	nf.config = (struct virtio_net_config){.name = "net", .queue_size = 64};
	memcpy(nf.config.mac, net_mac, sizeof(net_mac));
	create();
	return 0;
}

int net_tear_down(void **state)
{
	(void)state;
	destroy();
	return 0;
}

void net_restart(void)
{
	destroy();
	create();
}

bool net_negotiate(uint64_t features)
{
	const unsigned int pairs = nf.config.max_pairs ? nf.config.max_pairs : 1;
	const bool accepted = vdrv_negotiate(&nf.pair[0], features);

	nf.pair[NET_PAIRS].first = features & VIRTIO_NET_F_MQ ? 2 * pairs : 2;
	for (unsigned int k = 0; k <= NET_PAIRS; k++) {
		nf.pair[k].negotiated = features;
		nf.pair[k].brk = RIG_RAM_BASE + k * DRIVER_RAM;
		memset(nf.pair[k].q, 0, sizeof(nf.pair[k].q));
	}
	nf.pair[0].t->take_irq(&nf.pair[0]); /* from before */
	return accepted;
}

void net_setup_queues(void)
{
	const uint64_t features = nf.pair[0].negotiated;
	const unsigned int pairs = features & VIRTIO_NET_F_MQ ? nf.config.max_pairs : 1;

	for (unsigned int k = 0; k < pairs; k++) {
		vdrv_queue_setup(&nf.pair[k], NET_RX, nf.config.queue_size);
		vdrv_queue_setup(&nf.pair[k], NET_TX, nf.config.queue_size);
	}
	if (features & VIRTIO_NET_F_CTRL_VQ)
		vdrv_queue_setup(&nf.pair[NET_PAIRS], 0, MIN(nf.config.queue_size, 64));
}

void net_start(uint64_t features)
{
	assert_true(net_negotiate(features));
	net_setup_queues();
	vdrv_driver_ok(&nf.pair[0]);
}

bool net_needs_reset(void)
{
	return nf.pair[0].t->status(&nf.pair[0]) & VIRTIO_STATUS_NEEDS_RESET;
}

void net_run(void)
{
	do
		rig_run(&nf.rig);
	while (fake_net_round(&nf.fake));
}

uint64_t net_alloc(uint64_t len)
{
	const uint64_t at = nf.brk + len <= BUFFERS_END ? nf.brk : BUFFERS;

	assert_true(at + len <= BUFFERS_END);
	nf.brk = at + len + nf.gap;
	return at;
}

void net_pattern(uint8_t *buf, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + (i >> 8) * 3 + seed);
}

/* ---- receiving ---- */

int net_add(unsigned int pair, unsigned int queue, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in, bool indirect)
{
	struct vdrv *d = &nf.pair[pair];
	const uint64_t brk = d->brk;
	int head;

	/* An indirect table is a buffer like others. */
	d->brk = indirect ? ALIGN_UP(net_alloc(16 * (out + in) + 15), 16) : brk;
	head = vdrv_add(d, queue, bufs, out, in, indirect);
	d->brk = brk;
	return head;
}

void net_post(unsigned int pair, unsigned int n, uint32_t len)
{
	while (n--) {
		const struct vdrv_buf buf = {net_alloc(len), len};

		memset(vdrv_at(&nf.pair[pair], buf.gpa, len), UNTOUCHED, len);
		nf.posted[pair][net_add(pair, NET_RX, &buf, 0, 1, false)] = buf;
	}
	vdrv_kick(&nf.pair[pair], NET_RX);
	net_run();
}

/* One buffer: appends what is in it to buf. */
static uint32_t take_buffer(unsigned int pair, uint8_t *buf, size_t room, uint32_t *size)
{
	uint32_t len = 0;
	const int head = vdrv_get(&nf.pair[pair], NET_RX, &len);
	struct vdrv_buf from;
	const uint8_t *p;

	if (head == VDRV_NO_HEAD)
		return 0;
	from = nf.posted[pair][head];
	p = vdrv_at(&nf.pair[pair], from.gpa, from.len);
	assert_true(len && len <= from.len && len <= room);
	memcpy(buf, p, len);
	for (uint32_t i = len; i < from.len && !nf.dirty; i++)
		assert_int_equal(p[i], UNTOUCHED);
	*size = from.len;
	return len;
}

int net_receive(unsigned int pair, struct net_header *header, uint8_t *payload)
{
	static uint8_t frame[NET_MAX_FRAME];
	uint32_t size, part, len = take_buffer(pair, frame, sizeof(frame), &size);

	if (!len)
		return -1;
	assert_true(len >= NET_HEADER);
	memcpy(header, frame, NET_HEADER);
	if (!(nf.pair[0].negotiated & VIRTIO_NET_F_MRG_RXBUF))
		assert_int_equal(header->num_buffers, 1);
	part = len;
	for (unsigned int i = 1; i < header->num_buffers; i++) {
		assert_int_equal(part, size); /* all but the last one are full */
		part = take_buffer(pair, frame + len, sizeof(frame) - len, &size);
		assert_int_not_equal(part, 0); /* they are used together */
		len += part;
	}
	memcpy(payload, frame + NET_HEADER, len - NET_HEADER);
	return (int)(len - NET_HEADER);
}

void net_expect(unsigned int pair, const void *payload, size_t len, unsigned int buffers)
{
	static const struct net_header none;
	static uint8_t got[NET_MAX_FRAME];
	struct net_header header;

	assert_int_equal(net_receive(pair, &header, got), len);
	assert_memory_equal(got, payload, len);
	assert_int_equal(header.num_buffers, buffers);
	header.num_buffers = 0;
	assert_memory_equal(&header, &none, sizeof(none));
}

void net_expect_none(unsigned int pair)
{
	assert_int_equal(vdrv_get(&nf.pair[pair], NET_RX, NULL), VDRV_NO_HEAD);
}

void net_arrive(unsigned int queue, size_t len, uint8_t seed)
{
	static const struct net_header header;
	static uint8_t payload[2 * NET_MAX_FRAME];

	net_pattern(payload, len, seed);
	fake_net_put(&nf.fake, queue, &header, payload, len);
	net_run();
}

void net_expect_arrived(unsigned int pair, size_t len, uint8_t seed, unsigned int buffers)
{
	static uint8_t payload[NET_MAX_FRAME];

	net_pattern(payload, len, seed);
	net_expect(pair, payload, len, buffers);
}

/* ---- sending ---- */

int net_send(unsigned int pair, const struct net_header *header, const void *payload, size_t len)
{
	const struct vdrv_buf buf = {net_alloc(NET_HEADER + len), (uint32_t)(NET_HEADER + len)};
	uint8_t *p = vdrv_at(&nf.pair[pair], buf.gpa, buf.len);
	int head;

	memcpy(p, header, NET_HEADER);
	if (len)
		memcpy(p + NET_HEADER, payload, len);
	head = net_add(pair, NET_TX, &buf, 1, 0, false);
	vdrv_kick(&nf.pair[pair], NET_TX);
	net_run();
	return head;
}

int net_send_pattern(unsigned int pair, size_t len, uint8_t seed)
{
	static const struct net_header header;
	static uint8_t payload[2 * NET_MAX_FRAME];

	net_pattern(payload, len, seed);
	return net_send(pair, &header, payload, len);
}

unsigned int net_sent(unsigned int pair)
{
	unsigned int n = 0;
	uint32_t len;

	for (; vdrv_get(&nf.pair[pair], NET_TX, &len) != VDRV_NO_HEAD; n++)
		assert_int_equal(len, 0);
	return n;
}

void net_expect_sent(
	unsigned int pair, const struct net_header *header, const void *payload, size_t len)
{
	struct fake_frame *frame = fake_net_take(&nf.fake);

	assert_non_null(frame);
	assert_int_equal(frame->queue, pair);
	assert_int_equal(frame->len, NET_HEADER + len);
	assert_memory_equal(frame->bytes, header, NET_HEADER);
	assert_memory_equal(frame->bytes + NET_HEADER, payload, len);
	free(frame);
}

void net_expect_sent_pattern(unsigned int pair, size_t len, uint8_t seed)
{
	static const struct net_header header;
	static uint8_t payload[NET_MAX_FRAME];

	net_pattern(payload, len, seed);
	net_expect_sent(pair, &header, payload, len);
}

void net_expect_none_sent(void)
{
	assert_int_equal(nf.fake.sent.num, 0);
}

/* ---- control ---- */

int net_control(uint8_t class, uint8_t command, const void *data, uint32_t len)
{
	struct vdrv *d = &nf.pair[NET_PAIRS];
	const struct vdrv_buf bufs[] = {{net_alloc(2 + len), 2 + len}, {net_alloc(1), 1}};
	uint8_t *p = vdrv_at(d, bufs[0].gpa, bufs[0].len), *ack = vdrv_at(d, bufs[1].gpa, 1);
	uint32_t written = 0;
	int head;

	p[0] = class;
	p[1] = command;
	if (len)
		memcpy(p + 2, data, len);
	*ack = UNTOUCHED;
	head = net_add(NET_PAIRS, 0, bufs, 1, 1, false);
	vdrv_kick(d, 0);
	net_run();
	assert_int_equal(vdrv_get(d, 0, &written), head);
	assert_int_equal(written, 1);
	return *ack;
}

int net_set_pairs(uint16_t pairs)
{
	return net_control(4, 0, &pairs, sizeof(pairs));
}
