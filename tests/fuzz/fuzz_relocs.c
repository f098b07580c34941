/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel with relocations behind it. Oracle: what is accepted is what Linux's own code makes of
 * the same table, word by word from the end backwards, and refused is what it would refuse.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "loader/relocs.h"
#include "vm/core/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SPAN = 1 << 20 };

struct guest {
	const uint8_t *reloc; /* the word that is next */
	uint8_t *kernel;
	uint64_t size, linked;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* One list, up to its zero; the cursor is on the word before that then. False: outside. */
static bool walk(struct guest *g, unsigned int len, int64_t slide)
{
	int32_t word;

	for (; (word = (int32_t)get_le32(g->reloc)) != 0; g->reloc -= 4) {
		uint64_t at = (uint64_t)(int64_t)word - UINT64_C(0xffffffff80000000) - g->linked;
		uint64_t value = 0;

		if (at > g->size || g->size - at < len)
			return false;
		memcpy(&value, g->kernel + at, len);
		value += (uint64_t)slide;
		memcpy(g->kernel + at, &value, len);
	}
	g->reloc -= 4;
	return true;
}

static bool relocate_as_linux(
	struct guest *g, const uint8_t *table, size_t size, bool inverse, uint32_t slide)
{
	g->reloc = table + size - 4;
	if (!walk(g, 4, slide))
		return false;
	if (inverse && !walk(g, 4, -(int64_t)slide))
		return false;
	if (!walk(g, 8, slide))
		return false;
	must(g->reloc == table - 4);
	return true;
}

static void compare(const struct image *image, const struct elf *elf, const struct relocs *relocs)
{
	const uint64_t span = elf->end - elf->start;
	const uint32_t slide = 0x13579bdf;
	uint8_t *ours = malloc(span), *theirs = malloc(span);
	struct guest guest = {.kernel = theirs, .size = span, .linked = elf->start};
	struct error err = {{0}};
	int rc;

	must(ours && theirs);
	memset(ours, 0x5c, span);
	memset(theirs, 0x5c, span);
	rc = relocs_apply(relocs, image, ours, span, elf->start, slide, &err);
	must(rc == 0 || (rc == -EINVAL && err.text[0]));
	must(relocate_as_linux(&guest, relocs->table, relocs->size,
		     relocs->inverse32 != relocs->plain32, slide) == (rc == 0));
	if (rc == 0)
		must(memcmp(ours, theirs, span) == 0);
	free(ours);
	free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relocs relocs;
	struct error err = {{0}};
	struct image image;
	uint8_t *table;
	struct elf elf;
	int rc;

	image_from_memory("kernel", data, size, &image);
	if (elf_parse(&image, &elf, NULL) || !elf.is64 || elf.end - elf.start > MAX_SPAN)
		return 0;
	rc = relocs_find(&image, &elf, &relocs, &err);
	must(rc == 0 || (rc == -EINVAL && err.text[0] && !relocs.size));
	if (!relocs.size)
		return 0;
	must(relocs.off + relocs.size == size);
	table = malloc(relocs.size);
	rc = relocs_read(&image, &relocs, table, &err);
	must(rc == 0 || (rc == -EINVAL && err.text[0]));
	if (rc == 0) {
		must(relocs.inverse32 <= relocs.plain32);
		compare(&image, &elf, &relocs);
	}
	free(table);
	return 0;
}
