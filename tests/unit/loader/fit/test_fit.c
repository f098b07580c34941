/* SPDX-License-Identifier: BSD-2-Clause */
/* What a FIT image gives, and what is refused of one. */
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fit_file.h"
#include "loader/fit/fit.h"
#include "vm/core/error.h"

#define KERNEL	"/images/kernel-1"
#define RAMDISK "/images/ramdisk-1"
#define CONFIG	"/configurations/one"

/* The bytes lie in memory of exactly their size, so that the sanitizer sees every step too far. */
static int open_bytes(
	const uint8_t *bytes, size_t size, const char *config, struct fit **fit, struct error *err)
{
	uint8_t *exact = malloc(size ? size : 1);
	struct image image;
	int rc;

	memcpy(exact, bytes, size);
	image_from_memory("app.itb", exact, size, &image);
	rc = fit_open(&image, config, fit, err);
	free(exact);
	return rc;
}

static void assert_bytes(const struct image *image, const char *text)
{
	assert_int_equal(image->size, strlen(text));
	assert_memory_equal(image->bytes, text, image->size);
}

static struct fit *open_good(const struct fit_file *file, const char *config)
{
	struct error err = {""};
	struct fit *fit = NULL;

	if (open_bytes(file->bytes, file->size, config, &fit, &err))
		fail_msg("%s", err.text);
	return fit;
}

static void assert_refused(
	const struct fit_file *file, const char *config, int code, const char *part)
{
	struct error err = {""};
	struct fit *fit = NULL;
	int rc = open_bytes(file->bytes, file->size, config, &fit, &err);

	if (rc != code || strncmp(err.text, "app.itb: ", 9) || !strstr(err.text, part))
		fail_msg("%d '%s' instead of %d '%s'", rc, err.text, code, part);
	assert_null(fit);
}

/* ---- configurations ---- */

static void default_configuration(void **state)
{
	struct fit_file file;
	struct fit *fit;

	(void)state;
	fit_file_make(&file);
	fit = open_good(&file, NULL);
	assert_string_equal(fit_boot(fit)->config, "one");
	assert_bytes(&fit_boot(fit)->kernel, FIT_KERNEL);
	assert_bytes(&fit_boot(fit)->ramdisk, FIT_RAMDISK);
	assert_string_equal(fit_boot(fit)->cmdline, FIT_WORDS);
	assert_null(fit_boot(fit)->unhashed);
	fit_close(fit);
	fit_close(NULL);
}

static void chosen_configuration(void **state)
{
	struct fit_file file;
	struct fit *fit;

	(void)state;
	fit_file_make(&file);
	fit = open_good(&file, "two");
	assert_string_equal(fit_boot(fit)->config, "two");
	assert_bytes(&fit_boot(fit)->kernel, FIT_KERNEL);
	assert_int_equal(fit_boot(fit)->ramdisk.size, 0);
	assert_string_equal(fit_boot(fit)->cmdline, "");
	fit_close(fit);
	assert_refused(&file, "three", -ENOENT, "no configuration 'three', but: one, two");
}

static void no_default(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	fit_file_remove(&file, "/configurations", "default");
	assert_refused(&file, NULL, -ENOENT, "--fit-config: one, two");
	fit_close(open_good(&file, "one"));
	fit_file_set_string(&file, "/configurations", "default", "three");
	assert_refused(&file, NULL, -ENOENT, "'three', but: one, two");
}

/* A list that is longer than the message is cut, between two names. */
static void many_configurations(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	for (int i = 0; i < 60; i++) {
		char name[32];

		snprintf(name, sizeof(name), "configuration-%d", i);
		assert_true(fdt_add_subnode(
				    file.bytes, fit_file_node(&file, "/configurations"), name) > 0);
	}
	assert_refused(&file, "none", -ENOENT, "but: configuration-");
}

static void detection(void **state)
{
	struct fit_file file;
	struct image image;

	(void)state;
	fit_file_make(&file);
	for (size_t size = 0; size < 8; size++) {
		image_from_memory("x", file.bytes, size, &image);
		assert_int_equal(fit_detect(&image), size >= 4);
	}
	file.bytes[0] ^= 1;
	assert_false(fit_detect(&image));
}

/* ---- what is wrong with one property ---- */

#define TEXT(s)	  s, sizeof(s)
#define NOT_THERE NULL, 0

static const struct {
	const char *path, *property, *value;
	size_t len;
	int code;
	const char *part;
} bad_properties[] = {
	{CONFIG, "kernel", NOT_THERE, -EINVAL, "configuration 'one' names no kernel"},
	{CONFIG, "kernel", TEXT("kernel-9"), -EINVAL, "no image called 'kernel-9'"},
	{CONFIG, "kernel", TEXT("ramdisk-1"), -EINVAL, "type is 'ramdisk' instead of 'kernel'"},
	{CONFIG, "kernel", TEXT("a\0b"), -EINVAL, "kernel is not one string"},
	{CONFIG, "kernel", "x", 1, -EINVAL, "kernel is not one string"},
	{CONFIG, "kernel", "", 0, -EINVAL, "kernel is not one string"},
	{CONFIG, "ramdisk", TEXT("a\0b"), -EINVAL, "ramdisk is not one string"},
	{CONFIG, "ramdisk", TEXT("kernel-1"), -EINVAL, "instead of 'ramdisk'"},
	{CONFIG, "ramdisk", TEXT("nothing"), -EINVAL, "no image called 'nothing'"},
	{CONFIG, "bootargs", TEXT("a\0b"), -EINVAL, "bootargs is not one string"},
	{CONFIG, "fdt", TEXT("fdt-1"), -ENOTSUP, "device tree"},
	{CONFIG, "setup", TEXT("setup-1"), -ENOTSUP, "setup"},
	{CONFIG, "loadables", TEXT("x"), -ENOTSUP, "loadables"},
	{CONFIG, "firmware", TEXT("x"), -ENOTSUP, "firmware"},
	{CONFIG, "fpga", TEXT("x"), -ENOTSUP, "fpga"},
	{CONFIG, "script", TEXT("x"), -ENOTSUP, "script"},
	{KERNEL, "type", NOT_THERE, -EINVAL, "image 'kernel-1': its type is ''"},
	{KERNEL, "type", TEXT("firmware"), -EINVAL, "type is 'firmware'"},
	{KERNEL, "arch", TEXT("arm64"), -ENOTSUP, "for 'arm64'"},
	{KERNEL, "data", NOT_THERE, -EINVAL, "neither data nor data-size"},
	{KERNEL, "data", "", 0, -EINVAL, "data is empty"},
	{KERNEL, "data", TEXT("another kernel"), -EINVAL, "its sha256 hash does not match"},
	{KERNEL, "compression", TEXT("lz4"), -ENOTSUP, "compression 'lz4'"},
	{KERNEL, "compression", TEXT("gzip"), -EINVAL, "image 'kernel-1': the gzip data"},
	{RAMDISK, "data", TEXT("another"), -EINVAL, "image 'ramdisk-1': its sha256 hash"},
	{KERNEL "/hash-1", "algo", NOT_THERE, -EINVAL, "does not name its algorithm"},
	{KERNEL "/hash-1", "algo", TEXT("whirlpool"), -ENOTSUP, "'whirlpool'"},
	{KERNEL "/hash-1", "algo", TEXT("sha1"), -EINVAL, "sha1 hash does not match"},
	{KERNEL "/hash-1", "value", NOT_THERE, -EINVAL, "has no value"},
	{KERNEL "/hash-1", "value", "", 0, -EINVAL, "does not match"},
	{KERNEL "/hash-1", "value", TEXT("much too short"), -EINVAL, "does not match"},
};

static void properties(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_properties); i++) {
		struct fit_file file;

		fit_file_make(&file);
		if (bad_properties[i].value)
			fit_file_set(&file, bad_properties[i].path, bad_properties[i].property,
				bad_properties[i].value, bad_properties[i].len);
		else
			fit_file_remove(&file, bad_properties[i].path, bad_properties[i].property);
		assert_refused(&file, "one", bad_properties[i].code, bad_properties[i].part);
	}
}

static void allowed_properties(void **state)
{
	static const struct {
		const char *path, *property, *value;
	} good[] = {{KERNEL, "arch", "x86"}, {KERNEL, "type", "kernel"}, {KERNEL, "os", "other"},
		{RAMDISK, "compression", "gzip"} /* for Linux to unpack */};
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		fit_file_set_string(&file, good[i].path, good[i].property, good[i].value);
	fit_file_remove(&file, KERNEL, "arch");
	fit_file_remove(&file, KERNEL, "compression");
	fit_close(open_good(&file, NULL));
}

static void missing_nodes(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	fit_file_remove_node(&file, "/images");
	assert_refused(&file, NULL, -EINVAL, "no images");
	fit_file_remove_node(&file, "/configurations");
	assert_refused(&file, NULL, -EINVAL, "not a FIT image");
}

/* ---- hashes ---- */

static void no_hash(void **state)
{
	struct fit_file file;
	struct fit *fit;

	(void)state;
	fit_file_make(&file);
	fit_file_remove_node(&file, RAMDISK "/hash-1");
	fit = open_good(&file, NULL);
	assert_string_equal(fit_boot(fit)->unhashed, "ramdisk-1");
	fit_close(fit);
	fit_file_remove_node(&file, KERNEL "/hash-1");
	fit = open_good(&file, NULL);
	assert_string_equal(fit_boot(fit)->unhashed, "kernel-1");
	fit_close(fit);
}

static void every_hash(void **state)
{
	static const char *const algos[] = {"crc32", "md5", "sha1", "sha256", "sha384", "sha512"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(algos); i++) {
		struct fit_file file;

		fit_file_make(&file);
		fit_file_set_data(&file, KERNEL, "bytes", 5, algos[i]);
		fit_close(open_good(&file, NULL));
		fit_file_set(&file, KERNEL, "data", "bites", 5);
		assert_refused(&file, NULL, -EINVAL, algos[i]);
	}
}

/* Each one counts, and there are not without end. */
static void several_hashes(void **state)
{
	struct fit_file file;
	char name[64];

	(void)state;
	fit_file_make(&file);
	for (int i = 2; i <= 9; i++) {
		int node;

		snprintf(name, sizeof(name), "hash@%d", i);
		node = fdt_add_subnode(file.bytes, fit_file_node(&file, KERNEL), name);
		assert_true(node > 0);
		assert_int_equal(fdt_setprop_string(file.bytes, node, "algo", "crc32"), 0);
		assert_int_equal(fdt_setprop_u32(file.bytes, node, "value", 0x01020304), 0);
	}
	fit_file_set(&file, KERNEL, "data", "kernel", 6);
	assert_refused(&file, NULL, -EINVAL, "hash does not match");
	fit_file_set_data(&file, KERNEL, "kernel", 6, "sha256");
	assert_refused(&file, NULL, -EINVAL, "crc32 hash does not match");
	for (int i = 2; i <= 9; i++) {
		snprintf(name, sizeof(name), KERNEL "/hash@%d", i);
		fit_file_set_cell(&file, name, "value", 0x5dd29aab);
	}
	assert_refused(&file, NULL, -EINVAL, "more than 8 hashes");
	fit_file_remove_node(&file, KERNEL "/hash@5");
	fit_close(open_good(&file, NULL));
}

static void encrypted(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	assert_true(fdt_add_subnode(file.bytes, fit_file_node(&file, KERNEL), "cipher") > 0);
	assert_refused(&file, NULL, -ENOTSUP, "encrypted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_configuration),
		cmocka_unit_test(chosen_configuration),
		cmocka_unit_test(no_default),
		cmocka_unit_test(many_configurations),
		cmocka_unit_test(detection),
		cmocka_unit_test(properties),
		cmocka_unit_test(allowed_properties),
		cmocka_unit_test(missing_nodes),
		cmocka_unit_test(no_hash),
		cmocka_unit_test(every_hash),
		cmocka_unit_test(several_hashes),
		cmocka_unit_test(encrypted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
