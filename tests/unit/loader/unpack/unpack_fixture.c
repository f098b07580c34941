/* SPDX-License-Identifier: BSD-2-Clause */
#include "unpack_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/boot/boot_proto.h"
#include "loader/image/bytes.h"
#include "vm/core/layout.h"

struct unpack_run *unpack_run_new(void)
{
	struct unpack_run *r = calloc(1, sizeof(*r));

	fake_ram_create(&r->ram, UNPACK_RAM);
	make_relocatable(&r->elf, true);
	unpack_run_pack(r);
	image_from_memory("initrd", "initrd!", 7, &r->initrd);
	r->config = (struct loader_config){
		.kernel = &r->kernel,
		.initrds = &r->initrd,
		.num_initrds = 1,
		.cmdline = "quiet",
		.version = true,
		.kaslr = true,
	};
	return r;
}

void unpack_run_pack(struct unpack_run *r)
{
	pack_lz4(&r->payload, &r->elf);
	unpack_run_wrap(r);
}

void unpack_run_wrap(struct unpack_run *r)
{
	make_bzimage_around(&r->file, &r->payload);
}

int unpack_run_load(struct unpack_run *r)
{
	image_from_memory("kernel", r->file.bytes, r->file.size, &r->kernel);
	return loader_load(r->ram.mem, &r->config, &r->result, &r->err);
}

void unpack_run_free(struct unpack_run *r)
{
	fake_ram_destroy(&r->ram);
	free(r);
}

uint8_t unpack_run_loadflags(const struct unpack_run *r)
{
	return *fake_ram_at(&r->ram, LAYOUT_BOOT_PARAMS + HDR_LOADFLAGS, 1);
}

void unpack_run_check(const struct unpack_run *r, uint64_t physical, uint32_t virtual)
{
	const uint8_t *text = r->elf.bytes + ELF_TEXT_OFF, *data = r->elf.bytes + ELF_DATA_OFF;
	const uint8_t *found = fake_ram_at(&r->ram, ELF_TEXT_PADDR + physical, ELF_TEXT_SIZE);
	const uint64_t data_gpa = ELF_DATA_PADDR + physical;
	uint8_t expected[ELF_TEXT_SIZE];

	assert_int_equal(r->result.format, KERNEL_UNPACKED64);
	assert_int_equal(r->result.entry.mode, ENTRY_LONG);
	assert_int_equal(r->result.entry.rip, ELF_TEXT_PADDR + physical);
	assert_int_equal(r->result.entry.rsi, LAYOUT_BOOT_PARAMS);
	assert_int_equal(r->result.kernel_gpa, BZ_PREF + physical);
	assert_int_equal(r->result.kernel_size, BZ_INIT_SIZE);
	assert_true(r->result.kernel_virtual == ELF_VBASE + ELF_TEXT_PADDR + virtual);
	assert_true(r->result.kernel_slide == virtual);
	assert_string_equal(r->result.not_unpacked.text, "");
	assert_string_equal(r->result.version, BZ_VERSION);
	memcpy(expected, text, sizeof(expected));
	put_le32(expected + RELOC32_OFF, get_le32(text + RELOC32_OFF) + virtual);
	put_le32(expected + RELOC_INVERSE_OFF, get_le32(text + RELOC_INVERSE_OFF) - virtual);
	put_le64(expected + RELOC64_OFF, get_le64(text + RELOC64_OFF) + virtual);
	assert_memory_equal(found, expected, sizeof(expected));
	assert_memory_equal(fake_ram_at(&r->ram, data_gpa, ELF_DATA_SIZE), data, ELF_DATA_SIZE);
	for (uint64_t i = ELF_DATA_SIZE; i < ELF_DATA_MEM; i++)
		assert_int_equal(*fake_ram_at(&r->ram, data_gpa + i, 1), 0);
	assert_int_equal(get_le32(fake_ram_at(&r->ram, LAYOUT_BOOT_PARAMS + HDR_CODE32_START, 4)),
		BZ_PREF + physical);
	assert_int_equal(get_le32(fake_ram_at(&r->ram, LAYOUT_BOOT_PARAMS + HDR_INIT_SIZE, 4)),
		BZ_INIT_SIZE);
	assert_int_equal(
		get_le64(fake_ram_at(&r->ram, LAYOUT_BOOT_PARAMS + HDR_PREF_ADDRESS, 8)), BZ_PREF);
	assert_int_equal(unpack_run_loadflags(r),
		r->result.kaslr ? HDR_LOADED_HIGH | HDR_KASLR_FLAG : HDR_LOADED_HIGH);
	if (r->config.num_initrds == 1 && r->initrd.size == 7)
		assert_memory_equal(fake_ram_at(&r->ram, r->result.initrd_gpa, 7), "initrd!", 7);
}
