/* SPDX-License-Identifier: BSD-2-Clause */
/* Which entry of a cache directory belongs to a file; for loader/cache/kernel_cache.c alone. */
#ifndef BANTAM_LOADER_CACHE_KERNEL_MEMO_H
#define BANTAM_LOADER_CACHE_KERNEL_MEMO_H

#include "loader/cache/kernel_cache_files.h"
#include "loader/image/image.h"

/* The name of the file's entry, which need not be there any more. -ENOENT. */
int kernel_memo_get(int dir, const struct image_identity *file, char entry[CACHE_FILE_NAME]);

/* Replaces what was said of the file. That it fails does not matter. */
void kernel_memo_put(int dir, const struct image_identity *file, const char *entry);

/* Removes memos whose entry is gone, and of the others those that are too many. */
void kernel_memo_sweep(int dir, unsigned int max);

#endif
