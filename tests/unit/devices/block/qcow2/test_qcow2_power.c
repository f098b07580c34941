/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a power cut, at any moment: a qcow2 image has no error (clusters that are counted and not
 * used are none), and what was flushed is there. Writes are written down as they reach the file
 * (write_log.h); then the file is made as it would be found after each of them, and after some of
 * them only.
 *
 * Every write fills its sectors with a number of its own, rising from write to write. When a flush
 * succeeds, the latest numbers that were acknowledged when it was submitted are promised. Zeros
 * stand for the numbers of what made them, see test_blk_durability.c.
 *
 * With --seeds FIRST COUNT other lives are lived, and the states are counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../../devices/block/qcow2/disk.h"
#include "qcow2_fixture.h"
#include "write_log.h"

enum {
	SECTORS = 192,
	DISK_SIZE = SECTORS * BLK_SECTOR,
	GROWN = DISK_SIZE + 64 * BLK_SECTOR,
	MAX_LEN = 20,
	SLOTS = 4,
	STEPS = 50,
	REORDERINGS = 2,
	FAULT_EVERY = 5, /* where a write fails, one of so many moments is looked at */
	IMG_EVERY = 400, /* states of which qemu-img sees one */
};

struct kind {
	const char *name;
	struct qcow2_options options;
	bool backing, snapshot;
	enum blk_cache cache;
};

struct history;

struct slot {
	struct test_request t;
	struct history *h;
	bool busy;
	uint32_t number;
	uint32_t at_submit[SECTORS];
	uint8_t buf[MAX_LEN * BLK_SECTOR];
};

struct history {
	const struct kind *kind;
	struct blk *blk;
	struct write_log log;
	struct slot slot[SLOTS];
	uint32_t number, rng;
	uint32_t acknowledged[SECTORS], promised[SECTORS];
	/* Numbers of zeros, in order; of a discard, which may do nothing, too */
	struct {
		uint32_t number[256];
		bool discard[256];
		unsigned int num;
	} zeroed[SECTORS];
	uint32_t base[SECTORS]; /* what the backing file has */
	uint64_t states;
	unsigned int errors;
};

/* ---- a life ---- */

static void on_done(struct blk_request *req, int error)
{
	struct slot *slot = container_of(req, struct slot, t.req);
	struct history *h = slot->h;
	bool any = false;

	slot->busy = false;
	h->errors += error != 0;
	if (error)
		return;
	if (req->op == BLK_FLUSH) {
		for (int s = 0; s < SECTORS; s++) {
			any |= h->promised[s] < slot->at_submit[s];
			h->promised[s] = MAX(h->promised[s], slot->at_submit[s]);
		}
	} else {
		for (uint64_t s = req->offset / 512; s < (req->offset + req->len) / 512; s++) {
			if (req->op != BLK_DISCARD)
				h->acknowledged[s] = slot->number;
			if (req->flags & BLK_FUA || h->kind->cache == BLK_CACHE_WRITETHROUGH)
				h->promised[s] = h->acknowledged[s];
		}
		any = true;
	}
	if (any)
		write_log_note(&h->log, h->promised, sizeof(h->promised));
}

static bool overlaps(const struct history *h, uint64_t offset, uint64_t len)
{
	for (int i = 0; i < SLOTS; i++)
		if (h->slot[i].busy &&
			ranges_overlap(offset, len, h->slot[i].t.req.offset, h->slot[i].t.req.len))
			return true;
	return false;
}

static void submit_write(struct history *h, struct slot *slot)
{
	static const enum blk_op ops[] = {
		BLK_WRITE, BLK_WRITE, BLK_WRITE, BLK_WRITE_ZEROES, BLK_DISCARD};
	const enum blk_op op = ops[test_random(&h->rng) % ARRAY_SIZE(ops)];
	const uint64_t len = 1 + test_random(&h->rng) % MAX_LEN;
	const uint64_t first = test_random(&h->rng) % (SECTORS - len + 1);

	if (overlaps(h, first * 512, len * 512))
		return;
	slot->number = ++h->number;
	for (uint64_t i = 0; i < len * 512; i += 4)
		memcpy(slot->buf + i, &slot->number, 4);
	for (uint64_t s = first; op != BLK_WRITE && s < first + len; s++) {
		const unsigned int n = h->zeroed[s].num++;

		assert_in_range(n, 0, 255);
		h->zeroed[s].number[n] = slot->number;
		h->zeroed[s].discard[n] = op == BLK_DISCARD;
	}
	test_request_init(&slot->t, op, first * 512, slot->buf, len * 512);
	slot->t.req.flags = test_random(&h->rng) % 8 ? 0 : BLK_FUA;
	if (op == BLK_DISCARD)
		slot->t.req.flags = 0;
	if (test_random(&h->rng) % 2)
		slot->t.req.flags |= BLK_UNMAP;
	slot->t.req.done = on_done;
	slot->busy = true;
	blk_submit(h->blk, &slot->t.req);
}

static void step(struct history *h)
{
	struct slot *slot = NULL;

	for (int i = 0; i < SLOTS; i++)
		slot = h->slot[i].busy ? slot : &h->slot[i];
	if (!slot || test_random(&h->rng) % 6 == 0) {
		blk_drain(h->blk);
		return;
	}
	slot->h = h;
	if (test_random(&h->rng) % 5) {
		submit_write(h, slot);
		return;
	}
	test_request_init(&slot->t, BLK_FLUSH, 0, NULL, 0);
	memcpy(slot->at_submit, h->acknowledged, sizeof(slot->at_submit));
	slot->t.req.done = on_done;
	slot->busy = true;
	blk_submit(h->blk, &slot->t.req);
}

static struct blk *open_image(
	const char *path, enum blk_cache cache, bool read_only, const struct blk_sys *sys)
{
	const struct blk_config config = {.cache = cache,
		.aio = BLK_AIO_THREADS,
		.backing = true,
		.read_only = read_only,
		.sys = sys};
	struct blk *blk = NULL;
	struct error err;

	if (qcow2_try_open(path, &config, &blk, &err))
		printf("%s\n", err.text);
	return blk;
}

/* ---- a state ---- */

static uint32_t sector_number(const uint8_t *bytes)
{
	uint32_t number;

	memcpy(&number, bytes, 4);
	return number;
}

static bool kept(const struct history *h, const uint32_t *promised, unsigned int s, uint32_t number)
{
	if (number >= promised[s] && number)
		return true;
	/* What it was at first, or zeros that came at the promised moment or later */
	if (!promised[s] && number == h->base[s])
		return true;
	for (unsigned int i = 0; i < h->zeroed[s].num; i++)
		if (h->zeroed[s].number[i] >= promised[s] && !number)
			return true;
	return false;
}

static const char *look_at_disk(const struct history *h, struct blk *blk, const uint32_t *promised)
{
	struct qcow2_disk *disk = container_of(blk, struct qcow2_disk, blk);
	static uint8_t bytes[DISK_SIZE];
	struct qcow2_findings found;
	int rc;

	rc = qcow2_image_check(qcow2_top(disk), false, &found, NULL);
	if (rc || found.errors)
		return "the image has errors";
	if (blk_do(blk, BLK_READ, 0, 0, bytes, DISK_SIZE))
		return "it cannot be read";
	for (unsigned int s = 0; s < SECTORS; s++)
		if (!kept(h, promised, s, sector_number(bytes + s * 512)))
			return "what was flushed is not there";
	return NULL;
}

static void store(const char *path, const uint8_t *state, uint64_t size)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, state, size, 0) != (ssize_t)size)
		abort();
	close(fd);
}

static const char *look(struct history *h, const char *path, const uint8_t *state, uint64_t size,
	const uint32_t *promised)
{
	const char *problem = "it cannot be opened";
	struct blk *blk;

	h->states++;
	store(path, state, size);
	blk = open_image(path, BLK_CACHE_WRITEBACK, true, NULL);
	if (blk)
		problem = look_at_disk(h, blk, promised);
	blk_close(blk);
	if (!problem && h->states % IMG_EVERY == 0 && !qcow2_is_clean(path, true))
		problem = "qemu-img check";
	return problem;
}

static const char *look_at_all(struct history *h, const char *path, uint8_t *state, uint64_t size)
{
	uint32_t promised[SECTORS] = {0};
	uint8_t *some = malloc(size), *all = malloc(size);
	const char *problem = NULL;
	unsigned int from = 0;

	memcpy(all, state, size);
	for (unsigned int i = 0; !problem && i < h->log.num; i++) {
		const struct write_log_entry *entry = &h->log.entries[i];

		write_log_apply(entry, all, size);
		if (entry->kind == LOG_NOTE)
			memcpy(promised, entry->data, sizeof(promised));
		if (entry->kind == LOG_FLUSH) {
			memcpy(state, all, size);
			from = i + 1;
		}
		if (h->log.fail_at && i % FAULT_EVERY)
			continue;
		problem = look(h, path, all, size, promised);
		for (int r = 0; !problem && r < REORDERINGS && i + 1 > from; r++) {
			memcpy(some, state, size);
			write_log_some(&h->log, from, i + 1, some, size, &h->rng);
			problem = look(h, path, some, size, promised);
		}
	}
	free(some);
	free(all);
	return problem;
}

/* ---- */

static void make_base(struct history *h, const char *path)
{
	uint8_t *bytes = calloc(1, DISK_SIZE / 2);
	struct blk *blk;

	for (unsigned int s = 0; s < SECTORS / 2; s++) {
		h->base[s] = s % 3 ? 0 : 1;
		memcpy(bytes + s * 512, &h->base[s], 4);
	}
	blk = blk_open(path, &blk_modes[BLK_MODE_WRITEBACK], false);
	assert_int_equal(blk_do(blk, BLK_WRITE, 0, 0, bytes, DISK_SIZE / 2), 0);
	blk_close(blk);
	free(bytes);
	h->number = 1;
}

/* Bytes of the file that are more than zeros, and its copy. */
static uint8_t *copy_file(const char *path, uint64_t size)
{
	struct stat st;
	uint8_t *state = calloc(1, size), *bytes;

	assert_int_equal(stat(path, &st), 0);
	bytes = image_file_read(path, (uint64_t)st.st_size);
	memcpy(state, bytes, MIN((uint64_t)st.st_size, size));
	free(bytes);
	return state;
}

static uint64_t used_bytes(const struct write_log *log, const char *path)
{
	struct stat st;
	uint64_t end;

	assert_int_equal(stat(path, &st), 0);
	end = (uint64_t)st.st_size;
	for (unsigned int i = 0; i < log->num; i++)
		end = MAX(end, log->entries[i].offset + log->entries[i].len);
	return ALIGN_UP(end, 65536);
}

static void live(struct history *h, const char *path)
{
	h->blk = open_image(path, h->kind->cache, false, &h->log.table);
	assert_non_null(h->blk);
	for (int i = 0; i < STEPS; i++) {
		step(h);
		if (i == STEPS / 2 && h->rng % 2) {
			blk_drain(h->blk);
			blk_grow(h->blk, GROWN);
		}
	}
	blk_drain(h->blk);
	blk_close(h->blk);
}

static const char *run(
	const struct kind *kind, uint32_t seed, unsigned int fail_at, int error, uint64_t *states)
{
	struct history *h = calloc(1, sizeof(*h));
	struct qcow2_options options = kind->options;
	struct image_file file, base, state_file;
	uint8_t *state;
	uint64_t size;
	const char *problem;

	h->kind = kind;
	h->rng = seed * 2654435761u + 1;
	write_log_init(&h->log);
	h->log.fail_at = fail_at;
	h->log.fail_for = error == -ENOSPC ? 3 : 1;
	h->log.error = error;
	h->log.fail_flush = error == -EIO && fail_at % 2;
	image_file_create(&file, 0);
	image_file_create(&base, DISK_SIZE / 2);
	image_file_create(&state_file, 0);
	options.size = DISK_SIZE;
	if (kind->backing) {
		make_base(h, base.path);
		options.backing = base.path;
		options.backing_format = "raw";
	}
	qcow2_make(file.path, &options);
	if (kind->snapshot && qemu_img_there()) {
		/* Something to be shared, and then it is */
		assert_int_equal(shell("qemu-io -f qcow2 -c 'write -P 0 0 64k' %s", file.path), 0);
		assert_int_equal(shell("qemu-img snapshot -c one %s", file.path), 0);
	}
	shell("cp %s %s", file.path, state_file.path);
	live(h, file.path);
	size = used_bytes(&h->log, state_file.path);
	state = copy_file(state_file.path, size);
	problem = look_at_all(h, state_file.path, state, size);
	/* As it was left, whatever failed */
	if (!problem && !qcow2_is_clean(file.path, fail_at > 0))
		problem = "qemu-img check in the end";
	if (!fail_at)
		assert_int_equal(h->errors, 0);
	*states += h->states;
	free(state);
	write_log_fini(&h->log);
	image_file_remove(&file);
	image_file_remove(&base);
	image_file_remove(&state_file);
	free(h);
	return problem;
}

#define KIND(v, bits, order)                                                                       \
	{                                                                                          \
		.version = (v), .cluster_bits = (bits), .refcount_order = (order)                  \
	}

static const struct kind kinds[] = {
	{"4 KiB", KIND(3, 12, 4), false, false, BLK_CACHE_WRITEBACK},
	{"512 bytes, refcounts of 64, backing", KIND(3, 9, 6), true, false, BLK_CACHE_WRITEBACK},
	{"4 KiB, snapshot", KIND(3, 12, 4), false, true, BLK_CACHE_WRITEBACK},
	{"version 2, 1 KiB, backing", KIND(2, 10, 4), true, false, BLK_CACHE_WRITEBACK},
	{"extended, 16 KiB, backing",
		{.version = 3, .cluster_bits = 14, .refcount_order = 4, .extended = true}, true,
		false, BLK_CACHE_WRITEBACK},
	{"512 bytes, refcounts of 1, writethrough", KIND(3, 9, 0), false, false,
		BLK_CACHE_WRITETHROUGH},
};

struct seeds {
	uint32_t first, count;
};

static void test_power_cuts(void **state)
{
	const struct seeds *seeds = *state;
	uint64_t states = 0;

	for (uint32_t seed = seeds->first; seed - seeds->first < seeds->count; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			const char *problem = run(&kinds[i], seed, 0, 0, &states);

			if (problem)
				fail_msg("%s, seed %u: %s", kinds[i].name, seed, problem);
		}
	printf("power cuts: %" PRIu64 "\n", states);
}

/* Each write fails once, and the power goes afterwards. */
static void test_faults(void **state)
{
	enum { EVERY = 47, MOST = 100 };
	const struct seeds *seeds = *state;
	uint64_t states = 0;

	for (unsigned int at = 1 + seeds->first % EVERY; at < MOST; at += EVERY)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			const int error = (at / EVERY + i) % 2 ? -ENOSPC : -EIO;
			const char *problem = run(&kinds[i], seeds->first + at, at, error, &states);

			if (problem)
				fail_msg("%s, write %u fails with %d: %s", kinds[i].name, at, error,
					problem);
		}
	printf("power cuts after faults: %" PRIu64 "\n", states);
}

int main(int argc, char **argv)
{
	struct seeds seeds = {.first = 1, .count = 1};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_power_cuts, &seeds),
		cmocka_unit_test_prestate(test_faults, &seeds),
	};

	qemu_img_there();
	if (argc == 4 && !strcmp(argv[1], "--seeds")) {
		seeds.first = (uint32_t)strtoul(argv[2], NULL, 10);
		seeds.count = (uint32_t)strtoul(argv[3], NULL, 10);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
