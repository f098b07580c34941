/* SPDX-License-Identifier: BSD-2-Clause */
/* The pty back end, with the test as the person who opens and closes the slave. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "peer_cases.h"

static int setup(void **state)
{
	struct char_fixture *fix = malloc(sizeof(*fix));

	char_fixture_init(fix);
	assert_int_equal(char_pty_create(&fix->config, &fix->dev, &fix->err), 0);
	char_fixture_attach(fix);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	char_fixture_fini(*state);
	free(*state);
	return 0;
}

/* The path is what a person reads in the log. */
static int open_slave(struct char_fixture *fix)
{
	char line[256] = "", *path;
	int fd;

	assert_true(pread(fix->log_fd, line, sizeof(line) - 1, 0) > 0);
	path = strstr(line, "/dev/pts/");
	assert_non_null(path);
	*strchr(path, '\n') = 0;
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void let_pass(struct char_fixture *fix)
{
	fake_clock_advance(&fix->clock, NSEC_PER_SEC);
	char_fixture_settle(fix);
}

static void test_nobody_there(void **state)
{
	struct char_fixture *fix = *state;
	uint8_t byte = 'x';

	let_pass(fix);
	assert_false(chardev_connected(fix->dev));
	for (int i = 0; i < 100000; i++)
		assert_int_equal(chardev_write(fix->dev, &byte, 1), 1);
	assert_int_equal(fix->connects + fix->disconnects, 0);
}

static void test_come_and_go(void **state)
{
	struct char_fixture *fix = *state;
	char got[16] = "";

	for (unsigned int i = 1; i <= 3; i++) {
		int fd = open_slave(fix);

		assert_true(char_fixture_is_raw(fd));
		let_pass(fix);
		assert_true(chardev_connected(fix->dev));
		assert_int_equal(fix->connects, i);
		assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"hello", 5), 5);
		assert_int_equal(read(fd, got, sizeof(got)), 5);
		assert_string_equal(got, "hello");
		assert_int_equal(write(fd, "\001x", 2), 2);
		char_fixture_settle(fix);
		assert_int_equal(fix->rx_len, 2 * i);
		assert_memory_equal(fix->rx + fix->rx_len - 2, "\001x", 2);
		/* The next one shall find raw mode again. */
		tcsetattr(fd, TCSANOW, &(struct termios){.c_lflag = ECHO | ICANON | ISIG});
		close(fd);
		char_fixture_settle(fix);
		assert_false(chardev_connected(fix->dev));
		assert_int_equal(fix->disconnects, i);
	}
}

/* Hung up: neither the loop nor the timer runs at full speed. */
static void test_hang_up_is_quiet(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open_slave(fix);
	unsigned int fired;

	let_pass(fix);
	close(fd);
	char_fixture_settle(fix);
	for (int i = 0; i < 5; i++)
		assert_int_equal(event_loop_step(fix->loop, 0), 0);
	fired = fix->clock.fired;
	fake_clock_advance(&fix->clock, 10 * NSEC_PER_SEC);
	assert_true(fix->clock.fired - fired <= 50);
	/* With somebody there, there is no timer at all. */
	fd = open_slave(fix);
	let_pass(fix);
	assert_int_equal(fake_clock_armed(&fix->clock), 0);
	close(fd);
}

/* Its last words arrive, even when they have to wait for the guest. */
static void test_last_words(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open_slave(fix);
	uint8_t words[3000];

	let_pass(fix);
	fix->room = 0;
	char_fixture_pattern(words, sizeof(words));
	assert_int_equal(write(fd, words, sizeof(words)), sizeof(words));
	close(fd);
	char_fixture_settle(fix);
	fix->room = 7;
	chardev_rx_kick(fix->dev);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, sizeof(words));
	assert_memory_equal(fix->rx, words, sizeof(words));
	assert_int_equal(fix->disconnects, 1);
}

/* It comes and goes between two looks for somebody. */
static void test_short_visit(void **state)
{
	struct char_fixture *fix = *state;
	int fd;

	for (unsigned int i = 1; i <= 2; i++) {
		fd = open_slave(fix);
		assert_int_equal(write(fd, "reboot\n", 7), 7);
		close(fd);
		let_pass(fix);
		assert_int_equal(fix->rx_len, 7 * i);
		assert_memory_equal(fix->rx + fix->rx_len - 7, "reboot\n", 7);
		assert_int_equal(fix->connects, i);
		assert_int_equal(fix->disconnects, i);
		assert_false(chardev_connected(fix->dev));
	}
	/* One who says nothing leaves no trace. */
	fd = open_slave(fix);
	close(fd);
	let_pass(fix);
	assert_int_equal(fix->connects, 2);
}

static void test_megabyte_both_ways(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open_slave(fix);

	let_pass(fix);
	peer_check_both_ways(fix, fd);
	close(fd);
}

/* Somebody has it open but does not read: bounded, dropped after a while, and it goes on. */
static void test_stopped_reader(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open_slave(fix);
	uint8_t *got;
	size_t total;

	let_pass(fix);
	total = peer_check_stopped_reader(fix);
	got = malloc(total);
	char_fixture_drain(fix, fd, got, total, 4096);
	char_fixture_settle(fix);
	assert_true(char_fixture_logged(fix, "500 bytes were dropped"));
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"new", 3), 3);
	char_fixture_drain(fix, fd, got, 3, 3);
	assert_memory_equal(got, "new", 3);
	free(got);
	close(fd);
}

/* It leaves while the front end waits for tx_ready. */
static void test_leaves_with_output_waiting(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open_slave(fix);

	let_pass(fix);
	peer_check_leaving(fix, fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody_there),
		TEST(test_come_and_go),
		TEST(test_hang_up_is_quiet),
		TEST(test_last_words),
		TEST(test_short_visit),
		TEST(test_megabyte_both_ways),
		TEST(test_stopped_reader),
		TEST(test_leaves_with_output_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
