/* SPDX-License-Identifier: BSD-2-Clause */
#include "blk_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	abort();
}

void image_file_create_in(struct image_file *file, const char *dir, uint64_t size)
{
	int fd;

	snprintf(file->path, sizeof(file->path), "%s/disk.img", dir);
	fd = open(file->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		fail(file->path);
	close(fd);
}

void image_file_create(struct image_file *file, uint64_t size)
{
	strcpy(file->dir, "/tmp/bantam-test-XXXXXX");
	if (!mkdtemp(file->dir))
		fail(file->dir);
	image_file_create_in(file, file->dir, size);
}

void image_file_resize(struct image_file *file, uint64_t size)
{
	if (truncate(file->path, (off_t)size) < 0)
		fail(file->path);
}

void image_file_remove(struct image_file *file)
{
	unlink(file->path);
	rmdir(file->dir);
}

uint8_t *image_file_read(const char *path, uint64_t size)
{
	uint8_t *buf = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (!buf || fd < 0 || pread(fd, buf, size, 0) != (ssize_t)size)
		fail(path);
	close(fd);
	return buf;
}

const struct blk_mode blk_modes[BLK_NUM_MODES] = {
	[BLK_MODE_NATIVE] = {"none, native", BLK_CACHE_NONE, BLK_AIO_NATIVE},
	[BLK_MODE_DIRECT] = {"none, threads", BLK_CACHE_NONE, BLK_AIO_THREADS},
	[BLK_MODE_WRITEBACK] = {"writeback", BLK_CACHE_WRITEBACK, BLK_AIO_AUTO},
	[BLK_MODE_THROUGH] = {"writethrough", BLK_CACHE_WRITETHROUGH, BLK_AIO_THREADS},
	[BLK_MODE_UNSAFE] = {"unsafe", BLK_CACHE_UNSAFE, BLK_AIO_AUTO},
};

int blk_try_open(const char *path, const struct blk_mode *mode, bool read_only, struct blk **ret,
	struct error *err)
{
	const struct blk_config config = {
		.path = path, .read_only = read_only, .cache = mode->cache, .aio = mode->aio};

	err->text[0] = '\0';
	return blk_raw_create(&config, ret, err);
}

struct blk *blk_open(const char *path, const struct blk_mode *mode, bool read_only)
{
	struct blk *blk = NULL;
	struct error err;

	if (blk_try_open(path, mode, read_only, &blk, &err)) {
		fprintf(stderr, "%s: %s\n", mode->name, err.text);
		abort();
	}
	return blk;
}

void test_request_done(struct blk_request *req, int error)
{
	struct test_request *t = req->opaque;

	t->done++;
	t->error = error;
}

void test_request_init(
	struct test_request *t, enum blk_op op, uint64_t offset, void *buf, uint64_t len)
{
	memset(t, 0, sizeof(*t));
	t->iov[0] = (struct iovec){.iov_base = buf, .iov_len = len};
	t->req.op = op;
	t->req.offset = offset;
	t->req.len = len;
	t->req.iov = t->iov;
	t->req.num_iov = op == BLK_READ || op == BLK_WRITE;
	t->req.done = test_request_done;
	t->req.opaque = t;
}

int blk_do(
	struct blk *blk, enum blk_op op, uint32_t flags, uint64_t offset, void *buf, uint64_t len)
{
	struct test_request t;

	test_request_init(&t, op, offset, buf, len);
	t.req.flags = flags;
	blk_submit(blk, &t.req);
	blk_drain(blk);
	if (t.done != 1) {
		fprintf(stderr, "done was called %d times\n", t.done);
		abort();
	}
	return t.error;
}

uint32_t test_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

enum { PARALLEL = 8, MAX_SPLIT = 12, PART_MAX = 24 * 1024 };

/* The same request for both disks. */
struct pair {
	struct test_request t[2];
	struct iovec iov[2][MAX_SPLIT];
	uint8_t *memory[2];
};

/* Cuts len into pieces at places of any alignment, with gaps between them. */
static int cut(struct pair *p, uint64_t len, uint32_t unit, uint32_t *rng)
{
	uint64_t place = unit > 1 ? 0 : test_random(rng) % 600;
	int n = 0;

	while (len) {
		uint64_t piece = ALIGN_UP(test_random(rng) % (len + 1), unit);

		if (n == MAX_SPLIT - 1 || piece > len)
			piece = len;
		for (int i = 0; i < 2; i++)
			p->iov[i][n] =
				(struct iovec){.iov_base = p->memory[i] + place, .iov_len = piece};
		n++;
		len -= piece;
		place += piece + (test_random(rng) % 3) * unit;
	}
	return n;
}

static void fill(struct pair *p, size_t size, uint32_t *rng)
{
	const uint8_t value = (uint8_t)test_random(rng);

	for (size_t i = 0; i < size; i++)
		p->memory[0][i] = (uint8_t)(value + i * 7);
	memcpy(p->memory[1], p->memory[0], size);
}

static enum blk_op random_op(uint32_t *rng)
{
	static const enum blk_op ops[] = {BLK_READ, BLK_READ, BLK_READ, BLK_WRITE, BLK_WRITE,
		BLK_WRITE, BLK_WRITE_ZEROES, BLK_DISCARD, BLK_FLUSH};

	return ops[test_random(rng) % ARRAY_SIZE(ops)];
}

static const char *same(const struct pair *p, size_t size)
{
	const struct test_request *a = &p->t[0], *b = &p->t[1];

	if (a->done != 1 || b->done != 1)
		return "done was not called once";
	if (a->error != b->error)
		return "different errors";
	if (a->req.op <= BLK_WRITE && a->req.bytes != b->req.bytes)
		return "different numbers of bytes";
	return memcmp(p->memory[0], p->memory[1], size) ? "different data" : NULL;
}

/* Requests of a round go into stripes of the disk, one each, of which they keep to a part. */
static void make(struct pair *p, uint64_t begin, uint64_t end, uint32_t unit, uint32_t *rng)
{
	enum blk_op op = random_op(rng);
	uint64_t len =
		ALIGN_DOWN(test_random(rng) % MIN(end - begin + 1, (uint64_t)PART_MAX), unit);
	uint64_t offset = begin + ALIGN_DOWN(test_random(rng) % (end - begin - len + 1), unit);
	uint32_t flags = test_random(rng) & (BLK_FUA | BLK_UNMAP);
	int n = cut(p, len, unit, rng);

	/* Often right at a neighbour's edge. */
	if (test_random(rng) % 3 == 0)
		offset = test_random(rng) & 1 ? begin : end - len;
	for (int i = 0; i < 2; i++) {
		test_request_init(&p->t[i], op, offset, NULL, op == BLK_FLUSH ? 0 : len);
		p->t[i].req.flags = flags;
		p->t[i].req.iov = p->iov[i];
		p->t[i].req.num_iov = op == BLK_READ || op == BLK_WRITE ? n : 0;
	}
}

/* A discard may leave what it likes: the reference has to learn what. */
static void settle_discards(struct blk *a, struct blk *b, struct pair *pair)
{
	for (int i = 0; i < PARALLEL; i++) {
		struct blk_request *req = &pair[i].t[0].req;

		if (req->op != BLK_DISCARD || pair[i].t[0].error)
			continue;
		blk_do(a, BLK_WRITE_ZEROES, 0, req->offset, NULL, req->len);
		blk_do(b, BLK_WRITE_ZEROES, 0, req->offset, NULL, req->len);
	}
}

static const char *run_round(
	struct blk *disk[2], struct pair *pair, uint32_t unit, size_t room, uint32_t *rng)
{
	const uint64_t size = blk_capacity(disk[0]);
	/* Stripes do not keep to blocks: neighbours meet inside of them. */
	const uint64_t stripe = ALIGN_DOWN(size / PARALLEL - (unit < 4096 ? 100 * unit : 0), unit);
	const char *problem = NULL;

	for (int i = 0; i < PARALLEL; i++) {
		uint64_t begin = stripe * (unsigned int)i;

		fill(&pair[i], room, rng);
		make(&pair[i], begin, MIN(begin + stripe, size), unit, rng);
	}
	for (int d = 0; d < 2; d++) {
		for (int i = 0; i < PARALLEL; i++)
			blk_submit(disk[d], &pair[i].t[d].req);
		blk_drain(disk[d]);
	}
	for (int i = 0; i < PARALLEL && !problem; i++)
		problem = same(&pair[i], room);
	settle_discards(disk[0], disk[1], pair);
	return problem;
}

static const char *compare_all(struct blk *disk[2])
{
	const uint64_t size = blk_capacity(disk[0]);
	uint8_t *all[2] = {malloc(size), malloc(size)};
	const char *problem = NULL;

	for (int i = 0; i < 2; i++)
		if (blk_do(disk[i], BLK_READ, 0, 0, all[i], size))
			problem = "the whole cannot be read";
	if (!problem && memcmp(all[0], all[1], size))
		problem = "the disks differ in the end";
	free(all[0]);
	free(all[1]);
	return problem;
}

const char *blk_compare(
	struct blk *a, struct blk *b, uint32_t seed, unsigned int rounds, uint32_t unit)
{
	const size_t room = PART_MAX + 4096 + (size_t)MAX_SPLIT * 2 * unit;
	struct blk *disk[2] = {a, b};
	struct pair *pair = calloc(PARALLEL, sizeof(*pair));
	const char *problem = NULL;
	uint32_t rng = seed;

	if (blk_capacity(a) != blk_capacity(b))
		problem = "different sizes";
	for (int i = 0; i < PARALLEL; i++)
		for (int d = 0; d < 2; d++)
			if (posix_memalign((void **)&pair[i].memory[d], 4096, room))
				fail("posix_memalign");
	for (unsigned int r = 0; r < rounds && !problem; r++)
		problem = run_round(disk, pair, unit, room, &rng);
	if (!problem)
		problem = compare_all(disk);
	for (int i = 0; i < PARALLEL; i++)
		for (int d = 0; d < 2; d++)
			free(pair[i].memory[d]);
	free(pair);
	return problem;
}
