/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unpacked kernels, kept in the user's cache directory under the name of what they were packed in.
 * All of the loader's contact with the file system, other than the images it is given, is here.
 *
 * Nothing here is worth a message: a cache that cannot be used is done without.
 */
#ifndef BANTAM_LOADER_CACHE_KERNEL_CACHE_H
#define BANTAM_LOADER_CACHE_KERNEL_CACHE_H

#include "loader/cache/key_hash.h"
#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct kernel_cache;

enum { KERNEL_CACHE_ENTRIES = 4, KERNEL_CACHE_MEMOS = 64, KERNEL_CACHE_RACY = 60 };
#define KERNEL_CACHE_BYTES (512 * MiB)

struct kernel_key {
	uint8_t bytes[KEY_HASH_SIZE];
};

/*
 * Where the cache belongs by the XDG base directory specification: $XDG_CACHE_HOME/bantam if the
 * first is an absolute path, else ~/.cache/bantam; both may be NULL. -ENOENT where neither is any
 * good, -ENAMETOOLONG.
 */
int kernel_cache_dir(const char *xdg_cache_home, const char *home, char *buf, size_t size);

/*
 * Opens dir/kernels; makes it, dir and its parent where they are missing. -EPERM where it is not
 * the user's own or open to others; any other negative errno.
 */
int kernel_cache_open(const char *dir, struct kernel_cache **ret);
void kernel_cache_close(struct kernel_cache *cache);

/*
 * The key that was found for what is packed in that very file, if nobody has changed it since:
 * saves reading all of it. -ENOENT.
 */
int kernel_cache_recall(
	const struct kernel_cache *cache, const struct image *file, struct kernel_key *key);

/*
 * To be called with the key once the file was read. Does nothing for a file that was changed less
 * than KERNEL_CACHE_RACY seconds before now, or while it was read, or for memory.
 */
void kernel_cache_remember(const struct kernel_cache *cache, const struct image *file,
	const struct kernel_key *key, time_t now);

/* Reads the secret, or makes it. To be called before any key is computed. */
int kernel_cache_read_secret(struct kernel_cache *cache);

/* The key of len bytes at off of a file, which it reads (errors as image_read), or in memory. */
int kernel_cache_key_of_file(const struct kernel_cache *cache, const struct image *image,
	uint64_t off, uint64_t len, struct kernel_key *key, struct error *err);
void kernel_cache_key(
	const struct kernel_cache *cache, const uint8_t *data, size_t len, struct kernel_key *key);

/*
 * Opens what is kept under the key: image is a file then, to be closed with image_close; name is
 * for messages, and not copied. -ENOENT for none.
 */
int kernel_cache_get(const struct kernel_cache *cache, const struct kernel_key *key,
	const char *name, struct image *image);

/* Keeps a copy, and drops what was not used for longest where that is too much. */
int kernel_cache_put(const struct kernel_cache *cache, const struct kernel_key *key,
	const void *data, size_t size);

#endif
