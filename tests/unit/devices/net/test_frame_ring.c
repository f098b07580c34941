/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of frames, against a plain queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../../devices/net/frame_ring.h"
#include "net_packet.h"

enum { MODEL = 1 << 17, ROUNDS = 60000, BIG = 65600 };

/* Frames are pieces of one stream, so a position and a length are enough to know one. */
struct model {
	struct {
		uint64_t pos;
		size_t len;
	} frames[MODEL];
	unsigned int head, tail;
	uint64_t pos;
};

static struct model model;

static bool put(struct frame_ring *ring, size_t len)
{
	static uint8_t frame[BIG];
	const uint8_t *copy;

	fill_stream(frame, model.pos, len);
	copy = frame_ring_put(ring, frame, len);
	if (!copy)
		return false;
	assert_memory_equal(copy, frame, len);
	model.frames[model.tail % MODEL].pos = model.pos;
	model.frames[model.tail++ % MODEL].len = len;
	model.pos += len;
	return true;
}

static bool take(struct frame_ring *ring)
{
	const uint64_t pos = model.frames[model.head % MODEL].pos;
	const uint8_t *frame;
	size_t len;

	frame = frame_ring_peek(ring, &len);
	if (!frame) {
		assert_int_equal(model.head, model.tail);
		return false;
	}
	assert_int_not_equal(model.head, model.tail);
	assert_int_equal(len, model.frames[model.head++ % MODEL].len);
	assert_int_equal(check_stream(frame, pos, len), len);
	frame_ring_pop(ring);
	return true;
}

static size_t some_length(void)
{
	switch (rand() % 4) {
	case 0:
		return (size_t)rand() % 65;
	case 1:
		return (size_t)rand() % BIG;
	default:
		return (size_t)rand() % 1515;
	}
}

static void test_against_model(void **state)
{
	struct frame_ring ring = {0};
	unsigned int refused = 0, emptied = 0;

	(void)state;
	srand(1);
	memset(&model, 0, sizeof(model));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		/* Tides: mostly in for a while, mostly out for a while. */
		const bool in = rand() % 10 < (round / 3000 % 2 ? 3 : 7);

		if (in)
			refused += !put(&ring, some_length());
		else
			emptied += !take(&ring);
		assert_true(ring.used <= FRAME_RING_SIZE);
		assert_int_equal(ring.used == 0, model.head == model.tail);
	}
	assert_true(refused > 100);
	assert_true(emptied > 100);
	while (take(&ring))
		;
	frame_ring_fini(&ring);
}

/* What the two limits of user networking count on. */
static void test_room(void **state)
{
	struct frame_ring ring = {0};
	size_t bytes = 0;

	(void)state;
	memset(&model, 0, sizeof(model));
	assert_null(ring.data);
	while (put(&ring, 1500))
		bytes += 1500;
	assert_true(bytes > FRAME_RING_SIZE / 100 * 99);
	assert_true(ring.used <= FRAME_RING_SIZE);
	assert_true(take(&ring));
	assert_true(put(&ring, 1500));
	assert_false(put(&ring, 1500));
	frame_ring_clear(&ring);
	assert_int_equal(ring.used, 0);
	frame_ring_fini(&ring);
}

/* A guest that keeps up has its frames where the last ones were. */
static void test_stays_at_start(void **state)
{
	struct frame_ring ring = {0};
	const uint8_t *first = NULL;
	size_t len;

	(void)state;
	memset(&model, 0, sizeof(model));
	for (unsigned int i = 0; i < 1000; i++) {
		assert_true(put(&ring, 1514));
		if (!i)
			first = frame_ring_peek(&ring, &len);
		assert_ptr_equal(frame_ring_peek(&ring, &len), first);
		assert_true(take(&ring));
	}
	frame_ring_fini(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_stays_at_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
