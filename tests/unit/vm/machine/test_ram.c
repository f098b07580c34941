/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"
#include "vm/machine/ram.h"

static void layouts(void **state)
{
	static const struct {
		uint64_t size;
		unsigned int n;
		struct ram_range ranges[RAM_MAX_RANGES];
	} rows[] = {
		{MiB, 1, {{0, MiB}}},
		{3 * GiB, 1, {{0, 3 * GiB}}},
		{3 * GiB + 4096, 2, {{0, 3 * GiB}, {4 * GiB, 4096}}},
		{6 * GiB, 2, {{0, 3 * GiB}, {4 * GiB, 3 * GiB}}},
		{255 * GiB, 2, {{0, 3 * GiB}, {4 * GiB, 252 * GiB}}},
		{300 * GiB, 3, {{0, 3 * GiB}, {4 * GiB, 252 * GiB}, {LAYOUT_MMIO64_END, 45 * GiB}}},
	};
	struct ram_range ranges[RAM_MAX_RANGES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ram_layout(rows[i].size, ranges), rows[i].n);
		for (unsigned int j = 0; j < rows[i].n; j++) {
			assert_true(ranges[j].gpa == rows[i].ranges[j].gpa);
			assert_true(ranges[j].size == rows[i].ranges[j].size);
		}
	}
}

/* Aligned for huge pages at both ends of the hole, all of it usable. */
static void memory_is_there(void **state)
{
	struct guest_mem *mem;
	struct error err = {""};
	struct ram *ram;
	size_t count;

	(void)state;
	assert_int_equal(guest_mem_create(&mem), 0);
	assert_int_equal(ram_create(4 * GiB, false, MADV_DONTDUMP, mem, &ram, &err), 0);
	assert_int_equal((uintptr_t)guest_mem_regions(mem, &count)->hva % (2 * MiB), 0);
	assert_int_equal(count, 2);
	assert_int_equal(guest_mem_write(mem, 3 * GiB - 1, "x", 1), 0);
	assert_int_equal(guest_mem_write(mem, 5 * GiB - 1, "x", 1), 0);
	assert_null(guest_mem_ptr(mem, 3 * GiB, 1));
	assert_null(guest_mem_ptr(mem, 5 * GiB, 1));
	ram_destroy(ram);
	guest_mem_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts),
		cmocka_unit_test(memory_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
