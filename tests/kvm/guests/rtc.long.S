/* SPDX-License-Identifier: BSD-2-Clause */
/* The clock's time, then 16 of its periodic interrupts at 64 Hz and one of its update interrupts. */
#include "guest.h"

#define INDEX	 LAYOUT_RTC_PORT
#define DATA	 (LAYOUT_RTC_PORT + 1)
#define PERIODIC 0x40	/* register B: enable, register C: flag */
#define UPDATE	 0x10

	.macro cmos reg
	out8 INDEX, \reg
	inb $DATA, %al
	.endm
	.macro append reg
	shll $8, %ebx
	cmos \reg
	movb %al, %bl
	.endm

	cli
1:	cmos 0x0a			/* not while it is being updated */
	testb $0x80, %al
	jnz 1b
	append 0x32
	append 9
	append 8
	append 7
	movl %ebx, %ebp
	xorl %ebx, %ebx
	append 4
	append 2
	append 0
	show "date", %ebp
	show "time", %ebx
	xorl %eax, %eax
	cmos 0x0b
	show "mode"

	set_vector IRQ_BASE + 8, on_clock
	load_vectors
	pic_setup 0xfefb		/* IRQ 8, and IRQ 2 that leads to it */
	out8 INDEX, 0x0a
	out8 DATA, 0x2a			/* 64 Hz */
	cmos 0x0c			/* clears what has been pending */
	out8 INDEX, 0x0b
	out8 DATA, PERIODIC | 2
2:	sti
	hlt
	cli
	cmpl $16, periodic
	jb 2b
	movl periodic, %ebx
	show "periodic", %ebx
	out8 INDEX, 0x0b
	out8 DATA, 2
	cmos 0x0c			/* its flag is set by updates that nobody asked for, too */
	movl $0, updates
	out8 INDEX, 0x0b
	out8 DATA, UPDATE | 2
3:	sti
	hlt
	cli
	cmpl $1, updates
	jb 3b
	movl updates, %ebx
	show "updates", %ebx
	hlt

/* Register C says why, and is cleared by being read; without that no further interrupt comes. */
on_clock:
	pushw %ax
	cmos 0x0c
	testb $PERIODIC, %al
	jz 1f
	incl periodic
1:	testb $UPDATE, %al
	jz 2f
	incl updates
2:	out8 LAYOUT_PIC2_PORT, PIC_EOI
	out8 LAYOUT_PIC1_PORT, PIC_EOI
	popw %ax
	end_interrupt

	.data
periodic: .long 0
updates:  .long 0
