/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DIR/kernels holds a secret and the entries: a file's name is its key in hexadecimal digits, its
 * content an unpacked kernel and a trailer, its time of modification when it was used last.
 *
 * The key is a keyed hash of the packed kernel. The secret, made at random once for each cache,
 * keeps anybody from making a kernel whose key is another one's: a crafted file, run once, would
 * otherwise take the place of a good one for all time. That a hash is not stronger than the access
 * to its secret is no loss, since who can read the secret could change the entries, too.
 *
 * The directory belongs to the user and is closed to everybody else, which is checked on the open
 * descriptor; all the rest goes by names relative to that, and never through a symbolic link. Files
 * are written under a name of their own and renamed: readers see whole files, and of two writers at
 * once the later one wins, with the same bytes. An entry that is dropped stays readable to who has
 * it open. So nobody needs a lock.
 *
 * Nobody waits for the disk either, as fsync would. But then a host that crashes within the half
 * minute that it takes to write a file back may leave the right name and size around zeros, on some
 * file systems. So an entry counts only if it was written since the host was started, or was still
 * there, and used, some minutes after it was written; else it is made anew.
 *
 * The longest run of zeros is a hole in the file, and is not read: guest memory has zeros already.
 *
 * What comes from an entry is still taken for hostile input by whoever parses it; the trailer is
 * there to find cut files.
 */
#include "loader/kernel_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/bytes.h"
#include "loader/kernel_cache_files.h"
#include "vm/error.h"

#define SECRET_NAME "secret"

/* So much of a file is read at a time to compute its key: less costs more calls, more misses the
 * processor's caches. */
#define CHUNK (4 * MiB)

/* Holes are made of these. */
enum { BLOCK = 4096 };

/* The trailer: a magic word, the kernel's size, its key, and when it was written, in seconds. */
enum { SIZE_OFF = 8, KEY_OFF = 16, WRITTEN_OFF = 32, TRAILER_LEN = 40 };

static const char trailer_magic[8] = "bantamK1";

/* So long after it was written a file is on the disk, by any host's settings. */
#define SETTLED_SECONDS 300

struct kernel_cache {
	int dir;
	uid_t owner;
	uint8_t secret[KEY_HASH_SECRET];
};

int kernel_cache_dir(const char *xdg_cache_home, const char *home, char *buf, size_t size)
{
	int n;

	if (xdg_cache_home && xdg_cache_home[0] == '/')
		n = snprintf(buf, size, "%s/bantam", xdg_cache_home);
	else if (home && home[0] == '/')
		n = snprintf(buf, size, "%s/.cache/bantam", home);
	else
		return -ENOENT;
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* ---- the directory and its secret ---- */

static int open_dir(const char *path, uid_t owner)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0)
		return -errno;
	rc = cache_file_check(fd, S_IFDIR, owner, &st);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/* Makes the path's last three directories, as far as they are missing. */
static int make_dirs(char *path)
{
	char *ends[3];
	unsigned int n = 0;

	for (char *p = path + strlen(path); n < ARRAY_SIZE(ends) && p > path; p--)
		if (*p == '\0' || *p == '/')
			ends[n++] = p;
	while (n-- > 0) {
		char end = *ends[n];
		int rc;

		*ends[n] = '\0';
		rc = mkdir(path, 0700);
		*ends[n] = end;
		if (rc < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int read_secret(struct kernel_cache *cache)
{
	struct stat st = {0};
	int fd = cache_file_open(cache->dir, SECRET_NAME, cache->owner, &st);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = st.st_size == KEY_HASH_SECRET ? pread(fd, cache->secret, KEY_HASH_SECRET, 0) : 0;
	close(fd);
	return n == KEY_HASH_SECRET ? 0 : -EINVAL;
}

/* Whoever comes first has made it: the others find theirs refused, and read that one. */
static int make_secret(struct kernel_cache *cache)
{
	uint8_t secret[KEY_HASH_SECRET];
	char name[CACHE_FILE_NAME];
	struct iovec iov = {.iov_base = secret, .iov_len = sizeof(secret)};
	int rc;

	for (size_t got = 0; got < sizeof(secret);) {
		ssize_t n = getrandom(secret + got, sizeof(secret) - got, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		got += n > 0 ? (size_t)n : 0;
	}
	rc = cache_file_write(cache->dir, &iov, 1, name);
	if (rc)
		return rc;
	if (linkat(cache->dir, name, cache->dir, SECRET_NAME, 0) < 0 && errno != EEXIST)
		rc = -errno;
	unlinkat(cache->dir, name, 0);
	return rc;
}

/* One that is damaged or was open to others is replaced: its entries are never found again. */
static int find_secret(struct kernel_cache *cache)
{
	int rc = read_secret(cache);

	if (!rc)
		return 0;
	if (rc != -ENOENT)
		unlinkat(cache->dir, SECRET_NAME, 0);
	rc = make_secret(cache);
	return rc ? rc : read_secret(cache);
}

int kernel_cache_open(const char *dir, struct kernel_cache **ret)
{
	struct kernel_cache *cache = calloc(1, sizeof(*cache));
	char *path = NULL;
	int rc = -ENOMEM;

	if (!cache || asprintf(&path, "%s/kernels", dir) < 0)
		goto free_cache;
	cache->owner = geteuid();
	cache->dir = open_dir(path, cache->owner);
	if (cache->dir == -ENOENT) {
		rc = make_dirs(path);
		cache->dir = rc ? rc : open_dir(path, cache->owner);
	}
	free(path);
	rc = cache->dir;
	if (rc < 0)
		goto free_cache;
	rc = find_secret(cache);
	if (rc)
		goto close_dir;
	*ret = cache;
	return 0;

close_dir:
	close(cache->dir);
free_cache:
	free(cache);
	return rc;
}

void kernel_cache_close(struct kernel_cache *cache)
{
	if (!cache)
		return;
	close(cache->dir);
	free(cache);
}

/* ---- keys ---- */

void kernel_cache_key(
	const struct kernel_cache *cache, const uint8_t *data, size_t len, struct kernel_key *key)
{
	struct key_hash hash;

	key_hash_init(&hash, cache->secret);
	key_hash_update(&hash, data, len);
	key_hash_final(&hash, key->bytes);
}

int kernel_cache_key_of_file(const struct kernel_cache *cache, const struct image *image,
	uint64_t off, uint64_t len, struct kernel_key *key, struct error *err)
{
	uint8_t *chunk = malloc(MIN(len, CHUNK));
	struct key_hash hash;
	uint64_t n;
	int rc = 0;

	if (!chunk)
		return image_error(image, err, -ENOMEM, "no memory for reading it");
	key_hash_init(&hash, cache->secret);
	for (; !rc && len; off += n, len -= n) {
		n = MIN(len, CHUNK);
		rc = image_read(image, off, chunk, n, err);
		if (!rc)
			key_hash_update(&hash, chunk, n);
	}
	key_hash_final(&hash, key->bytes);
	free(chunk);
	return rc;
}

/* ---- entries ---- */

static void entry_name(const struct kernel_key *key, char name[CACHE_FILE_NAME])
{
	for (size_t i = 0; i < KEY_HASH_SIZE; i++)
		snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
}

static void make_trailer(const struct kernel_key *key, uint64_t size, uint8_t trailer[TRAILER_LEN])
{
	memcpy(trailer, trailer_magic, sizeof(trailer_magic));
	put_le64(trailer + SIZE_OFF, size);
	memcpy(trailer + KEY_OFF, key->bytes, KEY_HASH_SIZE);
	put_le64(trailer + WRITTEN_OFF, (uint64_t)time(NULL));
}

/* False where the host may have crashed before the file was on its disk. */
static bool is_settled(int64_t written, int64_t used)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return written >= now.tv_sec - up.tv_sec || written < used - SETTLED_SECONDS;
}

int kernel_cache_get(const struct kernel_cache *cache, const struct kernel_key *key,
	const char *name, struct image *image)
{
	uint8_t expected[TRAILER_LEN], found[TRAILER_LEN];
	char file[CACHE_FILE_NAME];
	struct stat st = {0};
	uint64_t size;
	int fd;

	entry_name(key, file);
	fd = cache_file_open(cache->dir, file, cache->owner, &st);
	if (fd < 0)
		return -ENOENT;
	size = (uint64_t)st.st_size - MIN((uint64_t)st.st_size, TRAILER_LEN);
	make_trailer(key, size, expected);
	if (pread(fd, found, TRAILER_LEN, (off_t)size) != TRAILER_LEN ||
		memcmp(found, expected, WRITTEN_OFF) != 0 ||
		!is_settled((int64_t)get_le64(found + WRITTEN_OFF), st.st_mtim.tv_sec)) {
		close(fd);
		return -ENOENT;
	}
	futimens(fd, NULL);
	*image = (struct image){.name = name, .size = size, .fd = fd};
	cache_file_hole(fd, size, &image->hole_off, &image->hole_len);
	return 0;
}

static bool is_zeros(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

/* The longest run of whole blocks of zeros: most of a kernel's bss, and a quarter of all. */
static struct iovec find_zeros(const uint8_t *data, size_t size)
{
	struct iovec longest = {.iov_base = (void *)data, .iov_len = 0};
	size_t start = 0;

	for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
		if (!is_zeros(data + at)) {
			start = at + BLOCK;
			continue;
		}
		if (at + BLOCK - start > longest.iov_len)
			longest = (struct iovec){(void *)(data + start), at + BLOCK - start};
	}
	return longest;
}

static int write_entry(const struct kernel_cache *cache, const struct kernel_key *key,
	const uint8_t *data, size_t size, char name[CACHE_FILE_NAME])
{
	const struct iovec zeros = find_zeros(data, size);
	const size_t before = (size_t)((const uint8_t *)zeros.iov_base - data);
	const size_t behind = before + zeros.iov_len;
	uint8_t trailer[TRAILER_LEN];
	const struct iovec iov[] = {{.iov_base = (void *)data, .iov_len = before},
		{.iov_base = NULL, .iov_len = zeros.iov_len},
		{.iov_base = (void *)(data + behind), .iov_len = size - behind},
		{.iov_base = trailer, .iov_len = TRAILER_LEN}};

	make_trailer(key, size, trailer);
	return cache_file_write(cache->dir, iov, ARRAY_SIZE(iov), name);
}

int kernel_cache_put(const struct kernel_cache *cache, const struct kernel_key *key,
	const void *data, size_t size)
{
	char temporary[CACHE_FILE_NAME], name[CACHE_FILE_NAME];
	int rc;

	if (size + TRAILER_LEN > KERNEL_CACHE_BYTES)
		return -EFBIG;
	entry_name(key, name);
	cache_files_evict(
		cache->dir, KERNEL_CACHE_ENTRIES - 1, KERNEL_CACHE_BYTES - size - TRAILER_LEN);
	rc = write_entry(cache, key, data, size, temporary);
	if (rc)
		return rc;
	if (renameat(cache->dir, temporary, cache->dir, name) == 0)
		return 0;
	rc = -errno;
	unlinkat(cache->dir, temporary, 0);
	return rc;
}
