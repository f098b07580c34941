/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the FIT reader: loader/fit/fit.c (tree and configurations), loader/fit/fit_image.c
 * (images). */
#ifndef BANTAM_LOADER_FIT_FIT_TREE_H
#define BANTAM_LOADER_FIT_FIT_TREE_H

#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;

struct fit_tree {
	const struct image *file;
	void *fdt; /* checked as a whole */
	uint64_t size;
	int images; /* offset of the node */
};

/* The bytes of an image node, checked against its hashes. */
struct fit_data {
	const uint8_t *bytes;
	uint64_t size;
	uint8_t *
		owned; /* where bytes points to, unless that is in the tree; the caller's to free */
	bool hashed;
};

/* No image, and no kernel when it is unpacked, is larger. */
#define FIT_MAX_IMAGE  (512 * MiB)
#define FIT_MAX_KERNEL (256 * MiB)

/* A property that holds one string. NULL where it is missing or something else. */
const char *fit_string(const void *fdt, int node, const char *property);

/*
 * The image called name, whose type is one of types, the last of which is NULL. A kernel is
 * unpacked, an initial RAM disk is not: that is Linux's to do. Errors as fit_open's.
 */
int fit_image_read(const struct fit_tree *tree, const char *name, const char *const *types,
	bool unpack, struct fit_data *data, struct error *err);

#endif
