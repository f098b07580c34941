/* SPDX-License-Identifier: BSD-2-Clause */
#include "loader/cache/kernel_cache_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "vm/core/write_all.h"

#define NEW_PREFIX "new-"

/* Entries are few; a directory with more than this has been tampered with, and what is beyond
 * stays. */
enum { MAX_FOUND = 256, HEX_DIGITS = 32, NEW_MAX_AGE = 3600 };

struct found {
	char name[CACHE_FILE_NAME];
	struct timespec used;
	uint64_t size;
};

int cache_file_check(int fd, mode_t kind, uid_t owner, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -errno;
	if ((st->st_mode & S_IFMT) != kind || st->st_uid != owner || (st->st_mode & 077))
		return -EPERM;
	return 0;
}

int cache_file_open(int dir, const char *name, uid_t owner, struct stat *st)
{
	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer. */
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = cache_file_check(fd, S_IFREG, owner, st);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

int cache_file_write(int dir, const struct iovec *iov, int count, char name[CACHE_FILE_NAME])
{
	uint64_t number;
	int fd, rc = 0;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(name, CACHE_FILE_NAME, NEW_PREFIX "%016llx", (unsigned long long)number);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (int i = 0; !rc && i < count; i++) {
		if (iov[i].iov_base)
			rc = write_all(fd, iov[i].iov_base, iov[i].iov_len);
		else
			rc = lseek(fd, (off_t)iov[i].iov_len, SEEK_CUR) < 0 ? -errno : 0;
	}
	/* The disk may begin, and is not waited for. */
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	close(fd);
	if (rc)
		unlinkat(dir, name, 0);
	return rc;
}

bool cache_file_is_entry(const char *name)
{
	return strlen(name) == HEX_DIGITS && strspn(name, "0123456789abcdef") == HEX_DIGITS;
}

/* Files that a writer left behind when it was killed; one at work is younger. */
static void remove_stale(int dir, const char *name)
{
	struct stat st;

	if (strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0 &&
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		time(NULL) - st.st_mtim.tv_sec > NEW_MAX_AGE)
		unlinkat(dir, name, 0);
}

DIR *cache_files_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

static size_t find_entries(int dir, struct found *found)
{
	DIR *stream = cache_files_list(dir);
	const struct dirent *e;
	struct stat st;
	size_t n = 0;

	if (!stream)
		return 0;
	while (n < MAX_FOUND && (e = readdir(stream)) != NULL) {
		remove_stale(dir, e->d_name);
		if (!cache_file_is_entry(e->d_name) ||
			fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		found[n] = (struct found){.used = st.st_mtim, .size = (uint64_t)st.st_size};
		memcpy(found[n++].name, e->d_name, HEX_DIGITS + 1);
	}
	closedir(stream);
	return n;
}

/* The one used last comes first. */
static int by_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct found *)a)->used;
	const struct timespec *y = &((const struct found *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

void cache_files_evict(int dir, unsigned int max_entries, uint64_t max_bytes)
{
	struct found *found = calloc(MAX_FOUND, sizeof(*found));
	uint64_t left = max_bytes;
	size_t n;

	if (!found)
		return;
	n = find_entries(dir, found);
	qsort(found, n, sizeof(*found), by_use);
	for (size_t i = 0; i < n; i++) {
		if (i < max_entries && found[i].size <= left) {
			left -= found[i].size;
			continue;
		}
		/* What is older goes, too, even if it would fit. */
		left = 0;
		unlinkat(dir, found[i].name, 0);
	}
	free(found);
}
