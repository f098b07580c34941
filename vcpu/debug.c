/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_SET_GUEST_DEBUG (Linux' Documentation/virt/kvm/api.rst). With KVM_GUESTDBG_USE_SW_BP each
 * int3 comes here, with a rip that is still at it: those of the guest's own code (kprobes, a
 * debugger in it, code that it patches) are put into it again. The same goes for #DB, which comes
 * here while debug registers are in use or a step is wanted. The guest's own debug registers have
 * no effect while ours are in use.
 *
 * All but vcpu_handle_debug belongs to the main thread, while the vCPU's is out.
 */
#include "vcpu/debug.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "vcpu/page_walk.h"
#include "vcpu_internal.h"
#include "vm/core/error.h"
#include "vm/kvm/kvm.h"

#ifndef KVM_CAP_SET_GUEST_DEBUG2 /* Linux 5.13 */
#define KVM_CAP_SET_GUEST_DEBUG2 195
#endif
#ifndef KVM_GUESTDBG_BLOCKIRQ /* Linux 5.15 */
#define KVM_GUESTDBG_BLOCKIRQ 0x00100000
#endif

enum { INT3_VECTOR = 3, MATCHES = (1 << VCPU_DEBUG_REGISTERS) - 1 };

#define DR6_FIXED UINT64_C(0xffff0ff0)
#define DR6_BS	  (UINT64_C(1) << 14)
#define DR7_ANY	  UINT64_C(0xff)
#define RFLAGS_RF (UINT64_C(1) << 16)

/* ---- what KVM is told ---- */

static uint32_t can_block_interrupts(const struct vcpu *vcpu)
{
	const int can = ioctl(kvm_vm_fd(vcpu->config.vm), KVM_CHECK_EXTENSION,
		(unsigned long)KVM_CAP_SET_GUEST_DEBUG2);

	return can > 0 ? (uint32_t)can & KVM_GUESTDBG_BLOCKIRQ : 0;
}

static struct kvm_guest_debug control_of(const struct vcpu *vcpu)
{
	const struct vcpu_debug *debug = &vcpu->debug;
	struct kvm_guest_debug control = {.control = 0};

	if (debug->num_traps)
		control.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	if (debug->dr7 & DR7_ANY) {
		control.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		for (unsigned int i = 0; i < VCPU_DEBUG_REGISTERS; i++)
			control.arch.debugreg[i] = debug->dr[i];
		control.arch.debugreg[7] = debug->dr7;
	}
	if (debug->step)
		control.control |=
			KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | can_block_interrupts(vcpu);
	return control;
}

int vcpu_set_debug(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err)
{
	const struct vcpu_debug none = {.num_traps = 0};
	struct kvm_guest_debug control;

	vcpu->debug = debug ? *debug : none;
	if (vcpu->debug.step)
		vcpu->block_irq = can_block_interrupts(vcpu);
	control = control_of(vcpu);
	if (!control.control && !vcpu->debugged)
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &control) < 0)
		return error_set_errno(
			err, -errno, "KVM_SET_GUEST_DEBUG for vCPU %u", vcpu->config.id);
	vcpu->debugged = control.control;
	return 0;
}

/* ---- what KVM tells ---- */

/* It is the guest's: as if nobody had looked. False: KVM does not take it back. */
static bool give_to_guest(struct vcpu *vcpu, uint32_t which, uint64_t dr6)
{
	struct kvm_guest_debug control = control_of(vcpu);
	struct kvm_debugregs regs;

	if (which == KVM_GUESTDBG_INJECT_DB) {
		if (ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs) < 0)
			return false;
		regs.dr6 = dr6 | DR6_FIXED;
		if (ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs) < 0)
			return false;
	}
	control.control |= which;
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &control) == 0;
}

static bool is_our_trap(struct vcpu *vcpu, uint64_t linear)
{
	const struct vcpu_debug *debug = &vcpu->debug;
	struct paging_registers regs;
	struct page_walk walk;

	/* Better to stop where nobody asked for it than to crash a guest. */
	if (!vcpu_get_paging(vcpu, &regs) || !page_walk(debug->mem, &regs, linear, &walk))
		return debug->num_traps;
	for (unsigned int i = 0; i < debug->num_traps; i++)
		if (debug->traps[i] == walk.gpa)
			return true;
	return false;
}

static enum vcpu_next stop(
	struct vcpu *vcpu, enum vcpu_stop_kind kind, unsigned int dr, enum vcpu_end *end)
{
	vcpu->stop = (struct vcpu_stop){.kind = kind, .dr = dr};
	*end = VCPU_DEBUG;
	return VCPU_STOP;
}

static uint64_t matching(const struct vcpu_debug *debug, uint64_t dr6)
{
	for (unsigned int i = 0; i < VCPU_DEBUG_REGISTERS; i++)
		if (!(debug->dr7 & UINT64_C(3) << (2 * i)))
			dr6 &= ~(UINT64_C(1) << i);
	return dr6 & MATCHES;
}

static enum vcpu_next handle_db(struct vcpu *vcpu, uint64_t dr6, enum vcpu_end *end)
{
	const uint64_t hit = matching(&vcpu->debug, dr6);

	if (hit)
		return stop(vcpu, VCPU_STOP_REGISTER, (unsigned int)__builtin_ctzll(hit), end);
	if (vcpu->debug.step && (dr6 & DR6_BS))
		return stop(vcpu, VCPU_STOP_STEP, 0, end);
	if (give_to_guest(vcpu, KVM_GUESTDBG_INJECT_DB, dr6 & ~(uint64_t)MATCHES))
		return VCPU_CONTINUE;
	return stop(vcpu, VCPU_STOP_STEP, 0, end);
}

enum vcpu_next vcpu_handle_debug(struct vcpu *vcpu, enum vcpu_end *end)
{
	const struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;

	if (!vcpu->debugged) {
		*end = VCPU_INTERNAL_ERROR;
		return VCPU_STOP;
	}
	if (arch->exception != INT3_VECTOR)
		return handle_db(vcpu, arch->dr6, end);
	if (is_our_trap(vcpu, arch->pc) || !give_to_guest(vcpu, KVM_GUESTDBG_INJECT_BP, 0))
		return stop(vcpu, VCPU_STOP_TRAP, 0, end);
	return VCPU_CONTINUE;
}

struct vcpu_stop vcpu_stop_of(const struct vcpu *vcpu)
{
	return vcpu->stop;
}

struct vcpu_stop vcpu_take_stop(struct vcpu *vcpu)
{
	const struct vcpu_stop taken = vcpu->stop;

	vcpu->stop.kind = VCPU_NO_STOP;
	return taken;
}

void vcpu_want_settled(struct vcpu *vcpu)
{
	atomic_store(&vcpu->settle, true);
}

bool vcpu_is_settled(const struct vcpu *vcpu)
{
	return !atomic_load(&vcpu->settle);
}

/* ---- registers ---- */

void vcpu_pass_breakpoint(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0)
		return;
	regs.rflags |= RFLAGS_RF;
	ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

bool vcpu_get_paging(struct vcpu *vcpu, struct paging_registers *regs)
{
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return false;
	*regs = (struct paging_registers){sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer};
	return true;
}

bool vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value)
{
	*value = 0;
	return vcpu_msr(vcpu, KVM_GET_MSRS, index, value);
}

const char *vcpu_activity(struct vcpu *vcpu)
{
	struct kvm_mp_state mp;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) < 0)
		return "unknown";
	switch (mp.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return "running";
	case KVM_MP_STATE_HALTED:
		return "halted";
	default:
		return "waiting for its start";
	}
}
