/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tiny guests share. A guest is NAME.MODE.S, with MODE real, protected or long: it is
 * assembled for that mode (GUEST_BITS is 16, 32 or 64) and linked to where `bantam run --flat`
 * loads it by default. Its first instruction is the first of its file behind this include.
 *
 * The routines below are the same source for all three modes: they use 32-bit registers where the
 * width matters and 16-bit pushes, which exist in each. All text goes to COM1 without looking at the
 * line status, as tutorials do it; that is sound as long as somebody reads it.
 */
#include "vm/core/layout.h"

#if GUEST_BITS == 16
	.code16
#elif GUEST_BITS == 32
	.code32
#else
	.code64
#endif

/* UART: offsets from the port */
#define UART_IER 1
#define UART_FCR 2
#define UART_MCR 4
#define UART_LSR 5
#define UART_SCR 7
#define LSR_DATA 0x01
#define LSR_THRE 0x20

#define PIC1_DATA (LAYOUT_PIC1_PORT + 1)
#define PIC2_DATA (LAYOUT_PIC2_PORT + 1)
#define PIC_EOI	  0x20
#define IRQ_BASE  0x20 /* vector of IRQ 0, once pic_setup has run */

#define PIT_CH0	    LAYOUT_PIT_PORT
#define PIT_CH2	    (LAYOUT_PIT_PORT + 2)
#define PIT_CONTROL (LAYOUT_PIT_PORT + 3)

#define SLEEP_S5 (LAYOUT_PM_SLP_TYP_S5 << 10 | 1 << 13) /* SLP_TYP, SLP_EN */

	.globl guest_start
guest_start:
	jmp guest_main

/* Prints the string at esi, which ends with a zero. Clobbers al, dx, esi. */
print:
	lodsb
	testb %al, %al
	jz 1f
	movw $LAYOUT_COM1_PORT, %dx
	outb %al, %dx
	jmp print
1:	ret

/* Prints eax as eight hexadecimal digits. Clobbers ecx, dx. */
print_hex:
	movw $LAYOUT_COM1_PORT, %dx
	movl $8, %ecx
1:	roll $4, %eax
	pushw %ax
	andb $15, %al
	addb $'0', %al
	cmpb $'9', %al
	jbe 2f
	addb $'a' - '9' - 1, %al
2:	outb %al, %dx
	popw %ax
	decl %ecx
	jnz 1b
	ret

	/* Prints a string. Clobbers al, dx, esi. */
	.macro say text
	.pushsection .rodata
88:	.asciz "\text"
	.popsection
	movl $88b, %esi
	call print
	.endm

	/* Prints "text 0123abcd" and a newline. Clobbers eax, ecx, dx, esi, edi. */
	.macro show text, value=%eax
	movl \value, %edi
	say "\text "
	movl %edi, %eax
	call print_hex
	say "\n"
	.endm

	/* Clobbers al. */
	.macro out8 port, value
	movb $\value, %al
	outb %al, $\port
	.endm

	/* Ends the VM with exit status 0. */
	.macro poweroff
	movw $LAYOUT_PM1_CNT, %dx
	movw $SLEEP_S5, %ax
	outw %ax, %dx
77:	pause
	jmp 77b
	.endm

	/*
	 * Sets the interrupt controllers up for vectors IRQ_BASE..IRQ_BASE + 15. mask has a bit
	 * for each IRQ; a clear one lets it through. Clobbers al.
	 */
	.macro pic_setup mask
	out8 LAYOUT_PIC1_PORT, 0x11	/* ICW1: edges, two of them, ICW4 follows */
	out8 LAYOUT_PIC2_PORT, 0x11
	out8 PIC1_DATA, IRQ_BASE	/* ICW2: vectors */
	out8 PIC2_DATA, IRQ_BASE + 8
	out8 PIC1_DATA, 4		/* ICW3: the second one hangs on IRQ 2 */
	out8 PIC2_DATA, 2
	out8 PIC1_DATA, 1		/* ICW4: 8086 */
	out8 PIC2_DATA, 1
	out8 PIC1_DATA, (\mask) & 0xff
	out8 PIC2_DATA, (\mask) >> 8
	.endm

#if GUEST_BITS == 16

	.macro set_vector vector, handler
	movw $\handler, 4 * (\vector)
	movw $0, 4 * (\vector) + 2
	.endm
	.macro load_vectors
	.endm
	.macro end_interrupt
	iretw
	.endm

#else

/* Interrupt gates of CPL 0 with the code segment the VMM starts us with. */
#if GUEST_BITS == 32
#define GATE_SIZE 8
#else
#define GATE_SIZE 16
#endif
#define GATES 48

	.macro set_vector vector, handler
	movl $\handler, %eax
	movw %ax, idt + GATE_SIZE * (\vector)
	movw %cs, idt + GATE_SIZE * (\vector) + 2
	movw $0x8e00, idt + GATE_SIZE * (\vector) + 4
	shrl $16, %eax
	movw %ax, idt + GATE_SIZE * (\vector) + 6
	.endm
	.macro load_vectors
	lidt idt_pointer
	.endm
	.macro end_interrupt
#if GUEST_BITS == 32
	iretl
#else
	iretq
#endif
	.endm

	.pushsection .data
	.balign 16
idt:	.skip GATE_SIZE * GATES
idt_pointer:
	.word GATE_SIZE * GATES - 1
#if GUEST_BITS == 32
	.long idt
#else
	.quad idt
#endif
	.popsection

#endif

guest_main:
