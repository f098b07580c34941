/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A start runs through much of the C library and of the dynamic linker, most of it once, and the
 * host maps 64 KiB around each place that is touched. What of that is code and constants can go,
 * and comes back from the page cache where it is used again: a third of what we take up.
 *
 * Not so while we are traced: a debugger's breakpoints are copies of such pages. Our own code
 * stays, as it is small and has most of what is used.
 *
 * Of our own memory, what is free in the heap goes, and the part of the stack that was used once.
 */
#include "vm/trim.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/core/base.h"

enum { PAGE = 4096, STACK = 16 * PAGE };

static bool is_traced(void)
{
	static const char untraced[] = "\nTracerPid:\t0\n";
	char status[1024];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof(status));

	if (fd >= 0)
		close(fd);
	return n < 0 || !memmem(status, (size_t)n, untraced, sizeof(untraced) - 1);
}

/* Of libraries alone, which have paths: not of the program, nor of the kernel's vDSO. */
static int trim_library(struct dl_phdr_info *info, size_t size, void *opaque)
{
	(void)size;
	(void)opaque;
	for (unsigned int i = 0; info->dlpi_name[0] == '/' && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const uint64_t start = ALIGN_UP(info->dlpi_addr + ph->p_vaddr, PAGE);
		const uint64_t end = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;

		/* Whole pages: what shares one with it may have been written. */
		if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W) && end > start)
			madvise((void *)start, (end - start) / PAGE * PAGE, MADV_DONTNEED);
	}
	return 0;
}

/*
 * A start goes deeper into the stack than anything behind it. Nothing is below our frame; and where
 * the main thread's stack ends, there is nothing for a megabyte.
 */
static void trim_stack(void)
{
	const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t end = (frame & ~(uintptr_t)(PAGE - 1)) - PAGE;

	madvise((void *)(end - STACK), STACK, MADV_DONTNEED);
}

void trim_start(void)
{
	malloc_trim(0);
	trim_stack();
	if (!is_traced())
		dl_iterate_phdr(trim_library, NULL);
}
