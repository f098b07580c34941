/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file: headers and notes, and then memory, straight from where the guest has it.
 *
 * crash tells what kind of file it has by the program header after the notes': with an alignment it
 * is one of netdump's, whose kernels never were at random addresses, so p_align is 0, as in the
 * files of kdump and QEMU. And it reads everything in front of that segment as the head: so what
 * is first in the file comes first.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notes.h"
#include "untouched.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/dump/dump.h"

struct core {
	const struct dump_config *config;
	const struct guest_mem_region *regions;
	size_t num_regions;
	struct vmcoreinfo info;
	bool mapped; /* the kernel has all memory at direct_map */
	uint64_t direct_map;
	size_t head_size; /* up to the first region, whole pages */
};

uint64_t dump_ram_size(const struct guest_mem *mem)
{
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += regions[i].size;
	return size;
}

static int cannot_write(int rc, struct error *err)
{
	return error_set_errno(err, rc, "the dump");
}

static int write_at(
	const struct core *core, const uint8_t *p, size_t len, uint64_t at, struct error *err)
{
	while (len) {
		const ssize_t n = pwrite(core->config->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cannot_write(n < 0 ? -errno : -EIO, err);
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* ---- head ---- */

/* The part of the kernel's image that is in RAM, as a segment of its own. */
static bool image_segment(const struct core *core, Elf64_Phdr *phdr)
{
	uint64_t offset = core->head_size;

	for (size_t i = 0; core->info.has_image && i < core->num_regions; i++) {
		const struct guest_mem_region *region = &core->regions[i];
		const uint64_t in = core->info.image_paddr - region->gpa;

		if (core->info.image_paddr >= region->gpa && in < region->size) {
			const uint64_t size = MIN(core->info.image_size, region->size - in);

			*phdr = (Elf64_Phdr){.p_type = PT_LOAD,
				.p_flags = PF_R | PF_W | PF_X,
				.p_offset = offset + in,
				.p_vaddr = core->info.image_vaddr,
				.p_paddr = core->info.image_paddr,
				.p_filesz = size,
				.p_memsz = size};
			return true;
		}
		offset += region->size;
	}
	return false;
}

static size_t put_phdrs(const struct core *core, Elf64_Phdr *phdr, size_t notes_size)
{
	Elf64_Phdr *const first = phdr;
	uint64_t offset = core->head_size;

	*phdr++ = (Elf64_Phdr){.p_type = PT_NOTE, .p_filesz = notes_size, .p_memsz = notes_size};
	for (size_t i = 0; i < core->num_regions; i++) {
		const struct guest_mem_region *region = &core->regions[i];

		*phdr++ = (Elf64_Phdr){.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W | PF_X,
			.p_offset = offset,
			.p_vaddr = (core->mapped ? core->direct_map : 0) + region->gpa,
			.p_paddr = region->gpa,
			.p_filesz = region->size,
			.p_memsz = region->size};
		offset += region->size;
	}
	if (image_segment(core, phdr))
		phdr++;
	first->p_offset = sizeof(Elf64_Ehdr) + (size_t)(phdr - first) * sizeof(*phdr);
	return (size_t)(phdr - first);
}

static void put_ehdr(uint8_t *to, size_t num_phdrs)
{
	const Elf64_Ehdr ehdr = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)num_phdrs,
	};

	memcpy(to, &ehdr, sizeof(ehdr));
}

static int write_head(struct core *core, struct error *err)
{
	const struct dump_config *config = core->config;
	const size_t notes_size = dump_notes_size(config->num_cpus, &core->info);
	const size_t max_phdrs = 2 + core->num_regions;
	Elf64_Phdr *phdrs = calloc(max_phdrs, sizeof(*phdrs));
	uint8_t *head;
	size_t n;
	int rc;

	core->head_size =
		ALIGN_UP(sizeof(Elf64_Ehdr) + max_phdrs * sizeof(*phdrs) + notes_size, DUMP_PAGE);
	head = calloc(1, core->head_size);
	if (!head || !phdrs) {
		free(head);
		free(phdrs);
		return cannot_write(-ENOMEM, err);
	}
	n = put_phdrs(core, phdrs, notes_size);
	put_ehdr(head, n);
	memcpy(head + sizeof(Elf64_Ehdr), phdrs, n * sizeof(*phdrs));
	dump_notes(head + phdrs[0].p_offset, config->cpus, config->num_cpus, &core->info);
	rc = write_at(core, head, core->head_size, 0, err);
	free(head);
	free(phdrs);
	return rc;
}

/* ---- memory ---- */

static bool is_zero(const uint8_t *page)
{
	uint64_t word;

	memcpy(&word, page, sizeof(word));
	return !word && !memcmp(page, page + sizeof(word), DUMP_PAGE - sizeof(word));
}

/* At most DUMP_CHUNK_PAGES: what is not zeros, run after run. */
static int write_chunk(
	const struct core *core, uint8_t *p, size_t pages, uint64_t at, struct error *err)
{
	unsigned char touched[DUMP_CHUNK_PAGES];
	int rc = 0;

	memset(touched, 1, sizeof(touched));
	if (core->config->skip_untouched)
		dump_touched(p, pages, touched);
	for (size_t i = 0, start; !rc && i < pages; i++) {
		for (start = i; i < pages && (touched[i] & 1) && !is_zero(p + i * DUMP_PAGE); i++)
			continue;
		rc = write_at(core, p + start * DUMP_PAGE, (i - start) * DUMP_PAGE,
			at + start * DUMP_PAGE, err);
	}
	return rc;
}

static int write_region(const struct core *core, const struct guest_mem_region *region, uint64_t at,
	struct error *err)
{
	const uint64_t chunk = (uint64_t)DUMP_CHUNK_PAGES * DUMP_PAGE;

	for (uint64_t off = 0; off < region->size; off += chunk) {
		const uint64_t len = MIN(chunk, region->size - off);
		int rc;

		if (atomic_load(core->config->cancel))
			return cannot_write(-ECANCELED, err);
		rc = write_chunk(
			core, (uint8_t *)region->hva + off, len / DUMP_PAGE, at + off, err);
		if (rc < 0)
			return rc;
		atomic_fetch_add(core->config->done, len);
	}
	return 0;
}

int dump_write(const struct dump_config *config, struct error *err)
{
	struct core *core = calloc(1, sizeof(*core));
	uint64_t at;
	int rc;

	if (!core)
		return cannot_write(-ENOMEM, err);
	core->config = config;
	core->regions = guest_mem_regions(config->mem, &core->num_regions);
	vmcoreinfo_find(config->mem, config->skip_untouched, &core->info);
	for (unsigned int i = 0; !core->mapped && i < config->num_cpus; i++)
		core->mapped = direct_map_find(config->mem, &config->cpus[i], &core->direct_map);
	rc = write_head(core, err);
	at = core->head_size;
	for (size_t i = 0; !rc && i < core->num_regions; i++) {
		rc = write_region(core, &core->regions[i], at, err);
		at += core->regions[i].size;
	}
	/* What ends in a hole has no last byte yet. */
	if (!rc && ftruncate(config->fd, (off_t)at) < 0)
		rc = cannot_write(-errno, err);
	free(core);
	return rc;
}
