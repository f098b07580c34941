/* SPDX-License-Identifier: BSD-2-Clause */
/* Says on each of the four serial ports which one it is. */
#include "guest.h"

	.macro tell port, text
	.pushsection .rodata
66:	.asciz "\text"
	.popsection
	movw $\port, %dx
	movw $66b, %si
	call tell_it
	.endm

	tell LAYOUT_COM1_PORT, "this is com1\n"
	tell LAYOUT_COM2_PORT, "this is com2\n"
	tell LAYOUT_COM3_PORT, "this is com3\n"
	tell LAYOUT_COM4_PORT, "this is com4\n"
	hlt

tell_it:
	lodsb
	testb %al, %al
	jz 1f
	outb %al, %dx
	jmp tell_it
1:	ret
