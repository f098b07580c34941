/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: one line per write, the rate limit, and readers that have gone or stopped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/log.h"

struct wire {
	int in, out;
	struct log log;
};

static void open_wire(struct wire *wire, enum log_level level, const char *name)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	wire->in = fds[0];
	wire->out = fds[1];
	log_init(&wire->log, wire->out, level, name);
}

static void close_wire(struct wire *wire)
{
	close(wire->in);
	close(wire->out);
}

/* What has been written since, terminated. */
static size_t drain(struct wire *wire, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(wire->in, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	buf[used] = '\0';
	return used;
}

static size_t contents(int fd, char *buf, size_t size)
{
	const ssize_t n = pread(fd, buf, size - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	return (size_t)n;
}

/* Two files of at most so many bytes, with the last lines, none of them cut and none missing. */
static void test_rotated(void **state)
{
	char name[] = "/tmp/bantam-log-XXXXXX", now[512], older[512], all[1024], want[32];
	const int fd = mkostemp(name, O_APPEND | O_CLOEXEC);
	const int older_fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct log log;
	size_t total;

	(void)state;
	assert_true(fd >= 0 && older_fd >= 0);
	unlink(name);
	log_init(&log, fd, LOG_INFO, NULL);
	log_rotate(&log, older_fd, 256);
	for (int i = 0; i < 1000; i++) {
		log_msg(&log, LOG_INFO, "line %d", i);
		total = contents(older_fd, older, sizeof(older));
		assert_true(total <= 256);
		total += contents(fd, now, sizeof(now));
		assert_true(total <= 512 && strlen(now) <= 256);
		snprintf(all, sizeof(all), "%s%s", older, now);
		assert_int_equal(strlen(all), total);
		for (int k = i; k >= 0 && k > i - 10; k--) {
			snprintf(want, sizeof(want), "bantam: line %d\n", k);
			assert_non_null(strstr(all, want));
		}
		assert_memory_equal(now, "bantam: ", 8);
	}
	close(fd);
	close(older_fd);
}

static void test_lines(void **state)
{
	struct wire wire;
	char text[2048];

	(void)state;
	open_wire(&wire, LOG_INFO, NULL);
	log_msg(&wire.log, LOG_INFO, "up %d", 1);
	log_msg(&wire.log, LOG_WARN, "odd");
	log_msg(&wire.log, LOG_DEBUG, "unheard");
	log_msg(NULL, LOG_ERROR, "to nobody");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text, "bantam: up 1\nbantam: warning: odd\n");
	wire.log.name = "web";
	atomic_store(&wire.log.raw_tty, true);
	log_msg(&wire.log, LOG_ERROR, "down");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text, "bantam: web: down\r\n");
	close_wire(&wire);
}

static void test_long_line_is_cut(void **state)
{
	struct wire wire;
	char words[4000], text[8192];
	size_t len;

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	open_wire(&wire, LOG_INFO, NULL);
	log_msg(&wire.log, LOG_INFO, "%s", words);
	len = drain(&wire, text, sizeof(text));
	assert_in_range(len, 512, 1024);
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	close_wire(&wire);
}

static unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void test_limit(void **state)
{
	struct log_limit limit = {0};
	struct wire wire;
	char text[4096];

	(void)state;
	open_wire(&wire, LOG_INFO, NULL);
	for (int i = 0; i < 1000; i++)
		log_limited(&wire.log, &limit, LOG_WARN, "again");
	drain(&wire, text, sizeof(text));
	assert_in_range(count_lines(text), 8, 18); /* a window may have turned meanwhile */
	atomic_store(&limit.window_start_ns, 1);
	atomic_store(&limit.dropped, 5);
	log_limited(&wire.log, &limit, LOG_WARN, "later");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text, "bantam: warning: (5 lines like the next were dropped)\n"
				  "bantam: warning: later\n");
	close_wire(&wire);
}

/* New devices, and new limits, with each reboot: bounded all the same, and counted. */
static void test_limit_of_all(void **state)
{
	struct wire wire;
	char text[65536];

	(void)state;
	open_wire(&wire, LOG_INFO, NULL);
	for (int i = 0; i < 1000; i++) {
		struct log_limit limit = {0};

		log_limited(&wire.log, &limit, LOG_WARN, "again");
	}
	drain(&wire, text, sizeof(text));
	assert_in_range(count_lines(text), 60, 122); /* a window may have turned meanwhile */
	log_msg(&wire.log, LOG_WARN, "ours");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text, "bantam: warning: ours\n");
	atomic_store(&wire.log.all.window_start_ns, 1);
	atomic_store(&wire.log.all.dropped, 940);
	log_limited(&wire.log, &(struct log_limit){0}, LOG_WARN, "later");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text,
		"bantam: warning: (940 lines that the guest caused were dropped)\n"
		"bantam: warning: later\n");
	close_wire(&wire);
}

/* A reader that has stopped costs a line, not the caller. */
static void test_stopped_reader(void **state)
{
	static char block[4096], text[1 << 20];
	struct timespec before, after;
	struct wire wire;
	size_t filled = 0;
	ssize_t n;

	(void)state;
	open_wire(&wire, LOG_INFO, NULL);
	assert_int_equal(fcntl(wire.out, F_SETFL, O_NONBLOCK), 0);
	memset(block, 'x', sizeof(block));
	while ((n = write(wire.out, block, sizeof(block))) > 0)
		filled += (size_t)n;
	assert_int_equal(fcntl(wire.out, F_SETFL, 0), 0);
	alarm(30);
	clock_gettime(CLOCK_MONOTONIC, &before);
	log_msg(&wire.log, LOG_ERROR, "lost");
	clock_gettime(CLOCK_MONOTONIC, &after);
	alarm(0);
	assert_true(after.tv_sec - before.tv_sec <= 5);
	assert_int_equal(drain(&wire, text, sizeof(text)), filled);
	log_msg(&wire.log, LOG_ERROR, "found");
	drain(&wire, text, sizeof(text));
	assert_string_equal(text, "bantam: found\n");
	close_wire(&wire);
}

static void test_reader_has_gone(void **state)
{
	struct wire wire;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	open_wire(&wire, LOG_INFO, NULL);
	close(wire.in);
	log_msg(&wire.log, LOG_ERROR, "to nobody");
	close(wire.out);
	signal(SIGPIPE, SIG_DFL);
}

/* All lines in order while they are kept; then the oldest go, and no half line is read. */
static void test_lines_are_kept(void **state)
{
	struct wire wire;
	char line[LOG_MAX_LINE], wanted[64];
	uint64_t pos = 0, other = 0;
	unsigned int first = 0;

	(void)state;
	open_wire(&wire, LOG_INFO, "web");
	assert_int_equal(log_read(&wire.log, &pos, line, sizeof(line)), 0);
	atomic_store(&wire.log.raw_tty, true);
	atomic_store(&wire.log.midline, true);
	log_msg(&wire.log, LOG_DEBUG, "not this");
	log_msg(&wire.log, LOG_WARN, "one");
	log_msg(&wire.log, LOG_INFO, "two");
	assert_int_equal(log_read(&wire.log, &pos, line, sizeof(line)), 25);
	assert_string_equal(line, "bantam: web: warning: one");
	assert_int_equal(log_read(&wire.log, &pos, line, sizeof(line)), 16);
	assert_string_equal(line, "bantam: web: two");
	assert_int_equal(log_read(&wire.log, &pos, line, sizeof(line)), 0);
	for (unsigned int i = 0; i < 2000; i++)
		log_msg(&wire.log, LOG_INFO, "line %u", i);
	assert_true(log_read(&wire.log, &other, line, sizeof(line)) > 0);
	assert_int_equal(sscanf(line, "bantam: web: line %u", &first), 1);
	assert_in_range(first, 2000 - LOG_KEPT / 18, 2000 - LOG_KEPT / 24);
	for (unsigned int i = first + 1; i < 2000; i++) {
		snprintf(wanted, sizeof(wanted), "bantam: web: line %u", i);
		assert_int_equal(log_read(&wire.log, &other, line, sizeof(line)), strlen(wanted));
		assert_string_equal(line, wanted);
	}
	assert_int_equal(log_read(&wire.log, &other, line, sizeof(line)), 0);
	/* Into less room than it needs */
	pos = 0;
	assert_int_equal(log_read(&wire.log, &pos, line, 8), 7);
	assert_string_equal(line, "bantam:");
	assert_int_equal(log_read(&wire.log, &pos, line, 8), 7);
	close_wire(&wire);
}

static void count_line(void *opaque)
{
	++*(unsigned int *)opaque;
}

static void test_listener(void **state)
{
	unsigned int lines = 0;
	struct wire wire;

	(void)state;
	open_wire(&wire, LOG_INFO, NULL);
	log_listen(&wire.log, count_line, &lines);
	log_msg(&wire.log, LOG_INFO, "one");
	log_msg(&wire.log, LOG_DEBUG, "not this");
	log_listen(&wire.log, NULL, NULL);
	log_msg(&wire.log, LOG_INFO, "two");
	assert_int_equal(lines, 1);
	close_wire(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rotated),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_limit_of_all),
		cmocka_unit_test(test_stopped_reader),
		cmocka_unit_test(test_reader_has_gone),
		cmocka_unit_test(test_lines_are_kept),
		cmocka_unit_test(test_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
