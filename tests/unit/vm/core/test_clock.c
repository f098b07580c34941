/* SPDX-License-Identifier: BSD-2-Clause */
/* The real timer queue; the devices' tests use a fake clock. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/clock.h"
#include "vm/core/event_loop.h"

struct bench {
	struct event_loop *loop;
	struct timer_queue *queue;
	const struct clock *clock;
};

struct alarm {
	struct timer timer;
	const struct clock *clock;
	_Atomic int fired;
	_Atomic bool running;
	int order, *counter;
	_Atomic uint64_t again_ns; /* armed again by its function, this much later */
	useconds_t linger;
};

static void on_alarm(void *opaque)
{
	struct alarm *a = opaque;

	atomic_store(&a->running, true);
	atomic_fetch_add(&a->fired, 1);
	if (a->counter)
		a->order = ++*a->counter;
	if (a->again_ns)
		clock_arm(a->clock, &a->timer, clock_monotonic_ns(a->clock) + a->again_ns);
	if (a->linger)
		usleep(a->linger);
	atomic_store(&a->running, false);
}

static struct alarm new_alarm(const struct clock *clock)
{
	return (struct alarm){.timer = {.fn = on_alarm}, .clock = clock};
}

static int setup(void **state)
{
	static struct bench bench;

	if (event_loop_create(&bench.loop) < 0 || timer_queue_create(bench.loop, &bench.queue) < 0)
		return -1;
	bench.clock = timer_queue_clock(bench.queue);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	timer_queue_destroy(bench->queue);
	event_loop_destroy(bench->loop);
	return 0;
}

static void fire_in_order(void **state)
{
	struct bench *b = *state;
	uint64_t now = clock_monotonic_ns(b->clock);
	struct alarm a[4];
	int counter = 0;

	for (unsigned int i = 0; i < 4; i++) {
		a[i] = new_alarm(b->clock);
		a[i].timer.opaque = &a[i];
		a[i].counter = &counter;
	}
	clock_arm(b->clock, &a[0].timer, now + 3 * NSEC_PER_MSEC);
	clock_arm(b->clock, &a[1].timer, now + 1 * NSEC_PER_MSEC);
	clock_arm(b->clock, &a[2].timer, now + 2 * NSEC_PER_MSEC);
	clock_arm(b->clock, &a[3].timer, now + 4 * NSEC_PER_MSEC);
	clock_disarm(b->clock, &a[3].timer);
	while (counter < 3)
		assert_true(event_loop_step(b->loop, 1000) >= 0);
	assert_true(clock_monotonic_ns(b->clock) >= now + 3 * NSEC_PER_MSEC);
	assert_int_equal(a[1].order, 1);
	assert_int_equal(a[2].order, 2);
	assert_int_equal(a[0].order, 3);
	assert_int_equal(event_loop_step(b->loop, 10), 0);
	assert_int_equal(a[3].fired, 0);
}

static void arming_again_moves(void **state)
{
	struct bench *b = *state;
	struct alarm a = new_alarm(b->clock);
	uint64_t now = clock_monotonic_ns(b->clock);

	a.timer.opaque = &a;
	clock_arm(b->clock, &a.timer, now + NSEC_PER_SEC * 3600);
	clock_arm(b->clock, &a.timer, 0); /* long past */
	assert_int_equal(event_loop_step(b->loop, 1000), 1);
	assert_int_equal(a.fired, 1);
	assert_int_equal(event_loop_step(b->loop, 5), 0);
}

/* A function that always wants to run at once must not keep the loop from other work. */
static void a_greedy_timer_gives_way(void **state)
{
	struct bench *b = *state;
	struct alarm a = new_alarm(b->clock);

	a.timer.opaque = &a;
	a.again_ns = 1;
	clock_arm(b->clock, &a.timer, 0);
	for (int i = 0; i < 10; i++)
		assert_true(event_loop_step(b->loop, 1000) >= 0);
	assert_true(a.fired >= 5 && a.fired < 10000);
	clock_disarm_sync(b->clock, &a.timer);
}

static void *run_loop(void *loop)
{
	event_loop_run(loop);
	return NULL;
}

static void disarm_sync_waits(void **state)
{
	struct bench *b = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_loop, b->loop), 0);
	for (int i = 0; i < 100; i++) {
		struct alarm a = new_alarm(b->clock);

		a.timer.opaque = &a;
		a.again_ns = 1000;
		a.linger = 50;
		clock_arm(b->clock, &a.timer, 0);
		while (i % 2 && !atomic_load(&a.fired))
			;
		a.again_ns = 0;
		clock_disarm_sync(b->clock, &a.timer);
		assert_false(atomic_load(&a.running));
	}
	event_loop_stop(b->loop);
	pthread_join(thread, NULL);
}

/* Time stands still, and a timer has as much of it left afterwards as before. */
static void paused(void **state)
{
	struct bench *b = *state;
	struct alarm a = new_alarm(b->clock);
	uint64_t at, left;

	a.timer.opaque = &a;
	at = clock_monotonic_ns(b->clock) + 200 * NSEC_PER_MSEC;
	clock_arm(b->clock, &a.timer, at);
	timer_queue_pause(b->queue);
	timer_queue_pause(b->queue);
	left = at - clock_monotonic_ns(b->clock);
	usleep(300000);
	event_loop_step(b->loop, 0);
	assert_int_equal(a.fired, 0);
	assert_int_equal(at - clock_monotonic_ns(b->clock), left);
	timer_queue_resume(b->queue, false);
	event_loop_step(b->loop, 0);
	assert_int_equal(a.fired, 0);
	while (!a.fired)
		event_loop_step(b->loop, 1000);
	assert_true(clock_monotonic_ns(b->clock) >= at);
}

/* Another way to come back: the pause has gone by, and what was due in it is due now. */
static void caught_up(void **state)
{
	struct bench *b = *state;
	struct alarm a = new_alarm(b->clock);
	uint64_t before = clock_monotonic_ns(b->clock);

	a.timer.opaque = &a;
	timer_queue_pause(b->queue);
	clock_arm(b->clock, &a.timer, before + 50 * NSEC_PER_MSEC);
	usleep(100000);
	event_loop_step(b->loop, 0);
	assert_int_equal(a.fired, 0);
	timer_queue_resume(b->queue, true);
	event_loop_step(b->loop, 1000);
	assert_int_equal(a.fired, 1);
	assert_true(clock_monotonic_ns(b->clock) >= before + 100 * NSEC_PER_MSEC);
}

struct once {
	struct timer timer;
	int *fired;
};

static void free_itself(void *opaque)
{
	struct once *once = opaque;

	++*once->fired;
	free(once);
}

/* A timer may be part of what its function frees. */
static void a_timer_that_frees_itself(void **state)
{
	struct bench *b = *state;
	int fired = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct once *once = malloc(sizeof(*once));

		assert_non_null(once);
		*once = (struct once){
			.timer = {.fn = free_itself, .opaque = once}, .fired = &fired};
		clock_arm(b->clock, &once->timer, clock_monotonic_ns(b->clock));
	}
	while (fired < 2)
		event_loop_step(b->loop, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fire_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(arming_again_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(a_greedy_timer_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(a_timer_that_frees_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(disarm_sync_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(paused, setup, teardown),
		cmocka_unit_test_setup_teardown(caught_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
