/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much memory is there? Below 3 GiB and from 4 to 8 GiB, which is mapped first, goes up in steps
 * as long as the last bytes of a step keep what is written, and in smaller ones from there, down to
 * 2 MiB. (Large steps, so that the host need not find all of it.) Also prints what the clock's memory
 * says, which is where firmware tells it.
 */
#include "guest.h"

#define TABLES	   0x10000	/* four page directories for 4 to 8 GiB */
#define PDPT	   (LAYOUT_PAGE_TABLES + 0x1000)
#define STEP_MIN   0x200000
#define STEP_MAX   0x4000000
#define PAGE_FLAGS 0x83		/* present, writable, 2 MiB */

	movl $TABLES, %edi
	movabsq $LAYOUT_HIGH_RAM_START, %rax
	orq $PAGE_FLAGS, %rax
	movl $4 * 512, %ecx
1:	movq %rax, (%rdi)
	addq $8, %rdi
	addq $STEP_MIN, %rax
	decl %ecx
	jnz 1b
	movl $TABLES | 3, %eax
	movl $PDPT + 4 * 8, %edi
	movl $4, %ecx
2:	movq %rax, (%rdi)
	addq $0x1000, %rax
	addq $8, %rdi
	decl %ecx
	jnz 2b
	movq %cr3, %rax
	movq %rax, %cr3

	movl $STEP_MIN, %ebx		/* we are below */
	movl $LAYOUT_LOW_RAM_END, %ebp
	call probe
	show "low-mib", %ebx
	movabsq $LAYOUT_HIGH_RAM_START, %rbx
	movabsq $LAYOUT_HIGH_RAM_START + 0x100000000, %rbp
	call probe
	subl $4096, %ebx
	show "high-mib", %ebx

	xorl %eax, %eax
	out8 LAYOUT_RTC_PORT, 0x35	/* in 64 KiB, above 16 MiB */
	inb $LAYOUT_RTC_PORT + 1, %al
	movb %al, %ah
	out8 LAYOUT_RTC_PORT, 0x34
	movb %ah, %bh
	inb $LAYOUT_RTC_PORT + 1, %al
	movb %bh, %ah
	show "cmos-64k"
	hlt

/* From rbx to rbp; ebx = the MiB up to what did not answer. */
probe:	movl $STEP_MAX, %edx
1:	leaq (%rbx, %rdx), %rdi
	cmpq %rbp, %rdi
	ja 2f
	movq %rdi, %rax
	notq %rax
	movq %rax, -8(%rdi)
	cmpq -8(%rdi), %rax
	jne 2f
	movq %rdi, %rbx
	jmp 1b
2:	shrl $1, %edx
	cmpl $STEP_MIN, %edx
	jae 1b
	shrq $20, %rbx
	ret
