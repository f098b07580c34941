/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a power cut, at any moment: what was flushed is there. The disk below the raw back end is a
 * model with a volatile cache (volatile_disk.h) that records what it may still lose.
 *
 * Every write fills its sectors with a number of its own, rising from write to write, and writes in
 * flight together do not overlap. So for each sector there is a number that was promised: the
 * latest that was acknowledged when a flush was submitted that has succeeded since, or that was
 * acknowledged as durable. No version of the sector that may be found may be older.
 *
 * With --seeds FIRST COUNT other lives are lived, and the moments are counted
 * (tests/tools/torture).
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blk_fixture.h"
#include "fake_blk_sys.h"

enum { SECTORS = 24, DISK_SIZE = SECTORS * BLK_SECTOR, SLOTS = 6, MAX_LEN = 4 };

struct history;

struct slot {
	struct test_request t;
	struct history *history;
	bool busy;
	uint32_t number;
	uint32_t at_submit[SECTORS]; /* of a flush: what it covers */
	_Alignas(512) uint8_t buf[MAX_LEN * BLK_SECTOR];
};

struct history {
	struct blk *blk;
	struct volatile_disk *disk;
	pthread_mutex_t *lock; /* of the disk */
	bool writes_are_durable;
	uint32_t number;
	uint32_t acknowledged[SECTORS], promised[SECTORS];
	uint32_t zeroed[SECTORS][64]; /* numbers that stand for zeros */
	unsigned int num_zeroed[SECTORS];
	struct slot *slot;
	unsigned int writes, flushes;
	uint64_t cuts; /* moments at which the power could go, looked at */
	uint32_t rng;
};

static uint64_t first(const struct blk_request *req)
{
	return req->offset / BLK_SECTOR;
}

static uint64_t end(const struct blk_request *req)
{
	return (req->offset + req->len) / BLK_SECTOR;
}

static void on_done(struct blk_request *req, int error)
{
	struct slot *slot = container_of(req, struct slot, t.req);
	struct history *h = slot->history;

	slot->busy = false;
	if (error)
		return;
	if (req->op == BLK_FLUSH) {
		h->flushes++;
		for (int s = 0; s < SECTORS; s++)
			h->promised[s] = MAX(h->promised[s], slot->at_submit[s]);
		return;
	}
	h->writes++;
	for (uint64_t s = first(req); s < end(req); s++) {
		h->acknowledged[s] = slot->number;
		if (h->writes_are_durable || req->flags & BLK_FUA)
			h->promised[s] = slot->number;
	}
}

static bool overlaps(const struct history *h, uint64_t offset, uint64_t len)
{
	for (int i = 0; i < SLOTS; i++) {
		const struct slot *slot = &h->slot[i];

		if (slot->busy && ranges_overlap(offset, len, slot->t.req.offset, slot->t.req.len))
			return true;
	}
	return false;
}

static void fill(struct slot *slot, uint64_t len)
{
	for (uint64_t i = 0; i < len; i += sizeof(slot->number))
		memcpy(slot->buf + i, &slot->number, sizeof(slot->number));
}

static void note_zeroes(struct history *h, const struct slot *slot)
{
	for (uint64_t s = first(&slot->t.req); s < end(&slot->t.req); s++) {
		assert_in_range(h->num_zeroed[s], 0, ARRAY_SIZE(h->zeroed[s]) - 1);
		h->zeroed[s][h->num_zeroed[s]++] = slot->number;
	}
}

static void submit_flush(struct history *h, struct slot *slot)
{
	test_request_init(&slot->t, BLK_FLUSH, 0, NULL, 0);
	memcpy(slot->at_submit, h->acknowledged, sizeof(slot->at_submit));
}

static bool submit_write(struct history *h, struct slot *slot)
{
	uint64_t len = (1 + test_random(&h->rng) % MAX_LEN) * BLK_SECTOR;
	uint64_t offset = test_random(&h->rng) % (SECTORS - MAX_LEN + 1) * BLK_SECTOR;
	bool zeroes = test_random(&h->rng) % 8 == 0;

	if (overlaps(h, offset, len))
		return false;
	slot->number = ++h->number;
	fill(slot, len);
	test_request_init(&slot->t, zeroes ? BLK_WRITE_ZEROES : BLK_WRITE, offset, slot->buf, len);
	slot->t.req.flags = test_random(&h->rng) % 8 == 0 ? BLK_FUA : 0;
	if (zeroes)
		note_zeroes(h, slot);
	return true;
}

static void submit(struct history *h)
{
	struct slot *slot = NULL;

	for (int i = 0; i < SLOTS && !slot; i++)
		slot = h->slot[i].busy ? NULL : &h->slot[i];
	if (!slot)
		return;
	if (test_random(&h->rng) % 5 == 0)
		submit_flush(h, slot);
	else if (!submit_write(h, slot))
		return;
	slot->history = h;
	slot->busy = true;
	slot->t.req.done = on_done;
	blk_submit(h->blk, &slot->t.req);
}

/* Whether a sector with this content keeps what was promised. */
static bool kept(const struct history *h, uint64_t s, const uint8_t *content)
{
	uint32_t number;

	memcpy(&number, content, sizeof(number));
	if (number)
		return number >= h->promised[s];
	if (!h->promised[s])
		return true;
	for (unsigned int i = 0; i < h->num_zeroed[s]; i++)
		if (h->zeroed[s][i] >= h->promised[s])
			return true;
	return false;
}

/* How many sectors could be found in a state that nobody promised. */
static unsigned int broken_promises(struct history *h)
{
	unsigned int broken = 0;

	h->cuts++;
	pthread_mutex_lock(h->lock);
	for (uint64_t s = 0; s < SECTORS; s++) {
		const uint8_t *version[64];
		unsigned int n = vd_versions(h->disk, s, version, ARRAY_SIZE(version));
		bool all = true;

		for (unsigned int i = 0; i < n; i++)
			all &= kept(h, s, version[i]);
		broken += !all;
	}
	pthread_mutex_unlock(h->lock);
	return broken;
}

enum { STEPS = 600 };

/* How a disk is opened, and what the host below it is like. */
struct mode {
	enum blk_cache cache;
	enum blk_aio aio;
	uint32_t block;
	bool write_through; /* a device without a cache */
	bool no_fdsync;
};

/* Lets everything end that was started. */
static void settle(struct history *h, struct fake_blk_sys *sys)
{
	sys->manual = false;
	while (fake_sys_complete(sys, 0))
		;
	blk_drain(h->blk);
	sys->manual = true;
}

static void run_steps(struct history *h, struct fake_blk_sys *sys, unsigned int *broken)
{
	for (int step = 0; step < STEPS; step++) {
		submit(h);
		if (test_random(&h->rng) & 1)
			blk_commit(h->blk);
		if (test_random(&h->rng) & 1)
			fake_sys_complete(sys, test_random(&h->rng) % SLOTS);
		blk_poll(h->blk);
		*broken += broken_promises(h);
		if (test_random(&h->rng) % 8 == 0)
			settle(h, sys);
	}
	settle(h, sys);
	*broken += broken_promises(h);
}

static unsigned int run(uint32_t seed, const struct mode *mode, uint64_t *cuts)
{
	struct image_file file;
	struct fake_blk_sys sys;
	struct blk_config config = {.path = file.path, .cache = mode->cache, .aio = mode->aio};
	struct history h = {.disk = NULL, .rng = seed};
	unsigned int broken = 0;

	image_file_create(&file, DISK_SIZE);
	fake_sys_init(&sys, DISK_SIZE);
	sys.manual = true;
	sys.direct.block = mode->block;
	sys.direct.write_through = mode->write_through;
	sys.no_fdsync = mode->no_fdsync;
	config.sys = &sys.table;
	assert_int_equal(blk_raw_create(&config, &h.blk, NULL), 0);
	h.disk = sys.disk;
	h.lock = &sys.lock;
	h.writes_are_durable = mode->cache == BLK_CACHE_WRITETHROUGH || mode->write_through;
	assert_int_equal(h.blk->info.write_cache, !h.writes_are_durable);
	h.slot = aligned_alloc(4096, ALIGN_UP(SLOTS * sizeof(*h.slot), 4096));
	memset(h.slot, 0, SLOTS * sizeof(*h.slot));
	run_steps(&h, &sys, &broken);
	assert_in_range(h.writes, 30, STEPS);
	assert_in_range(h.flushes, 5, STEPS);
	blk_close(h.blk);
	fake_sys_fini(&sys);
	image_file_remove(&file);
	free(h.slot);
	*cuts += h.cuts;
	return broken;
}

struct seeds {
	uint32_t first, count;
};

static void test_promises_are_kept(void **state)
{
	static const struct mode modes[] = {
		{BLK_CACHE_NONE, BLK_AIO_NATIVE, 512, false, false},
		{BLK_CACHE_NONE, BLK_AIO_NATIVE, 512, false, true},
		{BLK_CACHE_NONE, BLK_AIO_NATIVE, 512, true, false},
		{BLK_CACHE_NONE, BLK_AIO_NATIVE, 4096, false, false},
		{BLK_CACHE_NONE, BLK_AIO_NATIVE, 4096, true, false},
		{BLK_CACHE_NONE, BLK_AIO_THREADS, 512, false, false},
		{BLK_CACHE_NONE, BLK_AIO_THREADS, 512, true, false},
		{BLK_CACHE_WRITEBACK, BLK_AIO_THREADS, 1, false, false},
		{BLK_CACHE_WRITETHROUGH, BLK_AIO_THREADS, 1, false, false},
	};
	const struct seeds *seeds = *state;
	uint64_t cuts = 0;

	for (uint32_t seed = seeds->first; seed - seeds->first < seeds->count; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
			if (run(seed, &modes[i], &cuts))
				fail_msg("mode %zu, seed %u", i, seed);
	printf("power cuts: %" PRIu64 "\n", cuts);
}

/* The test can tell: a mode that promises nothing keeps nothing. */
static void test_unsafe_breaks_them(void **state)
{
	const struct mode unsafe = {BLK_CACHE_UNSAFE, BLK_AIO_THREADS, 1, false, false};
	uint64_t cuts = 0;

	(void)state;
	assert_int_not_equal(run(1, &unsafe, &cuts), 0);
}

/* ---- the model itself, by hand: sectors hold one byte, over and over ---- */

/* The contents that a sector may be found with, as a bit mask. */
static unsigned int found(const struct volatile_disk *disk, uint64_t sector)
{
	const uint8_t *version[8];
	unsigned int n = vd_versions(disk, sector, version, ARRAY_SIZE(version)), mask = 0;

	for (unsigned int i = 0; i < n; i++)
		mask |= 1u << version[i][0];
	return mask;
}

static unsigned int put(struct volatile_disk *disk, uint64_t sector, unsigned int num, uint8_t byte)
{
	uint8_t buf[4 * VD_SECTOR];

	memset(buf, byte, sizeof(buf));
	return vd_write(disk, sector * VD_SECTOR, buf, (uint64_t)num * VD_SECTOR);
}

static void test_model(void **state)
{
	struct volatile_disk *disk = vd_create(4 * VD_SECTOR);
	unsigned int one, two, flush;
	uint8_t byte;

	(void)state;
	one = put(disk, 0, 2, 1);
	/* Acknowledged or not, nothing is certain. */
	assert_int_equal(found(disk, 0), 1 << 0 | 1 << 1);
	vd_complete(disk, one);
	assert_int_equal(found(disk, 0), 1 << 0 | 1 << 1);
	assert_int_equal(found(disk, 2), 1 << 0);

	/* A second version of sector 1, in flight while the flush begins, is not covered by it. */
	two = put(disk, 1, 1, 2);
	vd_read(disk, VD_SECTOR, &byte, 1);
	assert_int_equal(byte, 2);
	flush = vd_flush_begin(disk);
	vd_complete(disk, two);
	assert_int_equal(found(disk, 1), 1 << 0 | 1 << 1 | 1 << 2);
	vd_flush_end(disk, flush);
	assert_int_equal(found(disk, 0), 1 << 1);
	assert_int_equal(found(disk, 1), 1 << 1 | 1 << 2);

	/* Forced through, it leaves nothing older behind; others do as they like. */
	vd_complete_fua(disk, put(disk, 1, 2, 3));
	assert_int_equal(found(disk, 0), 1 << 1);
	assert_int_equal(found(disk, 1), 1 << 3);
	assert_int_equal(found(disk, 2), 1 << 3);
	vd_complete_fua(disk, vd_zero(disk, 0, VD_SECTOR));
	assert_int_equal(found(disk, 0), 1 << 0);
	vd_destroy(disk);
}

int main(int argc, char **argv)
{
	struct seeds seeds = {.first = 1, .count = 4};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test_prestate(test_promises_are_kept, &seeds),
		cmocka_unit_test(test_unsafe_breaks_them),
	};

	if (argc == 4 && !strcmp(argv[1], "--seeds")) {
		seeds.first = (uint32_t)strtoul(argv[2], NULL, 10);
		seeds.count = (uint32_t)strtoul(argv[3], NULL, 10);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
