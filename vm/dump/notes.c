/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes (ELF, "Note Section"). NT_PRSTATUS is what gdb calls a thread; its number is the vCPU's,
 * from 1 on. The "QEMU" note (version 1, as crash reads it) has what a thread of a program has not:
 * control registers, descriptor tables, the other GS base.
 */
#include "notes.h"

#include <assert.h>
#include <elf.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

struct qemu_segment {
	uint32_t selector, limit, flags, pad;
	uint64_t base;
};

struct qemu_cpu {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};

static_assert(sizeof(struct qemu_cpu) == 440, "as crash has it");
static_assert(sizeof(struct elf_prstatus) == 336, "as gdb and crash have it");

static size_t note_size(const char *name, size_t size)
{
	return sizeof(Elf64_Nhdr) + ALIGN_UP(strlen(name) + 1, 4) + ALIGN_UP(size, 4);
}

/* to is zeros. */
static uint8_t *put(uint8_t *to, const char *name, uint32_t type, const void *desc, size_t size)
{
	const size_t name_size = strlen(name) + 1;
	const Elf64_Nhdr header = {
		.n_namesz = (uint32_t)name_size, .n_descsz = (uint32_t)size, .n_type = type};

	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), name, name_size);
	memcpy(to + sizeof(header) + ALIGN_UP(name_size, 4), desc, size);
	return to + note_size(name, size);
}

static struct user_regs_struct general(const struct vcpu_registers *r)
{
	return (struct user_regs_struct){
		.r15 = r->r15,
		.r14 = r->r14,
		.r13 = r->r13,
		.r12 = r->r12,
		.rbp = r->rbp,
		.rbx = r->rbx,
		.r11 = r->r11,
		.r10 = r->r10,
		.r9 = r->r9,
		.r8 = r->r8,
		.rax = r->rax,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.orig_rax = ~0ull, /* not in a system call */
		.rip = r->rip,
		.cs = r->cs.selector,
		.eflags = r->rflags,
		.rsp = r->rsp,
		.ss = r->ss.selector,
		.fs_base = r->fs.base,
		.gs_base = r->gs.base,
		.ds = r->ds.selector,
		.es = r->es.selector,
		.fs = r->fs.selector,
		.gs = r->gs.selector,
	};
}

static struct elf_prstatus prstatus(const struct vcpu_registers *r, unsigned int cpu)
{
	const struct user_regs_struct regs = general(r);
	struct elf_prstatus status;

	memset(&status, 0, sizeof(status));
	status.pr_pid = (pid_t)cpu + 1;
	static_assert(sizeof(status.pr_reg) == sizeof(regs), "the same registers");
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	return status;
}

static struct qemu_segment segment(const struct vcpu_segment *s)
{
	return (struct qemu_segment){
		.selector = s->selector, .limit = s->limit, .flags = s->flags, .base = s->base};
}

static struct qemu_cpu qemu(const struct vcpu_registers *r)
{
	return (struct qemu_cpu){
		.version = 1,
		.size = sizeof(struct qemu_cpu),
		.rax = r->rax,
		.rbx = r->rbx,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.rsp = r->rsp,
		.rbp = r->rbp,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = segment(&r->cs),
		.ds = segment(&r->ds),
		.es = segment(&r->es),
		.fs = segment(&r->fs),
		.gs = segment(&r->gs),
		.ss = segment(&r->ss),
		.ldt = segment(&r->ldt),
		.tr = segment(&r->tr),
		.gdt = segment(&r->gdt),
		.idt = segment(&r->idt),
		.cr = {r->cr0, 0, r->cr2, r->cr3, r->cr4},
		.kernel_gs_base = r->kernel_gs_base,
	};
}

size_t dump_notes_size(unsigned int num_cpus, const struct vmcoreinfo *info)
{
	const size_t cpu = note_size("CORE", sizeof(struct elf_prstatus)) +
			   note_size("QEMU", sizeof(struct qemu_cpu));

	return num_cpus * cpu + (info->len ? note_size("VMCOREINFO", info->len) : 0);
}

void dump_notes(uint8_t *to, const struct vcpu_registers *cpus, unsigned int num_cpus,
	const struct vmcoreinfo *info)
{
	memset(to, 0, dump_notes_size(num_cpus, info));
	for (unsigned int i = 0; i < num_cpus; i++) {
		const struct elf_prstatus status = prstatus(&cpus[i], i);

		to = put(to, "CORE", NT_PRSTATUS, &status, sizeof(status));
	}
	for (unsigned int i = 0; i < num_cpus; i++) {
		const struct qemu_cpu cpu = qemu(&cpus[i]);

		to = put(to, "QEMU", 0, &cpu, sizeof(cpu));
	}
	if (info->len)
		put(to, "VMCOREINFO", 0, info->text, info->len);
}
