/* SPDX-License-Identifier: BSD-2-Clause */
#include "vcpu/registers.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "vcpu_internal.h"
#include "vm/core/error.h"

#define MSR_KERNEL_GS_BASE 0xc0000102

static struct vcpu_segment segment(const struct kvm_segment *s)
{
	const unsigned int flags = s->type << 8 | s->s << 12 | s->dpl << 13 | s->present << 15 |
				   s->avl << 20 | s->l << 21 | s->db << 22 | s->g << 23;

	return (struct vcpu_segment){
		.base = s->base, .limit = s->limit, .flags = flags, .selector = s->selector};
}

static void take_general(struct vcpu_registers *to, const struct kvm_regs *r)
{
	to->rax = r->rax;
	to->rbx = r->rbx;
	to->rcx = r->rcx;
	to->rdx = r->rdx;
	to->rsi = r->rsi;
	to->rdi = r->rdi;
	to->rsp = r->rsp;
	to->rbp = r->rbp;
	to->r8 = r->r8;
	to->r9 = r->r9;
	to->r10 = r->r10;
	to->r11 = r->r11;
	to->r12 = r->r12;
	to->r13 = r->r13;
	to->r14 = r->r14;
	to->r15 = r->r15;
	to->rip = r->rip;
	to->rflags = r->rflags;
}

static void take_special(struct vcpu_registers *to, const struct kvm_sregs *s)
{
	to->cs = segment(&s->cs);
	to->ds = segment(&s->ds);
	to->es = segment(&s->es);
	to->fs = segment(&s->fs);
	to->gs = segment(&s->gs);
	to->ss = segment(&s->ss);
	to->ldt = segment(&s->ldt);
	to->tr = segment(&s->tr);
	to->gdt = (struct vcpu_segment){.base = s->gdt.base, .limit = s->gdt.limit};
	to->idt = (struct vcpu_segment){.base = s->idt.base, .limit = s->idt.limit};
	to->cr0 = s->cr0;
	to->cr2 = s->cr2;
	to->cr3 = s->cr3;
	to->cr4 = s->cr4;
	to->efer = s->efer;
}

int vcpu_get_registers(struct vcpu *vcpu, struct vcpu_registers *regs, struct error *err)
{
	struct kvm_regs general;
	struct kvm_sregs special;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &general) < 0 ||
		ioctl(vcpu->fd, KVM_GET_SREGS, &special) < 0)
		return error_set_errno(err, -errno, "registers of vCPU %u", vcpu->config.id);
	*regs = (struct vcpu_registers){0};
	take_general(regs, &general);
	take_special(regs, &special);
	/* A host without this register has a guest without a use for it. */
	if (!vcpu_msr(vcpu, KVM_GET_MSRS, MSR_KERNEL_GS_BASE, &regs->kernel_gs_base))
		regs->kernel_gs_base = 0;
	return 0;
}
