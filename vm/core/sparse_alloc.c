/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/sparse_alloc.h"

#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED
#endif
#endif

#ifdef WATCHED

/* AddressSanitizer watches the ends of what malloc gives. */
void *sparse_alloc(size_t size)
{
	return calloc(1, size);
}

void sparse_free(void *p, size_t size)
{
	(void)size;
	free(p);
}

#else

void *sparse_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_NOHUGEPAGE); /* fails where there are no huge pages */
	return p;
}

void sparse_free(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

#endif
