/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring against a model, at every place where it wraps, and against a peer that lies. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/helper/ring.h"

enum { SIZE = 512, MAX_RECORD = SIZE / 2, RECORDS = 200000 };

struct rig {
	_Alignas(64) uint8_t memory[sizeof(struct ring_shared) + SIZE];
	uint8_t behind[64]; /* nobody's */
	struct ring_producer producer;
	struct ring_consumer consumer;
};

/* At a position from which it wraps soon, or the count itself does. */
static void init_at(struct rig *r, uint32_t position)
{
	memset(r, 0xcc, sizeof(*r));
	ring_reset(r->memory);
	ring_producer_init(&r->producer, r->memory, SIZE);
	ring_consumer_init(&r->consumer, r->memory, SIZE, MAX_RECORD);
	r->producer.tail = r->consumer.head = position;
	atomic_store(&r->producer.shared->tail, position);
	atomic_store(&r->producer.shared->head, position);
}

static void fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed * 31 + i);
}

static bool put(struct rig *r, uint32_t len, uint32_t seed)
{
	uint8_t *p = ring_reserve(&r->producer, len);

	if (!p)
		return false;
	assert_in_range((uintptr_t)p, (uintptr_t)r->memory, (uintptr_t)r->behind - len);
	fill(p, len, seed);
	ring_commit(&r->producer);
	return true;
}

static void take(struct rig *r, uint32_t len, uint32_t seed)
{
	uint8_t want[MAX_RECORD];
	uint32_t got;
	const uint8_t *p = ring_peek(&r->consumer, &got);

	assert_non_null(p);
	assert_int_equal(got, len);
	fill(want, len, seed);
	assert_memory_equal(p, want, len);
	ring_pop(&r->consumer);
}

/* Random records in and out against a list of what must be there. */
static void test_model(void **state)
{
	static const uint32_t places[] = {0, 8, SIZE - 8, UINT32_MAX - 7, UINT32_MAX - SIZE + 1};
	struct rig *r = aligned_alloc(64, sizeof(*r));

	(void)state;
	srandom(1);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct {
			uint32_t len, seed;
		} model[SIZE / 8];
		uint32_t first = 0, last = 0, refused = 0, got;

		init_at(r, places[i]);
		for (uint32_t step = 0; step < RECORDS; step++) {
			const uint32_t len = (uint32_t)random() % (MAX_RECORD + 1) >> random() % 7;

			if (random() % 2) {
				if (put(r, len, step)) {
					model[last % ARRAY_SIZE(model)].len = len;
					model[last++ % ARRAY_SIZE(model)].seed = step;
				} else {
					refused++;
				}
			} else if (first == last) {
				assert_null(ring_peek(&r->consumer, &got));
				assert_true(ring_empty(&r->consumer));
				assert_int_equal(ring_used(&r->producer), 0);
			} else {
				take(r, model[first % ARRAY_SIZE(model)].len,
					model[first % ARRAY_SIZE(model)].seed);
				first++;
			}
			assert_false(r->producer.broken || r->consumer.broken);
		}
		assert_true(refused > 100 && first > 10000);
		for (size_t k = 0; k < sizeof(r->behind); k++)
			assert_int_equal(r->behind[k], 0xcc);
	}
	free(r);
}

/* A record of any length fits into an empty ring, wherever that stands. */
static void test_every_place(void **state)
{
	struct rig *r = aligned_alloc(64, sizeof(*r));

	(void)state;
	for (uint32_t at = 0; at < SIZE; at += 8) {
		for (uint32_t len = 0; len <= MAX_RECORD; len++) {
			init_at(r, at);
			/* A gap before the longest may leave too little. */
			if (!put(r, len, len)) {
				assert_true(len + 8 > SIZE / 2);
				continue;
			}
			take(r, len, len);
		}
		assert_null(ring_reserve(&r->producer, MAX_RECORD + 1));
	}
	free(r);
}

static void test_skip(void **state)
{
	struct rig *r = aligned_alloc(64, sizeof(*r));

	(void)state;
	init_at(r, 400);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(put(r, 40, i));
		assert_true(put(r, 50, i));
		ring_skip(&r->consumer);
		assert_true(ring_empty(&r->consumer));
		assert_true(put(r, 60, i));
		take(r, 60, i);
	}
	free(r);
}

/* ---- sleeping ---- */

static void test_signals(void **state)
{
	struct rig *r = aligned_alloc(64, sizeof(*r));
	uint32_t len, used;

	(void)state;
	init_at(r, 0);
	assert_non_null(ring_reserve(&r->producer, 8));
	assert_false(ring_commit(&r->producer)); /* nobody waits */
	assert_false(ring_wait_record(&r->consumer));
	assert_non_null(ring_peek(&r->consumer, &len));
	assert_false(ring_pop(&r->consumer));
	/* Once for all that comes before the next sleep */
	assert_true(ring_wait_record(&r->consumer));
	for (unsigned int i = 0; i < 9; i++) {
		assert_non_null(ring_reserve(&r->producer, 40));
		assert_int_equal(ring_commit(&r->producer), i == 0);
	}
	/* Room: when a quarter is left in use, and once */
	assert_true(ring_wait_room(&r->producer));
	for (unsigned int i = 0; i < 9; i++) {
		assert_non_null(ring_peek(&r->consumer, &len));
		assert_int_equal(ring_pop(&r->consumer), i == 6);
	}
	assert_false(ring_wait_room(&r->producer));
	/* Anything taken */
	assert_true(put(r, 8, 1) && put(r, 8, 1));
	used = ring_used(&r->producer);
	assert_true(ring_wait_taken(&r->producer, used));
	assert_non_null(ring_peek(&r->consumer, &len));
	assert_true(ring_pop(&r->consumer));
	assert_false(ring_wait_taken(&r->producer, used));
	free(r);
}

/* ---- a peer that lies ---- */

static void is_broken(struct rig *r)
{
	uint32_t len;

	assert_null(ring_peek(&r->consumer, &len));
	assert_true(r->consumer.broken);
	/* For good */
	init_at(r, 0);
}

static void test_hostile_producer(void **state)
{
	static const uint32_t tails[] = {
		1, 4, 7, SIZE + 8, SIZE + 1, UINT32_MAX, UINT32_MAX - 7, 1u << 31};
	static const uint32_t lens[] = {MAX_RECORD + 1, 57, SIZE, UINT32_MAX - 1, UINT32_MAX - 8,
		UINT32_MAX - 15, 1u << 31};
	struct rig *r = aligned_alloc(64, sizeof(*r));
	uint32_t *header = (void *)(r->memory + sizeof(struct ring_shared)), len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		init_at(r, 0);
		*header = 0;
		atomic_store(&r->producer.shared->tail, tails[i]);
		is_broken(r);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		init_at(r, 0);
		assert_true(put(r, 56, 1));
		*header = lens[i];
		is_broken(r);
	}
	/* A gap, and nothing, a gap or too long a record behind it */
	for (unsigned int i = 0; i < 3; i++) {
		init_at(r, SIZE - 64);
		*(uint32_t *)(void *)((uint8_t *)header + SIZE - 64) = UINT32_MAX;
		*header = i == 1 ? UINT32_MAX : 64;
		atomic_store(&r->producer.shared->tail, SIZE + (i ? 64 : 0));
		is_broken(r);
	}
	/* A gap that is longer than what is there */
	init_at(r, SIZE - 64);
	*(uint32_t *)(void *)((uint8_t *)header + SIZE - 64) = UINT32_MAX;
	*header = 16;
	atomic_store(&r->producer.shared->tail, SIZE - 32);
	is_broken(r);
	/* One that would go past the end */
	init_at(r, SIZE - 64);
	*(uint32_t *)(void *)((uint8_t *)header + SIZE - 64) = 100;
	atomic_store(&r->producer.shared->tail, SIZE + 256);
	is_broken(r);
	/* A length that changes after it was read is not read again. */
	init_at(r, 0);
	assert_true(put(r, 56, 1));
	assert_non_null(ring_peek(&r->consumer, &len));
	*header = 8;
	ring_pop(&r->consumer);
	assert_int_equal(r->consumer.head, 64);
	free(r);
}

static void test_hostile_consumer(void **state)
{
	static const uint32_t heads[] = {8, 1, UINT32_MAX, 1u << 31, UINT32_MAX - SIZE};
	struct rig *r = aligned_alloc(64, sizeof(*r));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		init_at(r, 0);
		atomic_store(&r->producer.shared->head, heads[i]);
		assert_null(ring_reserve(&r->producer, 8));
		assert_true(r->producer.broken);
		atomic_store(&r->producer.shared->head, 0);
		assert_null(ring_reserve(&r->producer, 8));
		assert_int_equal(ring_used(&r->producer), SIZE);
	}
	free(r);
}

/* ---- two threads that sleep ---- */

struct signal {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int count;
};

struct pair {
	struct rig r;
	struct signal to_consumer, to_producer;
};

static void give(struct signal *s)
{
	pthread_mutex_lock(&s->lock);
	s->count++;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void wait_for(struct signal *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->count)
		pthread_cond_wait(&s->cond, &s->lock);
	s->count = 0;
	pthread_mutex_unlock(&s->lock);
}

static uint32_t length_of(uint32_t i)
{
	return i * 7919 % (MAX_RECORD - 8);
}

static void *produce(void *opaque)
{
	struct pair *pair = opaque;

	for (uint32_t i = 0; i < RECORDS; i++) {
		const uint32_t len = length_of(i);
		uint8_t *p;

		while ((p = ring_reserve(&pair->r.producer, len)) == NULL)
			if (ring_wait_room(&pair->r.producer))
				wait_for(&pair->to_producer);
		fill(p, len, i);
		if (ring_commit(&pair->r.producer))
			give(&pair->to_consumer);
		if (i % 1000 == 0)
			sched_yield();
	}
	return NULL;
}

/* Whoever misses a signal sleeps for ever, and so does the test. */
static void test_threads(void **state)
{
	struct pair *pair = aligned_alloc(64, ALIGN_UP(sizeof(*pair), 64));
	uint8_t want[MAX_RECORD];
	pthread_t thread;

	(void)state;
	init_at(&pair->r, UINT32_MAX - 4095);
	pair->to_consumer = pair->to_producer = (struct signal){
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	assert_int_equal(pthread_create(&thread, NULL, produce, pair), 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		const uint8_t *p;
		uint32_t len;

		while ((p = ring_peek(&pair->r.consumer, &len)) == NULL)
			if (ring_wait_record(&pair->r.consumer))
				wait_for(&pair->to_consumer);
		assert_int_equal(len, length_of(i));
		fill(want, len, i);
		assert_memory_equal(p, want, len);
		if (ring_pop(&pair->r.consumer))
			give(&pair->to_producer);
	}
	pthread_join(thread, NULL);
	assert_false(pair->r.producer.broken || pair->r.consumer.broken);
	free(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_hostile_producer),
		cmocka_unit_test(test_hostile_consumer),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
