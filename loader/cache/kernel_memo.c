/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memo is a symbolic link whose name is a file's identity and whose target is the name of an
 * entry in the same directory, so that one call reads it. It is never followed: the target counts
 * only if it looks like an entry's name, and the entry is then opened and checked as if its name
 * had been computed.
 *
 * The identity is what stat(2) tells: device, inode, size, and the times of the last change of the
 * content and of the inode. The last one nobody can set: to write a file, to replace it, or to set
 * another of its times back changes it. It may stay the same only if the file changes twice within
 * a tick of its file system's clock, or after a page of it was mapped and written and before that
 * was written back. So there are memos only of files that had been left alone for a while when they
 * were read (KERNEL_CACHE_RACY: half a minute until a page is written back, and as much again), by
 * the clock that sets their times. This is how git's index trusts files, with more distance.
 *
 * A directory of memos can be lost, or be swept while another process adds to it: a memo less costs
 * one more reading of a kernel.
 */
#include "loader/cache/kernel_memo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "file-"

/* Six numbers of 16 hexadecimal digits at most, and two of 8 */
enum { MEMO_NAME = 128 };

static void memo_name(const struct image_identity *file, char name[MEMO_NAME])
{
	snprintf(name, MEMO_NAME, PREFIX "%llx-%llx-%llx-%llx.%lx-%llx.%lx",
		(unsigned long long)file->dev, (unsigned long long)file->ino,
		(unsigned long long)file->size, (unsigned long long)file->mtime.tv_sec,
		(unsigned long)file->mtime.tv_nsec, (unsigned long long)file->ctime.tv_sec,
		(unsigned long)file->ctime.tv_nsec);
}

static int read_memo(int dir, const char *name, char entry[CACHE_FILE_NAME])
{
	ssize_t n = readlinkat(dir, name, entry, CACHE_FILE_NAME - 1);

	if (n < 0)
		return -ENOENT;
	entry[n] = '\0';
	return cache_file_is_entry(entry) ? 0 : -ENOENT;
}

int kernel_memo_get(int dir, const struct image_identity *file, char entry[CACHE_FILE_NAME])
{
	char name[MEMO_NAME];

	memo_name(file, name);
	return read_memo(dir, name, entry);
}

void kernel_memo_put(int dir, const struct image_identity *file, const char *entry)
{
	char name[MEMO_NAME];

	memo_name(file, name);
	unlinkat(dir, name, 0);
	if (symlinkat(entry, dir, name) < 0)
		return; /* a file system without links: the kernel is read each time */
}

static bool is_of_use(int dir, const char *name)
{
	char entry[CACHE_FILE_NAME];
	struct stat st;

	return read_memo(dir, name, entry) == 0 &&
	       fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void kernel_memo_sweep(int dir, unsigned int max)
{
	DIR *stream = cache_files_list(dir);
	const struct dirent *e;
	unsigned int n = 0;

	if (!stream)
		return;
	while ((e = readdir(stream)) != NULL) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (n < max && is_of_use(dir, e->d_name))
			n++;
		else
			unlinkat(dir, e->d_name, 0);
	}
	closedir(stream);
}
