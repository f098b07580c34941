/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source that is removed after the kernel has said that it is ready, and before the loop has
 * taken its lock. This file's epoll_wait stands before the C library's, so that a test can do what
 * another thread does just then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/event_loop.h"

enum { SOURCES = 3 };

static struct {
	struct event_loop *loop;
	struct event_source sources[SOURCES];
	unsigned int calls[SOURCES];
	int victim; /* removed once epoll_wait has returned; -1: none */
	unsigned int waits;
} rf;

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
	const int n = (int)syscall(SYS_epoll_wait, epoll_fd, events, max, timeout_ms);
	const int victim = rf.victim;

	rf.waits++;
	rf.victim = -1;
	if (victim >= 0)
		event_loop_remove(rf.loop, &rf.sources[victim]);
	return n;
}

static void on_event(void *opaque, uint32_t events)
{
	const struct event_source *source = opaque;

	(void)events;
	rf.calls[source - rf.sources]++;
}

static int set_up(void **state)
{
	(void)state;
	rf.victim = -1;
	rf.waits = 0;
	assert_int_equal(event_loop_create(&rf.loop), 0);
	for (unsigned int i = 0; i < SOURCES; i++) {
		rf.calls[i] = 0;
		rf.sources[i] = (struct event_source){.fd = eventfd(1, EFD_NONBLOCK),
			.events = EPOLLIN,
			.fn = on_event,
			.opaque = &rf.sources[i]};
		assert_int_equal(event_loop_add(rf.loop, &rf.sources[i]), 0);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < SOURCES; i++)
		close(rf.sources[i].fd);
	event_loop_destroy(rf.loop);
	return 0;
}

/* Its memory may be gone by then. The others are called all the same. */
static void test_not_called_any_more(void **state)
{
	(void)state;
	for (int victim = 0; victim < SOURCES; victim++) {
		rf.victim = victim;
		assert_int_equal(event_loop_step(rf.loop, 0), SOURCES - 1 - victim);
		assert_int_equal(rf.calls[victim], victim);
		for (int i = victim + 1; i < SOURCES; i++)
			assert_int_equal(rf.calls[i], victim + 1);
	}
	assert_true(rf.waits >= SOURCES); /* they were this file's */
}

/* The same with a loop that sleeps until something is ready. */
static void test_not_called_after_a_sleep(void **state)
{
	(void)state;
	rf.victim = 1;
	assert_int_equal(event_loop_step(rf.loop, -1), SOURCES - 1);
	assert_int_equal(rf.calls[1], 0);
}

/* A source that was only posted has no descriptor that the kernel could have named. */
static void test_posted(void **state)
{
	struct event_source posted = {.fd = -1, .fn = on_event, .opaque = &rf.sources[0]};

	(void)state;
	event_loop_post(rf.loop, &posted);
	rf.victim = 0;
	assert_int_equal(event_loop_step(rf.loop, 0), SOURCES - 1 + 1);
	assert_int_equal(rf.calls[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_called_any_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_called_after_a_sleep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_posted, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
