/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_DUMP_UNTOUCHED_H
#define BANTAM_VM_DUMP_UNTOUCHED_H

#include "vm/core/base.h"

enum { DUMP_PAGE = 4096, DUMP_CHUNK_PAGES = 512 };

/*
 * Says for each page of [p, p + pages * DUMP_PAGE), at most DUMP_CHUNK_PAGES, whether the host has
 * memory behind it: bit 0 of touched[i]. Where the host does not tell, it has.
 */
void dump_touched(void *p, size_t pages, unsigned char touched[DUMP_CHUNK_PAGES]);

#endif
