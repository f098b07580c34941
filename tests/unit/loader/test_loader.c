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
#include "loader/boot/boot_proto.h"
#include "loader/image/bytes.h"
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

struct run {
	struct fake_ram ram;
	struct kernel_file file;
	struct image kernel, initrd;
	struct loader_config config;
	struct loader_result result;
	struct error err;
};

static void run_init(struct run *r, void (*make)(struct kernel_file *))
{
	memset(r, 0, sizeof(*r));
	fake_ram_create(&r->ram, 64 * MiB);
	make(&r->file);
	image_from_memory("initrd", "initrd!", 7, &r->initrd);
	r->config = (struct loader_config){
		.version = true,
		.kernel = &r->kernel,
		.initrds = &r->initrd,
		.num_initrds = 1,
		.cmdline = "console=ttyS0 quiet",
		.rsdp_gpa = LAYOUT_ACPI_BASE,
	};
}

static int run_load(struct run *r)
{
	image_from_memory("kernel", r->file.bytes, r->file.size, &r->kernel);
	return loader_load(r->ram.mem, &r->config, &r->result, &r->err);
}

static void run_done(struct run *r)
{
	fake_ram_destroy(&r->ram);
}

static void check_common(const struct run *r, enum kernel_format format)
{
	const struct loader_result *res = &r->result;
	bool is_long = format == KERNEL_BZIMAGE64 || format == KERNEL_ELF64;

	assert_int_equal(res->format, format);
	assert_int_equal(res->entry.mode, is_long ? ENTRY_LONG : ENTRY_PROTECTED);
	assert_int_equal(res->entry.cr3, is_long ? LAYOUT_PAGE_TABLES : 0);
	assert_int_equal(res->entry.gdt_gpa, LAYOUT_BOOT_GDT);
	assert_int_equal(res->entry.rsi, format == KERNEL_PVH ? 0 : LAYOUT_BOOT_PARAMS);
	assert_int_equal(res->entry.rbx, format == KERNEL_PVH ? LAYOUT_PVH_START_INFO : 0);
	assert_int_equal(res->initrd_gpa, 64 * MiB - 4096);
	assert_int_equal(res->initrd_size, 7);
	assert_memory_equal(fake_ram_at(&r->ram, res->initrd_gpa, 7), "initrd!", 7);
	assert_string_equal(
		(char *)fake_ram_at(&r->ram, LAYOUT_CMDLINE, 32), "console=ttyS0 quiet");
	/* The 64-bit descriptor has L, the 32-bit one D. */
	assert_int_equal(
		fake_ram_at(&r->ram, LAYOUT_BOOT_GDT + 0x10, 8)[6] & 0x60, is_long ? 0x20 : 0x40);
}

static void test_bzimage64(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_bzimage);
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_BZIMAGE64);
	assert_int_equal(r.result.entry.rip, BZ_PREF + 0x200);
	assert_int_equal(r.result.kernel_gpa, BZ_PREF);
	assert_int_equal(r.result.kernel_size, BZ_INIT_SIZE);
	assert_string_equal(r.result.version, BZ_VERSION);
	run_done(&r);
}

static void test_bzimage32(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_bzimage);
	poke(&r.file, HDR_XLOADFLAGS, 2, 0x7e);
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_BZIMAGE32);
	assert_int_equal(r.result.entry.rip, BZ_PREF);
	run_done(&r);
}

static void test_elf64_linux(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_elf64);
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_ELF64);
	assert_int_equal(r.result.entry.rip, ELF_TEXT_PADDR);
	assert_int_equal(r.result.kernel_gpa, ELF_TEXT_PADDR);
	assert_int_equal(r.result.kernel_size, ELF_DATA_PADDR + ELF_DATA_MEM - ELF_TEXT_PADDR);
	assert_string_equal(r.result.version, "");
	assert_true(r.result.is_linux);
	run_done(&r);
}

static void test_pvh(void **state)
{
	struct run r;

	(void)state;
	/* Asked for */
	run_init(&r, make_elf64);
	r.config.boot = BOOT_PVH;
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_PVH);
	assert_int_equal(r.result.entry.rip, ELF_PVH_ENTRY);
	run_done(&r);
	/* Not Linux, so the 64-bit entry means something else */
	run_init(&r, make_elf64);
	memcpy(r.file.bytes + ELF_NOTE_LINUX + 12, "Other", 6);
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_PVH);
	assert_false(r.result.is_linux);
	run_done(&r);
	/* 32-bit */
	run_init(&r, make_elf32);
	assert_int_equal(run_load(&r), 0);
	check_common(&r, KERNEL_PVH);
	run_done(&r);
}

static void test_pvh_that_is_not_there(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_bzimage);
	r.config.boot = BOOT_PVH;
	assert_int_equal(run_load(&r), -ENOTSUP);
	assert_non_null(strstr(r.err.text, "--boot pvh"));
	run_done(&r);
	run_init(&r, make_elf64);
	r.config.boot = BOOT_PVH;
	poke(&r.file, ELF64_PH(2), 4, 0);
	assert_int_equal(run_load(&r), -ENOTSUP);
	assert_non_null(strstr(r.err.text, "no PVH entry"));
	run_done(&r);
}

/* The longest command line that a kernel takes, and one byte more */
static void test_cmdline_limits(void **state)
{
	static const struct {
		void (*make)(struct kernel_file *);
		size_t max;
	} table[] = {{make_bzimage, 2047}, {make_elf64, 2047}, {make_elf32, 2047}};
	char words[2049];
	struct run r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		run_init(&r, table[i].make);
		r.config.cmdline = words;
		memset(words, 'x', sizeof(words));
		words[table[i].max] = '\0';
		assert_int_equal(run_load(&r), 0);
		assert_string_equal((char *)fake_ram_at(&r.ram, LAYOUT_CMDLINE, 2048), words);
		words[table[i].max] = 'x';
		words[table[i].max + 1] = '\0';
		assert_int_equal(run_load(&r), -E2BIG);
		run_done(&r);
	}
}

static void test_without_initrd(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_bzimage);
	poke(&r.file, HDR_INITRD_ADDR_MAX, 4, 0);
	r.config.num_initrds = 0;
	assert_int_equal(run_load(&r), 0);
	assert_int_equal(r.result.initrd_gpa, 0);
	assert_int_equal(r.result.initrd_size, 0);
	assert_int_equal(
		get_le32(fake_ram_at(&r.ram, LAYOUT_BOOT_PARAMS + HDR_RAMDISK_IMAGE, 4)), 0);
	run_done(&r);
}

static void test_probe(void **state)
{
	static void (*const makers[])(struct kernel_file *) = {
		make_bzimage, make_elf64, make_elf32};
	static const enum kernel_format formats[] = {KERNEL_BZIMAGE64, KERNEL_ELF64, KERNEL_PVH};
	struct kernel_file file;
	struct image image;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		enum kernel_format format = (enum kernel_format)77;

		makers[i](&file);
		image_from_memory("kernel", file.bytes, file.size, &image);
		assert_int_equal(loader_probe(&image, &format, &err), 0);
		assert_int_equal(format, formats[i]);
		image_from_memory("kernel", "#!/bin/sh\n", 10, &image);
		assert_int_equal(loader_probe(&image, &format, &err), -ENOTSUP);
		assert_int_equal(format, formats[i]);
		assert_non_null(strstr(err.text, "kernel: "));
		assert_non_null(strstr(err.text, "a script"));
	}
	for (int i = KERNEL_BZIMAGE64; i <= KERNEL_MULTIBOOT; i++)
		assert_string_not_equal(kernel_format_name((enum kernel_format)i), "unknown");
}

/* A result is written only when there is one. */
static void test_result_untouched(void **state)
{
	struct loader_result before;
	struct run r;

	(void)state;
	run_init(&r, make_bzimage);
	memset(&before, 0x5a, sizeof(before));
	r.result = before;
	poke(&r.file, HDR_INIT_SIZE, 4, 0);
	assert_int_equal(run_load(&r), -EINVAL);
	assert_memory_equal(&r.result, &before, sizeof(before));
	run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bzimage64),
		cmocka_unit_test(test_bzimage32),
		cmocka_unit_test(test_elf64_linux),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_pvh_that_is_not_there),
		cmocka_unit_test(test_cmdline_limits),
		cmocka_unit_test(test_without_initrd),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_result_untouched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
