/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A balloon and a driver that names pages, reports, gives statistics, resets, and now and then
 * scribbles over its rings. Eight input bytes a step; the first byte of all chooses between kicks
 * on a loop and at once, and the host's page size.
 *
 * Oracles: what is given back lies in RAM, is whole pages, and was named by a chain that is with
 * the device now (but for scribblers), reports under poison excepted; a pass is bounded; heads come
 * back once, with length 0; statistics are what the driver gave; the timer runs when it should; the
 * configuration keeps what the host put there; nothing happens before DRIVER_OK or after a reset.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "virtio/balloon/balloon.h"
#include "virtio/transport.h"
#include "vm/core/event_loop.h"
#include "vm/core/guest_mem.h"

#include "../unit/fakes/check.h"

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/fakes/fake_clock.c"

enum {
	PAGE = VIRTIO_BALLOON_PAGE,
	STEP = 8,
	MAX_STEPS = 200,
	QUEUES = 5,
	STATS = 2,
	REGIONS = 3,

	SIZE = 16,  /* entries of a queue */
	CHAINS = 5, /* of up to three descriptors each; head 3 * i is chain i */
	BUFS = 3,
	/* At address 0: a table and two rings for each queue, an array for each chain. */
	RINGS = 1024,
	AVAIL = 256,
	USED = 512,
	ARRAYS = QUEUES * RINGS,
	ARRAY_BYTES = 256,
	CONTROL = ARRAYS + QUEUES * CHAINS * ARRAY_BYTES,
	STAT_SIZE = 10,
};

/* One of them ends amid a page, one takes many passes. */
static const struct {
	uint64_t gpa, size;
} regions[REGIONS] = {{0, 64 * PAGE}, {0x100000, 3 * PAGE + 100}, {4 * GiB, GiB}};

#define RAM (regions[0].size + regions[1].size + regions[2].size)

struct chain {
	bool in_flight, writable[BUFS];
	unsigned int num;
	uint64_t gpa[BUFS];
	uint32_t len[BUFS];
};

struct state {
	struct guest_mem *mem;
	uint8_t *hva[REGIONS];
	struct event_loop *loop;
	struct fake_clock clock;
	size_t page_size;
	struct virtio_balloon *b;
	struct virtio_device *vdev;
	uint64_t features, interval_ns, bytes, stats_changed;
	uint32_t target, poison;
	bool fail, wild; /* wild: rings and arrays may hold anything */
	struct chain chains[QUEUES][CHAINS];
	uint16_t avail_idx[QUEUES], last_used[QUEUES];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(const struct state *s, uint64_t feature)
{
	return s->features & feature;
}

static bool is_reporting(const struct state *s, unsigned int q)
{
	return has(s, VIRTIO_BALLOON_F_PAGE_REPORTING) &&
	       (q > STATS || (q == STATS && !has(s, VIRTIO_BALLOON_F_STATS_VQ)));
}

/* ---- what may be given back ---- */

static bool inside(const uint8_t *p, size_t len, const uint8_t *start, uint64_t size)
{
	return start && p >= start && range_ok((uint64_t)(p - start), len, size);
}

static bool array_names(const struct state *s, const struct chain *c, const uint8_t *page)
{
	uint32_t pfn;

	for (uint32_t off = 0; c->in_flight && off + 4 <= c->len[0]; off += 4) {
		memcpy(&pfn, s->hva[0] + c->gpa[0] + off, sizeof(pfn));
		if (guest_mem_ptr(s->mem, (uint64_t)pfn * PAGE, PAGE) == page)
			return true;
	}
	return false;
}

static bool report_names(const struct state *s, const struct chain *c, const uint8_t *p, size_t len)
{
	for (unsigned int n = 0; c->in_flight && n < c->num; n++)
		if (c->writable[n] &&
			inside(p, len, guest_mem_ptr(s->mem, c->gpa[n], c->len[n]), c->len[n]))
			return true;
	return false;
}

static bool named(const struct state *s, const uint8_t *p, size_t len)
{
	bool all = true;

	for (unsigned int q = STATS; q < QUEUES; q++)
		for (unsigned int i = 0; is_reporting(s, q) && !s->poison && i < CHAINS; i++)
			if (report_names(s, &s->chains[q][i], p, len))
				return true;
	for (const uint8_t *page = p; all && page < p + len; page += PAGE) {
		all = false;
		for (unsigned int i = 0; i < CHAINS; i++)
			all = all || array_names(s, &s->chains[0][i], page);
	}
	return all;
}

static int discard(void *opaque, void *hva, size_t len)
{
	struct state *s = opaque;
	bool in_ram = false;

	CHECK(virtio_device_running(s->vdev) && len && len <= VIRTIO_BALLOON_PASS_BYTES);
	CHECK(!(((uintptr_t)hva | len) % s->page_size));
	for (unsigned int r = 0; r < REGIONS; r++)
		in_ram = in_ram || inside(hva, len, s->hva[r], regions[r].size);
	CHECK(in_ram);
	CHECK(s->wild || named(s, hva, len));
	s->bytes += len;
	return s->fail ? -1 : 0;
}

static void stats_changed(void *opaque)
{
	((struct state *)opaque)->stats_changed++;
}

/* ---- the driver ---- */

static uint8_t *ring(struct state *s, unsigned int q, unsigned int off)
{
	return s->hva[0] + q * RINGS + off;
}

static uint64_t array_of(unsigned int q, unsigned int i)
{
	return ARRAYS + (q * CHAINS + i) * ARRAY_BYTES;
}

static void expose(struct state *s, unsigned int q, unsigned int i)
{
	struct chain *c = &s->chains[q][i];
	const uint16_t head = (uint16_t)(i * BUFS);

	for (unsigned int n = 0; n < c->num; n++) {
		const uint16_t rest[] = {
			(uint16_t)((c->writable[n] ? 2 : 0) | (n + 1 < c->num ? 1 : 0)),
			(uint16_t)(head + n + 1)};
		uint8_t *d = ring(s, q, 16 * (head + n));

		memcpy(d, &c->gpa[n], 8);
		memcpy(d + 8, &c->len[n], 4);
		memcpy(d + 12, rest, 4);
	}
	memcpy(ring(s, q, AVAIL + 4 + 2 * (s->avail_idx[q]++ % SIZE)), &head, 2);
	memcpy(ring(s, q, AVAIL + 2), &s->avail_idx[q], 2);
	c->in_flight = true;
}

static void collect(struct state *s, unsigned int q)
{
	uint32_t elem[2];
	uint16_t idx;

	memcpy(&idx, ring(s, q, USED + 2), 2);
	while (s->last_used[q] != idx) {
		memcpy(elem, ring(s, q, USED + 4 + 8 * (s->last_used[q]++ % SIZE)), 8);
		CHECK(elem[0] % BUFS == 0 && elem[0] / BUFS < CHAINS && elem[1] == 0);
		CHECK(s->chains[q][elem[0] / BUFS].in_flight);
		s->chains[q][elem[0] / BUFS].in_flight = false;
	}
}

static void run_loop(struct state *s)
{
	for (unsigned int n = 0; s->loop && n < 64; n++) {
		const uint64_t before = s->bytes;

		if (event_loop_step(s->loop, 0) <= 0)
			break;
		CHECK(s->bytes - before <= UINT64_C(2) * QUEUES * VIRTIO_BALLOON_PASS_BYTES);
	}
}

static void enable(struct state *s, unsigned int q)
{
	struct virtqueue_layout *l = virtio_device_queue_edit(s->vdev, q);

	if (!l)
		return;
	memset(ring(s, q, 0), 0, RINGS);
	memset(s->chains[q], 0, sizeof(s->chains[q]));
	s->avail_idx[q] = s->last_used[q] = 0;
	*l = (struct virtqueue_layout){SIZE, q * RINGS, q * RINGS + AVAIL, q * RINGS + USED};
	virtio_device_queue_enable(s->vdev, q);
}

/* With the queues that the features stand for, or with all of them. */
static void restart(struct state *s, const uint8_t *in)
{
	s->features = VIRTIO_F_VERSION_1 | (in[1] & 0x36);
	s->poison = in[3] & 1 && has(s, VIRTIO_BALLOON_F_PAGE_POISON) ? in[4] : 0;
	s->wild = false;
	virtio_device_lock(s->vdev);
	CHECK(virtio_device_set_status(s->vdev, 0));
	memset(s->hva[0], 0, CONTROL);
	memset(s->chains, 0, sizeof(s->chains));
	memset(s->avail_idx, 0, sizeof(s->avail_idx));
	memset(s->last_used, 0, sizeof(s->last_used));
	virtio_device_set_driver_word(s->vdev, 0, (uint32_t)s->features);
	virtio_device_set_driver_word(s->vdev, 1, (uint32_t)(s->features >> 32));
	virtio_device_set_status(s->vdev, 1 | 2 | VIRTIO_STATUS_FEATURES_OK);
	CHECK(virtio_device_status(s->vdev) & VIRTIO_STATUS_FEATURES_OK);
	CHECK(virtio_device_cfg_load(s->vdev, 4, 8) == 0);
	if (in[3] & 1)
		virtio_device_cfg_store(s->vdev, 12, 4, in[4]);
	for (unsigned int q = 0; q < QUEUES; q++) {
		CHECK(!virtio_device_in_flight(s->vdev, q));
		if (q < STATS || is_reporting(s, q) || (in[2] & 1) ||
			(q == STATS && has(s, VIRTIO_BALLOON_F_STATS_VQ)))
			enable(s, q);
	}
	virtio_device_set_status(s->vdev, VIRTIO_STATUS_DRIVER_OK);
	virtio_device_unlock(s->vdev);
}

static void fill_array(struct state *s, struct chain *c, const uint8_t *in)
{
	static const uint32_t bases[] = {16, 0, 0x100, 0x100000, UINT32_MAX - 2, 62, 0xfffff, 0xfd};
	uint32_t pfn = bases[in[2] % ARRAY_SIZE(bases)] + in[3] % 64;

	for (unsigned int n = 0; n < ARRAY_BYTES / 4; n++) {
		memcpy(s->hva[0] + c->gpa[0] + 4 * n, &pfn, 4);
		pfn += in[5 + n % 3] % 4u - 1; /* -1, 0, 1, 2 */
	}
}

static void fill_report(struct chain *c, const uint8_t *in)
{
	c->num = 1 + in[2] % BUFS;
	for (unsigned int n = 0; n < c->num; n++) {
		const unsigned int r = in[3 + n] % REGIONS;
		const uint64_t off = regions[r].size / 16 * (in[3 + n] >> 4) + in[6] % 32;

		c->gpa[n] = regions[r].gpa + off;
		c->len[n] = (uint32_t)((regions[r].size - off) / (1 + in[7] % 16) - in[6] / 32);
		c->writable[n] = n > 0 || !(in[2] & 0x80);
	}
}

/* Entries whose tags are known, mostly. */
static void fill_stats(struct state *s, const struct chain *c, const uint8_t *in,
	struct virtio_balloon_stats *want)
{
	uint8_t *p = s->hva[0] + c->gpa[0];
	uint16_t tag;

	for (unsigned int n = 0; n < ARRAY_BYTES; n++)
		p[n] = n % STAT_SIZE == 1 ? in[3] & 1 : (uint8_t)(in[6] + n * in[5]);
	for (uint32_t off = 0; off + STAT_SIZE <= c->len[0]; off += STAT_SIZE) {
		memcpy(&tag, p + off, 2);
		if (tag >= VIRTIO_BALLOON_NUM_STATS)
			continue;
		want->valid |= 1u << tag;
		memcpy(&want->value[tag], p + off + 2, 8);
	}
}

static void send_chain(struct state *s, unsigned int q, const uint8_t *in)
{
	const bool stats = q == STATS && has(s, VIRTIO_BALLOON_F_STATS_VQ);
	struct virtio_balloon_stats got, want = {0};
	const uint64_t before = s->stats_changed;
	struct chain *c = NULL;
	unsigned int i = 0, busy = 0;

	for (unsigned int n = 0; n < CHAINS; n++) {
		if (s->chains[q][n].in_flight)
			busy++;
		else
			c = &s->chains[q][i = n];
	}
	if (!c)
		return;
	*c = (struct chain){.num = 1, .gpa = {array_of(q, i)}};
	c->len[0] = in[4] % (ARRAY_BYTES + 1u);
	if (stats)
		fill_stats(s, c, in, &want);
	else if (q < STATS)
		fill_array(s, c, in);
	else
		fill_report(c, in);
	expose(s, q, i);
	if (!stats || busy || s->wild || !virtio_device_queue_usable(s->vdev, q))
		return;
	virtio_device_notify(s->vdev, q);
	run_loop(s);
	virtio_balloon_stats(s->b, &got);
	CHECK(s->stats_changed == before + 1 && got.generation == s->stats_changed);
	CHECK(got.valid == want.valid);
	for (i = 0; i < VIRTIO_BALLOON_NUM_STATS; i++)
		CHECK(!(want.valid & 1u << i) || got.value[i] == want.value[i]);
}

static void host(struct state *s, const uint8_t *in)
{
	const uint64_t bytes = (uint64_t)in[2] * in[3] * in[4] * 1000;

	switch (in[1] % 5) {
	case 0:
		CHECK((virtio_balloon_set_target(s->b, bytes) == 0) == (bytes <= RAM));
		s->target = bytes <= RAM ? (uint32_t)(bytes / PAGE) : s->target;
		break;
	case 1:
		virtio_balloon_request_stats(s->b);
		break;
	case 2:
		s->interval_ns = in[2] & 3 ? in[3] * NSEC_PER_SEC : 0;
		virtio_balloon_poll_stats(s->b, s->interval_ns);
		break;
	case 3:
		fake_clock_advance(&s->clock, in[2] * NSEC_PER_SEC);
		break;
	case 4:
		s->fail = in[2] & 1;
		break;
	}
}

static void registers(struct state *s, const uint8_t *in)
{
	uint64_t value;

	memcpy(&value, in, sizeof(value));
	virtio_device_lock(s->vdev);
	if (in[1] % 3 == 0 && virtio_device_running(s->vdev)) {
		/* What may be written is `actual` and nothing else. */
		virtio_device_cfg_store(s->vdev, in[2] % 20, 1u << in[3] % 4, value);
	} else if (in[1] % 3 == 1 && in[2]) {
		virtio_device_set_status(s->vdev, in[2]);
	} else if (virtio_device_running(s->vdev)) {
		virtio_device_queue_disable(s->vdev, in[2] % QUEUES, true);
		CHECK(!virtio_device_in_flight(s->vdev, in[2] % QUEUES));
		enable(s, in[2] % QUEUES);
	}
	virtio_device_unlock(s->vdev);
}

static void check(struct state *s)
{
	for (unsigned int q = 0; !s->wild && q < QUEUES; q++)
		collect(s, q);
	virtio_device_lock(s->vdev);
	CHECK(virtio_device_cfg_load(s->vdev, 0, 4) == s->target);
	CHECK(virtio_device_cfg_load(s->vdev, 8, 8) == (uint64_t)s->poison << 32);
	CHECK(fake_clock_armed(&s->clock) == (s->interval_ns && virtio_device_running(s->vdev) &&
						     has(s, VIRTIO_BALLOON_F_STATS_VQ)));
	virtio_device_unlock(s->vdev);
	CHECK(virtio_balloon_actual(s->b) <= RAM);
}

static void step(struct state *s, const uint8_t *in)
{
	switch (in[0] % 8) {
	case 0:
	case 1:
	case 2:
		send_chain(s, in[1] % QUEUES, in);
		break;
	case 3:
	case 4:
		virtio_device_notify(s->vdev, in[1] % (QUEUES + 1));
		break;
	case 5:
		host(s, in);
		break;
	case 6:
		if (in[1] & 3) {
			registers(s, in);
			break;
		}
		memcpy(s->hva[0] + (in[2] | in[3] << 8) % (CONTROL - 4), in + 4, 4);
		s->wild = true;
		break;
	case 7:
		restart(s, in);
		break;
	}
	if (in[0] & 0x80)
		run_loop(s);
	else if (s->loop)
		event_loop_step(s->loop, 0);
	check(s);
}

static void set_up(struct state *s, uint8_t how)
{
	struct virtio_balloon_config config = {.name = "fuzz",
		.clock = &s->clock.clock,
		.deflate_on_oom = true,
		.free_page_reporting = true,
		.page_size = how & 2 ? 4 * PAGE : PAGE,
		.discard = discard,
		.stats_changed = stats_changed,
		.opaque = s};

	CHECK(guest_mem_create(&s->mem) == 0);
	for (unsigned int r = 0; r < REGIONS; r++) {
		s->hva[r] = mmap(NULL, regions[r].size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		CHECK(s->hva[r] != MAP_FAILED);
		CHECK(!guest_mem_add(s->mem, regions[r].gpa, regions[r].size, s->hva[r]));
	}
	if (how & 1)
		CHECK(event_loop_create(&s->loop) == 0);
	fake_clock_init(&s->clock);
	s->page_size = config.page_size;
	config.mem = s->mem;
	config.loop = s->loop;
	CHECK(virtio_balloon_create(&config, &s->b) == 0);
	s->vdev = virtio_balloon_device(s->b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t first[STEP] = {0, 0x36};
	struct state s = {0};

	if (!size)
		return 0;
	set_up(&s, data[0]);
	restart(&s, first);
	for (size_t i = 1, n = 0; i + STEP <= size && n < MAX_STEPS; i += STEP, n++)
		step(&s, data + i);
	virtio_device_destroy(s.vdev);
	CHECK(!fake_clock_armed(&s.clock));
	event_loop_destroy(s.loop);
	for (unsigned int r = 0; r < REGIONS; r++)
		munmap(s.hva[r], regions[r].size);
	guest_mem_destroy(s.mem);
	return 0;
}
