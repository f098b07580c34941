/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/fit/fit.h"
#include "loader/fit/fit_write.h"
#include "vm/core/error.h"

static void write_good(
	const struct fit_write_config *configs, size_t count, void **bytes, size_t *size)
{
	struct error err = {""};

	if (fit_write(configs, count, 1234, bytes, size, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fdt_check_full(*bytes, *size), 0);
	assert_int_equal(fdt_totalsize(*bytes), *size);
}

static int children(const void *fdt, const char *path)
{
	int node, count = 0;

	fdt_for_each_subnode(node, fdt, fdt_path_offset(fdt, path)) count++;
	return count;
}

static void assert_string(const void *fdt, const char *path, const char *name, const char *value)
{
	const char *found = fdt_getprop(fdt, fdt_path_offset(fdt, path), name, NULL);

	if (!found)
		fail_msg("%s has no %s", path, name);
	assert_string_equal(found, value);
}

/* What U-Boot's documentation calls mandatory. */
static void mandatory_properties(void **state)
{
	static const char *const images[] = {"/images/kernel-1", "/images/ramdisk-1"};
	static const char *const properties[] = {
		"description", "data", "type", "arch", "os", "compression"};
	struct image kernel, ramdisk;
	const struct fit_write_config config = {.name = "only",
		.kernel = &kernel,
		.initrds = &ramdisk,
		.num_initrds = 1,
		.cmdline = "quiet"};
	void *fdt;
	size_t size;

	(void)state;
	image_from_memory("kernel", "kernel", 6, &kernel);
	image_from_memory("ramdisk", "ramdisk", 7, &ramdisk);
	write_good(&config, 1, &fdt, &size);
	assert_non_null(fdt_getprop(fdt, 0, "description", NULL));
	assert_non_null(fdt_getprop(fdt, 0, "#address-cells", NULL));
	assert_int_equal(fdt32_ld(fdt_getprop(fdt, 0, "timestamp", NULL)), 1234);
	for (size_t i = 0; i < ARRAY_SIZE(images); i++)
		for (size_t p = 0; p < ARRAY_SIZE(properties); p++)
			assert_non_null(fdt_getprop(
				fdt, fdt_path_offset(fdt, images[i]), properties[p], NULL));
	assert_string(fdt, "/images/kernel-1/hash-1", "algo", "sha256");
	assert_string(fdt, "/configurations", "default", "only");
	assert_string(fdt, "/configurations/only", "kernel", "kernel-1");
	assert_string(fdt, "/configurations/only", "ramdisk", "ramdisk-1");
	assert_string(fdt, "/configurations/only", "bootargs", "quiet");
	free(fdt);
}

/* One of each although three configurations use them, and none where none is used. */
static void shared_images(void **state)
{
	struct image kernel, other, ramdisks[2];
	const struct fit_write_config configs[] = {
		{.name = "a",
			.kernel = &kernel,
			.initrds = ramdisks,
			.num_initrds = 2,
			.cmdline = ""},
		{.name = "b",
			.kernel = &kernel,
			.initrds = ramdisks,
			.num_initrds = 2,
			.cmdline = "b"},
		{.name = "c", .kernel = &other, .cmdline = ""},
	};
	void *fdt;
	size_t size;

	(void)state;
	image_from_memory("kernel", "kernel", 6, &kernel);
	image_from_memory("other", "other", 5, &other);
	image_from_memory("r", "first", 5, &ramdisks[0]);
	image_from_memory("s", "second", 6, &ramdisks[1]);
	write_good(configs, ARRAY_SIZE(configs), &fdt, &size);
	assert_int_equal(children(fdt, "/images"), 3);
	assert_int_equal(children(fdt, "/configurations"), 3);
	assert_string(fdt, "/configurations", "default", "a");
	assert_string(fdt, "/configurations/b", "kernel", "kernel-1");
	assert_string(fdt, "/configurations/b", "ramdisk", "ramdisk-1");
	assert_string(fdt, "/configurations/c", "kernel", "kernel-3");
	assert_null(fdt_getprop(fdt, fdt_path_offset(fdt, "/configurations/c"), "ramdisk", NULL));
	assert_null(fdt_getprop(fdt, fdt_path_offset(fdt, "/configurations/c"), "bootargs", NULL));
	free(fdt);
}

/* Behind each other, all but the last padded to 4 bytes, as `bantam run` loads them. */
static void padded_ramdisks(void **state)
{
	struct image kernel, ramdisks[3], file;
	const struct fit_write_config config = {.name = "a",
		.kernel = &kernel,
		.initrds = ramdisks,
		.num_initrds = 3,
		.cmdline = ""};
	struct fit *fit;
	void *fdt;
	size_t size;

	(void)state;
	image_from_memory("kernel", "kernel", 6, &kernel);
	image_from_memory("r", "first", 5, &ramdisks[0]);
	image_from_memory("s", "four", 4, &ramdisks[1]);
	image_from_memory("t", "end", 3, &ramdisks[2]);
	write_good(&config, 1, &fdt, &size);
	image_from_memory("fit", fdt, size, &file);
	assert_int_equal(fit_open(&file, NULL, &fit, NULL), 0);
	assert_int_equal(fit_boot(fit)->ramdisk.size, 15);
	assert_memory_equal(fit_boot(fit)->ramdisk.bytes, "first\0\0\0fourend", 15);
	fit_close(fit);
	free(fdt);
}

static void same_bytes(void **state)
{
	struct image kernel;
	const struct fit_write_config config = {.name = "a", .kernel = &kernel, .cmdline = "words"};
	void *one, *two;
	size_t size, size_two;

	(void)state;
	image_from_memory("kernel", "kernel", 6, &kernel);
	write_good(&config, 1, &one, &size);
	write_good(&config, 1, &two, &size_two);
	assert_int_equal(size, size_two);
	assert_memory_equal(one, two, size);
	free(one);
	free(two);
}

static void failures(void **state)
{
	struct image kernel, large;
	struct fit_write_config config = {.name = "a", .kernel = &kernel, .cmdline = ""};
	struct error err = {""};
	void *fdt = NULL;
	size_t size;

	(void)state;
	/* A file that cannot be read */
	kernel = (struct image){.name = "gone", .size = 4096, .fd = 9999};
	assert_int_equal(fit_write(&config, 1, 0, &fdt, &size, &err), -EBADF);
	assert_non_null(strstr(err.text, "gone"));
	/* More than fits, which is said before any of it is read */
	image_from_memory("kernel", "kernel", 6, &kernel);
	image_from_memory("large", NULL, GiB, &large);
	config.initrds = &large;
	config.num_initrds = 1;
	assert_int_equal(fit_write(&config, 1, 0, &fdt, &size, &err), -EFBIG);
	assert_null(fdt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mandatory_properties),
		cmocka_unit_test(shared_images),
		cmocka_unit_test(padded_ramdisks),
		cmocka_unit_test(same_bytes),
		cmocka_unit_test(failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
