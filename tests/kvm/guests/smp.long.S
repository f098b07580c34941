/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wakes all other CPUs by INIT and SIPI, as a PC's operating system does. Each of them starts in real
 * mode at SIPI's page, counts itself in, notes its APIC id, and halts. We wait until nobody has come
 * for a while: a tenth of a second by timer channel 2, and that fifty times at most.
 */
#include "guest.h"

#define LAPIC_ID  0x20
#define LAPIC_SVR 0xf0
#define LAPIC_ICR 0x300

#define ICR_ALL_BUT_SELF 0x000c0000
#define ICR_ASSERT	 0x00004000
#define ICR_INIT	 0x00000500
#define ICR_SIPI	 0x00000600

#define AP_PAGE	 0x10000	/* where they start: vector 0x10 */
#define AP_COUNT 0x11000
#define AP_IDS	 0x11004	/* a bit for each APIC id below 32 */

	movl $LAYOUT_LAPIC_BASE, %ebp
	movl LAPIC_ID(%rbp), %ebx
	shrl $24, %ebx
	show "bsp-id", %ebx
	movl $0, AP_COUNT
	movl $0, AP_IDS
	movl $ap_start, %esi
	movl $AP_PAGE, %edi
	movl $ap_end - ap_start, %ecx
	rep movsb

	movl $0x1ff, LAPIC_SVR(%rbp)	/* software enable, spurious vector 0xff */
	movl $ICR_ALL_BUT_SELF | ICR_ASSERT | ICR_INIT, LAPIC_ICR(%rbp)
	call pause_50ms
	movl $ICR_ALL_BUT_SELF | ICR_ASSERT | ICR_SIPI | AP_PAGE >> 12, LAPIC_ICR(%rbp)

	movl $100, %edi
1:	movl AP_COUNT, %ebx
	call pause_50ms
	call pause_50ms
	cmpl %ebx, AP_COUNT
	je 2f
	decl %edi
	jnz 1b
2:	movl AP_COUNT, %ebx
	show "aps", %ebx
	movl AP_IDS, %ebx
	show "ap-ids", %ebx
	hlt

/* By channel 2 in mode 0, and port 0x61's view of its output. */
pause_50ms:
	out8 LAYOUT_PORT61, 1
	out8 PIT_CONTROL, 0xb0
	out8 PIT_CH2, 59659 & 0xff
	out8 PIT_CH2, 59659 >> 8
3:	inb $LAYOUT_PORT61, %al
	testb $0x20, %al
	jz 3b
	ret

	.code16
ap_start:
	cli
	xorw %ax, %ax
	movl $1, %eax
	cpuid
	shrl $24, %ebx			/* initial APIC id */
	movw $AP_COUNT >> 4, %ax
	movw %ax, %ds
	lock btsl %ebx, AP_IDS - AP_COUNT
	lock incl 0
4:	hlt
	jmp 4b
ap_end:
