/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packs as the build of Linux does, by the libraries' other half. They are opened at run time, as
 * the loader opens them; where one is missing, here or at build time, its format is left out.
 */
#ifndef TESTS_PACKERS_H
#define TESTS_PACKERS_H

#include "vm/core/base.h"

struct packer {
	const char *name; /* as the loader's messages have it */
	/* Returns the packed length, 0 where the library is missing; NULL: missing at build time.
	 */
	size_t (*pack)(const uint8_t *src, size_t len, uint8_t *dst, size_t room);
	bool own_size;
};

extern const struct packer packers[];
extern const size_t num_packers;

/* Packs with the size behind it. *payload is to be freed. Returns the length, or 0. */
size_t pack_payload(const struct packer *packer, const uint8_t *src, size_t len, uint8_t **payload);

#endif
