/* SPDX-License-Identifier: BSD-2-Clause */
#include "blk_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int blk_fake_setup(void **state)
{
	struct blk_fake *f = calloc(1, sizeof(*f));

	image_file_create(&f->file, BLK_FAKE_SIZE);
	fake_sys_init(&f->sys, BLK_FAKE_SIZE);
	f->buf = aligned_alloc(4096, 16 * 4096);
	memset(f->buf, 0x42, 16 * 4096);
	*state = f;
	return 0;
}

int blk_fake_teardown(void **state)
{
	struct blk_fake *f = *state;

	/* A test that failed may have left things in the air. */
	f->sys.manual = false;
	fake_sys_let_go(&f->sys);
	while (fake_sys_complete(&f->sys, 0))
		;
	blk_close(f->blk);
	fake_sys_fini(&f->sys);
	image_file_remove(&f->file);
	free(f->buf);
	free(f);
	return 0;
}

void blk_fake_open(struct blk_fake *f, enum blk_cache cache, enum blk_aio aio)
{
	const struct blk_config config = {
		.path = f->file.path, .cache = cache, .aio = aio, .sys = &f->sys.table};
	struct error err = {0};

	blk_close(f->blk);
	f->blk = NULL;
	if (blk_raw_create(&config, &f->blk, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}
