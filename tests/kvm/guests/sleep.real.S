/* SPDX-License-Identifier: BSD-2-Clause */
/* Halts with interrupts enabled, although none is coming: that waits, it does not end the VM. */
#include "guest.h"

	pic_setup 0xffff
	say "asleep\n"
1:	sti
	hlt
	say "awake\n"
	jmp 1b
