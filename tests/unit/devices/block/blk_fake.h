/* SPDX-License-Identifier: BSD-2-Clause */
/* A raw disk over a fake kernel, for cmocka's setup and teardown. */
#ifndef BANTAM_TESTS_BLK_FAKE_H
#define BANTAM_TESTS_BLK_FAKE_H

#include "blk_fixture.h"
#include "fake_blk_sys.h"

enum { BLK_FAKE_SIZE = 1 << 20 };

struct blk_fake {
	struct image_file file;
	struct fake_blk_sys sys;
	struct blk *blk; /* NULL at first */
	uint8_t *buf;	 /* aligned to 4096, 16 pages of 0x42 */
};

int blk_fake_setup(void **state);
int blk_fake_teardown(void **state);

/* Closes blk and opens it anew. */
void blk_fake_open(struct blk_fake *f, enum blk_cache cache, enum blk_aio aio);

#endif
