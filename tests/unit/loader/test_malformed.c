/* SPDX-License-Identifier: BSD-2-Clause */
/* Every file of the malformed set is refused within a second by one line that names it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "fakes/kernel_files.h"
#include "loader/loader.h"
#include "malformed_set.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"

struct fixture {
	char dir[64];
	struct fake_ram ram;
	char *cmdline;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/bantam-malformed-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	fake_ram_create(&f->ram, MALFORMED_MEMORY_MIB * MiB);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rmdir(f->dir);
	fake_ram_destroy(&f->ram);
	free(f);
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the program does with these paths. */
static int try_to_load(struct fixture *f, const struct malformed_paths *paths, const char *cmdline,
	struct error *err)
{
	struct image kernel, initrd = {.fd = -1};
	struct loader_result result;
	int rc = image_open(paths->kernel, &kernel, err);

	if (rc)
		return rc;
	if (paths->initrd[0])
		rc = image_open(paths->initrd, &initrd, err);
	if (!rc) {
		struct loader_config config = {.kernel = &kernel,
			.initrds = &initrd,
			.num_initrds = paths->initrd[0] ? 1 : 0,
			.cmdline = cmdline,
			.kaslr = true,
			.random = {1, 1}};

		rc = loader_load(f->ram.mem, &config, &result, err);
	}
	image_close(&initrd);
	image_close(&kernel);
	return rc;
}

static void check_message(const struct malformed_case *c, const struct malformed_paths *paths,
	int rc, const struct error *err)
{
	const char *culprit = paths->blame_initrd ? paths->initrd : paths->kernel;

	if (rc >= 0)
		fail_msg("%s was accepted", c->name);
	if (strchr(err->text, '\n') || !strstr(err->text, culprit) || !strstr(err->text, c->reason))
		fail_msg("%s: expected '%s', got: %s", c->name, c->reason, err->text);
	if (strlen(err->text) >= sizeof(err->text) - 1)
		fail_msg("%s: the message is cut: %s", c->name, err->text);
}

static void test_each_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t count;
	const struct malformed_case *cases = malformed_cases(&count);

	assert_true(count >= 100);
	for (size_t i = 0; i < count; i++) {
		struct malformed_paths paths;
		struct error err = {{0}};
		char *cmdline = calloc(1, cases[i].cmdline_len + 1);
		double start;
		int rc;

		memset(cmdline, 'x', cases[i].cmdline_len);
		assert_int_equal(malformed_make(&cases[i], f->dir, &paths), 0);
		start = now();
		rc = try_to_load(f, &paths, cmdline, &err);
		if (now() - start >= 1)
			fail_msg("%s took %f s", cases[i].name, now() - start);
		check_message(&cases[i], &paths, rc, &err);
		if (getenv("VERBOSE"))
			printf("%-24s %s\n", cases[i].name, err.text);
		malformed_remove(&paths);
		free(cmdline);
	}
	printf("%zu malformed files\n", count);
}

static void test_names_are_unique(void **state)
{
	size_t count;
	const struct malformed_case *cases = malformed_cases(&count);

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(cases[i].name, cases[j].name);
}

/* The undamaged ones load: what the set shows is the damage. */
static void test_sound_ones_load(void **state)
{
	static void (*const makers[])(struct kernel_file *) = {
		make_bzimage, make_packed, make_elf64, make_elf32};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		static const uint8_t bytes[4096];
		struct image kernel, initrd;
		struct kernel_file file;
		struct loader_result result;
		struct error err = {{0}};
		struct loader_config config = {.kernel = &kernel,
			.initrds = &initrd,
			.num_initrds = 1,
			.cmdline = "a b",
			.kaslr = true};

		makers[i](&file);
		image_from_memory("kernel", file.bytes, file.size, &kernel);
		image_from_memory("initrd", bytes, sizeof(bytes), &initrd);
		if (loader_load(f->ram.mem, &config, &result, &err))
			fail_msg("%zu: %s", i, err.text);
	}
}

/* A file that is cut between opening and loading is an error, at whatever byte. */
static void test_cut_while_loading(void **state)
{
	static const off_t cuts[] = {0, 511, 600, BZ_CODE_OFFSET, BZ_CODE_OFFSET + 100};
	struct fixture *f = *state;
	const struct malformed_case sound = {
		.name = "sound", .base = FROM_BZIMAGE, .size = SIZE_AS_IS};

	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		struct malformed_paths paths;
		struct image kernel;
		struct loader_result result;
		struct error err = {{0}};
		struct loader_config config = {.kernel = &kernel, .cmdline = ""};

		assert_int_equal(malformed_make(&sound, f->dir, &paths), 0);
		assert_int_equal(image_open(paths.kernel, &kernel, &err), 0);
		assert_int_equal(truncate(paths.kernel, cuts[i]), 0);
		assert_int_equal(loader_load(f->ram.mem, &config, &result, &err), -EIO);
		assert_non_null(strstr(err.text, "cut short"));
		assert_non_null(strstr(err.text, paths.kernel));
		image_close(&kernel);
		malformed_remove(&paths);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_is_refused, setup, teardown),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test_setup_teardown(test_sound_ones_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_while_loading, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
