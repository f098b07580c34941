/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest that `bantam doctor` runs: 64-bit code at CPL 0, as a kernel's. It writes a stage number
 * to PROBE_PORT before each thing it tries, so that the doctor knows where a host's KVM gave up,
 * and halts at the end. Position-independent; touches only its stack and the page behind itself.
 */
#include <cet.h> /* a note: no code here that shadow stacks or IBT could hurt, as it is data */

#include "vm/cli/probe_guest.h"

	.macro stage n
	movb $\n, %al
	outb %al, $PROBE_PORT
	.endm

	.section .rodata
	.balign 16
	.globl probe_guest, probe_guest_size
probe_guest:
	.code64
	stage PROBE_ENTERED

	/* Control registers and MSRs, as a kernel sets them up. */
	stage PROBE_SYSTEM
	movq %cr3, %rax
	movq %rax, %cr3
	movq %cr4, %rax
	orq $0x600, %rax		/* OSFXSR, OSXMMEXCPT */
	movq %rax, %cr4
	movl $0xc0000080, %ecx		/* EFER */
	rdmsr
	wrmsr

	stage PROBE_LOOP
	movl $PROBE_LOOPS, %ecx
1:	decl %ecx
	jnz 1b

	stage PROBE_CMPXCHG16B
	subq $64, %rsp
	andq $-16, %rsp
	xorl %eax, %eax
	xorl %edx, %edx
	movq %rax, (%rsp)
	movq %rdx, 8(%rsp)
	movl $1, %ebx
	xorl %ecx, %ecx
	lock cmpxchg16b (%rsp)

	stage PROBE_FPU
	movq %cr0, %rax
	andq $~0xc, %rax		/* EM, TS */
	movq %rax, %cr0
	fninit
	fld1
	fstpl (%rsp)

	stage PROBE_SSE
	movaps (%rsp), %xmm0
	addpd %xmm0, %xmm0
	movaps %xmm0, (%rsp)
	subq $512, %rsp
	fxsaveq (%rsp)
	fxrstorq (%rsp)

	stage PROBE_DONE
	hlt

	.balign 4
probe_guest_size:
	.long . - probe_guest

	.section .note.GNU-stack, "", @progbits
