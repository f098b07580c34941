/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first program of a guest, before its init: says that the kernel has done its part. Without a
 * C library, so that it adds next to nothing to the initramfs.
 */
#include <sys/syscall.h>
#include <unistd.h>

static long call(long number, long a, const void *b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

void _start(void)
{
	static const char word[] = "BENCH-FIRST\n", init[] = "/init";
	static const char *const argv[] = {init, NULL};

	call(SYS_write, STDOUT_FILENO, word, sizeof(word) - 1);
	call(SYS_execve, (long)init, argv, 0);
	call(SYS_exit, 1, NULL, 0);
}
