/* SPDX-License-Identifier: BSD-2-Clause */
/* What the compression property of a FIT image's kernel says. */
#ifndef BANTAM_LOADER_FIT_FIT_UNPACK_H
#define BANTAM_LOADER_FIT_FIT_UNPACK_H

#include "vm/core/base.h"

struct error;

/*
 * Unpacks by the method of that name into memory of its own, which the caller frees. At most max
 * bytes. -ENOTSUP for a method that is not known, -EINVAL for what is damaged, -ENOMEM.
 */
int fit_unpack(const char *method, const uint8_t *bytes, uint64_t size, uint64_t max, uint8_t **ret,
	uint64_t *ret_size, struct error *err);

#endif
