/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For gdb: functions that are called for ever, a variable that changes, an int3 and a single step of
 * the guest's own, and code that is put in its place later. All CPUs but the first one, if there are
 * any, count in a loop of their own.
 */
#include "guest.h"

#define LAPIC_SVR 0xf0
#define LAPIC_ICR 0x300
#define AP_PAGE	  0x10000

#define RFLAGS_TF 0x100

	movq $stack_end, %rsp
	set_vector 1, on_step
	set_vector 3, on_int3
	load_vectors
	call start_others
	call copy_late
	say "ready\n"

	.globl again
again:
	call count
	cmpq $0, bold
	je 1f
	call trap
	call step_self
1:	movl $late_place, %eax
	call *%rax
	call tell
	jmp again

/* Watched */
	.globl count
count:
	movq counter, %rax
	incq %rax
	movq %rax, counter
	.globl counted
counted:
	nop
	ret

	.globl trap
trap:
	int3
	ret

on_int3:
	incq traps
	iretq

/* One instruction with the trap flag set: a debug exception behind it. */
	.globl step_self
step_self:
	pushfq
	orq $RFLAGS_TF, (%rsp)
	popfq
	nop
	ret

on_step:
	incq steps
	andq $~RFLAGS_TF, 16(%rsp)
	iretq

/* A dot for each 64 rounds. A received "i" has it trap, which some KVMs do not know; others end it. */
	.globl tell
tell:
	testl $0x3f, counter
	jnz 1f
	movw $LAYOUT_COM1_PORT, %dx
	movb $'.', %al
	outb %al, %dx
1:	movw $LAYOUT_COM1_PORT + UART_LSR, %dx
	inb %dx, %al
	testb $LSR_DATA, %al
	jz 2f
	movw $LAYOUT_COM1_PORT, %dx
	inb %dx, %al
	cmpb $'i', %al
	jne 5f
	incq bold
	ret
5:
	movl traps, %ebx
	show "traps", %ebx
	movl steps, %ebx
	show "steps", %ebx
	movl counter, %ebx
	show "rounds", %ebx
	poweroff
2:	ret

copy_late:
	movl $late, %esi
	movl $late_place, %edi
	movl $late_end - late, %ecx
	rep movsb
	ret

late:	nop
	movl $0x1234, %ebx
	ret
late_end:

start_others:
	movl $LAYOUT_LAPIC_BASE, %ebp
	movl $ap_start, %esi
	movl $AP_PAGE, %edi
	movl $ap_end - ap_start, %ecx
	rep movsb
	movl $0x1ff, LAPIC_SVR(%rbp)
	movl $0x000c4500, LAPIC_ICR(%rbp)	/* INIT to all others */
	movl $0x1000, %ecx
3:	pause
	decl %ecx
	jnz 3b
	movl $0x000c4600 | AP_PAGE >> 12, LAPIC_ICR(%rbp)
	ret

	.code16
ap_start:
	cli
4:	incl %eax
	jmp 4b
ap_end:
	.code64

	.data
	.balign 8
	.globl counter, traps, steps, late_place, bold
counter:
	.quad 0
traps:	.quad 0
steps:	.quad 0
bold:	.quad 0
	.balign 16
late_place:
	.skip 16
	.skip 256
stack_end:
	.quad 0
