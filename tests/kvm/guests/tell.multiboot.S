/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Multiboot kernel that prints what it is told: magic, flags, memory, command line, modules with
 * what is in them. Then it ends by the exit port, with the command line's last character less '0', and
 * where there is no such port it powers off.
 */
#include "guest.h"

#define HEADER_MAGIC 0x1badb002
#define EXIT_PORT    0xf4

	.pushsection .data
	.balign 4
header:	.long HEADER_MAGIC, GUEST_MULTIBOOT, -(HEADER_MAGIC + GUEST_MULTIBOOT)
#if GUEST_MULTIBOOT & 0x10000
	.long header, guest_start, 0, 0, guest_start
#endif
	.popsection

	movl $stack, %esp
	show "magic"
	show "flags", (%ebx)
	show "lower-kib", 4(%ebx)
	show "upper-kib", 8(%ebx)

	movl 48(%ebx), %esi		/* the memory map: KiB of RAM below 4 GiB, and entries */
	movl 44(%ebx), %edi
	addl %esi, %edi
	xorl %ebp, %ebp
	xorl %ecx, %ecx
1:	cmpl $1, 20(%esi)
	jne 2f
	cmpl $0, 8(%esi)
	jne 2f
	movl 12(%esi), %eax
	shrl $10, %eax
	addl %eax, %ebp
2:	incl %ecx
	addl (%esi), %esi
	addl $4, %esi
	cmpl %edi, %esi
	jb 1b
	show "map-kib", %ebp

	say "cmdline "
	movl 16(%ebx), %esi
	call print
	say "\nloader "
	movl 64(%ebx), %esi
	call print
	say "\n"

	show "modules", 20(%ebx)
	movl 24(%ebx), %ebp
	movl 20(%ebx), %ecx
3:	testl %ecx, %ecx
	jz 6f
	pushl %ecx
	say "module "
	movl 8(%ebp), %esi
	call print
	say " "
	movl (%ebp), %esi
	movw $LAYOUT_COM1_PORT, %dx
4:	cmpl 4(%ebp), %esi
	jae 5f
	lodsb
	outb %al, %dx
	jmp 4b
5:	say "\n"
	popl %ecx
	addl $16, %ebp
	decl %ecx
	jmp 3b

6:	movl 16(%ebx), %esi
7:	lodsb
	testb %al, %al
	jnz 7b
	movzbl -2(%esi), %eax
	subl $'0', %eax
	outl %eax, $EXIT_PORT
	poweroff

	.pushsection .bss
	.skip 512
stack:
	.popsection
