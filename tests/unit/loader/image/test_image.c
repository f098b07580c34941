/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/image/image.h"
#include "vm/core/error.h"

struct fixture {
	char dir[64];
	char path[128];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/bantam-image-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/file", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void test_reads_a_file(void **state)
{
	struct fixture *f = *state;
	struct image image;
	char got[8] = "";
	struct error err;

	write_bytes(f->path, "hello world", 11);
	assert_int_equal(image_open(f->path, &image, &err), 0);
	assert_int_equal(image.size, 11);
	assert_int_equal(fcntl(image.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(image_read(&image, 6, got, 5, &err), 0);
	assert_string_equal(got, "world");
	assert_int_equal(image_read(&image, 11, got, 0, &err), 0);
	assert_int_equal(image_read(&image, 7, got, 5, &err), -EINVAL);
	assert_int_equal(image_read(&image, UINT64_MAX, got, 2, &err), -EINVAL);
	assert_int_equal(image_read(&image, 0, got, UINT64_MAX, NULL), -EINVAL);
	image_close(&image);
	assert_int_equal(image.fd, -1);
	image_close(&image);
	image_close(NULL);
}

static void test_memory_is_the_same(void **state)
{
	struct image image;
	char got[8] = "";
	struct error err;

	(void)state;
	image_from_memory("mem", "hello world", 11, &image);
	assert_int_equal(image_read(&image, 6, got, 5, &err), 0);
	assert_string_equal(got, "world");
	assert_int_equal(image_read(&image, 7, got, 5, &err), -EINVAL);
	assert_non_null(strstr(err.text, "mem: "));
}

static void test_file_that_shrinks(void **state)
{
	struct fixture *f = *state;
	struct image image;
	char got[16];
	struct error err;

	write_bytes(f->path, "hello world", 11);
	assert_int_equal(image_open(f->path, &image, &err), 0);
	assert_int_equal(truncate(f->path, 4), 0);
	assert_int_equal(image_read(&image, 0, got, 11, &err), -EIO);
	assert_non_null(strstr(err.text, "cut short"));
	image_close(&image);
}

static void expect_refused(const char *path, int rc, const char *why)
{
	struct image image = {.fd = 77};
	struct error err;

	assert_int_equal(image_open(path, &image, &err), rc);
	if (!strstr(err.text, why) || !strstr(err.text, path))
		fail_msg("expected '%s', got: %s", why, err.text);
	assert_int_equal(image.fd, 77);
}

static void test_refused_kinds(void **state)
{
	struct fixture *f = *state;

	expect_refused(f->path, -ENOENT, "no such file");
	expect_refused(f->dir, -EISDIR, "directory");
	expect_refused("/dev/zero", -EINVAL, "device");
	assert_int_equal(mkfifo(f->path, 0600), 0);
	expect_refused(f->path, -EINVAL, "FIFO");
	assert_int_equal(unlink(f->path), 0);
	write_bytes(f->path, "", 0);
	expect_refused(f->path, -EINVAL, "empty");
	if (geteuid() != 0) {
		assert_int_equal(chmod(f->path, 0), 0);
		expect_refused(f->path, -EACCES, "permission denied");
	}
}

/* No descriptor is left behind by a refusal. */
static void test_no_leak(void **state)
{
	struct fixture *f = *state;
	struct image image;
	int before = dup(0);

	close(before);
	assert_int_equal(image_open(f->dir, &image, NULL), -EISDIR);
	assert_int_equal(image_open("/dev/zero", &image, NULL), -EINVAL);
	assert_int_equal(dup(0), before);
	close(before);
}

/* The reason survives a path of any length. */
static void test_long_name(void **state)
{
	char path[3000];
	struct image image;
	struct error err;

	(void)state;
	memset(path, 'x', sizeof(path));
	for (size_t i = 0; i < sizeof(path); i += 100)
		path[i] = '/';
	strcpy(path + sizeof(path) - 6, "/last");
	assert_int_equal(image_open(path, &image, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/last: no such file"));
	path[150] = '\n';
	path[sizeof(path) - 20] = '\n';
	assert_int_equal(image_open(path, &image, &err), -ENOENT);
	assert_null(strchr(err.text, '\n'));
}

/* Ranges before, behind, over and inside the holes: all of it but the holes is read. */
static void test_holes(void **state)
{
	enum { SIZE = 14 };
	static const struct image_hole holes[][IMAGE_HOLES] = {
		{{1, 1}, {4, 3}, {8, 1}, {9, 2}},
		{{0, 4}, {4, 3}, {7, 0}, {13, 1}},
		{{0, 0}, {0, 0}, {0, 0}, {4, 3}},
		{{0, 0}, {0, 0}, {3, 0}, {12, 2}},
		{{0, 0}, {0, 0}, {0, 0}, {0, 14}},
		{{0, 0}, {0, 0}, {0, 0}, {0, 0}},
	};
	static const char content[SIZE + 1] = "abcdefghijklmn";
	struct image image;

	(void)state;
	image_from_memory("kernel", content, SIZE, &image);
	for (size_t h = 0; h < ARRAY_SIZE(holes); h++) {
		memcpy(image.holes, holes[h], sizeof(image.holes));
		for (size_t off = 0; off <= SIZE; off++) {
			for (size_t len = 0; off + len <= SIZE; len++) {
				char got[SIZE] = {0};

				assert_int_equal(
					image_read_to_zeros(&image, off, got, len, NULL), 0);
				for (size_t i = 0; i < SIZE; i++) {
					bool hidden = false;

					for (size_t k = 0; k < IMAGE_HOLES; k++)
						hidden |=
							off + i - holes[h][k].off < holes[h][k].len;

					assert_int_equal(
						got[i], i < len && !hidden ? content[off + i] : 0);
				}
			}
		}
	}
	assert_int_equal(image_read_to_zeros(&image, SIZE, NULL, 1, NULL), -EINVAL);
	assert_int_equal(image_read_to_zeros(&image, UINT64_MAX, NULL, 2, NULL), -EINVAL);
}

/* Short pieces of a file, near to each other and far, at its end, and a long one in between. */
static void test_short_pieces(void **state)
{
	enum { SIZE = 20000 };
	static const struct {
		uint64_t off, len;
	} pieces[] = {{0, 4}, {0, 1024}, {3000, 1000}, {3500, 600}, {3499, 1}, {0, 5000}, {4595, 1},
		{4596, 1}, {SIZE - 1, 1}, {SIZE - 1000, 1000}, {SIZE - 3000, 1024}, {100, 0}};
	struct fixture *f = *state;
	char *bytes = malloc(SIZE), got[5000];
	struct image image;

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 7 + (i >> 8));
	write_bytes(f->path, bytes, SIZE);
	assert_int_equal(image_open(f->path, &image, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		memset(got, 0, sizeof(got));
		assert_int_equal(image_read(&image, pieces[i].off, got, pieces[i].len, NULL), 0);
		assert_memory_equal(got, bytes + pieces[i].off, pieces[i].len);
	}
	assert_int_equal(image_read(&image, SIZE - 3, got, 4, NULL), -EINVAL);
	image_close(&image);
	free(bytes);
}

/* What was read once is not asked for again, until it is to be forgotten. */
static void test_forget(void **state)
{
	struct fixture *f = *state;
	struct image image;
	char got[4];

	write_bytes(f->path, "before", 6);
	assert_int_equal(image_open(f->path, &image, NULL), 0);
	assert_int_equal(image_read(&image, 0, got, 3, NULL), 0);
	write_bytes(f->path, "afterw", 6);
	assert_int_equal(image_read(&image, 2, got, 4, NULL), 0);
	assert_memory_equal(got, "fore", 4);
	image_forget(&image);
	assert_int_equal(image_read(&image, 2, got, 4, NULL), 0);
	assert_memory_equal(got, "terw", 4);
	image_close(&image);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;
	struct image_identity first, later;
	struct image image;
	struct stat st;

	write_bytes(f->path, "before", 6);
	assert_int_equal(image_open(f->path, &image, NULL), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(image_identify(&image, &first), 0);
	assert_int_equal(first.ino, st.st_ino);
	assert_int_equal(first.size, 6);
	assert_int_equal(first.ctime.tv_nsec, st.st_ctim.tv_nsec);
	assert_true(image_is_still(&image, &first));
	write_bytes(f->path, "behind it", 9);
	assert_false(image_is_still(&image, &first));
	/* As it was opened */
	assert_int_equal(image_identify(&image, &later), 0);
	assert_int_equal(later.size, 6);
	image_forget(&image);
	assert_int_equal(image_identify(&image, &later), 0);
	assert_int_equal(later.size, 9);
	assert_true(image_is_still(&image, &later));
	image_close(&image);
	image_from_memory("kernel", "x", 1, &image);
	assert_int_equal(image_identify(&image, &later), -ENOENT);
	assert_false(image_is_still(&image, &later));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reads_a_file, setup, teardown),
		cmocka_unit_test(test_memory_is_the_same),
		cmocka_unit_test_setup_teardown(test_file_that_shrinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_leak, setup, teardown),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_holes),
		cmocka_unit_test_setup_teardown(test_short_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
