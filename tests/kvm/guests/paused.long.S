/* SPDX-License-Identifier: BSD-2-Clause */
/* Says, again and again, that its kvm-clock tells it of a pause. Never halts, makes no exit else. */
#include "guest.h"

#define MSR_SYSTEM_TIME 0x4b564d01
#define FLAGS		29	/* in struct pvclock_vcpu_time_info */
#define STOPPED		2

	movl $MSR_SYSTEM_TIME, %ecx
	movl $clock + 1, %eax
	xorl %edx, %edx
	wrmsr
	movb $0, clock + FLAGS
	say "ready\n"
1:	pause
	testb $STOPPED, clock + FLAGS
	jz 1b
	andb $~STOPPED & 0xff, clock + FLAGS
	say "paused\n"
	jmp 1b

	.data
	.balign 64
clock:	.skip 64
