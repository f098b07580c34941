/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of our own that the start has used and nothing will use again: what is free in the heap,
 * and a part of the stack. What is not ours alone stays: pages of libraries that nobody wrote are
 * in the host's page cache whether we map them or not.
 */
#include "vm/trim.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#include "vm/core/base.h"

enum { PAGE = 4096, STACK = 16 * PAGE };

/*
 * A start goes deeper into the stack than anything behind it. Nothing is below our frame, which is
 * small as long as it is ours alone: as a part of a caller with a large one, which link-time
 * optimization would make of it, it would empty the caller's. And where the main thread's stack
 * ends, there is nothing for a megabyte.
 */
static __attribute__((noinline)) void trim_stack(void)
{
	const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t end = (frame & ~(uintptr_t)(PAGE - 1)) - PAGE;

	madvise((void *)(end - STACK), STACK, MADV_DONTNEED);
}

void trim_start(void)
{
	malloc_trim(0);
	trim_stack();
}
