/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of block back ends: a disk image of one's own, and requests by hand or by chance. */
#ifndef BANTAM_TESTS_BLK_FIXTURE_H
#define BANTAM_TESTS_BLK_FIXTURE_H

#include "devices/block/blk.h"
#include "vm/core/error.h"

struct image_file {
	char dir[64], path[96];
};

/* A sparse file in a directory of its own; aborts when that cannot be. */
void image_file_create(struct image_file *file, uint64_t size);
/* The same in an existing directory. */
void image_file_create_in(struct image_file *file, const char *dir, uint64_t size);
void image_file_resize(struct image_file *file, uint64_t size);
void image_file_remove(struct image_file *file);
/* All of it, malloced. */
uint8_t *image_file_read(const char *path, uint64_t size);

/* Ways to open a disk */
struct blk_mode {
	const char *name;
	enum blk_cache cache;
	enum blk_aio aio;
};

enum {
	BLK_MODE_NATIVE,
	BLK_MODE_DIRECT,
	BLK_MODE_WRITEBACK,
	BLK_MODE_THROUGH,
	BLK_MODE_UNSAFE,
	BLK_NUM_MODES
};

extern const struct blk_mode blk_modes[BLK_NUM_MODES];

/* What blk_raw_create says. */
int blk_try_open(const char *path, const struct blk_mode *mode, bool read_only, struct blk **ret,
	struct error *err);
/* Aborts when it cannot be. */
struct blk *blk_open(const char *path, const struct blk_mode *mode, bool read_only);

/* A request with what became of it. */
struct test_request {
	struct blk_request req;
	struct iovec iov[1];
	int done; /* how many times */
	int error;
};

void test_request_init(
	struct test_request *t, enum blk_op op, uint64_t offset, void *buf, uint64_t len);
/* done of every test request; sets done and error */
void test_request_done(struct blk_request *req, int error);

/* Submits, drains, and returns the error. */
int blk_do(
	struct blk *blk, enum blk_op op, uint32_t flags, uint64_t offset, void *buf, uint64_t len);

/* xorshift, never 0 */
uint32_t test_random(uint32_t *state);

/*
 * Rounds of random requests, several at a time, on both disks of the same size. Requests in flight
 * together do not overlap where one of them writes, but touch each other: offsets, lengths, the
 * iovecs' number, lengths and places are of any alignment, or multiples of unit. Returns NULL, or
 * what differed.
 */
const char *blk_compare(
	struct blk *a, struct blk *b, uint32_t seed, unsigned int rounds, uint32_t unit);

#endif
