/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Has the first device, a disk over MMIO, write a sector. Then it does what it is told: 'r' resets
 * the disk, 'k' the machine, 'p' powers off, 'd' says "done" when the sector is written. The least of a driver:
 * virtio 1.2, 3.1.1 and 4.2.2, with a queue that was filled by hand.
 */
#include "guest.h"

#define STATUS 0x70

	.macro set offset, value
	movl $\value, \offset(%rbp)
	.endm

	movl $LAYOUT_VIRTIO_MMIO_BASE, %ebp
	set STATUS, 0
	set STATUS, 3		/* ACKNOWLEDGE, DRIVER */
	set 0x24, 1		/* the upper features: VERSION_1 */
	set 0x20, 1
	set STATUS, 0xb		/* FEATURES_OK */
	set 0x30, 0		/* queue 0 */
	set 0x38, 8
	set 0x80, descriptors
	set 0x84, 0
	set 0x90, avail
	set 0x94, 0
	set 0xa0, used
	set 0xa4, 0
	set 0x44, 1
	set STATUS, 0xf		/* DRIVER_OK */
	set 0x50, 0
	say "sent\n"

again:	pause
	movw $LAYOUT_COM1_PORT + UART_LSR, %dx
	inb %dx, %al
	testb $LSR_DATA, %al
	jz again
	movw $LAYOUT_COM1_PORT, %dx
	inb %dx, %al
	cmpb $'r', %al
	je reset
	cmpb $'p', %al
	je off
	cmpb $'k', %al
	je reboot
1:	pause
	cmpw $1, used + 2
	jne 1b
	say "done\n"
	jmp again
reset:	say "resetting\n"
	set STATUS, 0
	say "reset\n"
	jmp again
reboot:	out8 0x64, 0xfe		/* by the keyboard's controller */
	jmp again
off:	poweroff

	.data
	.balign 16
descriptors:
	.quad header		/* address, length, NEXT, and the next one */
	.long 16
	.word 1, 1
	.quad sector
	.long 512
	.word 1, 2
	.quad result
	.long 1
	.word 2, 0		/* WRITE */
	.zero 5 * 16
header:	.long 1, 0		/* a write, at sector 0 */
	.quad 0
avail:	.word 0, 1, 0
	.zero 16
	.balign 4
used:	.zero 4 + 8 * 8 + 2
result:	.byte 0xff
	.balign 512
sector:	.zero 512
