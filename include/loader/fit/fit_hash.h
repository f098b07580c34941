/* SPDX-License-Identifier: BSD-2-Clause */
/* The hashes that FIT images use: crc32, md5, sha1, sha256, sha384 and sha512. */
#ifndef BANTAM_LOADER_FIT_FIT_HASH_H
#define BANTAM_LOADER_FIT_FIT_HASH_H

#include "vm/core/base.h"

struct error;

enum { FIT_HASH_MAX = 64 };

/*
 * Hashes len bytes and returns how long the hash is. -ENOTSUP with a line for an unknown algorithm,
 * or one whose library (zlib, nettle) is not there; -ENOMEM.
 */
int fit_hash(const char *algo, const void *bytes, size_t len, uint8_t hash[FIT_HASH_MAX],
	struct error *err);

#endif
