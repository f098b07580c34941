/* SPDX-License-Identifier: BSD-2-Clause */
/* An exception without an interrupt table, in protected mode. */
#include "guest.h"

	say "faulting\n"
	lidt nothing
	ud2
	say "not reached\n"
	hlt

	.data
nothing: .word 0
	.quad 0
