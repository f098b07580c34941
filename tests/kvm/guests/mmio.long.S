/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory-mapped accesses: where nobody is, and to PCI configuration space, by ECAM and by ports. */
#include "guest.h"

#define NOBODY	 0xd0000000
#define INTLINE	 0x3c	/* a byte that keeps what is written */
#define LAST_DEV (31 << 15)

	.macro cf8 reg
	movw $LAYOUT_PCI_CFG_PORT, %dx
	movl $0x80000000 | \reg, %eax
	outl %eax, %dx
	.endm

	/* Nobody: all ones at each size, and writes go nowhere. */
	movl $NOBODY, %ebp
	movl $0x12345678, (%rbp)
	xorl %eax, %eax
	movb (%rbp), %al
	show "absent-byte"
	movzwl 2(%rbp), %eax
	show "absent-word"
	movl 4(%rbp), %eax
	show "absent-dword"
	movq 8(%rbp), %rbx
	incq %rbx
	show "absent-qword-plus-1", %ebx
	shrq $32, %rbx
	show "and-its-upper-half", %ebx
	movl 0xffe(%rbp), %eax
	show "absent-over-two-pages"

	/* The host bridge, as ECAM and as the ports show it. */
	movl $LAYOUT_ECAM_BASE, %ebp
	movl (%rbp), %ebx
	show "ecam-id", %ebx
	cf8 0
	movw $LAYOUT_PCI_CFG_PORT + 4, %dx
	inl %dx, %eax
	xorl %eax, %ebx
	show "cfc-id-differs-by", %ebx
	movzwl 2(%rbp), %ebx
	cf8 0
	movw $LAYOUT_PCI_CFG_PORT + 6, %dx
	xorl %eax, %eax
	inw %dx, %ax
	xorl %eax, %ebx
	show "cfc-device-differs-by", %ebx
	movl 8(%rbp), %ebx
	show "ecam-class-and-revision", %ebx
	cf8 8
	movw $LAYOUT_PCI_CFG_PORT + 7, %dx
	xorl %eax, %eax
	inb %dx, %al
	show "cfc-base-class"

	/* What one writes, the other reads. */
	movb $0x5c, INTLINE(%rbp)
	cf8 INTLINE
	movw $LAYOUT_PCI_CFG_PORT + 4, %dx
	xorl %eax, %eax
	inb %dx, %al
	show "written-by-ecam"
	cf8 INTLINE
	movw $LAYOUT_PCI_CFG_PORT + 4, %dx
	movb $0xa3, %al
	outb %al, %dx
	movzbl INTLINE(%rbp), %eax
	show "written-by-cfc"

	/* No such device, no such function. */
	movl LAST_DEV(%rbp), %eax
	show "absent-device"
	movl 0x1000(%rbp), %eax
	show "absent-function"

	/* An instruction with two operands in memory, and a repeated one. */
	movl %ebp, %esi
	movl $buffer, %edi
	movl $4, %ecx
	rep movsb
	movl buffer, %ebx
	subl (%rbp), %ebx
	show "copied-id-differs-by", %ebx
	cmpl $-1, LAST_DEV(%rbp)
	setne %al
	movzbl %al, %eax
	show "compared-with-ones"
	hlt

	.data
buffer:	.long 0
