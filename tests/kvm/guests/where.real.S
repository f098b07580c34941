/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints where it runs: CS and the offset of its label "here". Runs at any address. */
	.code16
	.globl guest_start
guest_start:
	call here
here:	popw %bx
	movw %cs, %ax
	call hex
	movb $':', %al
	outb %al, %dx
	movw %bx, %ax
	call hex
	hlt

/* Prints ax as four digits; leaves COM1's port in dx. */
hex:	movw $0x3f8, %dx
	movw $4, %cx
1:	rolw $4, %ax
	pushw %ax
	andb $15, %al
	addb $'0', %al
	cmpb $'9', %al
	jbe 2f
	addb $'a' - '9' - 1, %al
2:	outb %al, %dx
	popw %ax
	loop 1b
	ret
