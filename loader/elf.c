/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF kernels (System V gABI, chapters 4 and 5). The file header and the program headers are read
 * once and turned into struct elf, in which every number is checked against the file; elf_load
 * checks them against the guest's RAM. Sections and symbols are not looked at.
 *
 * Segments go to their physical addresses. Linux says its entry as a physical address, other
 * kernels as a virtual one: both are taken.
 */
#include "loader/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "loader/boot/lowram.h"
#include "loader/elf_notes.h"
#include "loader/image/bytes.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { PHDR32_SIZE = 32, PHDR64_SIZE = 56, EHDR32_SIZE = 52, EHDR64_SIZE = 64 };

/* What of the file header is needed behind the first checks. */
struct elf_header {
	uint16_t type;
	uint64_t phoff;
	uint16_t phentsize, phnum;
};

struct elf_phdr {
	uint32_t type;
	struct elf_segment seg;
	uint64_t align;
};

bool elf_detect(const uint8_t *head, size_t len)
{
	return len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static const char *machine_name(uint16_t machine)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{EM_AARCH64, "64-bit ARM"},
		{EM_ARM, "32-bit ARM"},
		{EM_RISCV, "RISC-V"},
		{EM_PPC64, "64-bit PowerPC"},
		{EM_PPC, "PowerPC"},
		{EM_S390, "S/390"},
		{EM_MIPS, "MIPS"},
		{258, "LoongArch"},
		{EM_SPARCV9, "64-bit SPARC"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	return "another kind of machine";
}

static int check_machine(const struct image *image, const uint8_t *h, bool is64, struct error *err)
{
	bool little = h[EI_DATA] == ELFDATA2LSB;
	uint16_t machine = little ? get_le16(h + 18) : (uint16_t)(h[18] << 8 | h[19]);

	if (machine != EM_X86_64 && (is64 || machine != EM_386))
		return image_error(image, err, -ENOTSUP,
			"an ELF file for %s (e_machine %u): this machine runs x86-64 kernels",
			machine_name(machine), machine);
	if (!little)
		return image_error(image, err, -EINVAL,
			"EI_DATA is %u, x86 files are little-endian: the file is damaged",
			h[EI_DATA]);
	return 0;
}

static int check_type(const struct image *image, uint16_t type, struct error *err)
{
	switch (type) {
	case ET_EXEC:
	case ET_DYN:
		return 0;
	case ET_REL:
		return image_error(image, err, -ENOTSUP,
			"an ELF object file or kernel module, not a kernel: use the vmlinux or "
			"bzImage");
	case ET_CORE:
		return image_error(image, err, -ENOTSUP, "an ELF core dump, not a kernel");
	default:
		return image_error(
			image, err, -EINVAL, "e_type %u is unknown: the file is damaged", type);
	}
}

static int read_header(
	const struct image *image, struct elf *elf, struct elf_header *header, struct error *err)
{
	uint8_t h[EHDR64_SIZE] = {0};
	int rc;

	if (image->size < EHDR32_SIZE)
		return image_error(image, err, -EINVAL, "%llu bytes are too few for an ELF header",
			(unsigned long long)image->size);
	rc = image_read(image, 0, h, MIN(image->size, sizeof(h)), err);
	if (rc)
		return rc;
	if (!elf_detect(h, sizeof(h)))
		return image_error(image, err, -ENOTSUP, "no ELF file");
	if (h[EI_CLASS] != ELFCLASS32 && h[EI_CLASS] != ELFCLASS64)
		return image_error(image, err, -EINVAL,
			"EI_CLASS %u is unknown: the file is damaged", h[EI_CLASS]);
	elf->is64 = h[EI_CLASS] == ELFCLASS64;
	if (elf->is64 && image->size < EHDR64_SIZE)
		return image_error(image, err, -EINVAL, "%llu bytes are too few for an ELF header",
			(unsigned long long)image->size);
	rc = check_machine(image, h, elf->is64, err);
	if (rc)
		return rc;
	header->type = get_le16(h + 16);
	elf->entry = elf->is64 ? get_le64(h + 24) : get_le32(h + 24);
	header->phoff = elf->is64 ? get_le64(h + 32) : get_le32(h + 28);
	header->phentsize = get_le16(h + (elf->is64 ? 54 : 42));
	header->phnum = get_le16(h + (elf->is64 ? 56 : 44));
	elf->shoff = elf->is64 ? get_le64(h + 40) : get_le32(h + 32);
	elf->shentsize = get_le16(h + (elf->is64 ? 58 : 46));
	elf->shnum = get_le16(h + (elf->is64 ? 60 : 48));
	return check_type(image, header->type, err);
}

static int check_header(const struct image *image, const struct elf *elf,
	const struct elf_header *header, struct error *err)
{
	uint16_t size = elf->is64 ? PHDR64_SIZE : PHDR32_SIZE;

	if (header->phnum == 0)
		return image_error(
			image, err, -EINVAL, "e_phnum is 0: an ELF file with nothing to load");
	if (header->phnum > ELF_MAX_PHDRS)
		return image_error(image, err, -EINVAL,
			"e_phnum is %u, a kernel has at most %u: the file is damaged",
			header->phnum, ELF_MAX_PHDRS);
	if (header->phentsize != size)
		return image_error(image, err, -EINVAL,
			"e_phentsize is %u instead of %u: the file is damaged", header->phentsize,
			size);
	if (!range_ok(header->phoff, (uint64_t)header->phnum * size, image->size))
		return image_error(image, err, -EINVAL,
			"e_phoff 0x%llx with %u program headers is outside the file of %llu bytes: "
			"damaged "
			"or cut short",
			(unsigned long long)header->phoff, header->phnum,
			(unsigned long long)image->size);
	return 0;
}

static struct elf_phdr decode_phdr(const uint8_t *p, bool is64)
{
	if (!is64)
		return (struct elf_phdr){
			.type = get_le32(p),
			.seg = {.offset = get_le32(p + 4),
				.vaddr = get_le32(p + 8),
				.paddr = get_le32(p + 12),
				.filesz = get_le32(p + 16),
				.memsz = get_le32(p + 20)},
			.align = get_le32(p + 28),
		};
	return (struct elf_phdr){
		.type = get_le32(p),
		.seg = {.offset = get_le64(p + 8),
			.vaddr = get_le64(p + 16),
			.paddr = get_le64(p + 24),
			.filesz = get_le64(p + 32),
			.memsz = get_le64(p + 40)},
		.align = get_le64(p + 48),
	};
}

static int add_segment(const struct image *image, struct elf *elf, const struct elf_segment *seg,
	unsigned int index, struct error *err)
{
	if (seg->filesz > seg->memsz)
		return image_error(image, err, -EINVAL,
			"segment %u: p_filesz 0x%llx is more than p_memsz 0x%llx: the file is "
			"damaged",
			index, (unsigned long long)seg->filesz, (unsigned long long)seg->memsz);
	if (seg->memsz == 0)
		return 0;
	if (seg->paddr + (seg->memsz - 1) < seg->paddr ||
		seg->vaddr + (seg->memsz - 1) < seg->vaddr)
		return image_error(image, err, -EINVAL,
			"segment %u: p_paddr 0x%llx or p_vaddr 0x%llx with p_memsz 0x%llx wraps: "
			"damaged",
			index, (unsigned long long)seg->paddr, (unsigned long long)seg->vaddr,
			(unsigned long long)seg->memsz);
	for (unsigned int i = 0; i < elf->num_segments; i++)
		if (ranges_overlap(
			    seg->paddr, seg->memsz, elf->segments[i].paddr, elf->segments[i].memsz))
			return image_error(image, err, -EINVAL,
				"segment %u: p_paddr 0x%llx overlaps an earlier segment: the file "
				"is damaged",
				index, (unsigned long long)seg->paddr);
	elf->segments[elf->num_segments++] = *seg;
	return 0;
}

static int take_phdr(const struct image *image, struct elf *elf, const struct elf_phdr *ph,
	unsigned int index, struct error *err)
{
	if (ph->type != PT_LOAD && ph->type != PT_NOTE)
		return 0;
	if (!range_ok(ph->seg.offset, ph->seg.filesz, image->size))
		return image_error(image, err, -EINVAL,
			"segment %u: p_offset 0x%llx with p_filesz 0x%llx is outside the file of "
			"%llu "
			"bytes: damaged or cut short",
			index, (unsigned long long)ph->seg.offset,
			(unsigned long long)ph->seg.filesz, (unsigned long long)image->size);
	if (ph->type == PT_NOTE)
		return elf_read_notes(image, ph->seg.offset, ph->seg.filesz, ph->align, elf, err);
	return add_segment(image, elf, &ph->seg, index, err);
}

static int read_phdrs(const struct image *image, struct elf *elf, const struct elf_header *header,
	struct error *err)
{
	uint8_t table[ELF_MAX_PHDRS * PHDR64_SIZE];
	size_t size = elf->is64 ? PHDR64_SIZE : PHDR32_SIZE;
	int rc = image_read(image, header->phoff, table, header->phnum * size, err);

	for (unsigned int i = 0; !rc && i < header->phnum; i++) {
		struct elf_phdr ph = decode_phdr(table + i * size, elf->is64);

		elf->has_interp |= ph.type == PT_INTERP;
		rc = take_phdr(image, elf, &ph, i, err);
	}
	return rc;
}

int elf_check(const struct image *image, const struct elf *elf, struct error *err)
{
	uint64_t gpa;

	if (elf->num_segments == 0)
		return image_error(image, err, -EINVAL,
			"no PT_LOAD segment: an ELF file with nothing to load");
	/* FreeBSD's kernel names an interpreter too, but it has a PVH entry. */
	if ((elf->has_interp || elf->is_program) && !elf->has_pvh)
		return image_error(image, err, -ENOTSUP,
			"a program for use under an operating system, not a kernel");
	if (elf->has_pvh && !elf_has_code_at(elf, elf->pvh_entry))
		return image_error(image, err, -EINVAL,
			"the PVH entry 0x%llx is in no segment: the file is damaged",
			(unsigned long long)elf->pvh_entry);
	if (!elf->is64 && !elf->has_pvh)
		return image_error(image, err, -ENOTSUP,
			"a 32-bit ELF file without a PVH entry note or a Multiboot header: for "
			"Linux, use the bzImage");
	if (elf->is64 && !elf->has_pvh && elf_entry(elf, &gpa))
		return image_error(image, err, -EINVAL,
			"e_entry 0x%llx is in no segment: the file is damaged, or not a kernel",
			(unsigned long long)elf->entry);
	return 0;
}

int elf_read(const struct image *image, struct elf *elf, struct error *err)
{
	struct elf_header header = {0};
	int rc;

	memset(elf, 0, sizeof(*elf));
	rc = read_header(image, elf, &header, err);
	if (!rc)
		rc = check_header(image, elf, &header, err);
	if (!rc)
		rc = read_phdrs(image, elf, &header, err);
	if (rc)
		return rc;
	elf->start = UINT64_MAX;
	for (unsigned int i = 0; i < elf->num_segments; i++) {
		const struct elf_segment *seg = &elf->segments[i];

		elf->start = MIN(elf->start, seg->paddr);
		elf->end = MAX(elf->end, seg->paddr + seg->memsz);
	}
	return 0;
}

int elf_parse(const struct image *image, struct elf *elf, struct error *err)
{
	int rc = elf_read(image, elf, err);

	return rc ? rc : elf_check(image, elf, err);
}

bool elf_has_code_at(const struct elf *elf, uint64_t gpa)
{
	for (unsigned int i = 0; i < elf->num_segments; i++) {
		const struct elf_segment *seg = &elf->segments[i];

		if (gpa >= seg->paddr && gpa - seg->paddr < seg->filesz)
			return true;
	}
	return false;
}

int elf_entry(const struct elf *elf, uint64_t *gpa)
{
	if (elf_has_code_at(elf, elf->entry)) {
		*gpa = elf->entry;
		return 0;
	}
	for (unsigned int i = 0; i < elf->num_segments; i++) {
		const struct elf_segment *seg = &elf->segments[i];

		if (elf->entry >= seg->vaddr && elf->entry - seg->vaddr < seg->filesz) {
			*gpa = seg->paddr + (elf->entry - seg->vaddr);
			return 0;
		}
	}
	return -EINVAL;
}

void elf_slide(struct elf *elf, uint64_t by)
{
	/* An entry that is virtual is converted when it is asked for. */
	if (elf_has_code_at(elf, elf->entry))
		elf->entry += by;
	for (unsigned int i = 0; i < elf->num_segments; i++)
		elf->segments[i].paddr += by;
	elf->start += by;
	elf->end += by;
}

static int load_segment(const struct guest_mem *mem, const struct image *image,
	const struct elf_segment *seg, struct error *err)
{
	uint64_t ram_end = lowram_end(mem);
	uint8_t *dst;
	int rc;

	if (seg->paddr < LAYOUT_KERNEL_MIN)
		return image_error(image, err, -EINVAL,
			"a segment loads at p_paddr 0x%llx, below 1 MiB, which is in use: "
			"a "
			"program for an operating system? (for bare code there is --flat)",
			(unsigned long long)seg->paddr);
	if (!range_ok(seg->paddr, seg->memsz, ram_end))
		return image_error(image, err, -ENOSPC,
			"a segment of 0x%llx bytes (p_memsz) at p_paddr 0x%llx is outside the RAM "
			"below 4 "
			"GiB, which ends at 0x%llx: give more memory with -m",
			(unsigned long long)seg->memsz, (unsigned long long)seg->paddr,
			(unsigned long long)ram_end);
	dst = guest_mem_ptr(mem, seg->paddr, seg->memsz);
	if (!dst)
		return image_error(image, err, -ENOSPC, "no RAM for the segment at 0x%llx",
			(unsigned long long)seg->paddr);
	rc = image_read_to_zeros(image, seg->offset, dst, seg->filesz, err);
	if (rc)
		return rc;
	memset(dst + seg->filesz, 0, seg->memsz - seg->filesz);
	return 0;
}

int elf_load(const struct guest_mem *mem, const struct image *image, const struct elf *elf,
	struct error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < elf->num_segments; i++)
		rc = load_segment(mem, image, &elf->segments[i], err);
	return rc;
}
