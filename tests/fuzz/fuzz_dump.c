/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a dump reads out of guest memory: VMCOREINFO and page tables. The input is the guest's
 * memory, over and over, behind a few registers. Whatever is found there, the segments of the file
 * are inside of it, those of RAM are as they must be, and the text is one that was in memory.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/dump/dump.h"

#include "../unit/fakes/check.h"

enum { PAGE = 4096, PAGES = 16, RAM = PAGES * PAGE, PART = RAM / 2, REGISTERS = 3 };

#define HIGH_BASE (4 * GiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *ram;
static int file = -1;

static void set_up(void)
{
	if (ram)
		return;
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	file = memfd_create("dump", MFD_CLOEXEC);
	CHECK(ram != MAP_FAILED && file >= 0);
}

/* A segment is bytes of RAM: whole pages of one region. */
static void check_segment(const Elf64_Phdr *phdr, off_t end)
{
	const uint64_t base = phdr->p_paddr >= HIGH_BASE ? HIGH_BASE : 0;

	CHECK(phdr->p_type == PT_LOAD && phdr->p_filesz == phdr->p_memsz && phdr->p_filesz);
	CHECK(phdr->p_paddr - base < PART && phdr->p_filesz <= PART - (phdr->p_paddr - base));
	CHECK(phdr->p_offset < (uint64_t)end && phdr->p_filesz <= (uint64_t)end - phdr->p_offset);
}

static void check_file(const struct vmcoreinfo *info)
{
	const off_t end = lseek(file, 0, SEEK_END);
	Elf64_Phdr phdrs[8];
	Elf64_Ehdr ehdr;

	CHECK(pread(file, &ehdr, sizeof(ehdr), 0) == sizeof(ehdr));
	CHECK(ehdr.e_phnum == 3 || (info->has_image && ehdr.e_phnum == 4));
	CHECK(pread(file, phdrs, ehdr.e_phnum * sizeof(phdrs[0]), (off_t)ehdr.e_phoff) > 0);
	CHECK(phdrs[0].p_type == PT_NOTE);
	CHECK(phdrs[0].p_offset + phdrs[0].p_filesz <= (uint64_t)end);
	for (unsigned int i = 1; i < ehdr.e_phnum; i++)
		check_segment(&phdrs[i], end);
	/* RAM first, the kernel's image behind it (vm/dump/core.c) */
	CHECK(phdrs[1].p_paddr == 0);
	CHECK(phdrs[2].p_paddr == HIGH_BASE);
}

static void check_info(const struct vmcoreinfo *info)
{
	CHECK(info->len < VMCOREINFO_MAX && (info->len || !info->has_image));
	if (!info->len)
		return;
	CHECK(info->text[info->len - 1] == '\n' && strlen(info->text) == info->len);
	CHECK(memmem(ram, RAM, info->text, info->len));
	if (info->has_image)
		CHECK(range_ok(info->image_vaddr, info->image_size, UINT64_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcpu_registers regs = {.cr0 = 1u << 31, .efer = 1u << 10};
	uint64_t head[REGISTERS], done_size, vaddr;
	_Atomic bool cancel = false;
	_Atomic uint64_t done = 0;
	struct vmcoreinfo info;
	struct guest_mem *mem;
	struct error err;

	if (size <= sizeof(head))
		return 0;
	set_up();
	memcpy(head, data, sizeof(head));
	data += sizeof(head);
	size -= sizeof(head);
	regs.cr3 = head[0] % (2 * RAM);
	regs.cr4 = head[1] & 1 << 12;
	regs.rip = head[2];
	for (size_t at = 0; at < RAM; at += size)
		memcpy(ram + at, data, MIN(size, RAM - at));
	CHECK(!guest_mem_create(&mem) && !guest_mem_add(mem, 0, PART, ram) &&
		!guest_mem_add(mem, HIGH_BASE, PART, ram + PART));

	const struct dump_config config = {.mem = mem,
		.cpus = &regs,
		.num_cpus = 1,
		.fd = file,
		.skip_untouched = head[1] & 1,
		.cancel = &cancel,
		.done = &done};

	vmcoreinfo_find(mem, config.skip_untouched, &info);
	check_info(&info);
	if (direct_map_find(mem, &regs, &vaddr))
		CHECK(vaddr >> 56 == 0xff && !(vaddr % GiB));
	CHECK(!ftruncate(file, 0) && !dump_write(&config, &err));
	done_size = done;
	CHECK(done_size == RAM);
	check_file(&info);
	guest_mem_destroy(mem);
	return 0;
}
