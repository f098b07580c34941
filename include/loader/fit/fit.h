/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FIT images (flattened image trees, .itb): kernel, initial RAM disk and command line in one file,
 * with hashes, in one or several configurations. What is taken and what is refused is listed in
 * Documentation/boot.md.
 */
#ifndef BANTAM_LOADER_FIT_FIT_H
#define BANTAM_LOADER_FIT_FIT_H

#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;
struct fit;

/* One configuration of a FIT image. All of it belongs to the FIT. */
struct fit_boot {
	const char *config;   /* its name */
	struct image kernel;  /* in memory, unpacked, named as the file */
	struct image ramdisk; /* size 0: none */
	const char *cmdline;  /* "" for none */
	const char *unhashed; /* the name of an image that has no hash, or NULL */
};

/* True for a flattened device tree, which every FIT image is. */
bool fit_detect(const struct image *image);

/*
 * Reads a FIT image, checks the hashes of what the configuration names (NULL: the default one) and
 * unpacks it. What was checked is what is given out: the file is read once. It must outlive nothing
 * but this call; its name must outlive the FIT. -EINVAL for a bad file or a wrong hash, -ENOENT
 * where there is no such configuration, -ENOTSUP for what is not known here, -ENOMEM, or what
 * reading gave.
 */
int fit_open(const struct image *image, const char *config, struct fit **ret, struct error *err);
void fit_close(struct fit *fit);

const struct fit_boot *fit_boot(const struct fit *fit);

#endif
