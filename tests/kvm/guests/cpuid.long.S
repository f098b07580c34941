/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints feature words of CPUID, for tests of --cpu. */
#include "guest.h"

	movl $1, %eax
	xorl %ecx, %ecx
	cpuid
	movl %edx, %ebp
	movl %ecx, %ebx
	show "leaf1-ecx", %ebx
	show "leaf1-edx", %ebp
	movl $0x40000000, %eax
	xorl %ecx, %ecx
	cpuid
	movl %ecx, %ebp
	show "hypervisor", %ebx
	show "hypervisor", %ebp
	hlt
