/* SPDX-License-Identifier: BSD-2-Clause */
/* Says so when a non-maskable interrupt comes. Never halts: that would be its end. */
#include "guest.h"

	set_vector 2, on_nmi
	load_vectors
	say "ready\n"
1:	pause
	jmp 1b

on_nmi:
	pushq %rax
	pushq %rdx
	pushq %rsi
	say "nmi\n"
	popq %rsi
	popq %rdx
	popq %rax
	end_interrupt
