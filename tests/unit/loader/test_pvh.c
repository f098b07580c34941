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
#include "loader/image/bytes.h"
#include "loader/pvh.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static const uint8_t *write_page(struct fake_ram *ram, const struct boot_info *info)
{
	struct e820_map map;

	memset(fake_ram_at(ram, LAYOUT_PVH_START_INFO, 4096), 0xee, 4096);
	assert_int_equal(e820_build(ram->mem, &map), 0);
	assert_int_equal(pvh_write(ram->mem, info, &map), 0);
	return fake_ram_at(ram, LAYOUT_PVH_START_INFO, 4096);
}

static void check_memmap(const struct fake_ram *ram, uint64_t gpa, uint32_t count)
{
	struct e820_map map;

	assert_int_equal(e820_build(ram->mem, &map), 0);
	assert_int_equal(count, map.count);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = fake_ram_at(ram, gpa + i * 24, 24);

		assert_int_equal(get_le64(p), map.entries[i].addr);
		assert_int_equal(get_le64(p + 8), map.entries[i].size);
		assert_int_equal(get_le32(p + 16), map.entries[i].type);
		assert_int_equal(get_le32(p + 20), 0);
	}
}

static void test_with_initrd(void **state)
{
	const struct boot_info info = {.cmdline_gpa = 0x20000,
		.initrd_gpa = 0x3000000,
		.initrd_size = 12345,
		.rsdp_gpa = 0xe0000};
	struct fake_ram ram;
	const uint8_t *p, *module;

	(void)state;
	fake_ram_create(&ram, 6 * GiB);
	p = write_page(&ram, &info);
	assert_int_equal(get_le32(p), 0x336ec578);
	assert_int_equal(get_le32(p + 4), 1);
	assert_int_equal(get_le32(p + 8), 0);
	assert_int_equal(get_le32(p + 12), 1);
	module = fake_ram_at(&ram, get_le64(p + 16), 32);
	assert_int_equal(get_le64(module), 0x3000000);
	assert_int_equal(get_le64(module + 8), 12345);
	assert_int_equal(get_le64(module + 16), 0);
	assert_int_equal(get_le64(module + 24), 0);
	assert_int_equal(get_le64(p + 24), 0x20000);
	assert_int_equal(get_le64(p + 32), 0xe0000);
	assert_int_equal(get_le32(p + 52), 0);
	check_memmap(&ram, get_le64(p + 40), get_le32(p + 48));
	fake_ram_destroy(&ram);
}

static void test_without_initrd(void **state)
{
	const struct boot_info info = {.cmdline_gpa = 0x20000};
	struct fake_ram ram;
	const uint8_t *p;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	p = write_page(&ram, &info);
	assert_int_equal(get_le32(p + 12), 0);
	assert_int_equal(get_le64(p + 16), 0);
	assert_int_equal(get_le64(p + 32), 0);
	check_memmap(&ram, get_le64(p + 40), get_le32(p + 48));
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_initrd),
		cmocka_unit_test(test_without_initrd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
