/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a kernel runs that is to run at a random address: the choice alone, no bytes are moved. */
#ifndef BANTAM_LOADER_KASLR_H
#define BANTAM_LOADER_KASLR_H

#include "vm/core/base.h"

struct kaslr_config {
	uint64_t start, size; /* the physical memory it takes as linked */
	uint64_t align;	      /* a power of two */
	uint64_t limit;	      /* end of the physical memory it may take */
	const char *cmdline;
	uint64_t random[2];
};

struct kaslr {
	uint64_t physical; /* by so much it moves up; multiples of align */
	uint32_t virtual;
};

/* False where the command line forbids it, by the word nokaslr. */
bool kaslr_allowed(const char *cmdline);

void kaslr_choose(const struct kaslr_config *config, struct kaslr *kaslr);

#endif
