/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/kernel_files.h"
#include "loader/boot/boot_proto.h"
#include "loader/linux_version.h"

static unsigned int version_of(const struct kernel_file *file)
{
	struct image image;

	image_from_memory("kernel", file->bytes, file->size, &image);
	return linux_version(&image);
}

static void by_string(void **state)
{
	static const struct {
		const char *text;
		unsigned int version;
	} table[] = {
		{"6.1.0-18-amd64 (debian-kernel@lists.debian.org) #1 SMP", LINUX_VERSION(6, 1)},
		{"4.12.7 (root@host)", LINUX_VERSION(4, 12)},
		{"5.2", LINUX_VERSION(5, 2)},
		{"5.2-rc1", LINUX_VERSION(5, 2)},
		{"2.6.32-5-686", LINUX_VERSION(2, 6)},
		{"10.65535", LINUX_VERSION(10, 65535)},
		{"10.65536", 0},
		{"4294967297.1", 0},
		{"6", 0},
		{"6.", 0},
		{".1", 0},
		{" 6.1", 0},
		{"-6.1", 0},
		{"Memtest86+ v6.10", 0},
		{"", 0},
	};
	struct kernel_file file;

	(void)state;
	make_bzimage(&file);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		strcpy((char *)file.bytes + 0x300, table[i].text);
		if (version_of(&file) != table[i].version)
			fail_msg("'%s': %x", table[i].text, version_of(&file));
	}
	assert_true(LINUX_VERSION(4, 19) < LINUX_VERSION(5, 2));
	assert_true(LINUX_VERSION(5, 10) > LINUX_VERSION(5, 2));
}

static void told_by_no_other(void **state)
{
	struct kernel_file file;

	(void)state;
	make_bzimage(&file);
	file.size = 100;
	assert_int_equal(version_of(&file), 0);
	make_bzimage(&file);
	poke(&file, HDR_LOADFLAGS, 1, 0);
	assert_int_equal(version_of(&file), 0);
	make_elf64(&file);
	assert_int_equal(version_of(&file), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_string),
		cmocka_unit_test(told_by_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
