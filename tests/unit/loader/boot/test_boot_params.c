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
#include "loader/boot/bda.h"
#include "loader/boot/boot_params.h"
#include "loader/boot/boot_proto.h"
#include "loader/boot/e820.h"
#include "loader/bzimage.h"
#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

static const struct boot_info info = {
	.kernel_gpa = BZ_PREF,
	.cmdline_gpa = LAYOUT_CMDLINE,
	.initrd_gpa = 0x123456000,
	.initrd_size = 0x234567891,
	.rsdp_gpa = LAYOUT_ACPI_BASE,
};

/* Writes the page into RAM that is full of garbage, and returns it. */
static const uint8_t *write_page(struct fake_ram *ram, const struct bzimage *bz)
{
	struct e820_map map;

	memset(fake_ram_at(ram, LAYOUT_BOOT_PARAMS, BOOT_PARAMS_SIZE), 0xee, BOOT_PARAMS_SIZE);
	assert_int_equal(e820_build(ram->mem, &map), 0);
	assert_int_equal(boot_params_write(ram->mem, bz, &info, &map), 0);
	return fake_ram_at(ram, LAYOUT_BOOT_PARAMS, BOOT_PARAMS_SIZE);
}

static void check_loader_fields(const uint8_t *bp)
{
	assert_int_equal(get_le32(bp + 0x218), 0x23456000);
	assert_int_equal(get_le32(bp + 0x21c), 0x34567891);
	assert_int_equal(get_le32(bp + 0x0c0), 1);
	assert_int_equal(get_le32(bp + 0x0c4), 2);
	assert_int_equal(get_le32(bp + 0x228), LAYOUT_CMDLINE);
	assert_int_equal(get_le32(bp + 0x0c8), 0);
	assert_int_equal(get_le64(bp + 0x070), LAYOUT_ACPI_BASE);
	assert_int_equal(bp[0x210], 0xff);
	assert_int_equal(bp[0x211], 1);
	assert_int_equal(get_le16(bp + 0x1fa), 0xffff);
	assert_int_equal(get_le64(bp + 0x250), 0); /* setup_data */
	assert_int_equal(get_le32(bp + 0x202), 0x53726448);
	assert_int_equal(get_le16(bp + 0x1fe), 0xaa55);
	assert_int_equal(bp[0x1ef], 0); /* sentinel */
	/* screen_info: no text screen */
	for (unsigned int i = 0; i < 0x40; i++)
		assert_int_equal(bp[i], 0);
}

static void check_e820(const uint8_t *bp)
{
	assert_int_equal(bp[0x1e8], 6);
	assert_int_equal(get_le64(bp + 0x2d0), 0);
	assert_int_equal(get_le64(bp + 0x2d0 + 8), 0x9fc00);
	assert_int_equal(get_le32(bp + 0x2d0 + 16), 1);
	assert_int_equal(get_le64(bp + 0x2d0 + 3 * 20), MiB);
	assert_int_equal(get_le64(bp + 0x2d0 + 3 * 20 + 8), 63 * MiB);
	assert_int_equal(get_le32(bp + 0x2d0 + 3 * 20 + 16), 1);
	assert_int_equal(get_le64(bp + 0x2d0 + 6 * 20), 0);
}

static void test_of_a_bzimage(void **state)
{
	struct fake_ram ram;
	struct kernel_file file;
	struct image image;
	struct bzimage bz;
	const uint8_t *bp;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	make_bzimage(&file);
	poke(&file, HDR_RAMDISK_IMAGE, 4, 0xffffffff);
	poke(&file, HDR_HARDWARE_SUBARCH, 4, 2);
	poke(&file, HDR_LOADFLAGS, 1, 0xff);
	poke(&file, HDR_EXT_LOADER_TYPE, 1, 0xff);
	image_from_memory("kernel", file.bytes, file.size, &image);
	assert_int_equal(bzimage_parse(&image, &bz, NULL), 0);
	bp = write_page(&ram, &bz);
	check_loader_fields(bp);
	check_e820(bp);
	assert_int_equal(get_le32(bp + 0x214), BZ_PREF); /* code32_start */
	assert_int_equal(get_le16(bp + 0x206), 0x020f);
	assert_int_equal(get_le32(bp + 0x22c), 0x7fffffff);
	assert_int_equal(get_le32(bp + 0x260), BZ_INIT_SIZE);
	assert_int_equal(get_le32(bp + 0x23c), 0);
	assert_int_equal(bp[0x227], 0);
	/* Nothing of what surrounds the header in the file */
	for (unsigned int i = 0x26c; i < 0x2d0; i++)
		assert_int_equal(bp[i], 0);
	for (unsigned int i = 0x78; i < 0xc0; i++)
		assert_int_equal(bp[i], 0);
	fake_ram_destroy(&ram);
}

static void test_without_a_header(void **state)
{
	struct fake_ram ram;
	const uint8_t *bp;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	bp = write_page(&ram, NULL);
	check_loader_fields(bp);
	check_e820(bp);
	assert_true(get_le16(bp + 0x206) >= 0x020c);
	assert_int_equal(get_le16(bp + 0x1f2), 1); /* root_flags: read-only */
	fake_ram_destroy(&ram);
}

static void test_bios_data_area(void **state)
{
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, MiB);
	memset(fake_ram_at(&ram, LAYOUT_EBDA, 1024), 0xee, 1024);
	assert_int_equal(bda_write(ram.mem), 0);
	assert_int_equal(get_le16(fake_ram_at(&ram, 0x40e, 2)), 0x9fc0);
	assert_int_equal(get_le16(fake_ram_at(&ram, 0x413, 2)), 639);
	assert_int_equal(fake_ram_at(&ram, 0x9fc00, 1)[0], 1);
	for (unsigned int i = 1; i < 1024; i++)
		assert_int_equal(fake_ram_at(&ram, 0x9fc00, 1024)[i], 0);
	fake_ram_destroy(&ram);
}

static void test_no_ram(void **state)
{
	struct e820_map map = {0};
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, 4096);
	assert_int_equal(boot_params_write(ram.mem, NULL, &info, &map), -EFAULT);
	assert_int_equal(bda_write(ram.mem), -EFAULT);
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_bzimage),
		cmocka_unit_test(test_without_a_header),
		cmocka_unit_test(test_bios_data_area),
		cmocka_unit_test(test_no_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
