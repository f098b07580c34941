/* SPDX-License-Identifier: BSD-2-Clause */
#include "untouched.h"

#include <string.h>
#include <sys/mman.h>

void dump_touched(void *p, size_t pages, unsigned char touched[DUMP_CHUNK_PAGES])
{
	if (mincore(p, pages * DUMP_PAGE, touched) < 0)
		memset(touched, 1, pages);
}
