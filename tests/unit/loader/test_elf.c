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
#include "fakes/kernel_files.h"
#include "loader/elf.h"
#include "vm/core/error.h"

static void parse(const struct kernel_file *file, struct elf *elf, struct image *image)
{
	struct error err = {{0}};

	image_from_memory("vmlinux", file->bytes, file->size, image);
	if (elf_parse(image, elf, &err))
		fail_msg("%s", err.text);
}

static void check_common(const struct elf *elf)
{
	assert_int_equal(elf->num_segments, 2);
	assert_int_equal(elf->segments[0].paddr, ELF_TEXT_PADDR);
	assert_int_equal(elf->segments[0].filesz, ELF_TEXT_SIZE);
	assert_int_equal(elf->segments[1].offset, ELF_DATA_OFF);
	assert_int_equal(elf->segments[1].memsz, ELF_DATA_MEM);
	assert_int_equal(elf->start, ELF_TEXT_PADDR);
	assert_int_equal(elf->end, ELF_DATA_PADDR + ELF_DATA_MEM);
	assert_true(elf->has_pvh);
	assert_true(elf->is_linux);
	assert_int_equal(elf->pvh_entry, ELF_PVH_ENTRY);
}

static void test_both_classes(void **state)
{
	struct kernel_file file;
	struct elf elf;
	struct image image;

	(void)state;
	make_elf64(&file);
	parse(&file, &elf, &image);
	assert_true(elf.is64);
	assert_int_equal(elf.segments[0].vaddr, ELF_VBASE + ELF_TEXT_PADDR);
	check_common(&elf);
	make_elf32(&file);
	parse(&file, &elf, &image);
	assert_false(elf.is64);
	check_common(&elf);
}

static void test_entry_physical_or_virtual(void **state)
{
	static const struct {
		uint64_t entry, expected;
	} table[] = {
		{ELF_TEXT_PADDR, ELF_TEXT_PADDR},
		{ELF_TEXT_PADDR + ELF_TEXT_SIZE - 1, ELF_TEXT_PADDR + ELF_TEXT_SIZE - 1},
		{ELF_VBASE + ELF_TEXT_PADDR + 0x123, ELF_TEXT_PADDR + 0x123},
		{ELF_VBASE + ELF_DATA_PADDR, ELF_DATA_PADDR}, {ELF_TEXT_PADDR - 1, 0},
		{ELF_TEXT_PADDR + ELF_TEXT_SIZE, 0},
		{ELF_VBASE + ELF_DATA_PADDR + ELF_DATA_SIZE, 0}, /* bss */
	};
	struct kernel_file file;
	struct elf elf;
	struct image image;

	(void)state;
	make_elf64(&file);
	parse(&file, &elf, &image);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t gpa = 0;

		elf.entry = table[i].entry;
		assert_int_equal(elf_entry(&elf, &gpa), table[i].expected ? 0 : -EINVAL);
		assert_int_equal(gpa, table[i].expected);
	}
}

static void test_load_and_clear(void **state)
{
	const uint64_t bss = ELF_DATA_PADDR + ELF_DATA_SIZE;
	const size_t bss_size = ELF_DATA_MEM - ELF_DATA_SIZE;
	struct kernel_file file;
	struct elf elf;
	struct image image;
	struct fake_ram ram;
	uint8_t *p;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	make_elf64(&file);
	parse(&file, &elf, &image);
	/* Memory that was used before a restart */
	memset(fake_ram_at(&ram, bss, bss_size + 1), 0xcc, bss_size + 1);
	assert_int_equal(elf_load(ram.mem, &image, &elf, NULL), 0);
	assert_memory_equal(fake_ram_at(&ram, ELF_TEXT_PADDR, ELF_TEXT_SIZE),
		file.bytes + ELF_TEXT_OFF, ELF_TEXT_SIZE);
	assert_memory_equal(fake_ram_at(&ram, ELF_DATA_PADDR, ELF_DATA_SIZE),
		file.bytes + ELF_DATA_OFF, ELF_DATA_SIZE);
	p = fake_ram_at(&ram, bss, bss_size + 1);
	for (size_t i = 0; i < bss_size; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(p[bss_size], 0xcc);
	fake_ram_destroy(&ram);
}

static void test_notes(void **state)
{
	struct kernel_file file;
	struct elf elf;
	struct image image;

	(void)state;
	/* A descriptor of 4 bytes: the next note moves up. */
	make_elf64(&file);
	poke(&file, ELF_NOTE_XEN + 4, 4, 4);
	memmove(file.bytes + ELF_NOTE_LINUX - 4, file.bytes + ELF_NOTE_LINUX, 28);
	poke(&file, ELF64_PH(2) + 32, 8, 24 + 28 - 4);
	parse(&file, &elf, &image);
	check_common(&elf);
	/* The same type by another name means nothing. */
	make_elf64(&file);
	memcpy(file.bytes + ELF_NOTE_XEN + 12, "GNU", 4);
	parse(&file, &elf, &image);
	assert_false(elf.has_pvh);
	assert_true(elf.is_linux);
	/* Xen's GUEST_OS */
	make_elf64(&file);
	poke(&file, ELF_NOTE_XEN + 8, 4, 6);
	memcpy(file.bytes + ELF_NOTE_XEN + 16, "linux\0\0", 8);
	memcpy(file.bytes + ELF_NOTE_LINUX + 12, "Other", 6);
	parse(&file, &elf, &image);
	assert_true(elf.is_linux);
	memcpy(file.bytes + ELF_NOTE_XEN + 16, "FreeBSD", 8);
	parse(&file, &elf, &image);
	assert_false(elf.is_linux);
	assert_false(elf.has_pvh);
}

/* Not only Linux is 32-bit: Xen, say, has no CONFIG_PVH that one could be told of. */
static void test_32_bit_without_pvh(void **state)
{
	struct kernel_file file;
	struct error err = {{0}};
	struct elf elf;
	struct image image;

	(void)state;
	make_elf32(&file);
	poke(&file, ELF32_PH(2), 4, 0);
	image_from_memory("xen", file.bytes, file.size, &image);
	assert_int_equal(elf_parse(&image, &elf, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "PVH entry note"));
	assert_null(strstr(err.text, "CONFIG_PVH"));
}

/* Notes that are many, and all empty: the walk ends. */
static void test_many_notes(void **state)
{
	struct kernel_file file;
	struct elf elf;
	struct image image;

	(void)state;
	make_elf64(&file);
	memset(file.bytes + ELF_NOTE_OFF, 0, 0x1000 - ELF_NOTE_OFF);
	file.size = KERNEL_FILE_MAX;
	poke(&file, ELF64_PH(2) + 8, 8, ELF_DATA_OFF + ELF_DATA_SIZE);
	poke(&file, ELF64_PH(2) + 32, 8, KERNEL_FILE_MAX - ELF_DATA_OFF - ELF_DATA_SIZE);
	parse(&file, &elf, &image);
	assert_false(elf.has_pvh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_classes),
		cmocka_unit_test(test_entry_physical_or_virtual),
		cmocka_unit_test(test_load_and_clear),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_32_bit_without_pvh),
		cmocka_unit_test(test_many_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
