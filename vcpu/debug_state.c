/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's registers as a debugger sees and changes them. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vcpu/debug.h"
#include "vcpu_internal.h"
#include "vm/core/error.h"

#define MSR_KERNEL_GS_BASE 0xc0000102

struct all {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	uint64_t k_gs_base;
	bool has_k_gs_base;
};

static int get_all(struct vcpu *vcpu, struct all *all, struct error *err)
{
	if (ioctl(vcpu->fd, KVM_GET_REGS, &all->regs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_SREGS, &all->sregs) < 0 ||
		ioctl(vcpu->fd, KVM_GET_FPU, &all->fpu) < 0)
		return error_set_errno(err, -errno, "registers of vCPU %u", vcpu->config.id);
	all->k_gs_base = 0;
	all->has_k_gs_base = vcpu_msr(vcpu, KVM_GET_MSRS, MSR_KERNEL_GS_BASE, &all->k_gs_base);
	return 0;
}

/* The i-th of gdb's order. */
static __u64 *general(struct kvm_regs *r, unsigned int i)
{
	__u64 *const order[16] = {&r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp,
		&r->rsp, &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

	return order[i];
}

static void take_float(struct vcpu_debug_state *to, const struct kvm_fpu *fpu)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(to->st); i++)
		memcpy(to->st[i], fpu->fpr[i], sizeof(to->st[i]));
	memcpy(to->xmm, fpu->xmm, sizeof(to->xmm));
	to->fcw = fpu->fcw;
	to->fsw = fpu->fsw;
	to->ftag = fpu->ftwx;
	to->fop = fpu->last_opcode;
	to->fip = fpu->last_ip;
	to->fdp = fpu->last_dp;
	to->mxcsr = fpu->mxcsr;
}

static void take_special(struct vcpu_debug_state *to, const struct kvm_sregs *s)
{
	to->cs = s->cs.selector;
	to->ss = s->ss.selector;
	to->ds = s->ds.selector;
	to->es = s->es.selector;
	to->fs = s->fs.selector;
	to->gs = s->gs.selector;
	to->fs_base = s->fs.base;
	to->gs_base = s->gs.base;
	to->cr0 = s->cr0;
	to->cr2 = s->cr2;
	to->cr3 = s->cr3;
	to->cr4 = s->cr4;
	to->cr8 = s->cr8;
	to->efer = s->efer;
}

static void take_all(struct vcpu_debug_state *to, struct all *all)
{
	memset(to, 0, sizeof(*to));
	for (unsigned int i = 0; i < ARRAY_SIZE(to->gpr); i++)
		to->gpr[i] = *general(&all->regs, i);
	to->rip = all->regs.rip;
	to->rflags = all->regs.rflags;
	take_special(to, &all->sregs);
	take_float(to, &all->fpu);
	to->k_gs_base = all->k_gs_base;
}

int vcpu_get_state(struct vcpu *vcpu, struct vcpu_debug_state *state, struct error *err)
{
	struct all all;
	const int rc = get_all(vcpu, &all, err);

	if (!rc)
		take_all(state, &all);
	return rc;
}

static int set_general(struct vcpu *vcpu, const struct vcpu_debug_state *from, struct kvm_regs *r)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(from->gpr); i++)
		*general(r, i) = from->gpr[i];
	r->rip = from->rip;
	r->rflags = from->rflags;
	return ioctl(vcpu->fd, KVM_SET_REGS, r) < 0 ? -errno : 0;
}

/* Only where something is different: KVM checks the rest, which some states do not pass. */
static int set_special(
	struct vcpu *vcpu, const struct vcpu_debug_state *from, const struct kvm_sregs *old)
{
	struct kvm_sregs s = *old;

	s.fs.base = from->fs_base;
	s.gs.base = from->gs_base;
	s.cr0 = from->cr0;
	s.cr2 = from->cr2;
	s.cr3 = from->cr3;
	s.cr4 = from->cr4;
	s.cr8 = from->cr8;
	s.efer = from->efer;
	if (!memcmp(&s, old, sizeof(s)))
		return 0;
	return ioctl(vcpu->fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int set_float(
	struct vcpu *vcpu, const struct vcpu_debug_state *from, const struct kvm_fpu *old)
{
	struct kvm_fpu fpu = *old;

	for (unsigned int i = 0; i < ARRAY_SIZE(from->st); i++)
		memcpy(fpu.fpr[i], from->st[i], sizeof(from->st[i]));
	memcpy(fpu.xmm, from->xmm, sizeof(from->xmm));
	fpu.fcw = from->fcw;
	fpu.fsw = from->fsw;
	fpu.last_opcode = from->fop;
	fpu.last_ip = from->fip;
	fpu.last_dp = from->fdp;
	fpu.mxcsr = from->mxcsr;
	if (!memcmp(&fpu, old, sizeof(fpu)))
		return 0;
	return ioctl(vcpu->fd, KVM_SET_FPU, &fpu) < 0 ? -errno : 0;
}

int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_debug_state *state, struct error *err)
{
	uint64_t k_gs_base = state->k_gs_base;
	struct all all;
	int rc = get_all(vcpu, &all, err);

	if (rc < 0)
		return rc;
	rc = set_special(vcpu, state, &all.sregs);
	if (!rc)
		rc = set_float(vcpu, state, &all.fpu);
	if (!rc)
		rc = set_general(vcpu, state, &all.regs);
	if (!rc && all.has_k_gs_base && k_gs_base != all.k_gs_base &&
		!vcpu_msr(vcpu, KVM_SET_MSRS, MSR_KERNEL_GS_BASE, &k_gs_base))
		rc = -EINVAL;
	return rc < 0 ? error_set_errno(err, rc, "registers of vCPU %u", vcpu->config.id) : 0;
}
