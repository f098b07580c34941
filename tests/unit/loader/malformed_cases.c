/* SPDX-License-Identifier: BSD-2-Clause */
#include "fakes/kernel_files.h"
#include "loader/boot/boot_proto.h"
#include "malformed_set.h"

#define RAM (MALFORMED_MEMORY_MIB * MiB)
#define ALL UINT64_MAX

#define BZ(n, off, len, value, why)                                                                \
	{                                                                                          \
		.name = "bz-" n, .reason = why, .base = FROM_BZIMAGE,                              \
		.patches = {{off, len, value}}, .size = SIZE_AS_IS                                 \
	}
#define BZ_FIXED(n, off, len, value, why) /* not relocatable */                                    \
	{                                                                                          \
		.name = "bz-" n, .reason = why, .base = FROM_BZIMAGE,                              \
		.patches = {{off, len, value}, {HDR_RELOCATABLE, 1, 0}}, .size = SIZE_AS_IS        \
	}
#define BZ_CUT(n, bytes, why)                                                                      \
	{                                                                                          \
		.name = "bz-size-" n, .reason = why, .base = FROM_BZIMAGE, .size = bytes           \
	}
#define PACKED(n, off, len, value, why)                                                            \
	{                                                                                          \
		.name = "packed-" n, .reason = why, .base = FROM_PACKED,                           \
		.patches = {{off, len, value}}, .size = SIZE_AS_IS                                 \
	}
#define PACKED_CUT(n, bytes, why) /* with a syssize that allows it */                              \
	{                                                                                          \
		.name = "packed-cut-" n, .reason = why, .base = FROM_PACKED,                       \
		.patches = {{HDR_SYSSIZE, 4, 0}}, .size = bytes                                    \
	}
#define BZ_CMDLINE(n, field, words)                                                                \
	{                                                                                          \
		.name = "bz-cmdline-" n, .reason = "cmdline_size", .base = FROM_BZIMAGE,           \
		.patches = {{HDR_CMDLINE_SIZE, 4, field}}, .size = SIZE_AS_IS,                     \
		.cmdline_len = words                                                               \
	}
#define INITRD(n, initrd, bytes, why)                                                              \
	{                                                                                          \
		.name = "initrd-" n, .reason = why, .base = FROM_BZIMAGE, .size = SIZE_AS_IS,      \
		.has_initrd = true, .initrd_kind = initrd, .initrd_size = bytes                    \
	}
#define INITRD_MAX(n, max)                                                                         \
	{                                                                                          \
		.name = "initrd-max-" n, .reason = "initrd_addr_max", .base = FROM_BZIMAGE,        \
		.patches = {{HDR_INITRD_ADDR_MAX, 4, max}}, .size = SIZE_AS_IS,                    \
		.has_initrd = true, .initrd_size = 4096                                            \
	}
#define E64(n, off, len, value, why)                                                               \
	{                                                                                          \
		.name = "elf64-" n, .reason = why, .base = FROM_ELF64,                             \
		.patches = {{off, len, value}}, .size = SIZE_AS_IS                                 \
	}
#define E64_CUT(n, bytes, why)                                                                     \
	{                                                                                          \
		.name = "elf64-size-" n, .reason = why, .base = FROM_ELF64, .size = bytes          \
	}
#define E32(n, off, len, value, why)                                                               \
	{                                                                                          \
		.name = "elf32-" n, .reason = why, .base = FROM_ELF32,                             \
		.patches = {{off, len, value}}, .size = SIZE_AS_IS                                 \
	}
#define RAW(n, at, text, length, why)                                                              \
	{                                                                                          \
		.name = "raw-" n, .reason = why, .base = FROM_BYTES, .bytes = text,                \
		.bytes_len = sizeof(text) - 1, .bytes_off = at, .size = length                     \
	}
#define MADE(n, what, why)                                                                         \
	{                                                                                          \
		.name = n, .reason = why, .kind = what, .size = SIZE_AS_IS                         \
	}

/* Fields of a program header of 56 bytes */
#define P_OFFSET(i) (ELF64_PH(i) + 8)
#define P_VADDR(i)  (ELF64_PH(i) + 16)
#define P_PADDR(i)  (ELF64_PH(i) + 24)
#define P_FILESZ(i) (ELF64_PH(i) + 32)
#define P_MEMSZ(i)  (ELF64_PH(i) + 40)

static const struct malformed_case cases[] = {
	BZ_CUT("0", 0, "empty"),
	BZ_CUT("1", 1, "not a bootable kernel"),
	BZ_CUT("511", 511, "not a bootable kernel"),
	BZ_CUT("512", 512, "not a bootable kernel"),
	BZ_CUT("517", HDR_MAGIC + 3, "not a bootable kernel"),
	BZ_CUT("518", HDR_MAGIC + 4, "too few"),
	BZ_CUT("615", HDR_MIN_FILE - 1, "too few"),
	BZ_CUT("616", HDR_MIN_FILE, "setup_sects"),
	BZ_CUT("code-0", BZ_CODE_OFFSET, "setup_sects"),
	BZ_CUT("code-1", BZ_CODE_OFFSET + 1, "syssize"),
	BZ_CUT("code-short", BZ_CODE_OFFSET + BZ_CODE_SIZE - 16, "syssize"),
	BZ_CUT("1tib", TiB, "init_size"),
	BZ("setup-sects-max", HDR_SETUP_SECTS, 1, 255, "setup_sects is 255"),
	BZ("boot-flag-0", HDR_BOOT_FLAG, 2, 0, "boot_flag"),
	BZ("boot-flag-1", HDR_BOOT_FLAG, 2, 1, "boot_flag"),
	BZ("boot-flag-max", HDR_BOOT_FLAG, 2, 0xffff, "boot_flag"),
	BZ("boot-flag-swapped", HDR_BOOT_FLAG, 2, 0x55aa, "boot_flag"),
	BZ("magic-0", HDR_MAGIC, 4, 0, "boot sector"),
	BZ("magic-max", HDR_MAGIC, 4, ALL, "boot sector"),
	BZ("version-0", HDR_VERSION, 2, 0, "version"),
	BZ("version-1", HDR_VERSION, 2, 1, "version"),
	BZ("version-max", HDR_VERSION, 2, 0xffff, "version"),
	BZ("version-2.00", HDR_VERSION, 2, 0x200, "too old"),
	BZ("version-2.05", HDR_VERSION, 2, 0x205, "too old"),
	BZ("jump-0", HDR_JUMP_LEN, 1, 0, "header ends"),
	BZ("jump-1", HDR_JUMP_LEN, 1, 1, "header ends"),
	BZ("jump-max", HDR_JUMP_LEN, 1, 255, "header ends"),
	BZ("jump-short", HDR_JUMP_LEN, 1, HDR_END_2_10 - HDR_MAGIC - 1, "header ends"),
	BZ("loadflags-0", HDR_LOADFLAGS, 1, 0, "LOADED_HIGH"),
	BZ("loadflags-all-but-1", HDR_LOADFLAGS, 1, 0xfe, "LOADED_HIGH"),
	BZ("syssize-max", HDR_SYSSIZE, 4, ALL, "syssize"),
	BZ("alignment-0", HDR_KERNEL_ALIGNMENT, 4, 0, "kernel_alignment"),
	BZ("alignment-3", HDR_KERNEL_ALIGNMENT, 4, 3, "kernel_alignment"),
	BZ("alignment-max", HDR_KERNEL_ALIGNMENT, 4, ALL, "kernel_alignment"),
	BZ("alignment-2gib", HDR_KERNEL_ALIGNMENT, 4, 2 * GiB, "init_size"),
	BZ("init-size-0", HDR_INIT_SIZE, 4, 0, "init_size"),
	BZ("init-size-1", HDR_INIT_SIZE, 4, 1, "init_size"),
	BZ("init-size-max", HDR_INIT_SIZE, 4, ALL, "init_size"),
	BZ("init-size-less", HDR_INIT_SIZE, 4, BZ_CODE_SIZE - 1, "init_size"),
	BZ("init-size-ram", HDR_INIT_SIZE, 4, RAM, "init_size"),
	BZ("init-size-1-over", HDR_INIT_SIZE, 4, RAM - BZ_PREF + 1, "-m"),
	BZ("pref-max", HDR_PREF_ADDRESS, 8, ALL, "pref_address"),
	BZ("pref-wrap", HDR_PREF_ADDRESS, 8, -BZ_INIT_SIZE, "pref_address"),
	BZ("pref-4gib", HDR_PREF_ADDRESS, 8, 4 * GiB, "pref_address"),
	BZ("pref-below-4gib", HDR_PREF_ADDRESS, 8, 4 * GiB - 1, "pref_address"),
	BZ("pref-ram", HDR_PREF_ADDRESS, 8, RAM, "init_size"),
	BZ_FIXED("fixed-pref-0", HDR_PREF_ADDRESS, 8, 0, "pref_address"),
	BZ_FIXED("fixed-pref-1", HDR_PREF_ADDRESS, 8, 1, "pref_address"),
	BZ_FIXED("fixed-pref-max", HDR_PREF_ADDRESS, 8, ALL, "pref_address"),
	BZ_FIXED("fixed-pref-ram", HDR_PREF_ADDRESS, 8, RAM - 1, "init_size"),
	{.name = "bz-no-entry64",
		.reason = "XLF_KERNEL_64",
		.base = FROM_BZIMAGE,
		.patches = {{HDR_SYSSIZE, 4, 0}},
		.size = BZ_CODE_OFFSET + HDR_ENTRY64_OFFSET},
	{.name = "bz-2.09-1tib",
		.reason = "init_size",
		.base = FROM_BZIMAGE,
		.patches = {{HDR_VERSION, 2, 0x209}},
		.size = TiB},
	BZ_CMDLINE("max-0", 0, 1),
	BZ_CMDLINE("max-1", 1, 2),
	BZ_CMDLINE("2048", 2047, 2048),
	BZ_CMDLINE("64k", ALL, 65536),

	PACKED_CUT("head", BZ_PAYLOAD_OFFSET + 16, "payload_length"),
	PACKED_CUT("middle", PACKED_ELF(ELF_DATA_OFF), "payload_length"),
	PACKED_CUT("1", PACKED_PROMISE + 3, "payload_length"),
	PACKED("offset-end", HDR_PAYLOAD_OFFSET, 4, PACKED_PROMISE + 4 - BZ_CODE_OFFSET,
		"payload_offset"),
	PACKED("offset-max", HDR_PAYLOAD_OFFSET, 4, ALL, "payload_offset"),
	PACKED("length-1", HDR_PAYLOAD_LENGTH, 4, 1, "payload_length"),
	PACKED("length-19", HDR_PAYLOAD_LENGTH, 4, 19, "payload_length"),
	PACKED("length-less", HDR_PAYLOAD_LENGTH, 4, PACKED_PROMISE + 3 - BZ_PAYLOAD_OFFSET,
		"promises"),
	PACKED("length-more", HDR_PAYLOAD_LENGTH, 4, PACKED_PROMISE + 5 - BZ_PAYLOAD_OFFSET,
		"payload_length"),
	PACKED("length-max", HDR_PAYLOAD_LENGTH, 4, ALL, "payload_length"),
	PACKED("promise-0", PACKED_PROMISE, 4, 0, "promises 0 bytes"),
	PACKED("promise-1", PACKED_PROMISE, 4, 1, "does not unpack to the 1 bytes"),
	PACKED("promise-less", PACKED_PROMISE, 4, RELOCATABLE_SIZE - 1, "does not unpack"),
	PACKED("promise-more", PACKED_PROMISE, 4, RELOCATABLE_SIZE + 1, "does not unpack"),
	PACKED("promise-init-size", PACKED_PROMISE, 4, BZ_INIT_SIZE, "does not unpack"),
	PACKED("promise-over", PACKED_PROMISE, 4, BZ_INIT_SIZE + 1, "init_size"),
	PACKED("promise-max", PACKED_PROMISE, 4, ALL, "init_size"),
	PACKED("block-0", PACKED_BLOCK, 4, 0, "does not unpack"),
	PACKED("block-1", PACKED_BLOCK, 4, 1, "does not unpack"),
	PACKED("block-max", PACKED_BLOCK, 4, ALL, "does not unpack"),
	PACKED("match-before-start", PACKED_BLOCK + 4, 4, 0xffff000f, "does not unpack"),
	PACKED("phnum-max", PACKED_ELF(56), 2, 0xffff, "e_phnum"),
	PACKED("filesz-max", PACKED_ELF(P_FILESZ(1)), 8, ALL, "p_filesz"),
	PACKED("memsz-over", PACKED_ELF(P_MEMSZ(1)), 8, BZ_INIT_SIZE, "init_size"),
	PACKED("paddr-wrap", PACKED_ELF(P_PADDR(1)), 8, -1, "p_paddr"),
	PACKED("sections-max", PACKED_ELF(60), 2, 0xffff, "relocation table"),
	PACKED("relocs-begin", PACKED_RELOC(0), 4, 0x81000000, "relocation table"),
	{.name = "packed-relocs-one-list",
		.reason = "relocation table",
		.base = FROM_PACKED,
		.patches = {{PACKED_RELOC(2), 4, 0x81000000}, {PACKED_RELOC(4), 4, 0x81000000}},
		.size = SIZE_AS_IS},
	PACKED("relocs-four-lists", PACKED_RELOC(1), 4, 0, "relocation table"),
	PACKED("reloc64-below", PACKED_RELOC(1), 4, 0x80ffffff, "relocation table"),
	PACKED("reloc64-above", PACKED_RELOC(1), 4, 0x81204ff9, "relocation table"),
	PACKED("reloc64-1", PACKED_RELOC(1), 4, 1, "relocation table"),
	PACKED("inverse-above", PACKED_RELOC(3), 4, 0x81204ffd, "relocation table"),
	PACKED("inverse-max", PACKED_RELOC(3), 4, ALL, "relocation table"),
	PACKED("reloc32-above", PACKED_RELOC(5), 4, 0x81204ffd, "relocation table"),
	PACKED("reloc32-user", PACKED_RELOC(5), 4, 0x01000000, "relocation table"),
	{.name = "packed-bomb", .reason = "does not unpack", .base = FROM_BOMB, .size = SIZE_AS_IS},
	{.name = "packed-bomb-init-size",
		.reason = "init_size",
		.base = FROM_BOMB,
		.patches = {{HDR_INIT_SIZE, 4, BOMB_PROMISE - 1}},
		.size = SIZE_AS_IS},

	INITRD("empty", MADE_FILE, 0, "empty"),
	INITRD("ram", MADE_FILE, RAM, "does not fit"),
	INITRD("ram-plus-1", MADE_FILE, RAM + 1, "does not fit"),
	INITRD("room-plus-1", MADE_FILE, RAM - BZ_PREF - BZ_INIT_SIZE + 1, "-m"),
	INITRD("4gib", MADE_FILE, 4 * GiB, "does not fit"),
	INITRD("1tib", MADE_FILE, TiB, "does not fit"),
	INITRD("fifo", MADE_FIFO, 0, "FIFO"),
	INITRD("directory", MADE_DIRECTORY, 0, "directory"),
	INITRD("dev-zero", MADE_DEV_ZERO, 0, "device"),
	INITRD("missing", MADE_NOTHING, 0, "no such file"),
	INITRD_MAX("0", 0),
	INITRD_MAX("1", 1),
	INITRD_MAX("1mib", 0x100000),
	INITRD_MAX("short", 0x100ffe),

	E64_CUT("4", 4, "too few"),
	E64_CUT("51", 51, "too few"),
	E64_CUT("52", 52, "too few"),
	E64_CUT("63", 63, "too few"),
	E64_CUT("64", 64, "e_phoff"),
	E64_CUT("phdr", ELF64_PH(3) - 1, "e_phoff"),
	E64_CUT("segment", ELF_DATA_OFF + ELF_DATA_SIZE - 1, "p_filesz"),
	E64("class-0", 4, 1, 0, "EI_CLASS"),
	E64("class-max", 4, 1, 255, "EI_CLASS"),
	E64("class-32", 4, 1, 1, "e_ph"),
	E64("data-0", 5, 1, 0, ""),
	E64("data-big", 5, 1, 2, ""),
	E64("machine-0", 18, 2, 0, "e_machine"),
	E64("machine-386", 18, 2, 3, "e_machine"),
	E64("machine-arm64", 18, 2, 183, "64-bit ARM"),
	E64("machine-riscv", 18, 2, 243, "RISC-V"),
	E64("machine-max", 18, 2, 0xffff, "e_machine"),
	E64("type-0", 16, 2, 0, "e_type"),
	E64("type-rel", 16, 2, 1, "object file"),
	E64("type-core", 16, 2, 4, "core dump"),
	E64("type-max", 16, 2, 0xffff, "e_type"),
	E64("phoff-0", 32, 8, 0, "segment 2"),
	E64("phoff-end", 32, 8, ELF_DATA_OFF + ELF_DATA_SIZE, "e_phoff"),
	E64("phoff-wrap", 32, 8, -8, "e_phoff"),
	E64("phoff-max", 32, 8, ALL, "e_phoff"),
	E64("phentsize-0", 54, 2, 0, "e_phentsize"),
	E64("phentsize-1", 54, 2, 1, "e_phentsize"),
	E64("phentsize-32", 54, 2, 32, "e_phentsize"),
	E64("phentsize-max", 54, 2, 0xffff, "e_phentsize"),
	E64("phnum-0", 56, 2, 0, "e_phnum"),
	E64("phnum-65", 56, 2, 65, "e_phnum"),
	E64("phnum-max", 56, 2, 0xffff, "e_phnum"),
	E64("offset-max", P_OFFSET(0), 8, ALL, "p_offset"),
	E64("offset-wrap", P_OFFSET(0), 8, -ELF_TEXT_SIZE, "p_offset"),
	E64("offset-end", P_OFFSET(0), 8, ELF_DATA_OFF + ELF_DATA_SIZE, "p_offset"),
	E64("filesz-max", P_FILESZ(0), 8, ALL, "p_filesz"),
	E64("filesz-over-memsz", P_FILESZ(0), 8, ELF_TEXT_SIZE + 1, "p_memsz"),
	E64("memsz-0", P_MEMSZ(0), 8, 0, "p_memsz"),
	E64("memsz-max", P_MEMSZ(1), 8, ALL, "p_memsz"),
	E64("memsz-ram", P_MEMSZ(1), 8, RAM, "p_memsz"),
	E64("memsz-1-over", P_MEMSZ(1), 8, RAM - ELF_DATA_PADDR + 1, "p_memsz"),
	E64("paddr-0", P_PADDR(1), 8, 0, "below 1 MiB"),
	E64("paddr-1", P_PADDR(1), 8, 1, "below 1 MiB"),
	E64("paddr-low", P_PADDR(1), 8, MiB - 1, "below 1 MiB"),
	E64("paddr-ram", P_PADDR(1), 8, RAM, "p_paddr"),
	E64("paddr-4gib", P_PADDR(1), 8, 4 * GiB, "p_paddr"),
	E64("paddr-wrap", P_PADDR(1), 8, -16, "wraps"),
	E64("paddr-max", P_PADDR(1), 8, ALL, "wraps"),
	E64("paddr-overlap", P_PADDR(1), 8, ELF_TEXT_PADDR + ELF_TEXT_SIZE - 1, "overlaps"),
	E64("vaddr-wrap", P_VADDR(1), 8, -16, "wraps"),
	E64("notes-outside", P_OFFSET(2), 8, ALL, "p_offset"),
	E64("notes-huge", P_FILESZ(2), 8, ALL, "p_filesz"),
	E64("note-name-max", ELF_NOTE_XEN, 4, ALL, "note"),
	E64("note-desc-max", ELF_NOTE_XEN + 4, 4, ALL, "note"),
	E64("note-desc-3", ELF_NOTE_XEN + 4, 4, 3, "PVH entry note"),
	E64("pvh-entry-0", ELF_NOTE_XEN + 16, 8, 0, "PVH entry"),
	E64("pvh-entry-bss", ELF_NOTE_XEN + 16, 8, ELF_DATA_PADDR + ELF_DATA_SIZE, "PVH entry"),
	E64("pvh-entry-max", ELF_NOTE_XEN + 16, 8, ALL, "PVH entry"),
	{.name = "elf64-no-load",
		.reason = "PT_LOAD",
		.base = FROM_ELF64,
		.patches = {{ELF64_PH(0), 4, 0}, {ELF64_PH(1), 4, 0}},
		.size = SIZE_AS_IS},
	{.name = "elf64-program",
		.reason = "a program",
		.base = FROM_ELF64,
		.patches = {{ELF64_PH(2), 4, 3}},
		.size = SIZE_AS_IS},
	{.name = "elf64-static-program",
		.reason = "a program",
		.base = FROM_ELF64,
		.patches = {{ELF_NOTE_XEN + 8, 4, 1}, {ELF_NOTE_XEN + 12, 4, 0x554e47}},
		.size = SIZE_AS_IS},
	{.name = "elf64-entry-0",
		.reason = "e_entry",
		.base = FROM_ELF64,
		.patches = {{24, 8, 0}, {ELF64_PH(2), 4, 0}},
		.size = SIZE_AS_IS},
	{.name = "elf64-entry-1",
		.reason = "e_entry",
		.base = FROM_ELF64,
		.patches = {{24, 8, 1}},
		.size = SIZE_AS_IS},
	{.name = "elf64-entry-bss",
		.reason = "e_entry",
		.base = FROM_ELF64,
		.patches = {{24, 8, ELF_DATA_PADDR + ELF_DATA_SIZE}},
		.size = SIZE_AS_IS},
	{.name = "elf64-entry-max",
		.reason = "e_entry",
		.base = FROM_ELF64,
		.patches = {{24, 8, ALL}, {ELF64_PH(2), 4, 0}},
		.size = SIZE_AS_IS},

	E32("no-note", ELF32_PH(2), 4, 0, "without a PVH entry"),
	E32("machine-arm", 18, 2, 40, "32-bit ARM"),
	E32("phoff-max", 28, 4, ALL, "e_phoff"),
	E32("phentsize-56", 42, 2, 56, "e_phentsize"),
	E32("phnum-max", 44, 2, 0xffff, "e_phnum"),
	E32("paddr-max", ELF32_PH(1) + 12, 4, ALL, "p_paddr"),
	E32("filesz-max", ELF32_PH(1) + 16, 4, ALL, "p_filesz"),
	E32("memsz-max", ELF32_PH(1) + 20, 4, ALL, "p_memsz"),

	RAW("gzip", 0, "\x1f\x8b\x08", 4096, "gzip"),
	RAW("xz", 0,
		"\xfd"
		"7zXZ",
		4096, "xz"),
	RAW("zstd", 0, "\x28\xb5\x2f\xfd", 4096, "zstd"),
	RAW("lz4", 0, "\x02\x21\x4c\x18", 4096, "lz4"),
	RAW("initramfs", 0, "070701", 4096, "--initrd"),
	RAW("dtb", 0, "\xd0\x0d\xfe\xed", 4096, "FIT image"),
	RAW("uimage", 0, "\x27\x05\x19\x56", 4096, "uImage"),
	RAW("script", 0, "#!/bin/sh\n", 10, "script"),
	RAW("text", 0, "hello there\n", 12, "text"),
	RAW("qcow2", 0, "QFI\xfb\0\0\0\3", MiB, "qcow2"),
	RAW("ext4", 1080, "\x53\xef", MiB, "ext2/3/4"),
	RAW("gpt", 512, "EFI PART", MiB, "GPT"),
	RAW("iso", 32769, "CD001", MiB, "ISO 9660"),
	RAW("tar", 257, "ustar", 10240, "tar"),
	RAW("pe", 0, "MZ\x90", 4096, "PE"),
	RAW("arm64-image", 56, "ARM\x64", 4096, "64-bit ARM"),
	RAW("deb", 0, "!<arch>\ndebian-binary", 4096, "Debian package"),
	RAW("zeros", 0, "", MiB, "zeros"),
	RAW("zeros-1tib", 0, "", TiB, "zeros"),
	RAW("noise", 0, "\x81\x92\xa3\xb4\xc5\xd6\xe7\xf8", 8, "an unknown format"),

	MADE("directory", MADE_DIRECTORY, "directory"),
	MADE("fifo", MADE_FIFO, "FIFO"),
	MADE("dev-zero", MADE_DEV_ZERO, "device"),
	MADE("missing", MADE_NOTHING, "no such file"),
	MADE("symlink-loop", MADE_SYMLINK_LOOP, "symbolic links"),
};

const struct malformed_case *malformed_cases(size_t *count)
{
	*count = ARRAY_SIZE(cases);
	return cases;
}
