/* SPDX-License-Identifier: BSD-2-Clause */
/* Unpacks the payload of a bzImage: gzip, bzip2, LZMA, XZ, LZO, LZ4 (legacy frame) or zstd. */
#ifndef BANTAM_LOADER_UNPACK_DECOMPRESS_H
#define BANTAM_LOADER_UNPACK_DECOMPRESS_H

#include "vm/core/base.h"

struct error;

/* Payloads begin with some of these bytes, and end with their size when unpacked, little-endian. */
enum { DECOMPRESS_HEAD = 16, DECOMPRESS_TAIL = 4 };

/* True where the first bytes of a payload are those of a format that is known. */
bool decompress_knows(const uint8_t head[DECOMPRESS_HEAD]);

/*
 * Unpacks a payload to dst, which it must fill exactly: nothing is ever written behind dst + size.
 * -ENOTSUP for a format that is not known, or whose library is not there; -EINVAL for a payload
 * that is damaged, cut, or holds another amount; -ENOMEM. err says which, without a file's name.
 */
int decompress(const uint8_t *payload, size_t len, uint8_t *dst, size_t size, struct error *err);

#endif
