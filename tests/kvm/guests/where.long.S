/* SPDX-License-Identifier: BSD-2-Clause */
/* Sends the address it runs at, low byte first. Runs at any address. */
	.code64
	.globl guest_start
guest_start:
	leaq guest_start(%rip), %rax
	movw $0x3f8, %dx
	movl $8, %ecx
1:	outb %al, %dx
	shrq $8, %rax
	decl %ecx
	jnz 1b
	hlt
