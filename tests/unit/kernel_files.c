/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_files.h"

#include <elf.h>
#include <string.h>

#include "loader/boot_proto.h"

void poke(struct kernel_file *file, size_t off, unsigned int len, uint64_t value)
{
	for (unsigned int i = 0; i < len; i++)
		file->bytes[off + i] = (uint8_t)(value >> (8 * i));
}

/* Something that differs from byte to byte, so that a shift is noticed. */
static void pattern(struct kernel_file *file, size_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		file->bytes[off + i] = (uint8_t)(i * 7 + (i >> 8) + 1);
}

void make_bzimage(struct kernel_file *file)
{
	memset(file, 0, sizeof(*file));
	/* What lies around the header must not leak into boot_params. */
	memset(file->bytes, 0xa5, BZ_CODE_OFFSET);
	memset(file->bytes + HDR_START, 0, 0x26c - HDR_START);
	file->size = BZ_CODE_OFFSET + BZ_CODE_SIZE;
	pattern(file, BZ_CODE_OFFSET, BZ_CODE_SIZE);
	poke(file, HDR_SETUP_SECTS, 1, BZ_SETUP_SECTS);
	poke(file, HDR_ROOT_FLAGS, 2, 1);
	poke(file, HDR_SYSSIZE, 4, BZ_CODE_SIZE / 16);
	poke(file, HDR_BOOT_FLAG, 2, 0xaa55);
	poke(file, HDR_JUMP_LEN - 1, 2, 0x6aeb);
	poke(file, HDR_MAGIC, 4, HDR_MAGIC_VALUE);
	poke(file, HDR_VERSION, 2, 0x020f);
	poke(file, HDR_KERNEL_VERSION, 2, 0x100);
	memcpy(file->bytes + 0x300, BZ_VERSION, sizeof(BZ_VERSION));
	poke(file, HDR_LOADFLAGS, 1, HDR_LOADED_HIGH);
	poke(file, HDR_CODE32_START, 4, 0x100000);
	poke(file, HDR_INITRD_ADDR_MAX, 4, 0x7fffffff);
	poke(file, HDR_KERNEL_ALIGNMENT, 4, 0x200000);
	poke(file, HDR_RELOCATABLE, 1, 1);
	poke(file, HDR_XLOADFLAGS, 2, HDR_XLF_KERNEL_64);
	poke(file, HDR_CMDLINE_SIZE, 4, 2047);
	poke(file, HDR_SETUP_DATA, 8, 0xdeadbeef000);
	poke(file, HDR_PREF_ADDRESS, 8, BZ_PREF);
	poke(file, HDR_INIT_SIZE, 4, BZ_INIT_SIZE);
}

static void note(
	struct kernel_file *file, size_t off, const char *name, uint32_t type, uint64_t desc)
{
	size_t len = strlen(name) + 1;
	size_t desc_off = off + 12 + ((len + 3) & ~(size_t)3);

	poke(file, off, 4, len);
	poke(file, off + 4, 4, 8);
	poke(file, off + 8, 4, type);
	memcpy(file->bytes + off + 12, name, len);
	poke(file, desc_off, 8, desc);
}

/* Contents that both classes share: segments and notes. */
static void fill(struct kernel_file *file)
{
	memset(file, 0, sizeof(*file));
	memcpy(file->bytes, ELFMAG, SELFMAG);
	file->bytes[EI_DATA] = ELFDATA2LSB;
	file->bytes[EI_VERSION] = EV_CURRENT;
	poke(file, 16, 2, ET_EXEC);
	poke(file, 20, 4, EV_CURRENT);
	file->size = ELF_DATA_OFF + ELF_DATA_SIZE;
	pattern(file, ELF_TEXT_OFF, ELF_TEXT_SIZE);
	pattern(file, ELF_DATA_OFF, ELF_DATA_SIZE);
	note(file, ELF_NOTE_XEN, "Xen", 18, ELF_PVH_ENTRY);
	note(file, ELF_NOTE_LINUX, "Linux", 0x100, 0);
}

struct phdr {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz;
};

static const struct phdr phdrs[] = {
	{PT_LOAD, ELF_TEXT_OFF, ELF_VBASE + ELF_TEXT_PADDR, ELF_TEXT_PADDR, ELF_TEXT_SIZE,
		ELF_TEXT_SIZE},
	{PT_LOAD, ELF_DATA_OFF, ELF_VBASE + ELF_DATA_PADDR, ELF_DATA_PADDR, ELF_DATA_SIZE,
		ELF_DATA_MEM},
	{PT_NOTE, ELF_NOTE_OFF, 0, 0, 24 + 28, 24 + 28},
};

void make_elf64(struct kernel_file *file)
{
	fill(file);
	file->bytes[EI_CLASS] = ELFCLASS64;
	poke(file, 18, 2, EM_X86_64);
	poke(file, 24, 8, ELF_TEXT_PADDR);
	poke(file, 32, 8, ELF64_PH(0));
	poke(file, 54, 2, 56);
	poke(file, 56, 2, ARRAY_SIZE(phdrs));
	for (unsigned int i = 0; i < ARRAY_SIZE(phdrs); i++) {
		const uint64_t words[] = {phdrs[i].offset, phdrs[i].vaddr, phdrs[i].paddr,
			phdrs[i].filesz, phdrs[i].memsz, 4};

		poke(file, ELF64_PH(i), 4, phdrs[i].type);
		poke(file, ELF64_PH(i) + 4, 4, PF_R | PF_W | PF_X);
		for (unsigned int w = 0; w < ARRAY_SIZE(words); w++)
			poke(file, ELF64_PH(i) + 8 + w * 8, 8, words[w]);
	}
}

void make_elf32(struct kernel_file *file)
{
	fill(file);
	file->bytes[EI_CLASS] = ELFCLASS32;
	poke(file, 18, 2, EM_386);
	poke(file, 24, 4, ELF_TEXT_PADDR);
	poke(file, 28, 4, ELF32_PH(0));
	poke(file, 42, 2, 32);
	poke(file, 44, 2, ARRAY_SIZE(phdrs));
	for (unsigned int i = 0; i < ARRAY_SIZE(phdrs); i++) {
		const uint64_t words[] = {phdrs[i].type, phdrs[i].offset, phdrs[i].paddr,
			phdrs[i].paddr, phdrs[i].filesz, phdrs[i].memsz, PF_R | PF_W | PF_X, 4};

		for (unsigned int w = 0; w < ARRAY_SIZE(words); w++)
			poke(file, ELF32_PH(i) + w * 4, 4, words[w]);
	}
}
