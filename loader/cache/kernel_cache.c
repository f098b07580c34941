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
 * there, and used, some minutes after it was written, which its permissions remember: then nobody
 * may write it any more. Else it is made anew. The clock has no say, as it may be set meanwhile.
 *
 * The longest runs of zeros are holes in the file, and not read: guest memory has zeros already.
 *
 * That a file still holds the kernel whose key was computed once is remembered by the file's
 * identity (loader/cache/kernel_memo.c), so that neither the file nor the secret has to be read
 * again.
 *
 * What comes from an entry is still taken for hostile input by whoever parses it; the trailer is
 * there to find cut files.
 */
#include "loader/cache/kernel_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/cache/kernel_cache_files.h"
#include "loader/cache/kernel_entry.h"
#include "loader/cache/kernel_memo.h"
#include "vm/core/error.h"

#define SECRET_NAME "secret"

/* So much of a file is read at a time to compute its key: less costs more calls, more misses the
 * processor's caches. */
#define CHUNK (4 * MiB)

/* So long after it was written a file is on the disk, by any host's settings. */
#define SETTLED_SECONDS 300

#define SETTLED_MODE	S_IRUSR

/* When an entry was used is known this well. */
#define USED_SECONDS 300

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

/* One that is damaged or was open to others is replaced, and all that was kept under it dropped. */
int kernel_cache_read_secret(struct kernel_cache *cache)
{
	int rc = read_secret(cache);

	if (!rc)
		return 0;
	if (rc != -ENOENT)
		unlinkat(cache->dir, SECRET_NAME, 0);
	cache_files_evict(cache->dir, 0, 0);
	kernel_memo_sweep(cache->dir, 0);
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
	cache->owner = (uid_t)getauxval(AT_EUID);
	cache->dir = open_dir(path, cache->owner);
	if (cache->dir == -ENOENT) {
		rc = make_dirs(path);
		cache->dir = rc ? rc : open_dir(path, cache->owner);
	}
	free(path);
	rc = cache->dir;
	if (rc < 0)
		goto free_cache;
	*ret = cache;
	return 0;

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

/* False where the host may have crashed before the file was on its disk. */
static bool is_settled(int fd, mode_t mode, const struct kernel_moment *written)
{
	static const uint8_t unknown[KERNEL_BOOT_ID];
	struct kernel_moment now;

	if ((mode & 0777) == SETTLED_MODE)
		return true;
	kernel_moment_now(&now);
	if (memcmp(now.boot, written->boot, KERNEL_BOOT_ID) != 0 ||
		memcmp(now.boot, unknown, KERNEL_BOOT_ID) == 0)
		return false;
	if (now.seconds - written->seconds > SETTLED_SECONDS)
		fchmod(fd, SETTLED_MODE);
	return true;
}

static void mark_used(int fd, time_t used)
{
	const time_t now = time(NULL);

	if (now < used || now - used > USED_SECONDS)
		futimens(fd, NULL);
}

int kernel_cache_recall(
	const struct kernel_cache *cache, const struct image *file, struct kernel_key *key)
{
	struct image_identity identity;
	char name[CACHE_FILE_NAME];

	if (image_identify(file, &identity) || kernel_memo_get(cache->dir, &identity, name))
		return -ENOENT;
	for (size_t i = 0; i < KEY_HASH_SIZE; i++) {
		const char digits[] = {name[2 * i], name[2 * i + 1], '\0'};

		key->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return 0;
}

void kernel_cache_remember(const struct kernel_cache *cache, const struct image *file,
	const struct kernel_key *key, time_t now)
{
	struct image_identity identity;
	char name[CACHE_FILE_NAME];

	if (image_identify(file, &identity) || !image_is_still(file, &identity) ||
		identity.ctime.tv_sec > now - KERNEL_CACHE_RACY)
		return;
	entry_name(key, name);
	kernel_memo_sweep(cache->dir, KERNEL_CACHE_MEMOS - 1);
	kernel_memo_put(cache->dir, &identity, name);
}

int kernel_cache_get(const struct kernel_cache *cache, const struct kernel_key *key,
	const char *name, struct image *image)
{
	struct kernel_entry entry;
	char file[CACHE_FILE_NAME];
	struct stat st = {0};
	int fd;

	entry_name(key, file);
	fd = cache_file_open(cache->dir, file, cache->owner, &st);
	if (fd < 0)
		return -ENOENT;
	if (kernel_entry_read(fd, (uint64_t)st.st_size, key, &entry) ||
		!is_settled(fd, st.st_mode, &entry.written)) {
		close(fd);
		return -ENOENT;
	}
	mark_used(fd, st.st_mtim.tv_sec);
	image_from_file(name, fd, entry.size, image);
	memcpy(image->holes, entry.holes, sizeof(entry.holes));
	return 0;
}

int kernel_cache_put(const struct kernel_cache *cache, const struct kernel_key *key,
	const void *data, size_t size)
{
	char temporary[CACHE_FILE_NAME], name[CACHE_FILE_NAME];
	int rc;

	if (size + KERNEL_ENTRY_TRAILER > KERNEL_CACHE_BYTES)
		return -EFBIG;
	entry_name(key, name);
	cache_files_evict(cache->dir, KERNEL_CACHE_ENTRIES - 1,
		KERNEL_CACHE_BYTES - size - KERNEL_ENTRY_TRAILER);
	kernel_memo_sweep(cache->dir, KERNEL_CACHE_MEMOS);
	rc = kernel_entry_write(cache->dir, key, data, size, temporary);
	if (rc)
		return rc;
	if (renameat(cache->dir, temporary, cache->dir, name) == 0)
		return 0;
	rc = -errno;
	unlinkat(cache->dir, temporary, 0);
	return rc;
}
