/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints 6144 numbered lines of 16 bytes, never more than the transmitter has room for; powers off. */
#include "guest.h"

#define COM1  LAYOUT_COM1_PORT
#define LINES 6144

	movw $COM1 + UART_FCR, %dx
	movb $0x07, %al			/* a FIFO of 16 bytes, which THRE says is empty */
	outb %al, %dx
	xorl %ebx, %ebx
1:	movl $digits, %edi
	movl %ebx, %eax
	movl $8, %ecx
2:	roll $4, %eax
	movl %eax, %edx
	andl $15, %edx
	movb hex(%rdx), %dl
	movb %dl, (%rdi)
	incl %edi
	decl %ecx
	jnz 2b
	movw $COM1 + UART_LSR, %dx
3:	inb %dx, %al
	testb $LSR_THRE, %al
	jz 3b
	movw $COM1, %dx
	movl $line, %esi
	movl $16, %ecx
	rep outsb
	incl %ebx
	cmpl $LINES, %ebx
	jb 1b
	poweroff

	.data
line:	.ascii "line "
digits:	.ascii "01234567"
	.ascii " .\n"
hex:	.ascii "0123456789abcdef"
