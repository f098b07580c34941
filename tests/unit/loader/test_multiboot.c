/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot kernels from the file to what they find in memory. Numbers are the specification's
 * (0.6.96), not the code's names for them.
 */
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
#include "loader/image/bytes.h"
#include "loader/loader.h"
#include "loader/multiboot.h"
#include "vm/core/error.h"
#include "vm/core/layout.h"

enum { MAX_MODULES = 20 };

struct run {
	struct fake_ram ram;
	struct kernel_file file;
	struct image kernel, modules[MAX_MODULES];
	struct loader_config config;
	struct loader_result result;
	struct error err;
};

static void run_init(struct run *r, void (*make)(struct kernel_file *))
{
	memset(r, 0, sizeof(*r));
	fake_ram_create(&r->ram, 64 * MiB);
	make(&r->file);
	r->config = (struct loader_config){
		.kernel = &r->kernel,
		.initrds = r->modules,
		.cmdline = "console=ttyS0 a b",
		.own_cmdline = "a b",
	};
}

static void add_module(struct run *r, const char *name, const void *bytes, size_t size)
{
	image_from_memory(name, bytes, size, &r->modules[r->config.num_initrds++]);
}

static int run_load(struct run *r)
{
	image_from_memory("dir/kernel", r->file.bytes, r->file.size, &r->kernel);
	return loader_load(r->ram.mem, &r->config, &r->result, &r->err);
}

static void run_done(struct run *r)
{
	fake_ram_destroy(&r->ram);
}

static void expect_refused(struct run *r, int rc, const char *reason)
{
	assert_int_equal(run_load(r), rc);
	if (!strstr(r->err.text, reason))
		fail_msg("'%s' is not in: %s", reason, r->err.text);
	run_done(r);
}

static const uint8_t *info(const struct run *r)
{
	return fake_ram_at(&r->ram, r->result.entry.rbx, 116);
}

static const char *string_at(const struct run *r, uint32_t gpa)
{
	return (const char *)fake_ram_at(&r->ram, gpa, 256);
}

static void check_entry(const struct run *r, uint64_t rip)
{
	const struct entry_state *entry = &r->result.entry;

	assert_int_equal(r->result.format, KERNEL_MULTIBOOT);
	assert_int_equal(entry->mode, ENTRY_PROTECTED);
	assert_int_equal(entry->rip, rip);
	assert_int_equal(entry->rax, 0x2badb002);
	assert_int_equal(entry->rsi, 0);
	assert_int_equal(entry->cr3, 0);
	/* A 32-bit code segment */
	assert_int_equal(fake_ram_at(&r->ram, entry->gdt_gpa + 0x10, 8)[6] & 0x60, 0x40);
}

static void loads_by_the_headers_addresses(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot);
	memset(fake_ram_at(&r.ram, MB_LOAD - 1, MB_MEM_SIZE + 2), 0xcc, MB_MEM_SIZE + 2);
	memset(fake_ram_at(&r.ram, MB_LOAD, MB_LOAD_SIZE), 0, MB_LOAD_SIZE);
	assert_int_equal(run_load(&r), 0);
	check_entry(&r, MB_ENTRY);
	assert_int_equal(r.result.kernel_gpa, MB_LOAD);
	assert_int_equal(r.result.kernel_size, MB_MEM_SIZE);
	assert_memory_equal(fake_ram_at(&r.ram, MB_LOAD, MB_LOAD_SIZE), r.file.bytes + MB_LOAD_OFF,
		MB_LOAD_SIZE);
	assert_int_equal(*fake_ram_at(&r.ram, MB_LOAD - 1, 1), 0xcc);
	for (unsigned int i = MB_LOAD_SIZE; i < MB_MEM_SIZE; i++)
		assert_int_equal(*fake_ram_at(&r.ram, MB_LOAD + i, 1), 0);
	assert_int_equal(*fake_ram_at(&r.ram, MB_LOAD + MB_MEM_SIZE, 1), 0xcc);
	run_done(&r);
}

/* load_end_addr 0: up to the end of the file; bss_end_addr 0: nothing behind it. */
static void loads_the_rest_of_the_file(void **state)
{
	const size_t size = MB_FILE_SIZE - MB_LOAD_OFF;
	struct run r;

	(void)state;
	run_init(&r, make_multiboot);
	poke(&r.file, MB_HEADER_OFF + 20, 8, 0);
	assert_int_equal(run_load(&r), 0);
	assert_int_equal(r.result.kernel_size, size);
	assert_memory_equal(fake_ram_at(&r.ram, MB_LOAD, size), r.file.bytes + MB_LOAD_OFF, size);
	run_done(&r);
}

static void loads_elf(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot_elf32);
	assert_int_equal(run_load(&r), 0);
	check_entry(&r, ELF_TEXT_PADDR);
	assert_memory_equal(fake_ram_at(&r.ram, ELF_TEXT_PADDR, ELF_TEXT_SIZE),
		r.file.bytes + ELF_TEXT_OFF, ELF_TEXT_SIZE);
	run_done(&r);
}

/* With flag 16 the header's addresses win over an ELF file's, sound or not. */
static void addresses_win_over_elf(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot);
	memcpy(r.file.bytes, "\177ELF garbage", 12);
	assert_int_equal(run_load(&r), 0);
	check_entry(&r, MB_ENTRY);
	run_done(&r);
}

static void more_telling_entries_are_preferred(void **state)
{
	static const struct {
		void (*make)(struct kernel_file *);
		enum loader_boot boot;
		enum kernel_format format;
	} table[] = {
		{make_elf32, BOOT_AUTO, KERNEL_PVH},
		{make_elf64, BOOT_AUTO, KERNEL_ELF64},
		{make_bzimage, BOOT_AUTO, KERNEL_BZIMAGE64},
		{make_elf32, BOOT_MULTIBOOT, KERNEL_MULTIBOOT},
		{make_elf64, BOOT_MULTIBOOT, KERNEL_MULTIBOOT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct run r;

		run_init(&r, table[i].make);
		poke_multiboot(&r.file, 0x700, 0);
		r.config.boot = table[i].boot;
		assert_int_equal(run_load(&r), 0);
		assert_int_equal(r.result.format, table[i].format);
		run_done(&r);
	}
}

static void checks_flags(void **state)
{
	struct run r;

	(void)state;
	for (unsigned int flags = 0; flags < 4; flags++) {
		run_init(&r, make_multiboot_elf32);
		poke_multiboot(&r.file, MB_ELF_HEADER_OFF, flags | 0xfffe0000);
		assert_int_equal(run_load(&r), 0);
		run_done(&r);
	}
	run_init(&r, make_multiboot_elf32);
	poke_multiboot(&r.file, MB_ELF_HEADER_OFF, 7);
	expect_refused(&r, -ENOTSUP, "a video mode (flag 2)");
	for (unsigned int bit = 3; bit < 16; bit++) {
		char reason[32];

		run_init(&r, make_multiboot_elf32);
		poke_multiboot(&r.file, MB_ELF_HEADER_OFF, 3 | 1u << bit);
		snprintf(reason, sizeof(reason), "(flags 0x%x)", 1u << bit);
		expect_refused(&r, -ENOTSUP, reason);
	}
}

/* The header is whole in the first 8192 bytes, on a multiple of four, and sums up to 0. */
static void finds_the_header(void **state)
{
	static const struct {
		uint32_t at, flags;
		size_t size;
		enum multiboot_version version;
	} table[] = {
		{0, 0, 12, MULTIBOOT_1},
		{0, 0, 11, MULTIBOOT_NONE},
		{0, 0x10000, 32, MULTIBOOT_1},
		{0, 0x10000, 31, MULTIBOOT_NONE},
		{2, 0, 64, MULTIBOOT_NONE},
		{8180, 0, 10000, MULTIBOOT_1},
		{8184, 0, 10000, MULTIBOOT_NONE},
		{8160, 0x10000, 10000, MULTIBOOT_1},
		{8164, 0x10000, 10000, MULTIBOOT_NONE},
	};
	struct kernel_file file;
	struct multiboot header;
	struct image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		memset(&file, 0, sizeof(file));
		poke_multiboot(&file, table[i].at, table[i].flags);
		image_from_memory("k", file.bytes, table[i].size, &image);
		assert_int_equal(multiboot_find(&image, &header), table[i].version);
		if (table[i].version == MULTIBOOT_1)
			assert_int_equal(header.offset, table[i].at);
	}
	poke(&file, 8164 + 8, 1, 0);
	poke_multiboot(&file, 16, 0);
	poke(&file, 16 + 8, 1, 0);
	assert_int_equal(multiboot_find(&image, &header), MULTIBOOT_NONE);
}

static void says_what_is_not_spoken(void **state)
{
	static const enum loader_boot boots[] = {BOOT_AUTO, BOOT_MULTIBOOT};
	struct run r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(boots); i++) {
		run_init(&r, make_multiboot);
		r.config.boot = boots[i];
		poke(&r.file, MB_HEADER_OFF, 8, 0xe85250d6);
		poke(&r.file, MB_HEADER_OFF + 8, 4, 24);
		poke(&r.file, MB_HEADER_OFF + 12, 4, (uint32_t) - (0xe85250d6 + 24));
		expect_refused(&r, -ENOTSUP, "Multiboot 2");
	}
	run_init(&r, make_bzimage);
	r.config.boot = BOOT_MULTIBOOT;
	expect_refused(&r, -ENOTSUP, "no Multiboot header");
	run_init(&r, make_multiboot);
	r.config.boot = BOOT_PVH;
	expect_refused(&r, -ENOTSUP, "a Multiboot kernel: boot it without --boot");
	run_init(&r, make_multiboot);
	r.config.dtb = "dtb";
	r.config.dtb_size = 3;
	expect_refused(&r, -ENOTSUP, "Linux boot protocol");
}

static void refuses_addresses(void **state)
{
	static const struct {
		unsigned int field;
		uint32_t value;
		int rc;
	} table[] = {
		{0, MB_LOAD - 1, -EINVAL}, /* header_addr */
		{0, MB_LOAD + MB_HEADER_OFF + 1, -EINVAL},
		{0, UINT32_MAX, -EINVAL},
		{0, MB_LOAD, -EINVAL}, /* takes so much of the file's end that nothing is there */
		{1, UINT32_MAX, -EINVAL},
		{1, 0, -EINVAL},
		{2, MB_LOAD, -EINVAL}, /* load_end_addr */
		{2, MB_LOAD - 1, -EINVAL},
		{2, MB_LOAD + MB_FILE_SIZE, -EINVAL},
		{2, UINT32_MAX, -EINVAL},
		{3, MB_LOAD + MB_LOAD_SIZE - 1, -EINVAL}, /* bss_end_addr */
		{3, 1, -EINVAL},
		{3, UINT32_MAX, -ENOSPC},
		{4, MB_LOAD - 1, -EINVAL}, /* entry_addr */
		{4, MB_LOAD + MB_LOAD_SIZE, -EINVAL},
		{4, UINT32_MAX, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct run r;

		run_init(&r, make_multiboot);
		if (i == 3)
			poke(&r.file, MB_HEADER_OFF + 20, 4, MB_LOAD + MB_FILE_SIZE);
		poke(&r.file, MB_HEADER_OFF + 12 + table[i].field * 4, 4, table[i].value);
		expect_refused(&r, table[i].rc, table[i].rc == -ENOSPC ? "-m" : "addresses");
	}
}

static void refuses_low_memory(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot);
	for (unsigned int i = 0; i < 5; i++) {
		const size_t off = MB_HEADER_OFF + 12 + i * 4;

		poke(&r.file, off, 4, get_le32(r.file.bytes + off) - 0x180000);
	}
	expect_refused(&r, -EINVAL, "below 1 MiB");
}

static void refuses_elf(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot_elf32);
	poke(&r.file, 24, 4, 0x7000000);
	expect_refused(&r, -EINVAL, "e_entry");
	run_init(&r, make_multiboot_elf32);
	for (unsigned int i = 0; i < 2; i++)
		poke(&r.file, ELF32_PH(i), 4, 0);
	expect_refused(&r, -EINVAL, "no PT_LOAD");
	run_init(&r, make_multiboot);
	poke_multiboot(&r.file, MB_HEADER_OFF, 3);
	expect_refused(&r, -EINVAL, "no addresses (flag 16)");
}

static void tells_of_memory(void **state)
{
	struct run r;
	const uint8_t *p, *map;
	uint64_t ram = 0;

	(void)state;
	run_init(&r, make_multiboot);
	fake_ram_destroy(&r.ram);
	fake_ram_create(&r.ram, 5 * GiB);
	assert_int_equal(run_load(&r), 0);
	p = info(&r);
	assert_int_equal(get_le32(p), 1 << 0 | 1 << 2 | 1 << 6 | 1 << 9);
	assert_int_equal(get_le32(p + 4), 639);
	assert_int_equal(get_le32(p + 8), (3 * GiB - MiB) / KiB);
	assert_int_equal(get_le32(p + 20), 0);
	map = fake_ram_at(&r.ram, get_le32(p + 48), get_le32(p + 44));
	/* Entries are walked by their size, which does not count itself. */
	for (uint32_t at = 0; at < get_le32(p + 44); at += get_le32(map + at) + 4) {
		assert_int_equal(get_le32(map + at), 20);
		if (get_le32(map + at + 20) == 1)
			ram += get_le64(map + at + 12);
		else
			assert_int_equal(get_le32(map + at + 20), 2);
	}
	assert_int_equal(ram, 5 * GiB - MiB + 639 * KiB);
	run_done(&r);
}

static void tells_its_own_words(void **state)
{
	struct run r;

	(void)state;
	run_init(&r, make_multiboot);
	assert_int_equal(run_load(&r), 0);
	assert_string_equal(string_at(&r, get_le32(info(&r) + 16)), "dir/kernel a b");
	assert_string_equal(string_at(&r, get_le32(info(&r) + 64)), "Bantam");
	run_done(&r);
	run_init(&r, make_multiboot);
	r.config.own_cmdline = "";
	assert_int_equal(run_load(&r), 0);
	assert_string_equal(string_at(&r, get_le32(info(&r) + 16)), "dir/kernel");
	run_done(&r);
}

static void puts_modules_on_pages(void **state)
{
	static uint8_t big[4097];
	struct run r;
	const uint8_t *p, *list;
	uint32_t first;

	(void)state;
	memset(big, 0x5a, sizeof(big));
	run_init(&r, make_multiboot);
	add_module(&r, "one", "1", 1);
	add_module(&r, "dir/big one", big, sizeof(big));
	add_module(&r, "last", "last", 4);
	assert_int_equal(run_load(&r), 0);
	p = info(&r);
	assert_true(get_le32(p) & 1 << 3);
	assert_int_equal(get_le32(p + 20), 3);
	list = fake_ram_at(&r.ram, get_le32(p + 24), 48);
	first = get_le32(list);
	assert_int_equal(first, MB_LOAD + MB_MEM_SIZE);
	assert_int_equal(get_le32(list + 4), first + 1);
	assert_int_equal(get_le32(list + 16), first + 4096);
	assert_int_equal(get_le32(list + 20), first + 4096 + 4097);
	assert_int_equal(get_le32(list + 32), first + 3 * 4096);
	assert_int_equal(get_le32(list + 36), first + 3 * 4096 + 4);
	assert_memory_equal(fake_ram_at(&r.ram, first, 1), "1", 1);
	assert_memory_equal(fake_ram_at(&r.ram, first + 4096, sizeof(big)), big, sizeof(big));
	assert_memory_equal(fake_ram_at(&r.ram, first + 3 * 4096, 4), "last", 4);
	assert_string_equal(string_at(&r, get_le32(list + 8)), "one");
	assert_string_equal(string_at(&r, get_le32(list + 24)), "dir/big one");
	assert_string_equal(string_at(&r, get_le32(list + 40)), "last");
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(get_le32(list + i * 16 + 12), 0);
	assert_int_equal(r.result.initrd_gpa, first);
	assert_int_equal(r.result.initrd_size, 3 * 4096 + 4);
	run_done(&r);
}

static void refuses_modules_without_room(void **state)
{
	const uint64_t room = 64 * MiB - (MB_LOAD + MB_MEM_SIZE);
	char *long_name = malloc(LAYOUT_CMDLINE_MAX);
	uint8_t *bytes = calloc(1, 64 * MiB);
	struct run r;

	(void)state;
	assert_non_null(bytes);
	assert_non_null(long_name);
	run_init(&r, make_multiboot);
	add_module(&r, "m", bytes, room);
	assert_int_equal(run_load(&r), 0);
	run_done(&r);
	run_init(&r, make_multiboot);
	add_module(&r, "m", bytes, room + 1);
	expect_refused(&r, -ENOSPC, "m: the module");
	run_init(&r, make_multiboot);
	add_module(&r, "one", bytes, room - 4096);
	add_module(&r, "two", bytes, 4097);
	expect_refused(&r, -ENOSPC, "two: the module");
	run_init(&r, make_multiboot);
	for (unsigned int i = 0; i < MULTIBOOT_MAX_MODULES + 1; i++)
		add_module(&r, "m", bytes, 1);
	expect_refused(&r, -E2BIG, "modules");
	run_init(&r, make_multiboot);
	memset(long_name, 'x', LAYOUT_CMDLINE_MAX - 1);
	long_name[LAYOUT_CMDLINE_MAX - 1] = '\0';
	r.config.own_cmdline = long_name;
	expect_refused(&r, -E2BIG, "shorten");
	run_init(&r, make_multiboot);
	add_module(&r, long_name, bytes, 1);
	expect_refused(&r, -E2BIG, "shorten");
	free(long_name);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_by_the_headers_addresses),
		cmocka_unit_test(loads_the_rest_of_the_file),
		cmocka_unit_test(loads_elf),
		cmocka_unit_test(addresses_win_over_elf),
		cmocka_unit_test(more_telling_entries_are_preferred),
		cmocka_unit_test(checks_flags),
		cmocka_unit_test(finds_the_header),
		cmocka_unit_test(says_what_is_not_spoken),
		cmocka_unit_test(refuses_addresses),
		cmocka_unit_test(refuses_low_memory),
		cmocka_unit_test(refuses_elf),
		cmocka_unit_test(tells_of_memory),
		cmocka_unit_test(tells_its_own_words),
		cmocka_unit_test(puts_modules_on_pages),
		cmocka_unit_test(refuses_modules_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
