/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs on where there is no memory, only what would be a device: nothing for the CPU to fetch from,
 * and KVM, left to emulate the instruction, finds none either. The registers are marked for the
 * test to find in the report.
 */
#include "guest.h"

	say "jumping\n"
	movabsq $0x1122334455667788, %rbx
	movabsq $0x99aabbccddeeff00, %r15
	movl $0xd0000000, %eax
	jmpq *%rax
