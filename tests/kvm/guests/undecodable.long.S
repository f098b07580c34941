/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An MMX instruction on what would be a device. The access leaves the guest, so KVM has to emulate
 * the instruction, and its emulator knows none of this kind.
 */
#include "guest.h"

	say "adding\n"
	movl $0xd0000000, %eax
	paddb (%rax), %mm0
	hlt
