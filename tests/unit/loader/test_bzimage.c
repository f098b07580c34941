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
#include "loader/bzimage.h"
#include "vm/core/error.h"

static void parse(const struct kernel_file *file, struct bzimage *bz, struct image *image)
{
	struct error err = {{0}};

	image_from_memory("kernel", file->bytes, file->size, image);
	if (bzimage_parse(image, bz, &err))
		fail_msg("%s", err.text);
}

static void test_fields(void **state)
{
	struct kernel_file file;
	struct bzimage bz;
	char version[BZIMAGE_VERSION];
	struct image image;

	(void)state;
	make_bzimage(&file);
	parse(&file, &bz, &image);
	assert_int_equal(bz.protocol, 0x020f);
	assert_true(bz.entry64);
	assert_true(bz.relocatable);
	assert_int_equal(bz.alignment, 0x200000);
	assert_int_equal(bz.pref_address, BZ_PREF);
	assert_int_equal(bz.init_size, BZ_INIT_SIZE);
	assert_int_equal(bz.cmdline_size, 2047);
	assert_int_equal(bz.initrd_addr_max, 0x7fffffff);
	assert_int_equal(bz.code_offset, BZ_CODE_OFFSET);
	assert_int_equal(bz.code_size, BZ_CODE_SIZE);
	assert_int_equal(bz.header_end, 0x26c);
	assert_int_equal(bzimage_read_version(&image, &bz, version, NULL), 0);
	assert_string_equal(version, BZ_VERSION);
}

static void test_setup_sects_0_means_4(void **state)
{
	struct kernel_file file;
	struct bzimage bz;
	struct image image;

	(void)state;
	make_bzimage(&file);
	poke(&file, HDR_SETUP_SECTS, 1, 0);
	parse(&file, &bz, &image);
	assert_int_equal(bz.code_offset, 5 * 512);
}

static void test_entry64(void **state)
{
	static const struct {
		uint16_t version, xloadflags;
		bool entry64;
	} table[] = {
		{0x020c, 1, true},
		{0x020f, 0x7f, true},
		{0x020f, 0x7e, false},
		{0x020b, 1, false}, /* the field did not exist */
		{0x0206, 1, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct kernel_file file;
		struct bzimage bz;
		struct image image;

		make_bzimage(&file);
		poke(&file, HDR_VERSION, 2, table[i].version);
		poke(&file, HDR_XLOADFLAGS, 2, table[i].xloadflags);
		parse(&file, &bz, &image);
		assert_int_equal(bz.entry64, table[i].entry64);
	}
}

/* kernel_alignment is of relocatable kernels; iPXE has 0 there, and no entry without a BIOS. */
static void test_not_relocatable(void **state)
{
	struct kernel_file file;
	struct error err = {{0}};
	struct bzimage bz;
	struct image image;

	(void)state;
	make_bzimage(&file);
	poke(&file, HDR_RELOCATABLE, 1, 0);
	poke(&file, HDR_KERNEL_ALIGNMENT, 4, 0);
	parse(&file, &bz, &image);
	poke(&file, HDR_VERSION, 2, 0x0207);
	parse(&file, &bz, &image);
	poke(&file, HDR_CODE32_START, 4, 0);
	assert_int_equal(bzimage_parse(&image, &bz, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "BIOS"));
	poke(&file, HDR_RELOCATABLE, 1, 1);
	assert_int_equal(bzimage_parse(&image, &bz, &err), -EINVAL);
	assert_non_null(strstr(err.text, "kernel_alignment"));
}

/* The last paragraph of syssize need not be full (memtest86+), and more may follow (signatures). */
static void test_syssize_slack(void **state)
{
	struct kernel_file file;
	struct bzimage bz;
	struct image image;

	(void)state;
	make_bzimage(&file);
	file.size -= 15;
	parse(&file, &bz, &image);
	assert_int_equal(bz.code_size, BZ_CODE_SIZE - 15);
	file.size += 15 + 1472;
	parse(&file, &bz, &image);
	assert_int_equal(bz.code_size, BZ_CODE_SIZE + 1472);
}

static void test_version_string(void **state)
{
	static const uint16_t nowhere[] = {0, BZ_CODE_OFFSET - 512, 0xffff};
	struct kernel_file file;
	struct bzimage bz;
	char version[BZIMAGE_VERSION];
	struct image image;

	(void)state;
	make_bzimage(&file);
	for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
		poke(&file, HDR_KERNEL_VERSION, 2, nowhere[i]);
		parse(&file, &bz, &image);
		assert_int_equal(bzimage_read_version(&image, &bz, version, NULL), 0);
		assert_string_equal(version, "");
	}
	/* Unterminated up to the end of the setup, and not printable */
	poke(&file, HDR_KERNEL_VERSION, 2, BZ_CODE_OFFSET - 512 - 4);
	memcpy(file.bytes + BZ_CODE_OFFSET - 4, "a\033\nb", 4);
	parse(&file, &bz, &image);
	assert_int_equal(bzimage_read_version(&image, &bz, version, NULL), 0);
	assert_string_equal(version, "a??b");
	/* Longer than what is kept */
	poke(&file, HDR_KERNEL_VERSION, 2, 0x100);
	memset(file.bytes + 0x300, 'v', 500);
	parse(&file, &bz, &image);
	assert_int_equal(bzimage_read_version(&image, &bz, version, NULL), 0);
	assert_int_equal(strlen(version), sizeof(version) - 1);
}

/* Where kernels go, with 64 MiB; 0 for refused. */
static void test_placement(void **state)
{
	static const struct {
		uint16_t version;
		uint8_t relocatable;
		uint64_t pref;
		uint32_t alignment, init_size;
		uint64_t expected;
	} table[] = {
		{0x020f, 1, 16 * MiB, 2 * MiB, 16 * MiB, 16 * MiB},
		{0x020f, 0, 16 * MiB, 2 * MiB, 48 * MiB, 16 * MiB}, /* up to the last byte */
		{0x020f, 0, 16 * MiB, 2 * MiB, 48 * MiB + 1, 0},
		{0x020f, 1, 16 * MiB, 2 * MiB, 48 * MiB + 1,
			0}, /* lower is no use, see bzimage.c */
		{0x020f, 1, 0, 2 * MiB, 16 * MiB, 2 * MiB},
		{0x020f, 1, 0, 4096, 16 * MiB, MiB},
		{0x020f, 1, 17 * MiB, 16 * MiB, 16 * MiB, 32 * MiB},
		{0x020c, 0, MiB, 4096, 0x6acf8, MiB},	      /* memtest86+ */
		{0x0209, 1, 99 * MiB, 16 * MiB, 1, 16 * MiB}, /* neither field existed */
		{0x0206, 0, 99 * MiB, 16 * MiB, 1, MiB},
	};
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct kernel_file file;
		struct bzimage bz;
		struct image image;
		uint64_t gpa = 0;
		int rc;

		make_bzimage(&file);
		poke(&file, HDR_VERSION, 2, table[i].version);
		poke(&file, HDR_RELOCATABLE, 1, table[i].relocatable);
		poke(&file, HDR_PREF_ADDRESS, 8, table[i].pref);
		poke(&file, HDR_KERNEL_ALIGNMENT, 4, table[i].alignment);
		poke(&file, HDR_INIT_SIZE, 4, table[i].init_size);
		parse(&file, &bz, &image);
		rc = bzimage_load(ram.mem, &image, &bz, &gpa, NULL);
		assert_int_equal(rc, table[i].expected ? 0 : -ENOSPC);
		assert_int_equal(gpa, table[i].expected);
		if (!rc)
			assert_memory_equal(fake_ram_at(&ram, gpa, BZ_CODE_SIZE),
				file.bytes + BZ_CODE_OFFSET, BZ_CODE_SIZE);
	}
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_setup_sects_0_means_4),
		cmocka_unit_test(test_entry64),
		cmocka_unit_test(test_not_relocatable),
		cmocka_unit_test(test_syssize_slack),
		cmocka_unit_test(test_version_string),
		cmocka_unit_test(test_placement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
