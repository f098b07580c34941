/* SPDX-License-Identifier: BSD-2-Clause */
/* Port 0x61: the gate and output of timer channel 2, and the refresh bit that toggles. */
#include "guest.h"

#define GATE	0x01
#define SPEAKER 0x02
#define REFRESH 0x10
#define OUT2	0x20

	/* Writable bits read back; the others are not ours to set. */
	out8 LAYOUT_PORT61, 0xcf
	inb $LAYOUT_PORT61, %al
	andl $0xcf, %eax
	show "kept"

	/* Mode 0: the output is low from the control word to the end of the count. */
	out8 LAYOUT_PORT61, 0
	out8 PIT_CONTROL, 0xb0
	out8 PIT_CH2, 0xff
	out8 PIT_CH2, 0xff
	inb $LAYOUT_PORT61, %al
	andl $OUT2, %eax
	show "out2-gate-closed"
	out8 PIT_CONTROL, 0xb0
	out8 PIT_CH2, 100
	out8 PIT_CH2, 0
	out8 LAYOUT_PORT61, GATE
1:	inb $LAYOUT_PORT61, %al		/* a hundred counts are 84 microseconds */
	testb $OUT2, %al
	jz 1b
	andl $OUT2 | GATE | SPEAKER, %eax
	show "out2-at-end"

	/* It toggles: sixteen changes are seen, or we would not come to the end. */
	movw $16, %cx
	inb $LAYOUT_PORT61, %al
	movb %al, %ah
2:	inb $LAYOUT_PORT61, %al
	xorb %al, %ah
	testb $REFRESH, %ah
	movb %al, %ah
	jz 2b
	decw %cx
	jnz 2b
	say "refresh toggles\n"
	hlt
