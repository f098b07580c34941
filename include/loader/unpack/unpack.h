/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel inside a bzImage, unpacked here instead of by its own code in the guest. */
#ifndef BANTAM_LOADER_UNPACK_UNPACK_H
#define BANTAM_LOADER_UNPACK_UNPACK_H

#include "loader/bzimage.h"
#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;

struct unpacked {
	struct image image; /* a file of the cache, or memory */
	void *bytes;	    /* NULL: a file */
	bool kept;	    /* the image is the keep's */
};

/*
 * The file in the cache that a kernel was taken from, for boots that can open none: it counts as
 * long as the packed kernel is the file that it was. Zeros at first.
 */
struct unpack_keep {
	bool kept;
	struct image entry;
	struct image_identity identity; /* of the packed kernel */
};

/*
 * Takes the kernel out of the cache, or unpacks it and keeps it there; cache_dir and keep may be
 * NULL. It
 * is not larger than init_size. -ENOTSUP where there is none that can be unpacked here, -EINVAL for
 * a damaged one.
 */
int unpack_payload(const struct image *image, const struct bzimage *bz, const char *cache_dir,
	struct unpack_keep *keep, struct unpacked *ret, struct error *err);

/* Takes one that is all zeros, too. */
void unpack_release(struct unpacked *unpacked);
void unpack_forget(struct unpack_keep *keep);

#endif
