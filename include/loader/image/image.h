/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file to be loaded into the guest: a regular file, or bytes in memory (tests, fuzzers). Its
 * size is taken once, at opening; a file that shrinks later gives read errors, never a fault.
 */
#ifndef BANTAM_LOADER_IMAGE_IMAGE_H
#define BANTAM_LOADER_IMAGE_IMAGE_H

#include <sys/types.h>
#include <time.h>

#include "vm/core/base.h"

struct error;

enum { IMAGE_HOLES = 4 };

/* A part that is known to be zeros; no bytes for none. */
struct image_hole {
	uint64_t off, len;
};

/* What tells a file, and what it holds, from any other one on this host (see stat(2)). */
struct image_identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct image_recent;

struct image {
	const char *name; /* for messages; not owned */
	uint64_t size;
	int fd;			     /* -1 for memory */
	const uint8_t *bytes;	     /* NULL for a file */
	struct image_recent *recent; /* what was read last, and close to that; may be NULL */
	struct image_hole holes[IMAGE_HOLES]; /* ascending, inside */
};

/*
 * Opens path for reading. Refuses what is empty or not a regular file (-EINVAL, -EISDIR), and never
 * waits for a FIFO's writer. The name is kept, not copied.
 */
int image_open(const char *path, struct image *image, struct error *err);
/* Takes an open regular file over. */
void image_from_file(const char *name, int fd, uint64_t size, struct image *image);
void image_from_memory(const char *name, const void *bytes, uint64_t size, struct image *image);
void image_close(struct image *image);

/*
 * Reads exactly len bytes at off: 0, or -EINVAL past the end, -EIO / -errno (file shrank, I/O).
 * What lies around a short piece is read with it and kept, until image_forget.
 */
int image_read(const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err);

/* To be called before a file is read once more from its beginning: it may be another one now. */
void image_forget(const struct image *image);

/* As it was when the file was opened, or since image_forget asked for first. -ENOENT for memory. */
int image_identify(const struct image *image, struct image_identity *identity);

/* True where the file, by what the host's kernel says now, still is the one that this tells. */
bool image_is_still(const struct image *image, const struct image_identity *identity);

/* As image_read, to memory that is zeros already: holes are not read. */
int image_read_to_zeros(
	const struct image *image, uint64_t off, void *dst, uint64_t len, struct error *err);

/* As error_set, with the image's name in front, shortened so that the reason is never lost. */
int image_error(const struct image *image, struct error *err, int code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
