/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_CORE_SPARSE_ALLOC_H
#define BANTAM_VM_CORE_SPARSE_ALLOC_H

#include <stddef.h>

/*
 * Zeroed memory for the worst case, most of which is never touched and then takes none of the
 * host's: not from malloc, whose blocks huge pages can fill at the first touch. NULL when there is
 * no more.
 */
void *sparse_alloc(size_t size);
/* With the size that it was allocated with; takes NULL. */
void sparse_free(void *p, size_t size);

#endif
