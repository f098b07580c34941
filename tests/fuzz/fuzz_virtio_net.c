/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card between a driver that sends, posts buffers, gives commands, resets and now and
 * then scribbles over its memory, and a network that is full, refuses, and delivers frames of every
 * kind. Eight input bytes a step; the first two choose loop, clock, MTU and what the back end can.
 *
 * Oracles: heads come back once, with no more than was writable; what reaches the network is what
 * the driver sent, in order, if it kept to what was agreed on, and nothing else does; what reaches
 * the driver are whole frames in order, every buffer but the last one full, no offload that was not
 * agreed on, in queues that are in use; short frames get through; nothing stays where it could go
 * on, with a driver that notifies only when asked to (but for scribblers). What a back end may
 * count on, the fake checks.
 */
#include "virtio_net_driver.h"

enum { STEP = 8, MAX_STEPS = 150 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- both ways ---- */

static void send_one(struct state *s, unsigned int q, const uint8_t *in)
{
	unsigned int i;
	struct chain *c = free_chain(s, q, &i);
	uint8_t *p;

	if (!c)
		return;
	c->frame = make_frame(s, in);
	c->len = (uint32_t)(NET_HEADER + c->frame.len);
	p = s->ram + c->gpa;
	memcpy(p, &c->frame.header, NET_HEADER);
	fill(p + NET_HEADER, c->frame.len, c->frame.seed);
	expose(s, q, i, UINT32_MAX, in[7] & 0x80 ? in[7] % 32u : in[7] * 31u, in[1] & 0x80);
}

static struct fake_frame *take_sent(struct state *s, unsigned int pair)
{
	struct fake_frame **at = &s->fake.sent.first, *frame;

	while (*at && (*at)->queue != pair)
		at = &(*at)->next;
	frame = *at;
	if (!frame)
		return NULL;
	*at = frame->next;
	s->fake.sent.num--;
	if (s->fake.sent.last == frame) {
		s->fake.sent.last = s->fake.sent.first;
		while (s->fake.sent.last && s->fake.sent.last->next)
			s->fake.sent.last = s->fake.sent.last->next;
	}
	return frame;
}

static void check_sent_chain(struct state *s, unsigned int q, const struct chain *c)
{
	struct fake_frame *got;
	struct net_header h;

	if (!must_be_sent(s, q, &c->frame))
		return;
	got = take_sent(s, q / 2);
	CHECK(got && got->len == NET_HEADER + c->frame.len);
	CHECK(filled(got->bytes + NET_HEADER, c->frame.len, c->frame.seed));
	memcpy(&h, got->bytes, sizeof(h));
	CHECK(h.flags == (c->frame.header.flags & 1) && h.gso_type == c->frame.header.gso_type);
	CHECK(!h.flags || (h.csum_start == c->frame.header.csum_start &&
				  h.csum_offset == c->frame.header.csum_offset));
	CHECK(!h.gso_type || h.gso_size == c->frame.header.gso_size);
	CHECK(h.hdr_len == MIN(c->frame.header.hdr_len, c->frame.len));
	free(got);
}

static void post_one(struct state *s, unsigned int q, const uint8_t *in)
{
	static const uint32_t lens[] = {12, 13, 26, 30, 64, 100, 512, 1526, 1536, 2000, 4096, 16384,
		30000, 65561, 65565, 69000};
	unsigned int i;
	struct chain *c = free_chain(s, q, &i);

	if (!c)
		return;
	c->len = lens[in[2] % 16] + in[2] / 16;
	if (in[3] == 0xff)
		c->len = in[4] % 12; /* too small */
	memset(s->ram + c->gpa, 0xee, MIN(c->len, 64));
	if (s->smallest[q / 2] > c->len)
		s->smallest[q / 2] = c->len;
	expose(s, q, i, in[3] == 0xfe ? 1 : 0, in[5] & 0x80 ? in[5] % 32u : in[5] * 31u,
		in[1] & 0x80);
}

static void arrive(struct state *s, unsigned int pair, const uint8_t *in)
{
	static uint8_t payload[NET_MAX_FRAME];
	const struct frame f = make_frame(s, in);

	if (s->num[pair] == FIFO)
		return;
	s->fifo[pair][(s->first[pair] + s->num[pair]++) % FIFO] = f;
	fill(payload, f.len, f.seed);
	fake_net_put(&s->fake, pair, &f.header, payload, f.len);
}

/* What the driver found must be the next frame, but for those that it could not get. */
static void expect_next(struct state *s, unsigned int pair, const struct net_header *h,
	const uint8_t *payload, size_t len)
{
	while (s->num[pair]) {
		const struct frame *f = &s->fifo[pair][s->first[pair]++ % FIFO];

		s->num[pair]--;
		if (may_arrive(s, f) && f->len == len && filled(payload, len, f->seed)) {
			CHECK(h->gso_type == f->header.gso_type);
			CHECK(h->flags == (s->offloads & NET_CSUM ? f->header.flags & 3 : 0));
			CHECK(h->gso_size == f->header.gso_size);
			return;
		}
		/* Left out: for a reason. */
		CHECK(!may_arrive(s, f) || NET_HEADER + f->len > s->smallest[pair]);
	}
	CHECK(!"a frame that came from the network");
}

static void check_received(struct state *s, unsigned int q)
{
	static uint8_t frame[NET_MAX_FRAME];
	struct net_header h;
	struct chain *c;
	uint32_t part;
	size_t len;

	while ((c = used(s, q, &part))) {
		CHECK(q / 2 < s->pairs);
		CHECK(part >= MIN(c->len, NET_MIN_FRAME) && part <= sizeof(frame));
		memcpy(frame, s->ram + c->gpa, part);
		memcpy(&h, frame, sizeof(h));
		CHECK(h.num_buffers >= 1 && (merges(s) || h.num_buffers == 1));
		len = part;
		for (unsigned int n = 1; n < h.num_buffers; n++) {
			CHECK(part == c->len);
			c = used(s, q, &part);
			CHECK(c && part && len + part <= sizeof(frame));
			memcpy(frame + len, s->ram + c->gpa, part);
			len += part;
		}
		expect_next(s, q / 2, &h, frame + NET_HEADER, len - NET_HEADER);
	}
}

/* ---- control ---- */

static void command(struct state *s, const uint8_t *in)
{
	static const uint8_t lens[] = {1, 2, 6, 8, 8, 0, 7, 40};
	const unsigned int q = control_queue(s);
	uint64_t features = s->features & VIRTIO_NET_F_CTRL_VQ ? s->features : 0, value = 0;
	uint32_t len = lens[in[2] % 8], i, written;
	uint8_t *p, mac[6];
	struct chain *c;
	bool ok;

	if (!is_control(s, q) || s->wild || !virtio_device_queue_usable(s->vdev, q))
		return;
	c = free_chain(s, q, &i);
	p = s->ram + c->gpa;
	memset(p, 0, 64);
	p[0] = in[1] / 16 % 6;
	p[1] = in[1] / 8 % 2;
	memcpy(p + 2, in + 3, 5);
	if (p[0] == 5 && in[3] & 1) { /* some offloads that it has */
		value = features & (in[4] & 1 ? UINT64_MAX : 0x182 | (uint64_t)in[5] << 50);
		memcpy(p + 2, &value, 8);
	}
	memcpy(&value, p + 2, 8);
	memcpy(mac, p + 2, 6);
	c->len = 2 + len + 1;
	p[c->len - 1] = 0xee;
	expose(s, q, i, 2 + len, in[7] % 16, in[2] & 0x80);
	run(s);
	CHECK(used(s, q, &written) == c && written == 1);
	ok = p[c->len - 1] == 0;
	CHECK(ok || p[c->len - 1] == 1);
	if (p[0] == 4) {
		CHECK(ok == ((features & VIRTIO_NET_F_MQ) && !p[1] && len == 2 &&
				    (value & 0xffff) >= 1 && (value & 0xffff) <= PAIRS));
		s->pairs = ok ? value & 0xffff : s->pairs;
		CHECK(!ok || s->fake.pairs == s->pairs);
	} else if (p[0] == 5) {
		CHECK(ok == ((features & VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && !p[1] && len == 8 &&
				    !(value & ~(features & UINT64_C(0x00c0000000000782))) &&
				    valid_features(value)));
		s->offloads = ok ? offloads_of(value) : s->offloads;
		CHECK(!ok || s->fake.offloads == s->offloads);
	} else if (p[0] == 1 && p[1] == 1) {
		CHECK(ok == (len == 6 && (features & (VIRTIO_NET_F_CTRL_RX |
							     VIRTIO_NET_F_CTRL_MAC_ADDR))));
		memcpy(s->mac, ok ? mac : s->mac, 6);
	} else if (p[0] == 2) {
		CHECK(!ok);
	}
}

/* ---- life ---- */

static void enable(struct state *s, unsigned int q)
{
	struct virtqueue_layout *l = virtio_device_queue_edit(s->vdev, q);

	if (!l)
		return;
	memset(ring(s, q, 0), 0, RINGS);
	memset(s->chains[q], 0, sizeof(s->chains[q]));
	s->avail_idx[q] = s->last_used[q] = s->kicked[q] = 0;
	*l = (struct virtqueue_layout){SIZE, q * RINGS, q * RINGS + AVAIL, q * RINGS + USED};
	virtio_device_queue_enable(s->vdev, q);
}

static void forget_frames(struct state *s)
{
	struct fake_frame *frame;

	while ((frame = fake_net_take(&s->fake)))
		free(frame);
	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		while ((frame = shift(&s->fake.queued[pair])))
			free(frame);
		s->num[pair] = 0;
		s->smallest[pair] = UINT64_MAX;
	}
}

static void negotiate(struct state *s, uint64_t features)
{
	s->features = features;
	virtio_device_set_driver_word(s->vdev, 0, (uint32_t)features);
	virtio_device_set_driver_word(s->vdev, 1, (uint32_t)(features >> 32));
	virtio_device_set_status(s->vdev, 1 | 2 | VIRTIO_STATUS_FEATURES_OK);
}

static void restart(struct state *s, const uint8_t *in)
{
	const uint64_t offered = virtio_device_offered_word(s->vdev, 0) |
				 (uint64_t)virtio_device_offered_word(s->vdev, 1) << 32;
	const uint64_t some =
		in[1] * UINT64_C(0x0101010101010101) ^ in[2] * UINT64_C(0x0011003300550077);

	virtio_device_lock(s->vdev);
	CHECK(virtio_device_set_status(s->vdev, 0));
	forget_frames(s);
	negotiate(s, in[1] ? (offered & some) | VIRTIO_F_VERSION_1 : offered);
	if (!(virtio_device_status(s->vdev) & VIRTIO_STATUS_FEATURES_OK)) {
		CHECK(virtio_device_set_status(s->vdev, 0));
		negotiate(s, VIRTIO_F_VERSION_1 |
				     (offered & (VIRTIO_NET_F_MRG_RXBUF | VIRTIO_F_EVENT_IDX |
							VIRTIO_NET_F_CTRL_VQ)));
	}
	CHECK(virtio_device_status(s->vdev) & VIRTIO_STATUS_FEATURES_OK);
	s->wild = false;
	s->pairs = 1;
	s->offloads = offloads_of(s->features);
	memcpy(s->mac, first_mac, 6);
	for (unsigned int q = 0; q < QUEUES; q++) {
		CHECK(!virtio_device_in_flight(s->vdev, q));
		memset(s->chains[q], 0, sizeof(s->chains[q]));
		if (is_data(s, q) || is_control(s, q))
			enable(s, q);
	}
	virtio_device_set_status(s->vdev, VIRTIO_STATUS_DRIVER_OK);
	virtio_device_unlock(s->vdev);
}

static void reset_queue(struct state *s, unsigned int q)
{
	virtio_device_lock(s->vdev);
	if (virtio_device_running(s->vdev) && (is_data(s, q) || is_control(s, q))) {
		virtio_device_queue_disable(s->vdev, q, true);
		CHECK(!virtio_device_in_flight(s->vdev, q));
		enable(s, q);
	}
	virtio_device_unlock(s->vdev);
}

static void host(struct state *s, const uint8_t *in)
{
	switch (in[1] % 5) {
	case 0:
		s->fake.refuse = in[2] & 1 ? -EIO : 0;
		break;
	case 1:
		s->link = in[2] & 1;
		fake_net_set_link(&s->fake, s->link);
		break;
	case 2:
		virtio_net_announce(s->vnet);
		break;
	default:
		fake_net_allow(&s->fake, in[2] & 1 ? UINT_MAX : in[2] % 8);
		break;
	}
}

/* ---- oracles after each step ---- */

static void check_queue(struct state *s, unsigned int q)
{
	const unsigned int pair = q / 2;
	uint32_t len;
	uint64_t room;
	struct chain *c;

	if (q % 2 == 0) {
		check_received(s, q);
		if (pair >= s->pairs || !s->fake.queued[pair].first)
			return;
		/* Nothing is left waiting that could come. */
		CHECK(!in_flight(s, q, &room) || (merges(s) && room < NET_MAX_FRAME));
		return;
	}
	while ((c = used(s, q, &len))) {
		CHECK(len == 0);
		check_sent_chain(s, q, c);
	}
	CHECK(!in_flight(s, q, &room) || s->fake.waiting[pair]);
}

static void check(struct state *s)
{
	uint64_t cfg;

	virtio_device_lock(s->vdev);
	cfg = virtio_device_cfg_load(s->vdev, 0, 8);
	CHECK(s->wild || !memcmp(&cfg, s->mac, 6));
	CHECK((cfg >> 48 & 1) == s->link);
	CHECK(virtio_device_cfg_load(s->vdev, 8, 4) == (PAIRS | (uint32_t)s->mtu << 16));
	virtio_device_unlock(s->vdev);
	for (unsigned int q = 0; !s->wild && q < 2 * PAIRS; q++)
		if (is_data(s, q) && virtio_device_queue_usable(s->vdev, q))
			check_queue(s, q);
	CHECK(s->wild || !s->fake.sent.first);
}

static void scribble(struct state *s, const uint8_t *in)
{
	const unsigned int at = (in[2] | in[3] << 8) % (in[1] & 0x40 ? RAM : AREAS) / 4 * 4;

	memcpy(s->ram + at, in + 4, 4);
	s->wild = true;
}

static void step(struct state *s, const uint8_t *in)
{
	const unsigned int pair = has(s, VIRTIO_NET_F_MQ) ? in[1] & 1 : 0;

	switch (in[0] % 8) {
	case 0:
	case 1:
		if (!s->wild || virtio_device_queue_usable(s->vdev, 2 * pair + 1))
			send_one(s, 2 * pair + 1, in);
		break;
	case 2:
	case 3:
		post_one(s, 2 * pair, in);
		break;
	case 4:
		arrive(s, in[1] & 1, in);
		break;
	case 5:
		host(s, in);
		break;
	case 6:
		if (in[1] & 1)
			command(s, in);
		else if (in[1] & 2)
			virtio_device_notify(s->vdev, in[2] % (QUEUES + 1));
		else if (in[1] & 4)
			reset_queue(s, in[2] % QUEUES);
		else
			scribble(s, in);
		break;
	case 7:
		if (in[3] % 4 == 0)
			restart(s, in);
		break;
	}
	fake_clock_advance(&s->clock, (in[7] & 3) * 200 * NSEC_PER_USEC);
	run(s);
	check(s);
}

static void set_up(struct state *s, const uint8_t *how)
{
	struct virtio_net_config config = {
		.name = "fuzz", .net = &s->fake.net, .max_pairs = PAIRS, .queue_size = SIZE};

	CHECK(guest_mem_create(&s->mem) == 0);
	s->ram = malloc(RAM);
	CHECK(s->ram);
	CHECK(!guest_mem_add(s->mem, 0, RAM, s->ram));
	if (how[0] & 1)
		CHECK(event_loop_create(&s->loop) == 0);
	fake_net_init(&s->fake);
	if (how[0] & 4) {
		s->fake.net.info.send_offloads = how[1] & 0x3f;
		s->fake.net.info.recv_offloads = (how[0] >> 3 ^ how[1]) & 0x3f;
	}
	s->mtu = how[0] & 2 ? MTU : 0;
	s->link = true;
	config.mem = s->mem;
	config.loop = s->loop;
	fake_clock_init(&s->clock);
	config.clock = how[0] & 0x80 ? &s->clock.clock : NULL;
	config.mtu = s->mtu;
	memcpy(config.mac, first_mac, 6);
	CHECK(virtio_net_create(&config, &s->vnet) == 0);
	s->vdev = virtio_net_device(s->vnet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t first[STEP];
	static struct state s;

	if (size < 2)
		return 0;
	memset(&s, 0, sizeof(s));
	set_up(&s, data);
	restart(&s, first);
	for (size_t i = 2, n = 0; i + STEP <= size && n < MAX_STEPS; i += STEP, n++)
		step(&s, data + i);
	virtio_device_destroy(s.vdev);
	CHECK(fake_clock_armed(&s.clock) == 0);
	fake_net_fini(&s.fake);
	event_loop_destroy(s.loop);
	free(s.ram);
	guest_mem_destroy(s.mem);
	return 0;
}
