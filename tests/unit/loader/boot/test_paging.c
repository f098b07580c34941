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
#include "loader/boot/gdt.h"
#include "loader/boot/paging.h"
#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

/* Walks the tables as a processor does (SDM vol. 3, 4.5.4). UINT64_MAX for a page fault. */
static uint64_t walk(const struct fake_ram *ram, uint64_t cr3, uint64_t va)
{
	uint64_t table = cr3;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t index = va >> shift & 511;
		uint64_t entry = get_le64(fake_ram_at(ram, table + index * 8, 8));
		uint64_t page = UINT64_C(1) << shift;

		if ((entry & 3) != 3)
			return UINT64_MAX;
		/* Nothing but present, writable and large may be set. */
		assert_int_equal(entry & 0xfff & ~UINT64_C(0x83), 0);
		assert_int_equal(entry >> 52, 0);
		if (shift <= 30 && (entry & 0x80)) {
			assert_int_equal(entry & (page - 1) & ~UINT64_C(0xfff), 0);
			return (entry & ~(page - 1)) | (va & (page - 1));
		}
		assert_int_equal(entry & 0x80, 0);
		table = entry & ~UINT64_C(0xfff);
	}
	return table | (va & 0xfff);
}

static void test_identity_map(void **state)
{
	static const uint64_t unmapped[] = {4 * GiB, 512 * GiB, UINT64_C(1) << 47,
		UINT64_C(0xffff800000000000), UINT64_C(0xffffffff80000000)};
	struct fake_ram ram;
	uint64_t cr3;

	(void)state;
	fake_ram_create(&ram, MiB);
	/* Memory in use before a restart */
	memset(fake_ram_at(&ram, 0, MiB), 0xff, MiB);
	assert_int_equal(paging_build(ram.mem, &cr3), 0);
	assert_int_equal(cr3, LAYOUT_PAGE_TABLES);
	for (uint64_t va = 0; va < 4 * GiB; va += 2 * MiB) {
		assert_int_equal(walk(&ram, cr3, va), va);
		assert_int_equal(walk(&ram, cr3, va + 2 * MiB - 1), va + 2 * MiB - 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unmapped); i++)
		assert_int_equal(walk(&ram, cr3, unmapped[i]), UINT64_MAX);
	assert_int_equal(fake_ram_at(&ram, LAYOUT_PAGE_TABLES - 1, 1)[0], 0xff);
	assert_int_equal(fake_ram_at(&ram, LAYOUT_PAGE_TABLES + 0x6000, 1)[0], 0xff);
	fake_ram_destroy(&ram);
}

/* A descriptor taken apart (SDM vol. 3, 3.4.5). */
struct descriptor {
	uint32_t base, limit;
	unsigned int type, s, dpl, present, l, db, g;
};

static struct descriptor decode(const uint8_t *p)
{
	uint64_t d = get_le64(p);

	return (struct descriptor){
		.base = (uint32_t)((d >> 16 & 0xffffff) | (d >> 56 << 24)),
		.limit = (uint32_t)((d & 0xffff) | (d >> 48 & 0xf) << 16),
		.type = d >> 40 & 0xf,
		.s = d >> 44 & 1,
		.dpl = d >> 45 & 3,
		.present = d >> 47 & 1,
		.l = d >> 53 & 1,
		.db = d >> 54 & 1,
		.g = d >> 55 & 1,
	};
}

static void check_descriptor(const uint8_t *p, unsigned int type, unsigned int l, unsigned int db)
{
	struct descriptor d = decode(p);

	assert_int_equal(d.base, 0);
	assert_int_equal(d.limit, 0xfffff);
	assert_int_equal(d.g, 1);
	assert_int_equal(d.s, 1);
	assert_int_equal(d.dpl, 0);
	assert_int_equal(d.present, 1);
	assert_int_equal(d.type, type);
	assert_int_equal(d.l, l);
	assert_int_equal(d.db, db);
}

static void test_gdt(void **state)
{
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, MiB);
	for (int mode = ENTRY_PROTECTED; mode <= ENTRY_LONG; mode++) {
		struct entry_state entry = {.mode = (enum entry_mode)mode};
		bool is_long = mode == ENTRY_LONG;
		const uint8_t *gdt;

		assert_int_equal(gdt_build(ram.mem, &entry), 0);
		assert_int_equal(entry.gdt_gpa, LAYOUT_BOOT_GDT);
		assert_int_equal(entry.gdt_limit, 0x1f);
		gdt = fake_ram_at(&ram, entry.gdt_gpa, 0x20);
		assert_int_equal(get_le64(gdt), 0);
		assert_int_equal(get_le64(gdt + 8), 0);
		check_descriptor(gdt + 0x10, 0xb, is_long, !is_long);
		check_descriptor(gdt + 0x18, 0x3, 0, 1);
	}
	fake_ram_destroy(&ram);
}

static void test_no_ram(void **state)
{
	struct entry_state entry = {.mode = ENTRY_LONG};
	struct guest_mem *mem;
	struct fake_ram ram;
	uint64_t cr3 = 77;

	(void)state;
	fake_ram_create(&ram, LAYOUT_PAGE_TABLES + 0x5000);
	assert_int_equal(paging_build(ram.mem, &cr3), -EFAULT);
	assert_int_equal(cr3, 77);
	fake_ram_destroy(&ram);
	assert_int_equal(guest_mem_create(&mem), 0);
	assert_int_equal(gdt_build(mem, &entry), -EFAULT);
	guest_mem_destroy(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_map),
		cmocka_unit_test(test_gdt),
		cmocka_unit_test(test_no_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
