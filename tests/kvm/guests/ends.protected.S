/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends in the way that a key asks for, which it takes from COM1 by polling. Each start says so. */
#include "guest.h"

#define COM1 LAYOUT_COM1_PORT

	say "ready\n"
wait:	movw $COM1 + UART_LSR, %dx
	inb %dx, %al
	testb $LSR_DATA, %al
	jz wait
	movw $COM1, %dx
	inb %dx, %al
	cmpb $'p', %al
	je power_off
	cmpb $'h', %al
	je halt
	cmpb $'k', %al
	je keyboard_reset
	cmpb $'a', %al
	je acpi_reset
	cmpb $'f', %al
	je fast_reset
	cmpb $'v', %al
	je panic
	cmpb $'c', %al
	je crash_kernel
	cmpb $'t', %al
	je triple_fault
	say "?\n"
	jmp wait

power_off:
	poweroff
halt:
	cli
	hlt
	jmp halt
keyboard_reset:
	out8 LAYOUT_I8042_CMD, 0xfe	/* pulses the line that resets the CPU */
	jmp stay
acpi_reset:
	movw $LAYOUT_PM_RESET, %dx	/* the FADT's reset register and value */
	movb $1, %al
	outb %al, %dx
	jmp stay
fast_reset:
	out8 LAYOUT_PORT92, 1
	jmp stay
panic:
	movw $LAYOUT_PVPANIC_PORT, %dx
	movb $1, %al
	outb %al, %dx
	jmp stay
crash_kernel:
	movw $LAYOUT_PVPANIC_PORT, %dx
	movb $2, %al
	outb %al, %dx
	jmp wait
triple_fault:
	lidtl nothing			/* a gate neither for this exception nor for what follows */
	ud2

/* Not a HLT: that, too, would end the VM. */
stay:	pause
	jmp stay

nothing: .word 0
	.long 0
