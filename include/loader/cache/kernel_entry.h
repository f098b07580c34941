/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The format of a cache's entry: an unpacked kernel, and a trailer that tells its size and key,
 * where its four longest runs of zeros are (which are holes in the file), and when it was written:
 * in which boot of the host, and how long after its start. No clock that somebody sets is in it.
 * For loader/cache/kernel_cache.c alone.
 */
#ifndef BANTAM_LOADER_CACHE_KERNEL_ENTRY_H
#define BANTAM_LOADER_CACHE_KERNEL_ENTRY_H

#include "loader/cache/kernel_cache.h"
#include "loader/cache/kernel_cache_files.h"
#include "loader/image/image.h"

enum { KERNEL_BOOT_ID = 16, KERNEL_ENTRY_TRAILER = 40 + KERNEL_BOOT_ID + 16 * IMAGE_HOLES };

/* A moment since the host was started, which was that once and never before */
struct kernel_moment {
	uint8_t boot[KERNEL_BOOT_ID]; /* the kernel's boot_id, zeros where it cannot be known */
	int64_t seconds;	      /* since then */
};

struct kernel_entry {
	uint64_t size; /* of the kernel */
	struct image_hole holes[IMAGE_HOLES];
	struct kernel_moment written;
};

void kernel_moment_now(struct kernel_moment *now);

/* -ENOENT for a file that is cut or damaged, or of another key. */
int kernel_entry_read(
	int fd, uint64_t file_size, const struct kernel_key *key, struct kernel_entry *ret);

/* As cache_file_write */
int kernel_entry_write(int dir, const struct kernel_key *key, const uint8_t *data, size_t size,
	char name[CACHE_FILE_NAME]);

#endif
