/* SPDX-License-Identifier: BSD-2-Clause */
/* The files in a cache directory; for loader/cache/kernel_cache.c and kernel_memo.c alone. */
#ifndef BANTAM_LOADER_CACHE_KERNEL_CACHE_FILES_H
#define BANTAM_LOADER_CACHE_KERNEL_CACHE_FILES_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "vm/core/base.h"

enum { CACHE_FILE_NAME = 40 };

/* 0 where fd is of that kind (S_IFDIR, S_IFREG), the owner's and closed to others; -EPERM. */
int cache_file_check(int fd, mode_t kind, uid_t owner, struct stat *st);

/* Opens a file for reading, checked so. Returns the descriptor or a negative errno. */
int cache_file_open(int dir, const char *name, uid_t owner, struct stat *st);

/*
 * Writes a new file under a name that is made up. A part without a base is a hole, and not the last
 * one. Leaves no file behind on failure.
 */
int cache_file_write(int dir, const struct iovec *iov, int count, char name[CACHE_FILE_NAME]);

/* An entry's name: 32 hexadecimal digits. */
bool cache_file_is_entry(const char *name);

/* Reads the directory from its start, beside whoever else does: for closedir. NULL: it cannot be.
 */
DIR *cache_files_list(int dir);

/*
 * Removes entries, longest not used first, until no more than so
 * many of so many bytes together are left; also new files that were left behind an hour ago.
 */
void cache_files_evict(int dir, unsigned int max_entries, uint64_t max_bytes);

#endif
