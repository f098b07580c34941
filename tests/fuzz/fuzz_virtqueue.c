/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue over memory that is all the fuzzer's. The input is first the layout of the queue,
 * then the memory that holds rings, descriptors, tables and buffers, then steps.
 *
 * Oracles: a chain's bytes lie in RAM, each head is in flight once and completed once, slots are
 * distinct, used.len is what was pushed and no more than was writable, the used index moves by what
 * was pushed, nothing but the used area and writable buffers changes, a broken queue stays broken.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/device.h"
#include "virtio/queue/virtqueue.h"
#include "vm/core/guest_mem.h"

#include "../unit/fakes/check.h"

/* RAM begins at 0, so that small numbers are addresses. */
enum { BASE = 0, MEM = 2048, EDGE = BASE + MEM, EDGE_BYTES = 24, MAX = 16, HEADER = 10 };

struct state {
	struct guest_mem *mem;
	uint8_t *ram;
	uint8_t *edge[EDGE_BYTES]; /* regions of one byte, behind ram */
	struct virtqueue *vq;
	struct virtqueue_layout layout;
	struct virtq_chain *held[MAX]; /* by slot */
	unsigned int num_held;
	uint16_t pushed, published;
	bool heads[MAX], broken;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool in_ram(const struct state *s, const uint8_t *p, size_t len)
{
	if (p >= s->ram && p < s->ram + MEM)
		return len <= (size_t)(s->ram + MEM - p);
	for (unsigned int i = 0; i < EDGE_BYTES; i++)
		if (p == s->edge[i])
			return len == 1;
	return false;
}

static void check_iovecs(const struct state *s, struct virtq_cursor c, uint64_t total)
{
	struct virtq_cursor count = c;
	struct iovec iov[4];
	uint64_t seen = 0;
	int n, pieces = 0;

	CHECK(c.left == total);
	while (c.left) {
		const uint64_t got = virtq_iov(&c, UINT64_MAX, iov, 4, &n);

		CHECK(n > 0 && got);
		for (int i = 0; i < n; i++)
			CHECK(iov[i].iov_len && in_ram(s, iov[i].iov_base, iov[i].iov_len));
		seen += got;
		pieces += n;
	}
	CHECK(seen == total);
	CHECK(virtq_iov_count(&count, UINT64_MAX) == pieces);
	CHECK(pieces <= MAX + VIRTQ_SPARE_IOVECS);
}

static void pop(struct state *s)
{
	struct virtq_chain *chain = NULL;
	const int rc = virtqueue_pop(s->vq, &chain);

	CHECK(rc == 1 || rc == 0 || rc == -EPROTO);
	CHECK(!s->broken || rc == -EPROTO);
	CHECK((rc == -EPROTO) == (virtqueue_error(s->vq) != NULL));
	s->broken = rc == -EPROTO;
	if (rc != 1) {
		CHECK(!chain);
		return;
	}
	CHECK(chain->slot < s->layout.size && !s->held[chain->slot]);
	CHECK(chain->head < s->layout.size && !s->heads[chain->head]);
	check_iovecs(s, virtq_reader(chain), chain->readable);
	check_iovecs(s, virtq_writer(chain), chain->writable);
	s->held[chain->slot] = chain;
	s->heads[chain->head] = true;
	s->num_held++;
	CHECK(virtqueue_in_flight(s->vq) == s->num_held);
}

static struct virtq_chain *take(struct state *s, unsigned int pick)
{
	for (unsigned int i = 0; i < MAX; i++) {
		struct virtq_chain *chain = s->held[(pick + i) % MAX];

		if (!chain)
			continue;
		s->held[chain->slot] = NULL;
		s->heads[chain->head] = false;
		s->num_held--;
		return chain;
	}
	return NULL;
}

/* The used area may lie over everything else; what the queue wrote there is known all the same. */
static void push(struct state *s, unsigned int pick, unsigned int fraction)
{
	struct virtq_chain *chain = take(s, pick);
	const uint8_t *elem;
	uint32_t written, got;
	uint16_t head;

	if (!chain)
		return;
	head = chain->head;
	written = (uint32_t)MIN(chain->writable, (uint64_t)UINT32_MAX);
	written = (uint32_t)((uint64_t)written * fraction / 255);
	virtqueue_push(s->vq, chain, written);
	elem = s->ram + (s->layout.used - BASE) + 4 + 8 * (s->pushed++ % s->layout.size);
	memcpy(&got, elem, 4);
	CHECK(got == head);
	memcpy(&got, elem + 4, 4);
	CHECK(got == written);
}

static void publish(struct state *s)
{
	uint16_t idx;

	virtqueue_publish(s->vq);
	if (s->published == s->pushed)
		return;
	s->published = s->pushed;
	memcpy(&idx, s->ram + (s->layout.used - BASE) + 2, 2);
	CHECK(idx == s->pushed);
}

static void check_unchanged(const struct state *s, const uint8_t *before)
{
	const size_t used = s->layout.used - BASE, end = used + 6 + 8u * s->layout.size;

	CHECK(!memcmp(before, s->ram, used));
	CHECK(!memcmp(before + end, s->ram + end, MEM - end));
}

static void step(struct state *s, uint8_t op, uint8_t arg)
{
	uint8_t before[MEM];

	memcpy(before, s->ram, MEM);
	switch (op % 8) {
	case 0:
	case 1:
		pop(s);
		CHECK(!memcmp(before, s->ram, MEM));
		break;
	case 2:
		push(s, arg, arg);
		break;
	case 3:
		publish(s);
		break;
	case 4:
		virtqueue_notify_off(s->vq);
		break;
	case 5:
		if (virtqueue_notify_on(s->vq))
			CHECK(virtqueue_has_avail(s->vq));
		break;
	case 6: /* the driver makes more available */
		s->ram[(s->layout.avail - BASE + 2) % MEM] += arg % 4;
		return;
	case 7: /* and changes its mind */
		s->ram[(s->layout.desc - BASE + arg) % MEM] ^= (uint8_t)(op >> 3);
		return;
	}
	check_unchanged(s, before);
}

static void set_up(struct state *s, const uint8_t *data, size_t size)
{
	if (guest_mem_create(&s->mem) < 0)
		abort();
	s->ram = aligned_alloc(64, MEM);
	memset(s->ram, 0, MEM);
	memcpy(s->ram, data, MIN(size, (size_t)MEM));
	guest_mem_add(s->mem, BASE, MEM, s->ram);
	for (unsigned int i = 0; i < EDGE_BYTES; i++) {
		s->edge[i] = calloc(1, 1);
		guest_mem_add(s->mem, EDGE + i, 1, s->edge[i]);
	}
	if (virtqueue_create(s->mem, MAX, &s->vq) < 0)
		abort();
}

static void tear_down(struct state *s)
{
	struct virtq_chain *chain;

	while ((chain = take(s, 0)))
		virtqueue_release(s->vq, chain);
	CHECK(virtqueue_in_flight(s->vq) == 0);
	virtqueue_disable(s->vq);
	virtqueue_destroy(s->vq);
	for (unsigned int i = 0; i < EDGE_BYTES; i++)
		free(s->edge[i]);
	free(s->ram);
	guest_mem_destroy(s->mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = {0};
	uint64_t features;
	size_t steps;

	if (size < HEADER)
		return 0;
	/* Layouts that are nearly right most of the time, and anything at all otherwise. */
	s.layout.size =
		data[0] & 0x80 ? (uint16_t)(data[0] << 8 | data[1]) : (uint16_t)(1 << data[0] % 6);
	s.layout.desc = BASE + (data[2] & 0x80 ? data[3] * 16u : data[2] * 16u);
	s.layout.avail = BASE + data[4] * 2u + (data[5] & 1);
	s.layout.used = BASE + data[6] * 4u + (data[7] & 1);
	features =
		(data[8] & 1 ? VIRTIO_F_EVENT_IDX : 0) | (data[8] & 2 ? 0 : VIRTIO_F_INDIRECT_DESC);
	steps = MIN((size_t)data[9] * 2, size - HEADER);
	set_up(&s, data + HEADER + steps, size - HEADER - steps);
	if (virtqueue_enable(s.vq, &s.layout, features) == 0) {
		CHECK(is_power_of_two(s.layout.size) && s.layout.size <= MAX);
		for (size_t i = 0; i + 1 < steps; i += 2)
			step(&s, data[HEADER + i], data[HEADER + i + 1]);
	}
	tear_down(&s);
	return 0;
}
