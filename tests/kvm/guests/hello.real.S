/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest of every KVM tutorial, in real mode: adds two digits, prints the sum, halts. */
#include "guest.h"

	say "real mode: 2 + 2 = "
	movb $2, %al
	movb $2, %bl
	addb %bl, %al
	addb $'0', %al
	movw $LAYOUT_COM1_PORT, %dx
	outb %al, %dx
	movb $'\n', %al
	outb %al, %dx
	hlt
