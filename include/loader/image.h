/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file to be loaded into the guest: a regular file, or bytes in memory (tests, fuzzers). Its
 * size is taken once, at opening; a file that shrinks later gives read errors, never a fault.
 */
#ifndef BANTAM_LOADER_IMAGE_H
#define BANTAM_LOADER_IMAGE_H

#include "vm/base.h"

struct error;

struct image {
	const char *name; /* for messages; not owned */
	uint64_t size;
	int fd;			     /* -1 for memory */
	const uint8_t *bytes;	     /* NULL for a file */
	uint64_t hole_off, hole_len; /* a part that is known to be zeros; 0 bytes for none */
};

/*
 * Opens path for reading. Refuses what is empty or not a regular file (-EINVAL, -EISDIR), and never
 * waits for a FIFO's writer. The name is kept, not copied.
 */
int image_open(const char *path, struct image *image, struct error *err);
void image_from_memory(const char *name, const void *bytes, uint64_t size, struct image *image);
void image_close(struct image *image);

/* Reads exactly len bytes at off: 0, or -EINVAL past the end, -EIO / -errno (file shrank, I/O). */
int image_read(const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err);

/* The same to memory that is zeros already: the hole is not read. */
int image_read_to_zeros(
	const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err);

/* As error_set, with the image's name in front, shortened so that the reason is never lost. */
int image_error(const struct image *image, struct error *err, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
