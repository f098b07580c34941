/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread with an event loop: sources run there, and it ends whenever it is told to. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/error.h"
#include "vm/core/event_loop.h"
#include "vm/core/io_thread.h"

/* What a source saw when it ran; done is posted after each time. */
struct seen {
	struct event_source source;
	uint32_t events;
	uint64_t count;
	pthread_t thread;
	char name[16];
	sigset_t blocked;
	unsigned int runs;
	sem_t done;
};

static void look(void *opaque, uint32_t events)
{
	struct seen *seen = opaque;
	uint64_t count = 0;

	/* First of all: it orders this behind the write, and what was read before that. */
	if (read(seen->source.fd, &count, sizeof(count)) < 0)
		count = 0;
	seen->events = events;
	seen->count = count;
	seen->thread = pthread_self();
	pthread_getname_np(seen->thread, seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked);
	seen->runs++;
	sem_post(&seen->done);
}

static void watch(struct seen *seen, struct io_thread *thread)
{
	*seen = (struct seen){.source = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				      .events = EPOLLIN,
				      .fn = look,
				      .opaque = seen}};
	sem_init(&seen->done, 0, 0);
	assert_int_equal(event_loop_add(io_thread_loop(thread), &seen->source), 0);
}

static void signal_and_wait(struct seen *seen)
{
	const uint64_t one = 1;

	assert_int_equal(write(seen->source.fd, &one, sizeof(one)), sizeof(one));
	sem_wait(&seen->done);
	assert_int_equal(seen->events, EPOLLIN);
	assert_int_equal(seen->count, 1);
}

static void forget(struct seen *seen, struct io_thread *thread)
{
	event_loop_remove(io_thread_loop(thread), &seen->source);
	close(seen->source.fd);
	sem_destroy(&seen->done);
}

static struct io_thread *create(const char *name)
{
	struct io_thread *thread = NULL;
	struct error err = {""};

	if (io_thread_create(&(struct io_thread_config){.name = name}, &thread, &err) < 0 ||
		io_thread_resume(thread, &err) < 0)
		fail_msg("%s", err.text);
	return thread;
}

static void runs_sources(void **state)
{
	struct io_thread *thread = create("disk31");
	struct seen seen;

	(void)state;
	watch(&seen, thread);
	for (unsigned int i = 1; i <= 100; i++) {
		signal_and_wait(&seen);
		assert_int_equal(seen.runs, i);
	}
	assert_false(pthread_equal(seen.thread, pthread_self()));
	assert_string_equal(seen.name, "disk31");
	forget(&seen, thread);
	io_thread_destroy(thread);
}

/* What is blocked where the thread is made stays so on it. */
static void blocks_signals(void **state)
{
	struct io_thread *thread;
	struct seen seen;
	sigset_t set, before;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	thread = create("io");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	watch(&seen, thread);
	signal_and_wait(&seen);
	assert_true(sigismember(&seen.blocked, SIGUSR1));
	assert_int_equal(sigismember(&seen.blocked, SIGUSR2), sigismember(&before, SIGUSR2));
	forget(&seen, thread);
	io_thread_destroy(thread);
}

/* Two go on side by side: each runs its own sources. */
static void two_threads(void **state)
{
	struct io_thread *threads[] = {create("a"), create("b")};
	struct seen seen[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		watch(&seen[i], threads[i]);
	for (int i = 0; i < 2; i++)
		signal_and_wait(&seen[i]);
	assert_false(pthread_equal(seen[0].thread, seen[1].thread));
	assert_string_equal(seen[0].name, "a");
	assert_string_equal(seen[1].name, "b");
	for (int i = 0; i < 2; i++) {
		forget(&seen[i], threads[i]);
		io_thread_destroy(threads[i]);
	}
}

/* While it is held nothing runs; what came meanwhile is not lost. */
static void holds(void **state)
{
	struct io_thread *thread = create("held");
	struct error err = {""};
	const uint64_t one = 1;
	struct seen seen;

	(void)state;
	watch(&seen, thread);
	for (unsigned int i = 0; i < 100; i++) {
		io_thread_hold(thread);
		io_thread_hold(thread);
		assert_int_equal(write(seen.source.fd, &one, sizeof(one)), sizeof(one));
		assert_int_equal(seen.runs, i);
		assert_int_equal(io_thread_resume(thread, &err), 0);
		assert_int_equal(io_thread_resume(thread, &err), 0);
		sem_wait(&seen.done);
		assert_string_equal(seen.name, "held");
	}
	io_thread_hold(thread);
	assert_int_equal(seen.runs, 100);
	forget(&seen, thread);
	io_thread_destroy(thread);
}

/* Also before the thread has got as far as to its loop. */
static void ends_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		io_thread_destroy(create("short"));
	io_thread_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_sources),
		cmocka_unit_test(blocks_signals),
		cmocka_unit_test(two_threads),
		cmocka_unit_test(holds),
		cmocka_unit_test(ends_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
