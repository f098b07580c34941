/* SPDX-License-Identifier: BSD-2-Clause */
/* Port accesses of 1, 2 and 4 bytes and of strings, to registers that keep what is written. */
#include "guest.h"

#define SCRATCH (LAYOUT_COM1_PORT + UART_SCR)
#define PM1_EN	(LAYOUT_PM1_EVT + 2)
#define NOBODY	0x1234

	/* One byte, by a port in the instruction (0x70 to 0x7f are the RTC's) and in dx. */
	movw $SCRATCH, %dx
	movb $0xa5, %al
	outb %al, %dx
	movl $0x11223300, %eax
	inb %dx, %al
	show "byte"			/* the rest of eax stays */

	/* Two, and each of the two on its own. PM1_EN keeps bits 0, 5, 8, 9 and 10. */
	movw $PM1_EN, %dx
	movw $0x0121, %ax
	outw %ax, %dx
	movl $0x11220000, %eax
	inw %dx, %ax
	show "word"
	movw $PM1_EN + 1, %dx
	xorl %eax, %eax
	inb %dx, %al
	show "its-high-byte"

	/* Four. */
	movw $LAYOUT_PCI_CFG_PORT, %dx
	movl $0x80123444, %eax
	outl %eax, %dx
	movq $-1, %rax
	inl %dx, %eax
	show "dword"
	movw $LAYOUT_PCI_CFG_PORT, %dx
	movq $-1, %rax
	inl %dx, %eax
	shrq $32, %rax
	show "above-dword"		/* a 32-bit result clears the upper half */

	/* A port of nobody. */
	movw $NOBODY, %dx
	xorl %eax, %eax
	outl %eax, %dx
	inb %dx, %al
	show "absent-byte"
	movw $NOBODY, %dx
	xorl %eax, %eax
	inw %dx, %ax
	show "absent-word"
	movw $NOBODY, %dx
	xorl %eax, %eax
	inl %dx, %eax
	show "absent-dword"

	/* Strings. */
	movw $LAYOUT_COM1_PORT, %dx
	movl $text, %esi
	movl $text_end - text, %ecx
	rep outsb
	show "outsb-left", %ecx

	movw $SCRATCH, %dx
	movb $0x5a, %al
	outb %al, %dx
	movl $buffer, %edi
	movl $7, %ecx
	rep insb
	movl %edi, %ebx
	subl $buffer, %ebx
	show "insb-moved", %ebx
	movl buffer, %ebx
	show "insb-first", %ebx
	movl buffer + 4, %ebx
	show "insb-last", %ebx		/* the eighth byte is not theirs */

	movw $LAYOUT_PCI_CFG_PORT, %dx
	movl $dwords, %esi
	movl $2, %ecx
	rep outsl
	movl $buffer, %edi
	movl $2, %ecx
	rep insl
	movl buffer, %ebx
	show "insl-first", %ebx
	movl buffer + 4, %ebx
	show "insl-last", %ebx
	hlt

	.data
text:	.ascii "a string by rep outsb\n"
text_end:
dwords:	.long 0x80000000, 0x80000808
buffer:	.skip 8, 0xee
