/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/event_loop.h"

struct watcher {
	struct event_source source;
	struct event_loop *loop;
	_Atomic int calls;
	_Atomic bool removed, running;
	struct watcher *victim; /* removed from inside the function */
	useconds_t linger;
};

static void on_event(void *opaque, uint32_t events)
{
	struct watcher *w = opaque;

	assert_true(events & EPOLLIN);
	assert_false(atomic_load(&w->removed));
	atomic_store(&w->running, true);
	atomic_fetch_add(&w->calls, 1);
	if (w->victim) {
		event_loop_remove(w->loop, &w->victim->source);
		atomic_store(&w->victim->removed, true);
	}
	if (w->linger)
		usleep(w->linger);
	atomic_store(&w->running, false);
}

static void watch_slowly(struct watcher *w, struct event_loop *loop, useconds_t linger)
{
	*w = (struct watcher){.loop = loop, .linger = linger};
	w->source = (struct event_source){
		.fd = eventfd(1, EFD_NONBLOCK), .events = EPOLLIN, .fn = on_event, .opaque = w};
	assert_true(w->source.fd >= 0);
	assert_int_equal(event_loop_add(loop, &w->source), 0);
}

static void watch(struct watcher *w, struct event_loop *loop)
{
	watch_slowly(w, loop, 0);
}

static int setup(void **state)
{
	return event_loop_create((struct event_loop **)state);
}

static int teardown(void **state)
{
	event_loop_destroy(*state);
	return 0;
}

static void dispatches_what_is_ready(void **state)
{
	struct watcher a, b;
	uint64_t count;

	watch(&a, *state);
	watch(&b, *state);
	assert_int_equal(read(b.source.fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(event_loop_step(*state, 0), 1);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	/* Quiet, then loud again. */
	assert_int_equal(event_loop_modify(*state, &a.source, 0), 0);
	assert_int_equal(event_loop_step(*state, 0), 0);
	assert_int_equal(event_loop_modify(*state, &a.source, EPOLLIN), 0);
	assert_int_equal(event_loop_step(*state, 0), 1);
	event_loop_remove(*state, &a.source);
	assert_int_equal(event_loop_step(*state, 0), 0);
	close(a.source.fd);
	close(b.source.fd);
}

static void regular_files_cannot_poll(void **state)
{
	struct event_source source = {.events = EPOLLIN, .fn = on_event};

	source.fd = open("/proc/self/exe", O_RDONLY);
	assert_true(source.fd >= 0);
	assert_int_equal(event_loop_add(*state, &source), -EPERM);
	close(source.fd);
}

/* Both are in one batch; whoever comes first removes the other, which must then stay silent. */
static void removal_inside_a_batch(void **state)
{
	struct watcher a, b;

	watch(&a, *state);
	watch(&b, *state);
	a.victim = &b;
	b.victim = &a;
	assert_int_equal(event_loop_step(*state, 0), 1);
	assert_int_equal(a.calls + b.calls, 1);
	close(a.source.fd);
	close(b.source.fd);
}

static void removal_of_itself(void **state)
{
	struct watcher a;

	watch(&a, *state);
	a.victim = &a;
	assert_int_equal(event_loop_step(*state, 0), 1);
	assert_int_equal(event_loop_step(*state, 0), 0);
	close(a.source.fd);
}

struct note {
	struct event_source source;
	struct event_loop *loop;
	_Atomic int calls;
	bool again;	     /* posts itself, once */
	struct note *victim; /* removed from inside the function */
};

static void on_posted(void *opaque, uint32_t events)
{
	struct note *note = opaque;

	assert_int_equal(events, 0);
	if (note->again)
		event_loop_post(note->loop, &note->source);
	note->again = false;
	if (note->victim)
		event_loop_remove(note->loop, &note->victim->source);
	atomic_fetch_add(&note->calls, 1);
}

static void note_init(struct note *note, struct event_loop *loop)
{
	*note = (struct note){.loop = loop};
	note->source = (struct event_source){.fd = -1, .fn = on_posted, .opaque = note};
}

static void what_is_posted_is_called_once(void **state)
{
	struct note a, b;

	note_init(&a, *state);
	note_init(&b, *state);
	event_loop_post(*state, &a.source);
	event_loop_post(*state, &b.source);
	event_loop_post(*state, &a.source);
	/* Not asleep: there is something to do. */
	assert_int_equal(event_loop_step(*state, -1), 2);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	assert_int_equal(event_loop_step(*state, 0), 0);
	event_loop_post(*state, &a.source);
	assert_int_equal(event_loop_step(*state, -1), 1);
	assert_int_equal(a.calls, 2);
}

/* Or descriptors would never have their turn. */
static void what_posts_itself_waits_for_the_next_turn(void **state)
{
	struct note a;

	note_init(&a, *state);
	a.again = true;
	event_loop_post(*state, &a.source);
	assert_int_equal(event_loop_step(*state, -1), 1);
	assert_int_equal(a.calls, 1);
	assert_int_equal(event_loop_step(*state, -1), 1);
	assert_int_equal(a.calls, 2);
	assert_int_equal(event_loop_step(*state, 0), 0);
}

/* Before its turn, and in it, by another one that is posted, too. */
static void removal_of_what_is_posted(void **state)
{
	struct note a, b;

	note_init(&a, *state);
	note_init(&b, *state);
	event_loop_post(*state, &a.source);
	event_loop_post(*state, &b.source);
	event_loop_remove(*state, &a.source);
	assert_int_equal(event_loop_step(*state, 0), 1);
	assert_int_equal(a.calls, 0);
	a.victim = &b;
	b.victim = &a;
	event_loop_post(*state, &a.source);
	event_loop_post(*state, &b.source);
	assert_int_equal(event_loop_step(*state, 0), 1);
	assert_int_equal(a.calls + b.calls, 2);
	/* It can be posted again. */
	a.victim = b.victim = NULL;
	event_loop_post(*state, &a.source);
	event_loop_post(*state, &b.source);
	assert_int_equal(event_loop_step(*state, 0), 2);
}

static void *run_loop(void *loop)
{
	return event_loop_run(loop) == 0 ? loop : NULL;
}

static void removal_waits_for_the_function(void **state)
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, run_loop, *state), 0);
	for (int i = 0; i < 200; i++) {
		struct watcher w;

		watch_slowly(&w, *state, 100);
		while (i % 2 && !atomic_load(&w.calls))
			;
		event_loop_remove(*state, &w.source);
		assert_false(atomic_load(&w.running));
		atomic_store(&w.removed, true);
		close(w.source.fd);
	}
	event_loop_stop(*state);
	pthread_join(thread, &result);
	assert_ptr_equal(result, *state);
}

/* A loop that sleeps is woken each time: the test would not end otherwise. */
static void posting_wakes(void **state)
{
	struct note note;
	pthread_t thread;

	note_init(&note, *state);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, *state), 0);
	for (int i = 0; i < 500; i++) {
		event_loop_post(*state, &note.source);
		while (atomic_load(&note.calls) <= i)
			sched_yield();
	}
	event_loop_stop(*state);
	pthread_join(thread, NULL);
}

static void stop_before_run_is_not_lost(void **state)
{
	event_loop_stop(*state);
	assert_int_equal(event_loop_run(*state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(dispatches_what_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(regular_files_cannot_poll, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_inside_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_of_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_waits_for_the_function, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_posted_is_called_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_posts_itself_waits_for_the_next_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_of_what_is_posted, setup, teardown),
		cmocka_unit_test_setup_teardown(posting_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_before_run_is_not_lost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
