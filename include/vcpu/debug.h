/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debugger does to a vCPU, whose thread is out: registers, and where it is to stop. A vCPU
 * that stops there reports VCPU_DEBUG. What the guest traps on by itself (int3, single steps of its
 * own) is given to it.
 */
#ifndef BANTAM_VCPU_DEBUG_H
#define BANTAM_VCPU_DEBUG_H

#include "vm/core/base.h"

struct error;
struct guest_mem;
struct paging_registers;
struct vcpu;

enum { VCPU_DEBUG_REGISTERS = 4 };

struct vcpu_debug {
	const uint64_t *traps; /* guest-physical: where an int3 is the debugger's; not copied */
	unsigned int num_traps;
	uint64_t dr[VCPU_DEBUG_REGISTERS], dr7;
	bool step; /* one instruction; without interrupts, where KVM can do that */
	const struct guest_mem *mem;
};

/* NULL: none any more. -errno with a line. */
int vcpu_set_debug(struct vcpu *vcpu, const struct vcpu_debug *debug, struct error *err);

enum vcpu_stop_kind { VCPU_NO_STOP, VCPU_STOP_TRAP, VCPU_STOP_REGISTER, VCPU_STOP_STEP };

struct vcpu_stop {
	enum vcpu_stop_kind kind;
	unsigned int dr; /* of VCPU_STOP_REGISTER: the first that matched */
};

/* Why it has stopped, as long as nobody has taken that; it does not run before. */
struct vcpu_stop vcpu_stop_of(const struct vcpu *vcpu);
struct vcpu_stop vcpu_take_stop(struct vcpu *vcpu);

/* Has the thread, before it ends, finish what an instruction has begun with a device. */
void vcpu_want_settled(struct vcpu *vcpu);
bool vcpu_is_settled(const struct vcpu *vcpu);

/* The next instruction is executed even if there is a breakpoint at it. */
void vcpu_pass_breakpoint(struct vcpu *vcpu);

struct vcpu_debug_state {
	uint64_t gpr[16]; /* rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8... */
	uint64_t rip, rflags;
	uint16_t cs, ss, ds, es, fs, gs;
	uint8_t st[8][10];
	uint16_t fcw, fsw, fop;
	uint8_t ftag; /* a bit for each register that is in use */
	uint64_t fip, fdp;
	uint8_t xmm[16][16];
	uint32_t mxcsr;
	uint64_t fs_base, gs_base, k_gs_base;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer;
};

/* -errno with a line. What is no different is not set; selectors and tags never are. */
int vcpu_get_state(struct vcpu *vcpu, struct vcpu_debug_state *state, struct error *err);
int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_debug_state *state, struct error *err);

/* False: KVM does not tell. */
bool vcpu_get_paging(struct vcpu *vcpu, struct paging_registers *regs);
bool vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value);
/* "running", "halted", "waiting for its start"; static */
const char *vcpu_activity(struct vcpu *vcpu);

#endif
