/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The build of Linux appends a table to the ELF file that it packs (arch/x86/tools/relocs.c), and
 * the code that unpacks it in the guest works through that from the end of the data backwards
 * (handle_relocations in arch/x86/boot/compressed/misc.c). Read forwards it is, in words of 32
 * bits:
 *
 *	0, places with 64 bits to which the slide is added,
 *	0, places with 32 bits from which it is subtracted (until Linux 6.14),
 *	0, places with 32 bits to which it is added
 *
 * No place is 0, so the zeros tell the two layouts apart: there are three, or two. They can be
 * counted because the beginning is known: it is the end of the ELF file, which is the furthest of
 * everything that its headers name.
 *
 * A place is a virtual address as linked, of which the upper 32 bits are ones. Linux's text is
 * mapped at RELOCS_KERNEL_MAP, so that less this it is a physical address as linked.
 */
#include "loader/relocs.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "vm/core/error.h"

enum { WORD = 4, SHDR_SIZE = 64 };

static int bad_table(const struct image *image, struct error *err)
{
	return image_error(image, err, -EINVAL,
		"the kernel's relocation table is damaged: boot it with --boot bzimage, or "
		"without KASLR (nokaslr)");
}

static uint64_t end_of_segments(const struct elf *elf)
{
	uint64_t end = sizeof(Elf64_Ehdr);

	for (unsigned int i = 0; i < elf->num_segments; i++)
		end = MAX(end, elf->segments[i].offset + elf->segments[i].filesz);
	return end;
}

/* Moves end behind the sections that have bytes in the file. False: one is outside of it. */
static bool pass_sections(const uint8_t *headers, unsigned int count, uint64_t size, uint64_t *end)
{
	for (const uint8_t *sh = headers; count > 0; sh += SHDR_SIZE, count--) {
		const uint32_t type = get_le32(sh + 4);
		const uint64_t off = get_le64(sh + 24), len = get_le64(sh + 32);

		if (type == SHT_NOBITS || type == SHT_NULL)
			continue;
		if (!range_ok(off, len, size))
			return false;
		*end = MAX(*end, off + len);
	}
	return true;
}

/* Finds where the lists begin. */
static bool split(struct relocs *r)
{
	size_t zeros[3], n = 0;

	if (r->size % WORD || get_le32(r->table))
		return false;
	for (size_t at = 0; at < r->size; at += WORD) {
		if (get_le32(r->table + at))
			continue;
		if (n == ARRAY_SIZE(zeros))
			return false;
		zeros[n++] = at;
	}
	if (n < 2)
		return false;
	r->inverse32 = zeros[1];
	r->plain32 = zeros[n - 1];
	return true;
}

static int read_sections(
	const struct image *image, const struct elf *elf, uint64_t *end, struct error *err)
{
	const uint64_t size = (uint64_t)elf->shnum * SHDR_SIZE;
	uint8_t *headers;
	int rc;

	if (!size)
		return 0;
	if (elf->shentsize != SHDR_SIZE || !range_ok(elf->shoff, size, image->size))
		return bad_table(image, err);
	headers = malloc(size);
	if (!headers)
		return image_error(image, err, -ENOMEM, "no memory for its section headers");
	*end = MAX(*end, elf->shoff + size);
	rc = image_read(image, elf->shoff, headers, size, err);
	if (!rc && !pass_sections(headers, elf->shnum, image->size, end))
		rc = bad_table(image, err);
	free(headers);
	return rc;
}

int relocs_find(
	const struct image *image, const struct elf *elf, struct relocs *ret, struct error *err)
{
	uint64_t end = end_of_segments(elf);
	int rc = read_sections(image, elf, &end, err);

	*ret = (struct relocs){0};
	if (rc || end == image->size)
		return rc;
	/* Each has its place in the kernel, so that they cannot be larger than that. */
	if (image->size - end < 2 * WORD || image->size - end > elf->end - elf->start)
		return bad_table(image, err);
	ret->off = end;
	ret->size = image->size - end;
	return 0;
}

int relocs_read(const struct image *image, struct relocs *relocs, uint8_t *table, struct error *err)
{
	int rc = image_read(image, relocs->off, table, relocs->size, err);

	relocs->table = table;
	if (!rc && !split(relocs))
		rc = bad_table(image, err);
	if (rc)
		relocs->table = NULL;
	return rc;
}

/* What the places are in. A place below the kernel wraps, and is beyond every size. */
struct target {
	uint8_t *bytes;
	uint64_t size;
	uint64_t base; /* the place of the first byte, in the table's terms */
};

/* From the word before end down to the one behind the list's zero. False: a place is outside. */
static bool add32(const struct target *t, const uint8_t *zero, const uint8_t *end, uint32_t slide)
{
	const struct target target = *t;

	for (const uint8_t *word = end - WORD; word > zero; word -= WORD) {
		uint64_t off = get_le32(word) - target.base;

		if (!range_ok(off, 4, target.size))
			return false;
		put_le32(target.bytes + off, get_le32(target.bytes + off) + slide);
	}
	return true;
}

static bool add64(const struct target *t, const uint8_t *zero, const uint8_t *end, uint32_t slide)
{
	const struct target target = *t;

	for (const uint8_t *word = end - WORD; word > zero; word -= WORD) {
		uint64_t off = get_le32(word) - target.base;

		if (!range_ok(off, 8, target.size))
			return false;
		put_le64(target.bytes + off, get_le64(target.bytes + off) + slide);
	}
	return true;
}

int relocs_apply(const struct relocs *relocs, const struct image *image, uint8_t *kernel,
	uint64_t size, uint64_t linked_gpa, uint32_t slide, struct error *err)
{
	const struct target target = {kernel, size, (uint32_t)RELOCS_KERNEL_MAP + linked_gpa};
	const uint8_t *table = relocs->table, *end = table + relocs->size;
	const uint8_t *inverse = table + relocs->inverse32, *plain = table + relocs->plain32;
	bool ok = add32(&target, plain, end, slide);

	if (ok && inverse < plain)
		ok = add32(&target, inverse, plain, 0 - slide);
	if (ok)
		ok = add64(&target, table, inverse, slide);
	return ok ? 0 : bad_table(image, err);
}
