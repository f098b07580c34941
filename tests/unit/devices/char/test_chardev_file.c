/* SPDX-License-Identifier: BSD-2-Clause */
/* The file back end: regular files, FIFOs, devices, and what cannot be opened. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "char_fixture.h"

enum { MEGABYTE = 1 << 20 };

struct file_fixture {
	struct char_fixture base;
	char dir[32], path[64];
};

static int setup(void **state)
{
	struct file_fixture *f = calloc(1, sizeof(*f));

	char_fixture_init(&f->base);
	strcpy(f->dir, "/tmp/bantam-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/out", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct file_fixture *f = *state;

	char_fixture_fini(&f->base);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int create(struct file_fixture *f, const char *path)
{
	struct char_fixture *fix = &f->base;
	int rc = char_file_create(&fix->config, path, &fix->dev, &fix->err);

	if (!rc)
		char_fixture_attach(fix);
	return rc;
}

static void test_regular_file(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	uint8_t *data = malloc(MEGABYTE), *got = malloc(MEGABYTE + 1);
	uint16_t cols, rows;
	int fd = open(f->path, O_CREAT | O_WRONLY, 0600);

	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	assert_int_equal(create(f, f->path), 0);
	assert_true(chardev_connected(fix->dev));
	assert_false(chardev_size(fix->dev, &cols, &rows));
	char_fixture_pattern(data, MEGABYTE);
	for (size_t at = 0; at < MEGABYTE; at += 4096)
		assert_int_equal(chardev_write(fix->dev, data + at, 4096), 4096);
	/* Without waiting for anything: what the guest said before a crash of ours is there. */
	fd = open(f->path, O_RDONLY);
	assert_int_equal(read(fd, got, MEGABYTE + 1), MEGABYTE);
	assert_memory_equal(got, data, MEGABYTE);
	close(fd);
	assert_int_equal(fix->tx_ready, 0);
	free(data);
	free(got);
}

static void test_fifo(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	int fd;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(create(f, f->path), -ENXIO);
	assert_non_null(strstr(fix->err.text, "no process has it open for reading"));
	assert_null(fix->dev);
	fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(create(f, f->path), 0);
	char_fixture_check_output(fix, fd, MEGABYTE, 3000);
	close(fd);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	assert_true(char_fixture_logged(fix, "/out: Broken pipe; output is lost"));
}

static void test_stopped_fifo_reader(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	uint8_t piece[1000] = {0}, rest[4096];
	int fd;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(create(f, f->path), 0);
	while (chardev_write(fix->dev, piece, sizeof(piece)) == sizeof(piece))
		;
	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS);
	assert_int_equal(fix->tx_ready, 1);
	assert_int_equal(chardev_write(fix->dev, piece, sizeof(piece)), sizeof(piece));
	assert_true(read(fd, rest, sizeof(rest)) > 0);
	char_fixture_settle(fix);
	assert_true(char_fixture_logged(fix, "/out was not read for too long: 1000 bytes"));
	close(fd);
}

static void write_bytes(struct char_fixture *fix, char byte, size_t len)
{
	uint8_t piece[100];

	memset(piece, byte, sizeof(piece));
	for (; len; len -= MIN(len, sizeof(piece)))
		assert_int_equal(chardev_write(fix->dev, piece, MIN(len, sizeof(piece))),
			MIN(len, sizeof(piece)));
}

/* A later reader reads on, and hears how much it has missed. */
static void test_another_fifo_reader(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	char got[8] = "";
	int fd;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(create(f, f->path), 0);
	close(fd);
	write_bytes(fix, 'x', 1000);
	fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	write_bytes(fix, 'y', 1);
	assert_true(char_fixture_logged(fix, "/out: 1000 bytes of output were lost"));
	assert_int_equal(read(fd, got, sizeof(got)), 1);
	assert_string_equal(got, "y");
	close(fd);
}

/*
 * The file may not grow: as on a full disk, but anybody can have that. Then somebody cuts it, as
 * logrotate does: what follows stands at its beginning.
 */
static void test_full_and_cut(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;
	struct rlimit before, limit = {1000, RLIM_INFINITY};
	char got[64] = "";
	int fd;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit.rlim_max = before.rlim_max;
	assert_int_equal(create(f, f->path), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	write_bytes(fix, 'x', 1234);
	assert_int_equal(truncate(f->path, 0), 0);
	write_bytes(fix, 'y', 5);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_true(char_fixture_logged(fix, "/out: File too large; output is lost"));
	assert_true(char_fixture_logged(fix, "/out: 234 bytes of output were lost"));
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, got, sizeof(got)), 5);
	assert_string_equal(got, "yyyyy");
	close(fd);
}

static void test_devices(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;

	assert_int_equal(create(f, "/dev/full"), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	assert_true(char_fixture_logged(fix, "/dev/full: No space left on device"));
	chardev_attach(fix->dev, NULL, NULL);
	chardev_close(fix->dev);
	assert_true(char_fixture_logged(fix, "/dev/full: 3 bytes of output were lost"));
	fix->dev = NULL;
	assert_int_equal(create(f, "/dev/null"), 0);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	chardev_flush(fix->dev);
}

static void test_cannot_open(void **state)
{
	struct file_fixture *f = *state;
	struct char_fixture *fix = &f->base;

	assert_int_equal(create(f, "/nonexistent/file"), -ENOENT);
	assert_string_equal(fix->err.text, "/nonexistent/file: No such file or directory");
	assert_int_equal(create(f, f->dir), -EISDIR);
	assert_int_equal(create(f, ""), -ENOENT);
	assert_null(fix->dev);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_regular_file),
		TEST(test_fifo),
		TEST(test_stopped_fifo_reader),
		TEST(test_another_fifo_reader),
		TEST(test_full_and_cut),
		TEST(test_devices),
		TEST(test_cannot_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
