/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/unpack/big_alloc.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE (2 * MiB)

void *big_alloc(uint64_t size)
{
	void *p = NULL;

	if (size < HUGE_PAGE)
		return malloc(size ? size : 1);
	size = ALIGN_UP(size, HUGE_PAGE);
	if (posix_memalign(&p, HUGE_PAGE, size))
		return NULL;
	madvise(p, size, MADV_HUGEPAGE); /* advice: where it is refused, nothing is lost */
	return p;
}
