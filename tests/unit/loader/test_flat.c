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
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static const struct {
	uint64_t memory, gpa, size;
	enum entry_mode mode;
	int rc;
	uint16_t segment;
	uint64_t rip, rsp;
} table[] = {
	/* Real mode: segment 0 below 64 KiB, gpa >> 4 above */
	{MiB, 0x1000, 16, ENTRY_REAL, 0, 0, 0x1000, 0x7c00},
	{MiB, 0x7c00, 512, ENTRY_REAL, 0, 0, 0x7c00, 0x7c00},
	{MiB, 0x1001, 16, ENTRY_REAL, 0, 0, 0x1001, 0x7c00},
	{MiB, 0xffff, 1, ENTRY_REAL, 0, 0, 0xffff, 0x7c00},
	{MiB, 0x10000, 16, ENTRY_REAL, 0, 0x1000, 0, 0x7c00},
	{MiB, 0xf0000, 0x10000, ENTRY_REAL, 0, 0xf000, 0, 0},
	{MiB, 0x10008, 16, ENTRY_REAL, -EINVAL, 0, 0, 0},
	{4 * MiB, MiB, 16, ENTRY_REAL, -EINVAL, 0, 0, 0},
	/* The usual stack is covered: the next place down from the top */
	{MiB, 0x1000, 0x8000, ENTRY_REAL, 0, 0, 0x1000, 0xfff0},
	{MiB, 0x7000, 0x9000, ENTRY_REAL, 0, 0, 0x7000, 0x6ff0},
	/* The guest of every tutorial: one page */
	{0x2000, 0x1000, 12, ENTRY_REAL, 0, 0, 0x1000, 0x1ff0},
	{0x1000, 0, 0x1000, ENTRY_REAL, 0, 0, 0, 0},
	/* Protected mode */
	{MiB, 0x1000, 16, ENTRY_PROTECTED, 0, 0, 0x1000, LAYOUT_BOOT_STACK},
	{MiB, 0x9000, 0x6000, ENTRY_PROTECTED, 0, 0, 0x9000, LAYOUT_BOOT_STACK},
	{MiB, 0x520, 16, ENTRY_PROTECTED, 0, 0, 0x520, LAYOUT_BOOT_STACK},
	{MiB, 0x51f, 16, ENTRY_PROTECTED, -EINVAL, 0, 0, 0},
	{MiB, 0, 0x501, ENTRY_PROTECTED, -EINVAL, 0, 0, 0},
	{MiB, 0x7c00, 0x800, ENTRY_PROTECTED, -EINVAL, 0, 0, 0}, /* the stack */
	{6 * GiB, 4 * GiB, 16, ENTRY_PROTECTED, -EINVAL, 0, 0, 0},
	/* Long mode */
	{MiB, 0x1000, 16, ENTRY_LONG, 0, 0, 0x1000, LAYOUT_BOOT_STACK},
	{64 * MiB, 32 * MiB, 4096, ENTRY_LONG, 0, 0, 32 * MiB, LAYOUT_BOOT_STACK},
	{MiB, 0xf000, 16, ENTRY_LONG, 0, 0, 0xf000, LAYOUT_BOOT_STACK},
	{MiB, 0xefff, 16, ENTRY_LONG, -EINVAL, 0, 0, 0},
	{MiB, 0x9000, 16, ENTRY_LONG, -EINVAL, 0, 0, 0},
	{0x8000, 0x1000, 16, ENTRY_LONG, -EFAULT, 0, 0, 0}, /* no room for the tables */
	{6 * GiB, 4 * GiB, 16, ENTRY_LONG, -EINVAL, 0, 0, 0},
	/* Outside RAM */
	{MiB, MiB, 16, ENTRY_LONG, -ENOSPC, 0, 0, 0},
	{MiB, MiB - 8, 16, ENTRY_LONG, -ENOSPC, 0, 0, 0},
	{MiB, MiB - 8, 16, ENTRY_REAL, -ENOSPC, 0, 0, 0},
	{MiB, UINT64_MAX, 16, ENTRY_REAL, -ENOSPC, 0, 0, 0},
	{MiB, UINT64_MAX - 7, 16, ENTRY_LONG, -ENOSPC, 0, 0, 0},
	{MiB, 0x1000, 0, ENTRY_REAL, -EINVAL, 0, 0, 0},
};

static void check_row(size_t i, const uint8_t *bytes)
{
	const struct entry_state untouched = {.rip = 0x1234567};
	struct entry_state entry = untouched;
	struct error err = {{0}};
	struct fake_ram ram;
	struct image image;
	int rc;

	fake_ram_create(&ram, table[i].memory);
	image_from_memory("code.bin", bytes, table[i].size, &image);
	rc = loader_load_flat(ram.mem, &image, table[i].gpa, table[i].mode, &entry, &err);
	if (rc != table[i].rc)
		fail_msg("row %zu: %d %s", i, rc, err.text);
	if (rc) {
		assert_non_null(strstr(err.text, "code.bin: "));
		assert_memory_equal(&entry, &untouched, sizeof(entry));
	} else {
		assert_int_equal(entry.mode, table[i].mode);
		assert_int_equal(entry.real_segment, table[i].segment);
		assert_int_equal(entry.rip, table[i].rip);
		if (entry.rsp != table[i].rsp)
			fail_msg("row %zu: rsp 0x%llx", i, (unsigned long long)entry.rsp);
		assert_int_equal(entry.cr3, entry.mode == ENTRY_LONG ? LAYOUT_PAGE_TABLES : 0);
		assert_int_equal(entry.gdt_gpa, entry.mode == ENTRY_REAL ? 0 : LAYOUT_BOOT_GDT);
		assert_memory_equal(
			fake_ram_at(&ram, table[i].gpa, table[i].size), bytes, table[i].size);
	}
	fake_ram_destroy(&ram);
}

static void test_table(void **state)
{
	uint8_t *bytes = malloc(0x10000);

	(void)state;
	for (size_t i = 0; i < 0x10000; i++)
		bytes[i] = (uint8_t)(i * 3 + 1);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		check_row(i, bytes);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
