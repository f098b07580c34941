/* SPDX-License-Identifier: BSD-2-Clause */
#include "fit_file.h"

#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/fit/fit_hash.h"
#include "loader/fit/fit_write.h"

void fit_file_make(struct fit_file *file)
{
	struct image kernel, ramdisk;
	const struct fit_write_config configs[] = {
		{.name = "one",
			.kernel = &kernel,
			.initrds = &ramdisk,
			.num_initrds = 1,
			.cmdline = FIT_WORDS},
		{.name = "two", .kernel = &kernel, .cmdline = ""},
	};
	size_t size;
	void *bytes;

	image_from_memory("kernel", FIT_KERNEL, strlen(FIT_KERNEL), &kernel);
	image_from_memory("ramdisk", FIT_RAMDISK, strlen(FIT_RAMDISK), &ramdisk);
	assert_int_equal(fit_write(configs, ARRAY_SIZE(configs), 1, &bytes, &size, NULL), 0);
	memset(file, 0, sizeof(*file));
	file->size = sizeof(file->bytes);
	assert_int_equal(fdt_open_into(bytes, file->bytes, FIT_FILE_MAX), 0);
	free(bytes);
}

int fit_file_node(struct fit_file *file, const char *path)
{
	int node = fdt_path_offset(file->bytes, path);

	if (node < 0)
		fail_msg("%s: no such node", path);
	return node;
}

void fit_file_set(struct fit_file *file, const char *path, const char *property, const void *value,
	size_t len)
{
	int node = fit_file_node(file, path);

	assert_int_equal(fdt_setprop(file->bytes, node, property, value, (int)len), 0);
}

void fit_file_set_string(
	struct fit_file *file, const char *path, const char *property, const char *value)
{
	fit_file_set(file, path, property, value, strlen(value) + 1);
}

void fit_file_set_cell(
	struct fit_file *file, const char *path, const char *property, uint32_t value)
{
	fdt32_t cell = cpu_to_fdt32(value);

	fit_file_set(file, path, property, &cell, sizeof(cell));
}

void fit_file_remove(struct fit_file *file, const char *path, const char *property)
{
	assert_int_equal(fdt_delprop(file->bytes, fit_file_node(file, path), property), 0);
}

void fit_file_remove_node(struct fit_file *file, const char *path)
{
	assert_int_equal(fdt_del_node(file->bytes, fit_file_node(file, path)), 0);
}

void fit_file_set_data(
	struct fit_file *file, const char *path, const void *data, size_t len, const char *algo)
{
	uint8_t hash[FIT_HASH_MAX];
	int hash_len = fit_hash(algo, data, len, hash, NULL);
	char hash_path[64];

	assert_true(hash_len > 0);
	snprintf(hash_path, sizeof(hash_path), "%s/hash-1", path);
	fit_file_set(file, path, "data", data, len);
	fit_file_set_string(file, hash_path, "algo", algo);
	fit_file_set(file, hash_path, "value", hash, (size_t)hash_len);
}

void fit_file_pack(struct fit_file *file)
{
	assert_int_equal(fdt_pack(file->bytes), 0);
	file->size = fdt_totalsize(file->bytes);
}

size_t fit_file_append(struct fit_file *file, const void *bytes, size_t len)
{
	size_t at = file->size;

	assert_true(len <= sizeof(file->bytes) - at);
	memcpy(file->bytes + at, bytes, len);
	file->size += len;
	return at;
}
