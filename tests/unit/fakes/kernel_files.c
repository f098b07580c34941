/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_files.h"

#include <elf.h>
#include <string.h>

#include "loader/boot/boot_proto.h"

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

void poke_multiboot(struct kernel_file *file, size_t off, uint32_t flags)
{
	poke(file, off, 4, 0x1badb002);
	poke(file, off + 4, 4, flags);
	poke(file, off + 8, 4, (uint32_t) - (0x1badb002 + flags));
}

void make_multiboot(struct kernel_file *file)
{
	static const uint64_t addresses[] = {MB_LOAD + MB_HEADER_OFF - MB_LOAD_OFF, MB_LOAD,
		MB_LOAD + MB_LOAD_SIZE, MB_LOAD + MB_MEM_SIZE, MB_ENTRY};

	memset(file, 0, sizeof(*file));
	file->size = MB_FILE_SIZE;
	pattern(file, 0, MB_FILE_SIZE);
	poke_multiboot(file, MB_HEADER_OFF, 0x10003);
	for (unsigned int i = 0; i < ARRAY_SIZE(addresses); i++)
		poke(file, MB_HEADER_OFF + 12 + i * 4, 4, addresses[i]);
}

void make_multiboot_elf32(struct kernel_file *file)
{
	make_elf32(file);
	poke(file, ELF_NOTE_XEN + 8, 4, 0);
	poke_multiboot(file, MB_ELF_HEADER_OFF, 3);
}

static void append(struct kernel_file *file, const void *bytes, size_t len)
{
	memcpy(file->bytes + file->size, bytes, len);
	file->size += len;
}

static void append32(struct kernel_file *file, uint32_t value)
{
	poke(file, file->size, 4, value);
	file->size += 4;
}

void make_relocatable(struct kernel_file *file, bool inverse)
{
	const uint32_t text = (uint32_t)(ELF_VBASE + ELF_TEXT_PADDR);

	make_elf64(file);
	append32(file, 0);
	append32(file, text + RELOC64_OFF);
	append32(file, 0);
	if (inverse) {
		append32(file, text + RELOC_INVERSE_OFF);
		append32(file, 0);
	}
	append32(file, text + RELOC32_OFF);
}

/* One block: a token that says "15 literals and more", how many more in bytes of up to 255, and
 * the literals. A block may end with them. */
void pack_lz4(struct kernel_file *file, const struct kernel_file *content)
{
	const uint8_t token = 0xf0, full = 255;
	size_t more = content->size - 15;

	memset(file, 0, sizeof(*file));
	append32(file, 0x184c2102);
	append32(file, (uint32_t)(1 + more / full + 1 + content->size));
	append(file, &token, 1);
	for (; more >= full; more -= full)
		append(file, &full, 1);
	append(file, &(uint8_t){(uint8_t)more}, 1);
	append(file, content->bytes, content->size);
	append32(file, (uint32_t)content->size);
}

void make_bzimage_around(struct kernel_file *file, const struct kernel_file *payload)
{
	const size_t code = BZ_PAYLOAD_OFFSET - BZ_CODE_OFFSET + payload->size;

	make_bzimage(file);
	poke(file, HDR_SYSSIZE, 4, code / 16);
	poke(file, HDR_PAYLOAD_OFFSET, 4, BZ_PAYLOAD_OFFSET - BZ_CODE_OFFSET);
	poke(file, HDR_PAYLOAD_LENGTH, 4, payload->size);
	file->size = BZ_PAYLOAD_OFFSET;
	append(file, payload->bytes, payload->size);
}

_Static_assert(PACKED_PROMISE + 4 <= KERNEL_FILE_MAX, "a packed kernel fits");

void make_packed(struct kernel_file *file)
{
	struct kernel_file elf, payload;

	make_relocatable(&elf, true);
	pack_lz4(&payload, &elf);
	make_bzimage_around(file, &payload);
}

/* A zero, and a match that repeats it: 255 times for each byte of its length. */
void make_bomb(struct kernel_file *file)
{
	static const uint8_t start[] = {0x1f, 0, 1, 0};
	const size_t lengths = 8 * MiB / 255;
	struct kernel_file payload = {0};

	append32(&payload, 0x184c2102);
	append32(&payload, (uint32_t)(sizeof(start) + lengths));
	append(&payload, start, sizeof(start));
	memset(payload.bytes + payload.size, 255, lengths);
	payload.size += lengths;
	append32(&payload, BOMB_PROMISE);
	make_bzimage_around(file, &payload);
}
