/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzz_virtio_net.c: the driver half, as a set of chains for each queue whose place in memory
 * is fixed, and the rules of virtio 1.2, 5.1, once more and in other words.
 */
#ifndef TESTS_VIRTIO_NET_DRIVER_H
#define TESTS_VIRTIO_NET_DRIVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/net/net.h"
#include "virtio/transport.h"
#include "vm/core/event_loop.h"
#include "vm/core/guest_mem.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_clock.c"
#include "../unit/virtio/net/virtio_net_fake.c"

enum {
	PAIRS = 2,
	QUEUES = 2 * PAIRS + 1,
	MTU = 1500,

	SIZE = 16,  /* entries of a queue */
	CHAINS = 5, /* of up to three descriptors each; head 3 * i is chain i */
	BUFS = 3,
	/* At address 0: a table and two rings for each queue, then an area for each chain: a table
	 * and its buffers. */
	RINGS = 1024,
	AVAIL = 256,
	USED = 512,
	AREAS = QUEUES * RINGS,
	AREA = 70000,
	TABLE = 64,
	RAM = AREAS + QUEUES * CHAINS * AREA,

	FIFO = 512,
};

struct frame {
	struct net_header header;
	size_t len; /* of the payload */
	uint8_t seed;
};

struct chain {
	bool in_flight;
	uint64_t gpa;
	uint32_t len;	    /* of its buffers, from gpa on */
	struct frame frame; /* sent */
};

struct state {
	struct guest_mem *mem;
	uint8_t *ram;
	struct fake_clock clock;
	struct event_loop *loop;
	struct fake_net fake;
	struct virtio_net *vnet;
	struct virtio_device *vdev;
	uint16_t mtu;

	/* The driver, and what it should find */
	uint64_t features;
	uint32_t offloads; /* towards it */
	unsigned int pairs;
	uint8_t mac[6];
	bool link, wild; /* wild: rings and buffers may hold anything */
	struct chain chains[QUEUES][CHAINS];
	uint16_t avail_idx[QUEUES], last_used[QUEUES], kicked[QUEUES];
	uint64_t smallest[PAIRS]; /* buffer posted */
	struct frame fifo[PAIRS][FIFO];
	unsigned int first[PAIRS], num[PAIRS]; /* in the fifo */
	uint8_t seed;
};

static const uint8_t first_mac[6] = {2, 0, 0, 0, 0, 1};

static bool has(const struct state *s, uint64_t feature)
{
	return s->features & feature;
}

static bool merges(const struct state *s)
{
	return has(s, VIRTIO_NET_F_MRG_RXBUF);
}

static unsigned int control_queue(const struct state *s)
{
	return has(s, VIRTIO_NET_F_MQ) ? 2 * PAIRS : 2;
}

static bool is_control(const struct state *s, unsigned int q)
{
	return has(s, VIRTIO_NET_F_CTRL_VQ) && q == control_queue(s);
}

static bool is_data(const struct state *s, unsigned int q)
{
	return q < 2 || (q < 2 * PAIRS && has(s, VIRTIO_NET_F_MQ));
}

/* ---- what the rules say, once more ---- */

static bool valid_features(uint64_t f)
{
	const bool tso = f & (VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6);
	const bool gso =
		tso ||
		(f & (VIRTIO_NET_F_GUEST_UFO | VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6));

	return (!gso || (f & VIRTIO_NET_F_GUEST_CSUM)) && (!(f & VIRTIO_NET_F_GUEST_ECN) || tso);
}

static uint32_t offloads_of(uint64_t f)
{
	const uint64_t uso = VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6;

	return (f & VIRTIO_NET_F_GUEST_CSUM ? NET_CSUM : 0) |
	       (f & VIRTIO_NET_F_GUEST_TSO4 ? NET_TSO4 : 0) |
	       (f & VIRTIO_NET_F_GUEST_TSO6 ? NET_TSO6 : 0) |
	       (f & VIRTIO_NET_F_GUEST_ECN ? NET_ECN : 0) |
	       (f & VIRTIO_NET_F_GUEST_UFO ? NET_UFO : 0) | ((f & uso) == uso ? NET_USO : 0);
}

static uint32_t send_offloads(const struct state *s)
{
	return (has(s, VIRTIO_NET_F_CSUM) ? NET_CSUM : 0) |
	       (has(s, VIRTIO_NET_F_HOST_TSO4) ? NET_TSO4 : 0) |
	       (has(s, VIRTIO_NET_F_HOST_TSO6) ? NET_TSO6 : 0) |
	       (has(s, VIRTIO_NET_F_HOST_ECN) ? NET_ECN : 0) |
	       (has(s, VIRTIO_NET_F_HOST_UFO) ? NET_UFO : 0) |
	       (has(s, VIRTIO_NET_F_HOST_USO) ? NET_USO : 0);
}

static bool allowed(const struct frame *f, uint32_t offloads)
{
	static const uint32_t need[8] = {
		0, NET_TSO4, UINT32_MAX, NET_UFO, NET_TSO6, NET_USO, UINT32_MAX, UINT32_MAX};
	const struct net_header *h = &f->header;
	const uint8_t type = h->gso_type & 0x7f;

	if (f->len < 14 || f->len > NET_MAX_FRAME - NET_HEADER || type > 7)
		return false;
	if ((need[type] & offloads) != need[type] || (h->gso_type && !h->gso_size))
		return false;
	if ((h->gso_type & 0x80) && (!(offloads & NET_ECN) || (type != 1 && type != 4)))
		return false;
	return !(h->flags & 1) ||
	       ((offloads & NET_CSUM) && (size_t)h->csum_start + h->csum_offset + 2 <= f->len);
}

static bool must_be_sent(const struct state *s, unsigned int q, const struct frame *f)
{
	return q / 2 < s->pairs && !s->fake.refuse && allowed(f, send_offloads(s));
}

static bool may_arrive(const struct state *s, const struct frame *f)
{
	const bool too_long = has(s, VIRTIO_NET_F_MTU) && !f->header.gso_type && f->len > 18u + MTU;

	return allowed(f, s->offloads) && !too_long;
}

/* ---- frames ---- */

static void fill(uint8_t *p, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 5 + (i >> 8) + seed);
}

static bool filled(const uint8_t *p, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != (uint8_t)(i * 5 + (i >> 8) + seed))
			return false;
	return true;
}

static struct frame make_frame(struct state *s, const uint8_t *in)
{
	static const size_t lens[] = {14, 15, 42, 60, 100, 500, 1514, 1518, 1519, 4000, 9000, 20000,
		65552, 65553, 65554, 5};
	struct frame f = {.len = lens[in[2] % 16] - in[2] / 16 % 4, .seed = s->seed++};

	if (in[3] & 1)
		f.header = (struct net_header){.flags = in[3] & 2 ? in[3] >> 2 : 1,
			.gso_type = in[4] & 0x88 ? in[4] % 7 : 0,
			.gso_size = in[4] & 0x10 ? 0 : in[5],
			.hdr_len = in[5] & 1 ? 54 : in[5] * 257,
			.csum_start = in[6] & 0x80 ? in[6] * 257 : in[6],
			.csum_offset = in[6] % 17};
	if (in[4] & 0x20 && f.header.gso_type)
		f.header.gso_type |= 0x80;
	return f;
}

/* ---- the driver's rings ---- */

static uint8_t *ring(struct state *s, unsigned int q, unsigned int off)
{
	return s->ram + q * RINGS + off;
}

static uint16_t load16(struct state *s, unsigned int q, unsigned int off)
{
	uint16_t value;

	memcpy(&value, ring(s, q, off), sizeof(value));
	return value;
}

static void run(struct state *s)
{
	for (unsigned int n = 0; n < 10000; n++)
		if ((!s->loop || event_loop_step(s->loop, 0) <= 0) && !fake_net_round(&s->fake))
			return;
	CHECK(!"it comes to rest");
}

static void kick(struct state *s, unsigned int q)
{
	const uint16_t from = s->kicked[q], to = s->avail_idx[q];
	bool wanted;

	s->kicked[q] = to;
	if (has(s, VIRTIO_F_EVENT_IDX))
		wanted = (uint16_t)(to - load16(s, q, USED + 4 + 8 * SIZE) - 1) <
			 (uint16_t)(to - from);
	else
		wanted = !(load16(s, q, USED) & 1);
	if (wanted)
		virtio_device_notify(s->vdev, q);
}

static void set_desc(uint8_t *table, unsigned int i, uint64_t gpa, uint32_t len, unsigned int flags,
	unsigned int next)
{
	const uint16_t rest[] = {(uint16_t)flags, (uint16_t)next};

	memcpy(table + 16 * i, &gpa, 8);
	memcpy(table + 16 * i + 8, &len, 4);
	memcpy(table + 16 * i + 12, rest, 4);
}

/* Bytes of the chain from `writable` on are for the device; what comes before is cut at cut too. */
static void expose(struct state *s, unsigned int q, unsigned int i, uint32_t writable, uint32_t cut,
	bool indirect)
{
	const bool table_too = indirect && has(s, VIRTIO_F_INDIRECT_DESC);
	const struct chain *c = &s->chains[q][i];
	const uint16_t head = (uint16_t)(i * BUFS), base = table_too ? 0 : head;
	uint8_t *table = table_too ? s->ram + c->gpa - TABLE : ring(s, q, 0);
	const uint32_t ends[] = {MIN(cut, c->len), MIN(writable, c->len), c->len};
	uint32_t done = 0, sorted[BUFS];

	memcpy(sorted, ends, sizeof(sorted));
	if (sorted[0] > sorted[1]) {
		sorted[0] = ends[1];
		sorted[1] = ends[0];
	}
	for (unsigned int n = 0; n < BUFS; done = sorted[n++])
		set_desc(table, base + n, c->gpa + done, sorted[n] - done,
			(done >= writable ? 2u : 0u) | (n + 1 < BUFS ? 1 : 0), base + n + 1u);
	if (table_too)
		set_desc(ring(s, q, 0), head, c->gpa - TABLE, 16 * BUFS, 4, 0);
	memcpy(ring(s, q, AVAIL + 4 + 2 * (s->avail_idx[q]++ % SIZE)), &head, 2);
	memcpy(ring(s, q, AVAIL + 2), &s->avail_idx[q], 2);
	s->chains[q][i].in_flight = true;
	kick(s, q);
}

static struct chain *free_chain(struct state *s, unsigned int q, unsigned int *i)
{
	for (*i = 0; *i < CHAINS; (*i)++)
		if (!s->chains[q][*i].in_flight) {
			struct chain *c = &s->chains[q][*i];

			*c = (struct chain){
				.gpa = AREAS + (q * CHAINS + *i) * (uint64_t)AREA + TABLE};
			return c;
		}
	return NULL;
}

/* The next used chain; NULL: none. */
static struct chain *used(struct state *s, unsigned int q, uint32_t *len)
{
	uint32_t elem[2];
	struct chain *c;

	if (load16(s, q, USED + 2) == s->last_used[q])
		return NULL;
	memcpy(elem, ring(s, q, USED + 4 + 8 * (s->last_used[q]++ % SIZE)), 8);
	CHECK(elem[0] % BUFS == 0 && elem[0] / BUFS < CHAINS);
	c = &s->chains[q][elem[0] / BUFS];
	CHECK(c->in_flight && elem[1] <= c->len);
	c->in_flight = false;
	*len = elem[1];
	return c;
}

static unsigned int in_flight(const struct state *s, unsigned int q, uint64_t *room)
{
	unsigned int n = 0;

	*room = 0;
	for (unsigned int i = 0; i < CHAINS; i++)
		if (s->chains[q][i].in_flight) {
			n++;
			*room += s->chains[q][i].len;
		}
	return n;
}

#endif
