/* SPDX-License-Identifier: BSD-2-Clause */
/* A reset by one write to port 0xCF9, and then nothing that would leave the guest. */
#include "guest.h"

	movw $LAYOUT_PCI_CFG_PORT + 1, %dx
	movb $6, %al
	outb %al, %dx
	cli
1:	hlt
	jmp 1b
