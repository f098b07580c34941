/* SPDX-License-Identifier: BSD-2-Clause */
/* A dump, read back as a debugger would: by its headers, notes and segments. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/dump/dump.h"

#define LOW_SIZE  (4 * MiB)
#define HIGH_BASE (4 * GiB)
#define HIGH_SIZE (6 * MiB)
#define PAGE	  4096u

enum { P = 1, PS = 128, NUM_CPUS = 3 };

#define PG   (UINT64_C(1) << 31)
#define LA57 (UINT64_C(1) << 12)
#define LMA  (UINT64_C(1) << 10)
#define NX   (UINT64_C(1) << 63)

struct fixture {
	struct guest_mem *mem;
	uint8_t *low, *high;
	struct vcpu_registers cpus[NUM_CPUS];
	struct dump_config config;
	_Atomic bool cancel;
	_Atomic uint64_t done;
	struct error err;
};

static uint8_t *map(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[] = "/var/tmp/bantam-test-XXXXXX";

	assert_non_null(f);
	f->low = map(LOW_SIZE);
	f->high = map(HIGH_SIZE);
	assert_int_equal(guest_mem_create(&f->mem), 0);
	assert_int_equal(guest_mem_add(f->mem, 0, LOW_SIZE, f->low), 0);
	assert_int_equal(guest_mem_add(f->mem, HIGH_BASE, HIGH_SIZE, f->high), 0);
	f->config = (struct dump_config){.mem = f->mem,
		.cpus = f->cpus,
		.num_cpus = NUM_CPUS,
		.fd = mkstemp(path),
		.cancel = &f->cancel,
		.done = &f->done};
	assert_true(f->config.fd >= 0);
	unlink(path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->config.fd);
	guest_mem_destroy(f->mem);
	munmap(f->low, LOW_SIZE);
	munmap(f->high, HIGH_SIZE);
	free(f);
	return 0;
}

static void read_at(const struct fixture *f, void *to, size_t len, uint64_t at)
{
	assert_int_equal(pread(f->config.fd, to, len, (off_t)at), len);
}

static Elf64_Phdr phdr(const struct fixture *f, unsigned int i)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	read_at(f, &ehdr, sizeof(ehdr), 0);
	assert_memory_equal(ehdr.e_ident, ELFMAG, SELFMAG);
	assert_int_equal(ehdr.e_type, ET_CORE);
	assert_int_equal(ehdr.e_machine, EM_X86_64);
	assert_int_equal(ehdr.e_phentsize, sizeof(phdr));
	assert_true(i < ehdr.e_phnum);
	read_at(f, &phdr, sizeof(phdr), ehdr.e_phoff + i * sizeof(phdr));
	assert_int_equal(phdr.p_filesz, phdr.p_memsz);
	assert_int_equal(phdr.p_type, i ? PT_LOAD : PT_NOTE);
	/* crash takes a file with another one for netdump's. */
	assert_int_equal(phdr.p_align, 0);
	return phdr;
}

static unsigned int num_phdrs(const struct fixture *f)
{
	Elf64_Ehdr ehdr;

	read_at(f, &ehdr, sizeof(ehdr), 0);
	return ehdr.e_phnum;
}

/* The nth note of that name: its descriptor, of size bytes. */
static void note(const struct fixture *f, const char *name, unsigned int n, void *desc, size_t size)
{
	const Elf64_Phdr notes = phdr(f, 0);
	uint64_t at = notes.p_offset;
	char found[16];
	Elf64_Nhdr header;

	while (at < notes.p_offset + notes.p_filesz) {
		read_at(f, &header, sizeof(header), at);
		assert_true(header.n_namesz <= sizeof(found));
		read_at(f, found, header.n_namesz, at + sizeof(header));
		at += sizeof(header) + ALIGN_UP(header.n_namesz, 4);
		if (!strcmp(found, name) && !n--) {
			assert_int_equal(header.n_type, strcmp(name, "CORE") ? 0 : NT_PRSTATUS);
			assert_int_equal(header.n_descsz, size);
			read_at(f, desc, size, at);
			return;
		}
		at += ALIGN_UP(header.n_descsz, 4);
	}
	assert_int_equal(at, notes.p_offset + notes.p_filesz);
	fail_msg("no note %s", name);
}

static uint64_t blocks_bytes(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->config.fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void write_dump(struct fixture *f)
{
	if (dump_write(&f->config, &f->err) < 0)
		fail_msg("%s", f->err.text);
	assert_int_equal(f->done, LOW_SIZE + HIGH_SIZE);
	assert_int_equal(dump_ram_size(f->mem), LOW_SIZE + HIGH_SIZE);
}

static void expect_ram(
	const struct fixture *f, unsigned int i, uint64_t gpa, const uint8_t *bytes, uint64_t size)
{
	const Elf64_Phdr ram = phdr(f, i);
	uint8_t *copy = malloc(size);

	assert_non_null(copy);
	assert_int_equal(ram.p_paddr, gpa);
	assert_int_equal(ram.p_filesz, size);
	assert_int_equal(ram.p_offset % PAGE, 0);
	read_at(f, copy, size, ram.p_offset);
	assert_memory_equal(copy, bytes, size);
	free(copy);
}

static void memory_is_there_and_zeros_are_holes(void **state)
{
	struct fixture *f = *state;

	memset(f->low + 3 * PAGE, 0xa5, 2 * PAGE);
	f->low[LOW_SIZE - 1] = 1;
	f->high[0] = 2;
	f->high[PAGE * 2 - 1] = 3;
	/* the last bytes are a hole's */
	write_dump(f);
	assert_int_equal(num_phdrs(f), 3);
	expect_ram(f, 1, 0, f->low, LOW_SIZE);
	expect_ram(f, 2, HIGH_BASE, f->high, HIGH_SIZE);
	assert_int_equal(phdr(f, 1).p_vaddr, 0);
	assert_int_equal(phdr(f, 2).p_vaddr, HIGH_BASE);
	assert_true(blocks_bytes(f) < 1 * MiB);
}

static void registers_are_notes(void **state)
{
	struct fixture *f = *state;
	struct elf_prstatus status;
	struct user_regs_struct regs;
	uint64_t qemu[55];

	f->cpus[1] = (struct vcpu_registers){.rip = 0x1234,
		.rsp = 0x5678,
		.r15 = 15,
		.rax = 10,
		.rflags = 2,
		.cs = {.selector = 0x10, .flags = 0xa09b00, .limit = 0xfffff},
		.gs = {.base = 0xabcdef},
		.idt = {.base = 0x1000, .limit = 0xfff},
		.cr0 = 0x80000011,
		.cr2 = 22,
		.cr3 = 33,
		.cr4 = 44,
		.kernel_gs_base = 0x99};
	write_dump(f);
	for (unsigned int i = 0; i < NUM_CPUS; i++) {
		note(f, "CORE", i, &status, sizeof(status));
		assert_int_equal(status.pr_pid, i + 1);
		note(f, "QEMU", i, qemu, sizeof(qemu));
		assert_int_equal(qemu[0], 1 | UINT64_C(440) << 32);
	}
	note(f, "CORE", 1, &status, sizeof(status));
	memcpy(&regs, &status.pr_reg, sizeof(regs));
	assert_int_equal(regs.rip, 0x1234);
	assert_int_equal(regs.rsp, 0x5678);
	assert_int_equal(regs.r15, 15);
	assert_int_equal(regs.rax, 10);
	assert_int_equal(regs.cs, 0x10);
	assert_int_equal(regs.gs_base, 0xabcdef);
	/* Words of 8 bytes: head, 16 registers, rip, rflags, 10 segments of 3, cr0-4, GS */
	note(f, "QEMU", 1, qemu, sizeof(qemu));
	assert_int_equal(qemu[1], 10);
	assert_int_equal(qemu[6 + 1], 0x5678);
	assert_int_equal(qemu[17], 0x1234);
	assert_int_equal(qemu[18], 2);
	assert_int_equal(qemu[19], 0x10 | UINT64_C(0xfffff) << 32);
	assert_int_equal(qemu[20], 0xa09b00);
	assert_int_equal(qemu[19 + 3 * 9 + 2], 0x1000);
	assert_int_equal(qemu[49], 0x80000011);
	assert_int_equal(qemu[51], 22);
	assert_int_equal(qemu[52], 33);
	assert_int_equal(qemu[53], 44);
	assert_int_equal(qemu[54], 0x99);
}

static const char vmcoreinfo[] = "OSRELEASE=6.1.0-bantam\n"
				 "PAGESIZE=4096\n"
				 "SYMBOL(_stext)=ffffffff81000000\n"
				 "NUMBER(phys_base)=-13631488\n"
				 "KERNELOFFSET=0\n";

/* Physical 0x1000000 - 0xd00000 = 0x300000. */
static void linux_names_itself(void **state)
{
	struct fixture *f = *state;
	char text[sizeof(vmcoreinfo) - 1];

	strcpy((char *)f->high + 5 * PAGE, vmcoreinfo);
	/* Not at the start of a page, and not well-formed */
	strcpy((char *)f->low + 5 * PAGE + 8, vmcoreinfo);
	strcpy((char *)f->low + 7 * PAGE, "OSRELEASE=%s\n");
	write_dump(f);
	note(f, "VMCOREINFO", 0, text, sizeof(text));
	assert_memory_equal(text, vmcoreinfo, sizeof(text));
	assert_int_equal(num_phdrs(f), 4);
	expect_ram(f, 1, 0, f->low, LOW_SIZE);
	expect_ram(f, 2, HIGH_BASE, f->high, HIGH_SIZE);
	assert_int_equal(phdr(f, 3).p_vaddr, 0xffffffff81000000);
	expect_ram(f, 3, 0x300000, f->low + 0x300000, LOW_SIZE - 0x300000);
	/* What crash reads as the head is all before the first segment, and no more. */
	assert_int_equal(phdr(f, 1).p_offset, PAGE);
}

static void hostile_vmcoreinfo(void **state)
{
	static const struct {
		const char *text;
		bool taken, has_image;
	} cases[] = {
		{"OSRELEASE=x\nPAGESIZE=4096\n", true, false},
		{"OSRELEASE=x\nPAGESIZE=4096", false, false},
		{"OSRELEASE=x\nPAGESIZE=65536\n", false, false},
		{"OSRELEASE=x\nPAGESIZE=40960\n", false, false},
		{"OSRELEASE=x\nPAGESIZE=\n", false, false},
		{"OSRELEASE=\n", false, false},
		{"OSRELEASE=x\033\nPAGESIZE=4096\n", false, false},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"
		 "NUMBER(phys_base)=0\n",
			true, true},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"
		 "NUMBER(phys_base)=0x\n",
			true, false},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=\nNUMBER(phys_base)=1\n", true, false},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff7fffffff\n"
		 "NUMBER(phys_base)=0\n",
			true, false},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffffc0000000\n"
		 "NUMBER(phys_base)=0\n",
			true, false},
		{"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"
		 "NUMBER(phys_base)=99999999999999999999\n",
			true, false},
	};
	struct vmcoreinfo info;
	char page[VMCOREINFO_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(page, 0, sizeof(page));
		strcpy(page, cases[i].text);
		assert_int_equal(vmcoreinfo_parse(page, &info), cases[i].taken);
		assert_int_equal(info.len, cases[i].taken ? strlen(cases[i].text) : 0);
		assert_int_equal(info.has_image, cases[i].has_image);
	}
	/* No end */
	memset(page, 'x', sizeof(page));
	memcpy(page, "OSRELEASE=x\nPAGESIZE=4096\n", 26);
	page[sizeof(page) - 1] = '\n';
	assert_false(vmcoreinfo_parse(page, &info));
}

/* An image elsewhere than in RAM gets no segment. */
static void image_outside_of_memory(void **state)
{
	struct fixture *f = *state;

	snprintf((char *)f->low + PAGE, PAGE, "%s",
		"OSRELEASE=x\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"
		"NUMBER(phys_base)=1073741824\n");
	write_dump(f);
	assert_int_equal(num_phdrs(f), 3);
}

static void put64(struct fixture *f, uint64_t gpa, uint64_t value)
{
	memcpy(f->low + gpa, &value, sizeof(value));
}

static void kernel_maps_all_of_memory(void **state)
{
	struct fixture *f = *state;
	struct vcpu_registers *regs = &f->cpus[2];
	uint64_t vaddr;

	*regs = (struct vcpu_registers){.cr0 = PG, .efer = LMA, .cr3 = 0x10000};
	assert_false(direct_map_find(f->mem, regs, &vaddr));
	/* The lower half is a program's. */
	put64(f, 0x10000, 0x11000 | P);
	put64(f, 0x11000, P | PS);
	assert_false(direct_map_find(f->mem, regs, &vaddr));
	/* Something else in front, then the map by a page of 1 GiB, of 2 MiB, of 4 KiB */
	put64(f, 0x10000 + 272 * 8, 0x13000 | P);
	put64(f, 0x13000, 0x14000 | P);
	put64(f, 0x14000, 0x200000 | P | PS);
	put64(f, 0x10000 + 273 * 8, 0x12000 | P);
	put64(f, 0x12000 + 5 * 8, NX | 1 << 12 | P | PS);
	assert_true(direct_map_find(f->mem, regs, &vaddr));
	assert_int_equal(vaddr, 0xffff888140000000);
	put64(f, 0x12000 + 5 * 8, 0x15000 | P);
	put64(f, 0x15000, P | PS);
	assert_true(direct_map_find(f->mem, regs, &vaddr));
	put64(f, 0x15000, 0x16000 | P);
	put64(f, 0x16000, NX | PS | P);
	assert_true(direct_map_find(f->mem, regs, &vaddr));
	assert_int_equal(vaddr, 0xffff888140000000);
	/* In a program, under page table isolation: the table in front has the kernel. */
	regs->cr3 = 0x11000 | 7;
	assert_true(direct_map_find(f->mem, regs, &vaddr));
	write_dump(f);
	assert_int_equal(phdr(f, 1).p_vaddr, 0xffff888140000000);
	assert_int_equal(phdr(f, 2).p_vaddr, 0xffff888140000000 + HIGH_BASE);
	regs->cr0 = 0;
	assert_false(direct_map_find(f->mem, regs, &vaddr));
	/* Five levels */
	*regs = (struct vcpu_registers){.cr0 = PG, .efer = LMA, .cr4 = LA57, .cr3 = 0x20000};
	put64(f, 0x20000 + 273 * 8, 0x10000 | P);
	assert_true(direct_map_find(f->mem, regs, &vaddr));
	assert_int_equal(vaddr >> 48, 0xff11);
}

/* Tables that lead to themselves, everywhere, and outside: it ends. */
static void hostile_tables(void **state)
{
	struct fixture *f = *state;
	const struct vcpu_registers regs = {.cr0 = PG, .efer = LMA, .cr4 = LA57, .cr3 = 0x10000};
	uint64_t vaddr;

	for (unsigned int i = 0; i < 512; i++)
		put64(f, 0x10000 + i * 8, 0x10000 | P);
	assert_false(direct_map_find(f->mem, &regs, &vaddr));
	for (unsigned int i = 0; i < 512; i++)
		put64(f, 0x10000 + i * 8, 0xffffffffff000 | P);
	assert_false(direct_map_find(f->mem, &regs, &vaddr));
}

static void a_dump_that_fails(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, small;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 64 * KiB;
	signal(SIGXFSZ, SIG_IGN);
	memset(f->low, 1, LOW_SIZE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(dump_write(&f->config, &f->err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_string_equal(f->err.text, "the dump: File too large");
	f->cancel = true;
	assert_int_equal(dump_write(&f->config, &f->err), -ECANCELED);
}

/* What nobody has touched stays so. */
static void untouched_memory(void **state)
{
	struct fixture *f = *state;
	unsigned char touched[LOW_SIZE / PAGE];
	size_t n = 0;

	madvise(f->low, LOW_SIZE, MADV_NOHUGEPAGE);
	f->config.skip_untouched = true;
	f->low[9 * PAGE] = 1;
	strcpy((char *)f->low + 11 * PAGE, vmcoreinfo);
	write_dump(f);
	assert_int_equal(mincore(f->low, LOW_SIZE, touched), 0);
	for (size_t i = 0; i < ARRAY_SIZE(touched); i++)
		n += touched[i] & 1;
	assert_int_equal(n, 2);
	expect_ram(f, 1, 0, f->low, LOW_SIZE);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(memory_is_there_and_zeros_are_holes),
		T(registers_are_notes),
		T(linux_names_itself),
		T(hostile_vmcoreinfo),
		T(image_outside_of_memory),
		T(kernel_maps_all_of_memory),
		T(hostile_tables),
		T(a_dump_that_fails),
		T(untouched_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
