/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop hears of all that is not finished at once, and of a fast disk nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blk_fake.h"
#include "vm/core/event_loop.h"

static void on_ready(void *opaque)
{
	struct blk_fake *f = opaque;

	blk_poll(f->blk);
}

static const struct blk_listener listener = {.ready = on_ready};

static struct event_loop *attach(struct blk_fake *f)
{
	struct event_loop *loop;

	blk_fake_open(f, BLK_CACHE_NONE, BLK_AIO_NATIVE);
	assert_int_equal(event_loop_create(&loop), 0);
	assert_int_equal(blk_attach(f->blk, loop, &listener, f), 0);
	return loop;
}

static void detach(struct blk_fake *f, struct event_loop *loop)
{
	blk_detach(f->blk);
	event_loop_destroy(loop);
}

static void begin(struct blk_fake *f, struct test_request *t, enum blk_op op)
{
	test_request_init(t, op, 0, f->buf, op == BLK_FLUSH ? 0 : 4096);
	blk_submit(f->blk, &t->req);
	blk_commit(f->blk);
}

/* A disk that finishes at once, often enough that the loop stops listening. */
static void make_quiet(struct blk_fake *f, struct event_loop *loop)
{
	struct test_request t;

	for (int i = 0; i < 50; i++) {
		begin(f, &t, BLK_READ);
		assert_int_equal(blk_poll(f->blk), 1);
	}
	begin(f, &t, BLK_READ);
	assert_int_equal(event_loop_step(loop, 0), 0);
	assert_int_equal(blk_poll(f->blk), 1);
	assert_int_equal(event_loop_step(loop, 0), 0);
}

static void test_loop_is_spared(void **state)
{
	struct blk_fake *f = *state;
	struct event_loop *loop = attach(f);
	struct test_request t;

	/* At first it listens: what is finished at once would come by it, too. */
	begin(f, &t, BLK_READ);
	assert_int_equal(event_loop_step(loop, 0), 1);
	assert_int_equal(t.done, 1);
	make_quiet(f, loop);
	for (int round = 0; round < 3; round++) {
		/* What takes longer comes by the loop again, */
		f->sys.manual = true;
		begin(f, &t, BLK_READ);
		assert_int_equal(blk_poll(f->blk), 0);
		assert_int_equal(event_loop_step(loop, 0), 0);
		assert_true(fake_sys_complete(&f->sys, 0));
		assert_int_equal(event_loop_step(loop, 1000), 1);
		assert_int_equal(t.done, 1);
		f->sys.manual = false;
		make_quiet(f, loop);
		/* as does what the pool has done. */
		test_request_init(&t, BLK_WRITE_ZEROES, 0, NULL, 512);
		blk_submit(f->blk, &t.req);
		blk_commit(f->blk);
		blk_poll(f->blk);
		if (!t.done)
			assert_int_equal(event_loop_step(loop, 10000), 1);
		assert_int_equal(t.done, 1);
		make_quiet(f, loop);
	}
	detach(f, loop);
}

struct chain {
	struct blk_fake *f;
	struct test_request t;
	enum blk_op then; /* after the first one */
	bool wrong;	  /* that is outside the disk */
	int done;
};

static void submit_again(struct blk_request *req, int error)
{
	struct chain *chain = req->opaque;

	assert_int_equal(error, chain->done && chain->wrong ? -ERANGE : 0);
	if (chain->done++)
		return;
	req->op = chain->then;
	req->offset = chain->wrong ? BLK_FAKE_SIZE : 0;
	blk_submit(chain->f->blk, req);
}

/* Finished at once by the kernel, by itself, by being wrong: nobody polls again for it. */
static void test_submit_in_done_while_spared(void **state)
{
	struct blk_fake *f = *state;
	struct event_loop *loop = attach(f);
	struct chain chain = {.f = f};

	for (int round = 0; round < 9; round++) {
		make_quiet(f, loop);
		chain.then = round % 3 == 1 ? BLK_FLUSH : BLK_READ;
		chain.wrong = round % 3 == 2;
		chain.done = 0;
		test_request_init(&chain.t, BLK_READ, 0, f->buf, 4096);
		chain.t.req.done = submit_again;
		chain.t.req.opaque = &chain;
		blk_submit(f->blk, &chain.t.req);
		blk_commit(f->blk);
		assert_int_equal(blk_poll(f->blk), 1);
		assert_int_equal(chain.done, 1);
		assert_int_equal(event_loop_step(loop, 10000), 1);
		assert_int_equal(chain.done, 2);
	}
	detach(f, loop);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, blk_fake_setup, blk_fake_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_loop_is_spared),
		CASE(test_submit_in_done_while_spared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
