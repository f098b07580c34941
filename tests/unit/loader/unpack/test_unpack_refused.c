/* SPDX-License-Identifier: BSD-2-Clause */
/* bzImages that are not unpacked: left to unpack themselves, or refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/boot/boot_proto.h"
#include "unpack_fixture.h"

/* ---- what is left to the kernel's own code ---- */

static void unknown_format(struct unpack_run *r)
{
	poke(&r->file, BZ_PAYLOAD_OFFSET, 4, 0x12345678);
}

static void no_payload(struct unpack_run *r)
{
	poke(&r->file, HDR_PAYLOAD_LENGTH, 4, 0);
}

static void old_protocol(struct unpack_run *r)
{
	poke(&r->file, HDR_VERSION, 2, 0x0207);
	poke(&r->file, HDR_XLOADFLAGS, 2, 0);
}

static void short_header(struct unpack_run *r)
{
	/* 2.09 had no more than this, by its own word: it ends in the middle of the payload's */
	poke(&r->file, HDR_VERSION, 2, 0x0209);
	poke(&r->file, HDR_JUMP_LEN, 1, HDR_PAYLOAD_LENGTH + 3 - HDR_MAGIC);
}

static void i386_kernel(struct unpack_run *r)
{
	poke(&r->file, HDR_XLOADFLAGS, 2, 0);
}

static void elf32_inside(struct unpack_run *r)
{
	make_elf32(&r->elf);
	unpack_run_pack(r);
}

static void no_elf_inside(struct unpack_run *r)
{
	r->elf.bytes[0] = 'E';
	unpack_run_pack(r);
}

static void linked_elsewhere(struct unpack_run *r)
{
	poke(&r->file, HDR_PREF_ADDRESS, 8, BZ_PREF + UNPACK_STEP);
}

static void test_fallback(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct unpack_run *);
		enum kernel_format format;
	} table[] = {
		{"unknown format", unknown_format, KERNEL_BZIMAGE64},
		{"no payload", no_payload, KERNEL_BZIMAGE64},
		{"old protocol", old_protocol, KERNEL_BZIMAGE32},
		{"short header", short_header, KERNEL_BZIMAGE32},
		{"i386 kernel", i386_kernel, KERNEL_BZIMAGE32},
		{"ELF32 inside", elf32_inside, KERNEL_BZIMAGE64},
		{"no ELF inside", no_elf_inside, KERNEL_BZIMAGE64},
		{"linked elsewhere", linked_elsewhere, KERNEL_BZIMAGE64},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct unpack_run *r = unpack_run_new();

		table[i].change(r);
		r->config.random[0] = 5;
		if (unpack_run_load(r))
			fail_msg("%s: %s", table[i].name, r->err.text);
		assert_int_equal(r->result.format, table[i].format);
		assert_int_equal(r->result.not_unpacked.text[0] != '\0',
			table[i].format == KERNEL_BZIMAGE64);
		assert_false(r->result.kaslr);
		assert_int_equal(unpack_run_loadflags(r), HDR_LOADED_HIGH);
		assert_memory_equal(fake_ram_at(&r->ram, r->result.kernel_gpa, 0x400),
			r->file.bytes + BZ_CODE_OFFSET, 0x400);
		r->config.boot = BOOT_ELF;
		if (unpack_run_load(r) != -ENOTSUP ||
			!strstr(r->err.text, "boot it without --boot elf") ||
			strstr(r->err.text, "bzImage"))
			fail_msg("%s: %s", table[i].name, r->err.text);
		unpack_run_free(r);
	}
}

/* Who asks for an entry that an i386 bzImage has not, is not told to take the bzImage. */
static void test_i386_pvh(void **state)
{
	struct unpack_run *r = unpack_run_new();

	(void)state;
	make_elf32(&r->elf);
	poke(&r->elf, ELF32_PH(2), 4, 0);
	unpack_run_pack(r);
	i386_kernel(r);
	r->config.boot = BOOT_PVH;
	assert_int_equal(unpack_run_load(r), -ENOTSUP);
	assert_non_null(strstr(r->err.text, "boot it without --boot pvh"));
	assert_null(strstr(r->err.text, "bzImage"));
	unpack_run_free(r);
}

/* ---- refused ---- */

static void larger_than_init_size(struct unpack_run *r)
{
	poke(&r->elf, ELF64_PH(1) + 40, 8, BZ_INIT_SIZE - (ELF_DATA_PADDR - ELF_TEXT_PADDR) + 1);
	unpack_run_pack(r);
}

static void place_outside(struct unpack_run *r)
{
	poke(&r->elf, r->elf.size - 4, 4, 0x80fffffc);
	unpack_run_pack(r);
}

static void table_cut(struct unpack_run *r)
{
	r->elf.size -= 2;
	unpack_run_pack(r);
}

static void segment_cut(struct unpack_run *r)
{
	r->elf.size = ELF_DATA_OFF + ELF_DATA_SIZE - 1;
	unpack_run_pack(r);
}

static void packed_cut(struct unpack_run *r)
{
	r->payload.size -= 100;
	poke(&r->payload, r->payload.size - 4, 4, r->elf.size);
	unpack_run_wrap(r);
}

static void promises_more(struct unpack_run *r)
{
	poke(&r->payload, r->payload.size - 4, 4, r->elf.size + 1);
	unpack_run_wrap(r);
}

static void promises_too_much(struct unpack_run *r)
{
	poke(&r->payload, r->payload.size - 4, 4, BZ_INIT_SIZE + 1);
	unpack_run_wrap(r);
}

static void promises_nothing(struct unpack_run *r)
{
	poke(&r->payload, r->payload.size - 4, 4, 0);
	unpack_run_wrap(r);
}

static void payload_outside(struct unpack_run *r)
{
	poke(&r->file, HDR_PAYLOAD_LENGTH, 4, r->payload.size + 1);
}

static void payload_far_outside(struct unpack_run *r)
{
	poke(&r->file, HDR_PAYLOAD_OFFSET, 4, UINT32_MAX);
}

static void payload_tiny(struct unpack_run *r)
{
	poke(&r->file, HDR_PAYLOAD_LENGTH, 4, 19);
}

static void no_memory(struct unpack_run *r)
{
	poke(&r->file, HDR_INIT_SIZE, 4, UNPACK_RAM);
}

static void test_refused(void **state)
{
	static const struct {
		void (*change)(struct unpack_run *);
		int rc;
		const char *reason;
	} table[] = {
		{larger_than_init_size, -EINVAL, "init_size"},
		{place_outside, -EINVAL, "relocation table"},
		{table_cut, -EINVAL, "relocation table"},
		{segment_cut, -EINVAL, "segment 1"},
		{packed_cut, -EINVAL, "does not unpack"},
		{promises_more, -EINVAL, "does not unpack"},
		{promises_too_much, -EINVAL, "promises"},
		{promises_nothing, -EINVAL, "promises"},
		{payload_outside, -EINVAL, "payload_length"},
		{payload_far_outside, -EINVAL, "payload_offset"},
		{payload_tiny, -EINVAL, "payload_length"},
		{no_memory, -ENOSPC, "-m"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		static const enum loader_boot modes[] = {BOOT_AUTO, BOOT_ELF};
		struct unpack_run *r = unpack_run_new();

		table[i].change(r);
		for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
			r->config.boot = modes[m];
			if (unpack_run_load(r) != table[i].rc || !strstr(r->err.text, "kernel: ") ||
				!strstr(r->err.text, table[i].reason))
				fail_msg("%zu: %s", i, r->err.text);
		}
		unpack_run_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_i386_pvh),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
