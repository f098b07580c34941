/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of a Multiboot kernel (Multiboot Specification 0.6.96, 3.1): twelve bytes somewhere in
 * the first 8 KiB, on a multiple of four, whose sum is 0. Flag 16 says that five addresses follow,
 * by which any file can be loaded; they win over an ELF file's own headers. Either way the result
 * is a struct elf, so that segments are checked and loaded in one place.
 *
 * Flags below 16 are demands that a loader must refuse if it does not meet them. Modules are always
 * on pages of their own (flag 0) and memory is always told of (flag 1); there is no display, so no
 * video mode (flag 2).
 */
#include "loader/multiboot.h"

#include <errno.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "vm/core/error.h"

#define MULTIBOOT2_MAGIC UINT32_C(0xe85250d6)

enum {
	SEARCH = 8192,
	HEADER_SIZE = 12,
	HEADER_SIZE_ADDRESSES = 32,
	MULTIBOOT2_HEADER_SIZE = 16,
};

enum {
	FLAG_ALIGN = 1 << 0,
	FLAG_MEMORY = 1 << 1,
	FLAG_VIDEO = 1 << 2,
	FLAGS_DEMANDED = 0xffff,
	FLAG_ADDRESSES = 1 << 16,
};

/* All of the header must be there. */
static bool is_version1(const uint8_t *p, size_t left)
{
	if (left < HEADER_SIZE || get_le32(p) != MULTIBOOT_HEADER_MAGIC ||
		(uint32_t)(get_le32(p) + get_le32(p + 4) + get_le32(p + 8)) != 0)
		return false;
	return !(get_le32(p + 4) & FLAG_ADDRESSES) || left >= HEADER_SIZE_ADDRESSES;
}

static bool is_version2(const uint8_t *p, size_t left)
{
	return left >= MULTIBOOT2_HEADER_SIZE && get_le32(p) == MULTIBOOT2_MAGIC &&
	       (uint32_t)(get_le32(p) + get_le32(p + 4) + get_le32(p + 8) + get_le32(p + 12)) == 0;
}

static void decode(const uint8_t *p, size_t offset, struct multiboot *header)
{
	*header = (struct multiboot){.flags = get_le32(p + 4), .offset = (uint32_t)offset};
	if (!(header->flags & FLAG_ADDRESSES))
		return;
	header->header_addr = get_le32(p + 12);
	header->load_addr = get_le32(p + 16);
	header->load_end_addr = get_le32(p + 20);
	header->bss_end_addr = get_le32(p + 24);
	header->entry_addr = get_le32(p + 28);
}

enum multiboot_version multiboot_find(const struct image *image, struct multiboot *header)
{
	enum multiboot_version version = MULTIBOOT_NONE;
	size_t size = MIN(image->size, (uint64_t)SEARCH);
	uint8_t head[SEARCH];

	if (image_read(image, 0, head, size, NULL))
		return MULTIBOOT_NONE;
	for (size_t at = 0; at + HEADER_SIZE <= size; at += 4) {
		if (is_version1(head + at, size - at)) {
			decode(head + at, at, header);
			return MULTIBOOT_1;
		}
		if (at % 8 == 0 && is_version2(head + at, size - at))
			version = MULTIBOOT_2;
	}
	return version;
}

static int check_flags(const struct image *image, uint32_t flags, struct error *err)
{
	uint32_t unknown = flags & FLAGS_DEMANDED & ~(uint32_t)(FLAG_ALIGN | FLAG_MEMORY);

	if (!unknown)
		return 0;
	if (unknown == FLAG_VIDEO)
		return image_error(image, err, -ENOTSUP,
			"its Multiboot header demands a video mode (flag 2): this machine has no "
			"display");
	return image_error(image, err, -ENOTSUP,
		"its Multiboot header demands unknown features (flags 0x%x)", unknown);
}

static int bad_addresses(const struct image *image, const struct multiboot *h, struct error *err)
{
	return image_error(image, err, -EINVAL,
		"the Multiboot header's addresses do not fit the file: header_addr 0x%x, load_addr "
		"0x%x, load_end_addr 0x%x, bss_end_addr 0x%x, entry_addr 0x%x, in %llu bytes with "
		"the header at 0x%x: damaged or cut short",
		h->header_addr, h->load_addr, h->load_end_addr, h->bss_end_addr, h->entry_addr,
		(unsigned long long)image->size, h->offset);
}

/* One segment by the header's addresses (3.1.3). */
static int parse_addresses(
	const struct image *image, const struct multiboot *h, struct elf *elf, struct error *err)
{
	uint64_t before = h->header_addr - (uint64_t)h->load_addr, offset, filesz, memsz;

	if (h->header_addr < h->load_addr || before > h->offset)
		return bad_addresses(image, h, err);
	offset = h->offset - before;
	filesz =
		h->load_end_addr ? h->load_end_addr - (uint64_t)h->load_addr : image->size - offset;
	if (h->load_end_addr && h->load_end_addr <= h->load_addr)
		return bad_addresses(image, h, err);
	memsz = h->bss_end_addr ? h->bss_end_addr - (uint64_t)h->load_addr : filesz;
	if (h->bss_end_addr && h->bss_end_addr < h->load_addr + filesz)
		return bad_addresses(image, h, err);
	if (!range_ok(offset, filesz, image->size) || h->entry_addr < h->load_addr ||
		h->entry_addr - h->load_addr >= filesz)
		return bad_addresses(image, h, err);
	*elf = (struct elf){.entry = h->entry_addr,
		.start = h->load_addr,
		.end = h->load_addr + memsz,
		.num_segments = 1,
		.segments = {{.offset = offset,
			.filesz = filesz,
			.vaddr = h->load_addr,
			.paddr = h->load_addr,
			.memsz = memsz}}};
	return 0;
}

static int parse_elf(const struct image *image, struct elf *elf, struct error *err)
{
	uint8_t head[4];
	uint64_t gpa;
	int rc;

	if (image_read(image, 0, head, sizeof(head), err) || !elf_detect(head, sizeof(head)))
		return image_error(image, err, -EINVAL,
			"its Multiboot header has no addresses (flag 16), and it is not an ELF "
			"file, which has its own");
	rc = elf_read(image, elf, err);
	if (rc)
		return rc;
	if (elf->num_segments == 0)
		return image_error(image, err, -EINVAL,
			"no PT_LOAD segment: an ELF file with nothing to load");
	if (elf_entry(elf, &gpa))
		return image_error(image, err, -EINVAL,
			"e_entry 0x%llx is in no segment: the file is damaged, or not a kernel",
			(unsigned long long)elf->entry);
	return 0;
}

int multiboot_parse(const struct image *image, const struct multiboot *header, struct elf *elf,
	struct error *err)
{
	int rc = check_flags(image, header->flags, err);

	if (rc)
		return rc;
	return header->flags & FLAG_ADDRESSES ? parse_addresses(image, header, elf, err)
					      : parse_elf(image, elf, err);
}
