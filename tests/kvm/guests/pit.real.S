/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ten ticks of the timer's channel 0 at 100 Hz, by IRQ 0 and a real-mode vector; each ends a HLT.
 * The time they take is measured with channel 2, which runs through its 65536 counts meanwhile.
 */
#include "guest.h"

#define TICKS	10
#define DIVISOR 11932

	cli
	pic_setup 0xfffe
	set_vector IRQ_BASE, on_tick
	out8 LAYOUT_PORT61, 1		/* channel 2's gate */
	out8 PIT_CONTROL, 0xb4		/* channel 2, both bytes, mode 2 */
	out8 PIT_CH2, 0
	out8 PIT_CH2, 0
	out8 PIT_CONTROL, 0x34		/* channel 0, the same */
	out8 PIT_CH0, DIVISOR & 0xff
	out8 PIT_CH0, DIVISOR >> 8
	call counts
	movw %ax, %bx			/* bx: channel 2 when it was last seen */
	xorl %ebp, %ebp			/* ebp: its counts since the start */
1:	sti
	hlt
	cli
	incw wakes
	call counts
	subw %ax, %bx
	movzwl %bx, %ecx
	addl %ecx, %ebp
	movw %ax, %bx
	cmpw $TICKS, ticks
	jb 1b

	out8 PIC1_DATA, 0xff
	movzwl ticks, %ebx
	show "ticks", %ebx
	movzwl wakes, %ebx
	show "wakes", %ebx
	show "counts", %ebp
	hlt

on_tick:
	pushw %ax
	incw ticks
	out8 LAYOUT_PIC1_PORT, PIC_EOI
	popw %ax
	end_interrupt

/* ax = channel 2's count, latched. */
counts:
	out8 PIT_CONTROL, 0x80
	inb $PIT_CH2, %al
	movb %al, %ah
	inb $PIT_CH2, %al
	xchgb %al, %ah
	ret

	.data
ticks:	.word 0
wakes:	.word 0
