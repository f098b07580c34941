/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "loader/boot/e820.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

#define CONVENTIONAL                                                                               \
	{0, 0x9fc00, E820_RAM},                                                                    \
	{                                                                                          \
		0x9fc00, 0x400, E820_RESERVED                                                      \
	}
#define ACPI                                                                                       \
	{                                                                                          \
		0xe0000, 0x20000, E820_RESERVED                                                    \
	}
#define HOLE                                                                                       \
	{0xe0000000, 0x100000, E820_RESERVED},                                                     \
	{                                                                                          \
		0xfffbc000, 0x4000, E820_RESERVED                                                  \
	}

static const struct {
	uint64_t memory;
	unsigned int count;
	struct e820_entry expected[9];
} table[] = {
	{16 * MiB, 6, {CONVENTIONAL, ACPI, {MiB, 15 * MiB, E820_RAM}, HOLE}},
	{128 * MiB, 6, {CONVENTIONAL, ACPI, {MiB, 127 * MiB, E820_RAM}, HOLE}},
	{3 * GiB - 4 * KiB, 6,
		{CONVENTIONAL, ACPI, {MiB, 3 * GiB - 4 * KiB - MiB, E820_RAM}, HOLE}},
	{3 * GiB, 6, {CONVENTIONAL, ACPI, {MiB, 3 * GiB - MiB, E820_RAM}, HOLE}},
	{3 * GiB + 512 * MiB, 7,
		{CONVENTIONAL, ACPI, {MiB, 3 * GiB - MiB, E820_RAM}, HOLE,
			{4 * GiB, 512 * MiB, E820_RAM}}},
	{6 * GiB, 7,
		{CONVENTIONAL, ACPI, {MiB, 3 * GiB - MiB, E820_RAM}, HOLE,
			{4 * GiB, 3 * GiB, E820_RAM}}},
	{300 * GiB, 8,
		{CONVENTIONAL, ACPI, {MiB, 3 * GiB - MiB, E820_RAM}, HOLE,
			{4 * GiB, 252 * GiB, E820_RAM}, {320 * GiB, 45 * GiB, E820_RAM}}},
};

static void test_memories(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct fake_ram ram;
		struct e820_map map;

		fake_ram_create(&ram, table[i].memory);
		assert_int_equal(e820_build(ram.mem, &map), 0);
		assert_int_equal(map.count, table[i].count);
		for (unsigned int k = 0; k < map.count; k++) {
			assert_int_equal(map.entries[k].addr, table[i].expected[k].addr);
			assert_int_equal(map.entries[k].size, table[i].expected[k].size);
			assert_int_equal(map.entries[k].type, table[i].expected[k].type);
		}
		fake_ram_destroy(&ram);
	}
}

/* Regions that touch become one entry; as many pieces as guest memory takes fit. */
static void test_pieces(void **state)
{
	static uint8_t dummy;
	struct guest_mem *mem;
	struct e820_map map;

	(void)state;
	assert_int_equal(guest_mem_create(&mem), 0);
	assert_int_equal(guest_mem_add(mem, 0, MiB, &dummy), 0);
	assert_int_equal(guest_mem_add(mem, MiB, MiB, &dummy), 0);
	assert_int_equal(guest_mem_add(mem, 2 * MiB, MiB, &dummy), 0);
	assert_int_equal(e820_build(mem, &map), 0);
	assert_int_equal(map.count, 6);
	assert_int_equal(map.entries[3].addr, MiB);
	assert_int_equal(map.entries[3].size, 2 * MiB);
	for (uint64_t gpa = 4 * MiB; guest_mem_add(mem, gpa, MiB, &dummy) == 0; gpa += 2 * MiB)
		;
	assert_int_equal(e820_build(mem, &map), 0);
	for (unsigned int i = 1; i < map.count; i++)
		assert_true(
			map.entries[i - 1].addr + map.entries[i - 1].size <= map.entries[i].addr);
	guest_mem_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memories),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
