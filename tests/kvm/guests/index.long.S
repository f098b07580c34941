/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Index registers and the data registers behind them: more writes of an index than fit into a ring
 * in a row, two of them between each other, and at last a reset by port 0xCF9, which lies inside
 * one of them, in the two steps that Linux makes. What follows that ends the guest in any case.
 */
#include "guest.h"

#define WRITES	  1000
#define PCI_INDEX LAYOUT_PCI_CFG_PORT
#define PCI_DATA  (LAYOUT_PCI_CFG_PORT + 4)
#define PCI_RESET (LAYOUT_PCI_CFG_PORT + 1)

	.macro pci_index value=%eax
	movl \value, %eax
	movw $PCI_INDEX, %dx
	outl %eax, %dx
	.endm
	.macro pci_data
	movw $PCI_DATA, %dx
	inl %dx, %eax
	.endm
	.macro pci_reset value
	movb $\value, %al
	movw $PCI_RESET, %dx
	outb %al, %dx
	.endm

	cli
	pci_index $0x80000000
	pci_data
	show "bridge"
	movl $WRITES, %ebx
1:	movl %ebx, %eax
	shll $2, %eax
	andl $0xfc, %eax
	orl $0x80000000, %eax
	pci_index
	decl %ebx
	jnz 1b
	pci_index $0x80000008
	pci_data
	show "class"

	out8 LAYOUT_RTC_PORT, 0x40
	pci_index $0x80000000
	out8 LAYOUT_RTC_PORT + 1, 0x5a
	out8 LAYOUT_RTC_PORT, 0x41
	out8 LAYOUT_RTC_PORT + 1, 0xa5
	xorl %eax, %eax
	out8 LAYOUT_RTC_PORT, 0x40
	inb $LAYOUT_RTC_PORT + 1, %al
	movb %al, %ah
	movb %al, %bl
	out8 LAYOUT_RTC_PORT, 0x41
	inb $LAYOUT_RTC_PORT + 1, %al
	movb %bl, %ah
	show "cmos"
	movw $PCI_INDEX, %dx
	inl %dx, %eax
	show "index"

	pci_reset 2
	pci_reset 6
	lidt nothing
	ud2

	.data
nothing: .word 0
	.quad 0
