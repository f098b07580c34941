/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vCPU's registers were when it stopped, for those who look at a guest from outside. */
#ifndef BANTAM_VCPU_REGISTERS_H
#define BANTAM_VCPU_REGISTERS_H

#include "vm/core/base.h"

struct error;
struct vcpu;

struct vcpu_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t flags; /* as in the upper half of a descriptor (SDM vol. 3, 3.4.5) */
	uint16_t selector;
};

struct vcpu_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct vcpu_segment cs, ds, es, fs, gs, ss, ldt, tr;
	struct vcpu_segment gdt, idt; /* base and limit only */
	uint64_t cr0, cr2, cr3, cr4, efer;
	uint64_t kernel_gs_base; /* what SWAPGS changes gs.base with */
};

/* The vCPU's thread is out. -errno with a line. */
int vcpu_get_registers(struct vcpu *vcpu, struct vcpu_registers *regs, struct error *err);

#endif
