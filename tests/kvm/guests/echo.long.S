/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends back what it receives, byte for byte, by receive interrupts and with the FIFOs on. Powers
 * off after it has sent back a byte 4 (Ctrl-D).
 */
#include "guest.h"

#define COM1 LAYOUT_COM1_PORT
#define END  4

	.macro uart reg, value
	movw $COM1 + \reg, %dx
	movb $\value, %al
	outb %al, %dx
	.endm

	cli
	set_vector IRQ_BASE + LAYOUT_IRQ_COM1_3, on_serial
	load_vectors
	pic_setup 0xffff & ~(1 << LAYOUT_IRQ_COM1_3)
	uart UART_FCR, 0x07		/* FIFOs on, empty, a trigger of one byte */
	uart UART_MCR, 0x0b		/* DTR, RTS, and OUT2: the interrupt's way out */
	uart UART_IER, 0x01		/* received data */
	say "ready\n"
1:	sti
	hlt
	cli
	cmpb $0, ended
	je 1b
	poweroff

on_serial:
	pushw %ax
	pushw %bx
	pushw %dx
1:	movw $COM1 + UART_LSR, %dx
	inb %dx, %al
	testb $LSR_DATA, %al
	jz 3f
	movw $COM1, %dx
	inb %dx, %al
	movb %al, %bl
2:	movw $COM1 + UART_LSR, %dx	/* a reader that is slow makes us wait here */
	inb %dx, %al
	testb $LSR_THRE, %al
	jz 2b
	movw $COM1, %dx
	movb %bl, %al
	outb %al, %dx
	cmpb $END, %al
	jne 1b
	movb $1, ended
3:	out8 LAYOUT_PIC1_PORT, PIC_EOI
	popw %dx
	popw %bx
	popw %ax
	end_interrupt

	.data
ended:	.byte 0
