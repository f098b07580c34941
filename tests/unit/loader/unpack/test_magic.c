/* SPDX-License-Identifier: BSD-2-Clause */
/* What a unified kernel image is told by: a section table that may be anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/image/image.h"
#include "loader/unpack/magic.h"
#include "vm/core/base.h"

enum { PE = 0x80, OPTIONAL = 0x70, SECTIONS = PE + 24 + OPTIONAL, COUNT = 5, SIZE = 0x400 };

static void make(uint8_t bytes[SIZE])
{
	static const char names[COUNT][8] = {".text", ".osrel", ".cmdline", ".linux", ".initrd"};

	memset(bytes, 0, SIZE);
	memcpy(bytes, "MZ", 2);
	bytes[0x3c] = PE;
	memcpy(bytes + PE, "PE\0\0", 4);
	bytes[PE + 6] = COUNT;
	bytes[PE + 20] = OPTIONAL;
	for (size_t i = 0; i < COUNT; i++)
		memcpy(bytes + SECTIONS + 40 * i, names[i], 8);
}

/* In a buffer of exactly that size, so that a byte too many is seen. */
static bool is_uki(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);
	struct image image;
	bool is;

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	image_from_memory("uki", copy, size, &image);
	is = strstr(magic_describe(&image), "(UKI)");
	free(copy);
	return is;
}

static void found(void **state)
{
	uint8_t bytes[SIZE];

	(void)state;
	make(bytes);
	assert_true(is_uki(bytes, SIZE));
	for (size_t size = 1; size < SIZE; size++)
		assert_int_equal(is_uki(bytes, size), size >= SECTIONS + 40 * 3 + 8);
	bytes[PE + 6] = 3;
	assert_false(is_uki(bytes, SIZE));
	make(bytes);
	bytes[SECTIONS + 40 * 3 + 6] = 'x';
	assert_false(is_uki(bytes, SIZE));
	make(bytes);
	bytes[PE] = 'p';
	assert_false(is_uki(bytes, SIZE));
}

static void hostile(void **state)
{
	static const size_t fields[] = {0x3c, 0x3d, 0x3e, 0x3f, PE + 6, PE + 7, PE + 20, PE + 21};
	uint8_t bytes[SIZE];

	(void)state;
	for (unsigned int mask = 0; mask < 1u << ARRAY_SIZE(fields); mask++) {
		make(bytes);
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			if (mask & 1u << i)
				bytes[fields[i]] = 0xff;
		is_uki(bytes, SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
