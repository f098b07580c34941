/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket back end: who may connect when, what becomes of the file, and every byte. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "peer_cases.h"

struct unix_fixture {
	struct char_fixture base;
	char dir[32], path[64];
};

static int setup(void **state)
{
	struct unix_fixture *f = calloc(1, sizeof(*f));

	char_fixture_init(&f->base);
	strcpy(f->dir, "/tmp/bantam-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct unix_fixture *f = *state;

	char_fixture_fini(&f->base);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void open_dev(struct unix_fixture *f)
{
	struct char_fixture *fix = &f->base;

	assert_int_equal(char_unix_create(&fix->config, f->path, &fix->dev, &fix->err), 0);
	char_fixture_attach(fix);
}

static void close_dev(struct unix_fixture *f)
{
	chardev_attach(f->base.dev, NULL, NULL);
	chardev_close(f->base.dev);
	f->base.dev = NULL;
}

static void refused(struct unix_fixture *f, const char *path, int rc, const char *why)
{
	struct char_fixture *fix = &f->base;

	assert_int_equal(char_unix_create(&fix->config, path, &fix->dev, &fix->err), rc);
	assert_null(fix->dev);
	assert_non_null(strstr(fix->err.text, why));
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int dial(struct unix_fixture *f)
{
	struct sockaddr_un address = address_of(f->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_text(struct unix_fixture *f, const char *text)
{
	assert_int_equal(
		chardev_write(f->base.dev, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[64] = "";

	assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), strlen(text));
	assert_string_equal(got, text);
}

static void test_one_at_a_time(void **state)
{
	struct unix_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	int first, second;
	char byte;

	open_dev(f);
	assert_false(chardev_connected(fix->dev));
	send_text(f, "nobody hears this");
	first = dial(f);
	char_fixture_settle(fix);
	assert_true(chardev_connected(fix->dev));
	second = dial(f);
	assert_int_equal(write(second, "2nd", 3), 3);
	char_fixture_settle(fix);
	assert_int_equal(fix->connects, 1);
	send_text(f, "one");
	expect(first, "one");
	assert_int_equal(write(first, "1st", 3), 3);
	char_fixture_settle(fix);
	close(first);
	char_fixture_settle(fix);
	assert_int_equal(fix->disconnects, 1);
	assert_int_equal(fix->connects, 2);
	send_text(f, "two");
	expect(second, "two");
	assert_int_equal(fix->rx_len, 6);
	assert_memory_equal(fix->rx, "1st2nd", 6);
	close_dev(f);
	assert_int_equal(read(second, &byte, 1), 0);
	close(second);
}

static void test_file(void **state)
{
	struct unix_fixture *f = *state;
	struct sockaddr_un address = address_of(f->path);
	mode_t mask = umask(0);
	char long_path[200];
	struct stat st;
	int fd;

	open_dev(f);
	umask(mask);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close_dev(f);
	assert_int_equal(stat(f->path, &st), -1);
	/* Left over from a run that was killed: replaced. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 0), 0);
	/* But not as long as it is alive, with its queue empty or full. */
	refused(f, f->path, -EADDRINUSE, "another process listens");
	refused(f, f->path, -EADDRINUSE, "another process listens");
	close(fd);
	open_dev(f);
	/* Somebody else's file by now: stays. */
	unlink(f->path);
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	close_dev(f);
	assert_int_equal(stat(f->path, &st), 0);
	refused(f, f->path, -EEXIST, "not a socket");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, 8);
	refused(f, "/nonexistent/socket", -ENOENT, "/nonexistent/socket: No such file");
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = 0;
	refused(f, long_path, -ENAMETOOLONG, "1 to 107 bytes");
	refused(f, "", -ENAMETOOLONG, "1 to 107 bytes");
}

static void test_megabyte_both_ways(void **state)
{
	struct unix_fixture *f = *state;
	int fd;

	open_dev(f);
	fd = dial(f);
	char_fixture_settle(&f->base);
	peer_check_both_ways(&f->base, fd);
	close(fd);
}

/* `echo ls | nc -U`: has nothing more to say, and waits for the answer. */
static void test_half_close(void **state)
{
	struct unix_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	int fd;

	open_dev(f);
	fd = dial(f);
	assert_int_equal(write(fd, "ls\n", 3), 3);
	shutdown(fd, SHUT_WR);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 3);
	assert_true(chardev_connected(fix->dev));
	send_text(f, "answer");
	expect(fd, "answer");
	close(fd);
	char_fixture_settle(fix);
	assert_int_equal(fix->disconnects, 1);
}

/* A guest that reads nothing must not keep the next client out for ever. */
static void test_gone_with_input_unread(void **state)
{
	struct unix_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	uint8_t data[20000];
	int first, second;

	open_dev(f);
	fix->room = 0;
	char_fixture_pattern(data, sizeof(data));
	first = dial(f);
	assert_int_equal(write(first, data, sizeof(data)), sizeof(data));
	char_fixture_settle(fix);
	/* Waiting is right as long as it is there. */
	fake_clock_advance(&fix->clock, 3600 * NSEC_PER_SEC);
	char_fixture_settle(fix);
	assert_int_equal(fix->disconnects, 0);
	close(first);
	second = dial(f);
	char_fixture_settle(fix); /* returns: no loop at full speed */
	assert_int_equal(fix->disconnects, 0);
	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS);
	char_fixture_settle(fix);
	assert_int_equal(fix->disconnects, 1);
	assert_int_equal(fix->connects, 2);
	close(second);
}

/* The same, but the guest wakes up in time. */
static void test_gone_with_input_read_late(void **state)
{
	struct unix_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	uint8_t data[20000];
	int fd;

	open_dev(f);
	fix->room = 0;
	char_fixture_pattern(data, sizeof(data));
	fd = dial(f);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	char_fixture_settle(fix);
	close(fd);
	char_fixture_settle(fix);
	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS - 1);
	fix->room = 16;
	chardev_rx_kick(fix->dev);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, sizeof(data));
	assert_memory_equal(fix->rx, data, sizeof(data));
	assert_int_equal(fix->disconnects, 1);
}

static void test_leaves_with_output_waiting(void **state)
{
	struct unix_fixture *f = *state;
	int fd;

	open_dev(f);
	fd = dial(f);
	char_fixture_settle(&f->base);
	peer_check_leaving(&f->base, fd);
}

static void test_stopped_reader_leaves(void **state)
{
	struct unix_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	int fd;

	open_dev(f);
	fd = dial(f);
	char_fixture_settle(fix);
	peer_check_stopped_reader(fix);
	close(fd);
	char_fixture_settle(fix);
	assert_int_equal(fix->disconnects, 1);
	/* The next one does not get what was meant for the first. */
	fd = dial(f);
	char_fixture_settle(fix);
	send_text(f, "fresh");
	expect(fd, "fresh");
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_at_a_time),
		TEST(test_file),
		TEST(test_megabyte_both_ways),
		TEST(test_half_close),
		TEST(test_gone_with_input_unread),
		TEST(test_gone_with_input_read_late),
		TEST(test_leaves_with_output_waiting),
		TEST(test_stopped_reader_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
