/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a FIT image: what loader/fit/fit.h reads. */
#ifndef BANTAM_LOADER_FIT_FIT_WRITE_H
#define BANTAM_LOADER_FIT_FIT_WRITE_H

#include "loader/image/image.h"
#include "vm/core/base.h"

struct error;

struct fit_write_config {
	const char *name;
	const struct image *kernel;
	const struct image *initrds; /* put behind each other, padded to 4 bytes */
	size_t num_initrds;
	const char *cmdline; /* "" for none */
};

/*
 * Writes the configurations, of which the first is the default, and their images with sha256
 * hashes. Configurations that point to the same kernel, or the same initrds, share them. The same
 * input gives the same bytes. The caller frees *ret. -errno with a line.
 */
int fit_write(const struct fit_write_config *configs, size_t count, uint32_t timestamp, void **ret,
	size_t *size, struct error *err);

#endif
