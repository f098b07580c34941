/* SPDX-License-Identifier: BSD-2-Clause */
/* One function for each library that unpacks; for loader/unpack/decompress.c alone. */
#ifndef BANTAM_LOADER_UNPACK_DECOMPRESS_CODECS_H
#define BANTAM_LOADER_UNPACK_DECOMPRESS_CODECS_H

#include "vm/core/base.h"

struct packed {
	const uint8_t *src;
	size_t src_len;
	uint8_t *dst;
	size_t dst_len;
};

/*
 * Unpacks and says how many bytes came out, at most dst_len. library is a handle of LIBRARY_OPEN.
 * -EINVAL for data that is damaged, cut or more than dst_len; -ENOMEM; -ENOTSUP where the library
 * lacks a function.
 */
typedef int decompress_codec(void *library, const struct packed *packed, size_t *len);

/* NULL: its header, or for the static build its archive, was missing in the build. */
extern decompress_codec *const decompress_zlib;
extern decompress_codec *const decompress_bzip2;
extern decompress_codec *const decompress_lzma; /* LZMA and XZ */
extern decompress_codec *const decompress_lzo;
extern decompress_codec *const decompress_lz4;
extern decompress_codec *const decompress_zstd;

#endif
