/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot headers. Oracles: a header that is found is where a slow search finds it; the segments
 * that come of it lie inside the file and do not wrap; the entry points at bytes of the file.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "loader/multiboot.h"
#include "vm/core/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* By the specification's words: SIZE_MAX for none. */
static size_t search(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < MIN(size, (size_t)8192); at += 4) {
		size_t left = MIN(size, (size_t)8192) - at;
		uint64_t sum;

		if (left < 12 || get_le32(data + at) != 0x1badb002)
			continue;
		sum = (uint64_t)get_le32(data + at) + get_le32(data + at + 4) +
		      get_le32(data + at + 8);
		if ((sum & UINT32_MAX) == 0 && (!(data[at + 6] & 1) || left >= 32))
			return at;
	}
	return SIZE_MAX;
}

static void check(const struct elf *elf, size_t size)
{
	uint64_t gpa;

	must(elf->num_segments > 0 && elf->num_segments <= ELF_MAX_PHDRS);
	for (unsigned int i = 0; i < elf->num_segments; i++) {
		const struct elf_segment *seg = &elf->segments[i];

		must(seg->memsz > 0 && seg->filesz <= seg->memsz);
		must(range_ok(seg->offset, seg->filesz, size));
		must(seg->paddr + (seg->memsz - 1) >= seg->paddr);
		must(seg->paddr >= elf->start && seg->paddr + seg->memsz <= elf->end);
	}
	must(elf_entry(elf, &gpa) == 0 && elf_has_code_at(elf, gpa));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct multiboot header;
	struct error err = {{0}};
	struct image image;
	struct elf elf;
	size_t at = search(data, size);
	int rc;

	image_from_memory("kernel", data, size, &image);
	must((multiboot_find(&image, &header) == MULTIBOOT_1) == (at != SIZE_MAX));
	if (at == SIZE_MAX)
		return 0;
	must(header.offset == at && header.flags == get_le32(data + at + 4));
	rc = multiboot_parse(&image, &header, &elf, &err);
	must(rc <= 0);
	if (rc == 0)
		check(&elf, size);
	else
		must(strncmp(err.text, "kernel: ", 8) == 0 && err.text[8]);
	return 0;
}
