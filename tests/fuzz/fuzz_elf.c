/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF headers and notes. Oracles: the segments that are accepted lie inside the file, do not wrap
 * and do not overlap; entries point at bytes of the file.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/elf.h"
#include "vm/core/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_segment(const struct elf *elf, unsigned int i, size_t size)
{
	const struct elf_segment *seg = &elf->segments[i];

	must(seg->memsz > 0 && seg->filesz <= seg->memsz);
	must(range_ok(seg->offset, seg->filesz, size));
	must(seg->paddr + (seg->memsz - 1) >= seg->paddr);
	must(seg->vaddr + (seg->memsz - 1) >= seg->vaddr);
	must(seg->paddr >= elf->start);
	for (unsigned int k = 0; k < i; k++)
		must(!ranges_overlap(
			seg->paddr, seg->memsz, elf->segments[k].paddr, elf->segments[k].memsz));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {{0}};
	struct image image;
	struct elf elf;
	uint64_t gpa;
	int rc;

	image_from_memory("kernel", data, size, &image);
	rc = elf_parse(&image, &elf, &err);
	must(rc <= 0);
	if (rc) {
		must(strncmp(err.text, "kernel: ", 8) == 0 && err.text[8]);
		return 0;
	}
	must(elf.num_segments > 0 && elf.num_segments <= ELF_MAX_PHDRS);
	for (unsigned int i = 0; i < elf.num_segments; i++)
		check_segment(&elf, i, size);
	must(elf.is64 || elf.has_pvh);
	if (elf.has_pvh)
		must(elf.pvh_entry < 4 * GiB && elf_has_code_at(&elf, elf.pvh_entry));
	else
		must(elf_entry(&elf, &gpa) == 0 && elf_has_code_at(&elf, gpa));
	return 0;
}
