/* SPDX-License-Identifier: BSD-2-Clause */
/* Small kernels, sound by the letter of their formats, to load and to damage. */
#ifndef TESTS_KERNEL_FILES_H
#define TESTS_KERNEL_FILES_H

#include "vm/core/base.h"

enum { KERNEL_FILE_MAX = 40960 };

struct kernel_file {
	size_t size;
	uint8_t bytes[KERNEL_FILE_MAX];
};

/* bzImage, protocol 2.15, 64-bit entry, relocatable, 16 MiB at 16 MiB, initrd below 2 GiB. */
#define BZ_SETUP_SECTS 4
#define BZ_CODE_OFFSET ((BZ_SETUP_SECTS + 1) * 512)
#define BZ_CODE_SIZE   4096
#define BZ_PREF	       UINT64_C(0x1000000)
#define BZ_INIT_SIZE   UINT64_C(0x1000000)
#define BZ_VERSION     "6.1.0-test (nobody@nowhere) #1 SMP"

void make_bzimage(struct kernel_file *file);

/* ELF64: text at 16 MiB (virtual at ELF_VBASE), data with bss behind it, notes of Linux and Xen. */
#define ELF_VBASE      UINT64_C(0xffffffff80000000)
#define ELF_TEXT_PADDR UINT64_C(0x1000000)
#define ELF_TEXT_SIZE  0x1000
#define ELF_TEXT_OFF   0x1000
#define ELF_DATA_PADDR UINT64_C(0x1200000)
#define ELF_DATA_SIZE  0x800
#define ELF_DATA_OFF   0x2000
#define ELF_DATA_MEM   0x5000
#define ELF_PVH_ENTRY  UINT64_C(0x1000100)
#define ELF_NOTE_OFF   0x400
/* Offsets of program headers: text, data, notes */
#define ELF64_PH(i) (64 + (i)*56)
#define ELF32_PH(i) (52 + (i)*32)
/* Offsets of the notes: Xen's PHYS32_ENTRY first, then one of Linux's */
#define ELF_NOTE_XEN   ELF_NOTE_OFF
#define ELF_NOTE_LINUX (ELF_NOTE_OFF + 24)

void make_elf64(struct kernel_file *file);
void make_elf32(struct kernel_file *file);

/* A Multiboot kernel by its header's addresses, which leave out the file's beginning and its end.
 */
#define MB_HEADER_OFF 0x100
#define MB_LOAD_OFF   0x80
#define MB_LOAD	      UINT64_C(0x200000)
#define MB_LOAD_SIZE  0x2000
#define MB_MEM_SIZE   0x5000
#define MB_ENTRY      (MB_LOAD + 0x100)
#define MB_FILE_SIZE  0x3000
/* make_elf32's kernel without its entry note, and with a header that has no addresses. */
#define MB_ELF_HEADER_OFF (ELF_TEXT_OFF + 0x40)

void make_multiboot(struct kernel_file *file);
void make_multiboot_elf32(struct kernel_file *file);
/* Writes a header's first words, with the sum that belongs to these flags. */
void poke_multiboot(struct kernel_file *file, size_t off, uint32_t flags);

/*
 * make_elf64's kernel with a relocation of each kind behind it, at these offsets in the text; with
 * or without inverse ones, which newer kernels have no list for.
 */
#define RELOC64_OFF	  0x10
#define RELOC_INVERSE_OFF 0x21
#define RELOC32_OFF	  0x33

void make_relocatable(struct kernel_file *file, bool inverse);

/* Packs a file as LZ4's legacy frame, by nothing but literals, with the size behind it. */
void pack_lz4(struct kernel_file *file, const struct kernel_file *content);

/* make_bzimage's kernel with that for its payload. */
#define BZ_PAYLOAD_OFFSET (BZ_CODE_OFFSET + 0x400)

void make_bzimage_around(struct kernel_file *file, const struct kernel_file *payload);

/* All of this together: a bzImage that can be unpacked, with three lists of relocations. */
void make_packed(struct kernel_file *file);

/* Where bytes of the ELF file in it are, and what it promises to unpack to. */
#define RELOCATABLE_SIZE   (ELF_DATA_OFF + ELF_DATA_SIZE + 24)
#define PACKED_BLOCK	   (BZ_PAYLOAD_OFFSET + 4)
#define PACKED_ELF(off)	   (PACKED_BLOCK + 4 + 2 + (RELOCATABLE_SIZE - 15) / 255 + (off))
#define PACKED_RELOC(word) PACKED_ELF(ELF_DATA_OFF + ELF_DATA_SIZE + 4 * (word))
#define PACKED_PROMISE	   PACKED_ELF(RELOCATABLE_SIZE)

/* One that unpacks to 8 MiB of zeros, and promises BOMB_PROMISE. */
#define BOMB_PROMISE 65536

void make_bomb(struct kernel_file *file);

void poke(struct kernel_file *file, size_t off, unsigned int len, uint64_t value);

#endif
