/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading bzImages by the kernel inside them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/boot/boot_proto.h"
#include "loader/image/bytes.h"
#include "packers.h"
#include "unpack_fixture.h"
#include "vm/core/layout.h"

/* Room for moving up: the kernel has 16 MiB from 16 MiB on, the initrd the last page. */
#define SLOTS ((UNPACK_RAM - 4096 - BZ_PREF - BZ_INIT_SIZE) / UNPACK_STEP + 1)

static void test_random_addresses(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	for (uint64_t i = 0; i < SLOTS; i++) {
		r->config.random[0] = i;
		r->config.random[1] = 7 * i;
		memset(fake_ram_at(&r->ram, BZ_PREF, 48 * MiB), 0xee, 48 * MiB);
		if (unpack_run_load(r))
			fail_msg("%s", r->err.text);
		assert_true(r->result.kaslr);
		unpack_run_check(r, i * UNPACK_STEP, (uint32_t)(7 * i * UNPACK_STEP));
		assert_true(r->result.kernel_gpa + BZ_INIT_SIZE <= r->result.initrd_gpa);
	}
	assert_int_equal(r->result.kernel_gpa + BZ_INIT_SIZE, UNPACK_RAM - UNPACK_STEP);
	r->config.random[0] = SLOTS;
	assert_int_equal(unpack_run_load(r), 0);
	unpack_run_check(r, 0, (uint32_t)r->config.random[1] * UNPACK_STEP);
	unpack_run_free(r);
}

/* A kernel of the layout without inverse relocations */
static void test_newer_layout(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	make_relocatable(&r->elf, false);
	unpack_run_pack(r);
	r->config.random[0] = 3;
	r->config.random[1] = 5;
	assert_int_equal(unpack_run_load(r), 0);
	assert_int_equal(get_le32(fake_ram_at(
				 &r->ram, ELF_TEXT_PADDR + 3 * UNPACK_STEP + RELOC_INVERSE_OFF, 4)),
		get_le32(r->elf.bytes + ELF_TEXT_OFF + RELOC_INVERSE_OFF));
	assert_int_equal(
		get_le32(fake_ram_at(&r->ram, ELF_TEXT_PADDR + 3 * UNPACK_STEP + RELOC32_OFF, 4)),
		get_le32(r->elf.bytes + ELF_TEXT_OFF + RELOC32_OFF) + 5 * UNPACK_STEP);
	unpack_run_free(r);
}

/* The table is read to where the kernel would unpack itself, or elsewhere if there is no room. */
static void test_room_for_the_table(void **state)
{
	const uint64_t span = ELF_DATA_PADDR + ELF_DATA_MEM - ELF_TEXT_PADDR;

	(void)state;
	for (uint64_t more = 0; more < 80; more += 16) {
		struct unpack_run *r = unpack_run_new();
		const uint64_t to = ELF_TEXT_PADDR + UNPACK_STEP;
		const uint8_t *behind = fake_ram_at(&r->ram, to + span, 256);

		poke(&r->file, HDR_INIT_SIZE, 4, span + more);
		r->config.random[0] = r->config.random[1] = 1;
		assert_int_equal(unpack_run_load(r), 0);
		assert_int_equal(r->result.kernel_gpa, to);
		assert_int_equal(get_le32(fake_ram_at(&r->ram, to + RELOC32_OFF, 4)),
			get_le32(r->elf.bytes + ELF_TEXT_OFF + RELOC32_OFF) + UNPACK_STEP);
		for (size_t i = 0; i < 256; i++)
			assert_int_equal(behind[i], 0);
		unpack_run_free(r);
	}
}

static void not_relocatable(struct unpack_run *r)
{
	poke(&r->file, HDR_RELOCATABLE, 1, 0);
}

static void no_table(struct unpack_run *r)
{
	r->elf.size = ELF_DATA_OFF + ELF_DATA_SIZE;
	unpack_run_pack(r);
}

static void nokaslr(struct unpack_run *r)
{
	r->config.cmdline = "quiet nokaslr";
}

static void kaslr_off(struct unpack_run *r)
{
	r->config.kaslr = false;
}

/* What is no table does not matter where none is needed. */
static void bad_table_unused(struct unpack_run *r)
{
	r->elf.size -= 3;
	r->config.kaslr = false;
	unpack_run_pack(r);
}

static void test_where_it_is_linked(void **state)
{
	static void (*const changes[])(struct unpack_run *) = {
		not_relocatable, no_table, nokaslr, kaslr_off, bad_table_unused};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct unpack_run *r = unpack_run_new();

		r->config.random[0] = r->config.random[1] = 5;
		changes[i](r);
		if (unpack_run_load(r))
			fail_msg("%zu: %s", i, r->err.text);
		assert_false(r->result.kaslr);
		unpack_run_check(r, 0, 0);
		unpack_run_free(r);
	}
}

/* Only the virtual address is random where the command line cuts the memory. */
static void test_memory_set_aside(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	r->config.cmdline = "mem=40M";
	r->config.random[0] = r->config.random[1] = 5;
	assert_int_equal(unpack_run_load(r), 0);
	assert_true(r->result.kaslr);
	unpack_run_check(r, 0, 5 * UNPACK_STEP);
	unpack_run_free(r);
}

/* Initrds of all sizes, and the highest address they may have: never in the kernel's way. */
static void test_initrd_has_its_place(void **state)
{
	static const uint64_t maxima[] = {UINT32_MAX, 64 * MiB - 1, 50 * MiB - 1, 31 * MiB};
	uint8_t *bytes = calloc(1, 40 * MiB);
	struct unpack_run *r = unpack_run_new();

	(void)state;
	for (size_t m = 0; m < ARRAY_SIZE(maxima); m++) {
		poke(&r->file, HDR_INITRD_ADDR_MAX, 4, maxima[m]);
		for (uint64_t mib = 1; mib < 40; mib += 3) {
			uint64_t gpa;
			int rc;

			image_from_memory("initrd", bytes, mib * MiB, &r->initrd);
			r->config.kaslr = false;
			rc = unpack_run_load(r);
			gpa = r->result.initrd_gpa;
			r->config.kaslr = true;
			for (uint64_t i = 0; i < 16; i++) {
				r->config.random[0] = i;
				/* It fits as it did without */
				assert_int_equal(unpack_run_load(r), rc);
				if (rc)
					continue;
				unpack_run_check(r, r->result.kernel_gpa - BZ_PREF, 0);
				assert_true(gpa > BZ_PREF ? r->result.initrd_gpa == gpa
							  : r->result.initrd_gpa >= gpa);
				assert_true(r->result.kernel_gpa + BZ_INIT_SIZE <= UNPACK_RAM);
				assert_false(
					ranges_overlap(r->result.initrd_gpa, r->result.initrd_size,
						r->result.kernel_gpa, r->result.kernel_size));
			}
		}
	}
	unpack_run_free(r);
	free(bytes);
}

static void test_without_initrd(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	r->config.num_initrds = 0;
	r->config.random[0] = (UNPACK_RAM - BZ_PREF - BZ_INIT_SIZE) / UNPACK_STEP;
	assert_int_equal(unpack_run_load(r), 0);
	assert_int_equal(r->result.kernel_gpa + BZ_INIT_SIZE, UNPACK_RAM);
	unpack_run_free(r);
}

/* Builds of Linux 4.10 and 4.12 name Linux nowhere in their notes, or have none. */
static void test_linux_without_note(void **state)
{
	(void)state;
	for (int notes = 0; notes < 2; notes++) {
		struct unpack_run *r = unpack_run_new();

		memcpy(r->elf.bytes + ELF_NOTE_LINUX + 12, "Other", 6);
		if (!notes)
			poke(&r->elf, ELF64_PH(2), 4, 0);
		unpack_run_pack(r);
		r->config.random[0] = 5;
		r->config.random[1] = 3;
		if (unpack_run_load(r))
			fail_msg("%s", r->err.text);
		assert_int_equal(r->result.format, KERNEL_UNPACKED64);
		assert_string_equal(r->result.not_unpacked.text, "");
		assert_true(r->result.kaslr);
		r->config.boot = BOOT_ELF;
		assert_int_equal(unpack_run_load(r), 0);
		unpack_run_free(r);
	}
}

static void test_boot_modes(void **state)
{
	static const struct {
		enum loader_boot boot;
		void (*make)(struct kernel_file *);
		int rc;
		enum kernel_format format;
	} table[] = {
		{BOOT_AUTO, make_packed, 0, KERNEL_UNPACKED64},
		{BOOT_ELF, make_packed, 0, KERNEL_UNPACKED64},
		{BOOT_PVH, make_packed, 0, KERNEL_PVH},
		{BOOT_BZIMAGE, make_packed, 0, KERNEL_BZIMAGE64},
		{BOOT_AUTO, make_bzimage, 0, KERNEL_BZIMAGE64},
		{BOOT_ELF, make_bzimage, -ENOTSUP, 0},
		{BOOT_PVH, make_bzimage, -ENOTSUP, 0},
		{BOOT_BZIMAGE, make_bzimage, 0, KERNEL_BZIMAGE64},
		{BOOT_AUTO, make_elf64, 0, KERNEL_ELF64},
		{BOOT_ELF, make_elf64, 0, KERNEL_ELF64},
		{BOOT_PVH, make_elf64, 0, KERNEL_PVH},
		{BOOT_BZIMAGE, make_elf64, -ENOTSUP, 0},
		{BOOT_AUTO, make_elf32, 0, KERNEL_PVH},
		{BOOT_ELF, make_elf32, -ENOTSUP, 0},
		{BOOT_PVH, make_elf32, 0, KERNEL_PVH},
		{BOOT_BZIMAGE, make_elf32, -ENOTSUP, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct unpack_run *r = unpack_run_new();

		table[i].make(&r->file);
		r->config.boot = table[i].boot;
		if (unpack_run_load(r) != table[i].rc)
			fail_msg("%zu: %s", i, r->err.text);
		if (table[i].rc)
			assert_non_null(strstr(r->err.text, "boot it without"));
		else
			assert_int_equal(r->result.format, table[i].format);
		unpack_run_free(r);
	}
}

static void test_pvh_entry(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	r->config.boot = BOOT_PVH;
	r->config.random[0] = 3;
	assert_int_equal(unpack_run_load(r), 0);
	assert_int_equal(r->result.entry.rip, ELF_PVH_ENTRY);
	assert_int_equal(r->result.entry.mode, ENTRY_PROTECTED);
	assert_int_equal(r->result.entry.rbx, LAYOUT_PVH_START_INFO);
	assert_false(r->result.kaslr);
	unpack_run_free(r);
}

/* The same kernel by each format that there is */
static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; i < num_packers; i++) {
		struct unpack_run *r = unpack_run_new();
		uint8_t *payload;

		r->payload.size = pack_payload(&packers[i], r->elf.bytes, r->elf.size, &payload);
		if (r->payload.size) {
			memcpy(r->payload.bytes, payload, r->payload.size);
			unpack_run_wrap(r);
			r->config.random[0] = 1;
			r->config.random[1] = 2;
			if (unpack_run_load(r))
				fail_msg("%s: %s", packers[i].name, r->err.text);
			unpack_run_check(r, UNPACK_STEP, 2 * UNPACK_STEP);
		}
		free(payload);
		unpack_run_free(r);
	}
}

static void test_cache(void **state)
{
	char dir[] = "/tmp/bantam-unpack-XXXXXX", command[64];
	struct unpack_run *r = unpack_run_new();

	(void)state;
	assert_non_null(mkdtemp(dir));
	unpack_run_pack(r);
	r->config.cache_dir = dir;
	for (uint64_t i = 0; i < 3; i++) {
		r->config.random[0] = r->config.random[1] = i;
		assert_int_equal(unpack_run_load(r), 0);
		assert_int_equal(r->result.cached, i > 0);
		unpack_run_check(r, i * UNPACK_STEP, (uint32_t)(i * UNPACK_STEP));
	}
	/* A byte less of it is another kernel. */
	r->elf.bytes[ELF_TEXT_OFF]++;
	unpack_run_pack(r);
	assert_int_equal(unpack_run_load(r), 0);
	assert_false(r->result.cached);
	unpack_run_check(r, 2 * UNPACK_STEP, 2 * UNPACK_STEP);
	/* One that is damaged is not kept. */
	poke(&r->payload, r->payload.size - 4, 4, r->elf.size + 1);
	unpack_run_wrap(r);
	assert_int_equal(unpack_run_load(r), -EINVAL);
	assert_int_equal(unpack_run_load(r), -EINVAL);
	/* What is kept is not let off a check: here that it is not larger than init_size. */
	unpack_run_pack(r);
	poke(&r->file, HDR_INIT_SIZE, 4, 3 * MiB);
	assert_int_equal(unpack_run_load(r), 0);
	assert_true(r->result.cached);
	poke(&r->file, HDR_INIT_SIZE, 4, ELF_DATA_PADDR + ELF_DATA_MEM - ELF_TEXT_PADDR - 1);
	assert_int_equal(unpack_run_load(r), -EINVAL);
	unpack_run_free(r);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

/* A cache that cannot be is done without. */
static void test_no_cache(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	r->config.cache_dir = "/dev/null/bantam";
	for (int i = 0; i < 2; i++) {
		assert_int_equal(unpack_run_load(r), 0);
		assert_false(r->result.cached);
		unpack_run_check(r, 0, 0);
	}
	unpack_run_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_addresses),
		cmocka_unit_test(test_newer_layout),
		cmocka_unit_test(test_room_for_the_table),
		cmocka_unit_test(test_where_it_is_linked),
		cmocka_unit_test(test_memory_set_aside),
		cmocka_unit_test(test_initrd_has_its_place),
		cmocka_unit_test(test_without_initrd),
		cmocka_unit_test(test_linux_without_note),
		cmocka_unit_test(test_boot_modes),
		cmocka_unit_test(test_pvh_entry),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_no_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
