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

#include "loader/bytes.h"
#include "vm/error.h"

enum { WORD = 4, SHDR_SIZE = 64, SHDRS_AT_ONCE = 64 };

static int bad_table(const struct image *image, struct error *err)
{
	return image_error(image, err, -EINVAL,
		"the kernel's relocation table is damaged: boot it with --boot bzimage, or "
		"without KASLR (nokaslr)");
}

/* The furthest end of the sections that have bytes in the file; the headers are inside it. */
static int read_sections(
	const struct image *image, const struct elf *elf, uint64_t *end, struct error *err)
{
	uint8_t table[SHDRS_AT_ONCE * SHDR_SIZE];

	for (unsigned int i = 0, n; i < elf->shnum; i += n) {
		int rc;

		n = MIN(elf->shnum - i, (unsigned int)SHDRS_AT_ONCE);
		rc = image_read(image, elf->shoff + (uint64_t)i * SHDR_SIZE, table,
			(uint64_t)n * SHDR_SIZE, err);
		for (unsigned int k = 0; !rc && k < n; k++) {
			const uint8_t *sh = table + (size_t)k * SHDR_SIZE;
			uint32_t type = get_le32(sh + 4);
			uint64_t offset = get_le64(sh + 24), size = get_le64(sh + 32);

			if (type == SHT_NOBITS || type == SHT_NULL)
				continue;
			if (!range_ok(offset, size, image->size))
				rc = bad_table(image, err);
			*end = MAX(*end, offset + size);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int find_elf_end(
	const struct image *image, const struct elf *elf, uint64_t *end, struct error *err)
{
	const uint64_t size = (uint64_t)elf->shnum * SHDR_SIZE;

	*end = sizeof(Elf64_Ehdr);
	for (unsigned int i = 0; i < elf->num_segments; i++)
		*end = MAX(*end, elf->segments[i].offset + elf->segments[i].filesz);
	if (!size)
		return 0;
	if (elf->shentsize != SHDR_SIZE || !range_ok(elf->shoff, size, image->size))
		return bad_table(image, err);
	*end = MAX(*end, elf->shoff + size);
	return read_sections(image, elf, end, err);
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

int relocs_read(
	const struct image *image, const struct elf *elf, struct relocs *ret, struct error *err)
{
	struct relocs r = {0};
	uint64_t end = 0;
	int rc = find_elf_end(image, elf, &end, err);

	*ret = r;
	if (rc || end == image->size)
		return rc;
	/* Each has its place in the kernel, so that they cannot be larger than that. */
	r.size = image->size - end;
	if (r.size < 2 * WORD || r.size > elf->end - elf->start)
		return bad_table(image, err);
	r.table = malloc(r.size);
	if (!r.table)
		return image_error(image, err, -ENOMEM, "no memory for its relocations");
	rc = image_read(image, end, r.table, r.size, err);
	if (!rc && !split(&r))
		rc = bad_table(image, err);
	if (rc)
		relocs_free(&r);
	*ret = r;
	return rc;
}

void relocs_free(struct relocs *relocs)
{
	free(relocs->table);
	relocs->table = NULL;
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
