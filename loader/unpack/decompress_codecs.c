/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each library is called for. The headers tell the functions' types; the functions themselves
 * come from the library that was opened (see loader/unpack/decompress.c), or from its archive.
 */
#include "loader/unpack/decompress_codecs.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "libraries.h"
#include "loader/image/bytes.h"
#include "vm/core/library.h"

#ifdef HAVE_BZIP2
#include <bzlib.h>
#endif

/* A pointer to the library's own one, under the function's name with an underscore behind it. */
#define FUNCTION(library, name) __typeof__(name) *name##_ = LIBRARY_SYMBOL(library, name)

#if LIBRARY_HAS(ZLIB)
static int unpack_zlib(void *library, const struct packed *packed, size_t *len)
{
	enum { GZIP_ONLY = 16 + MAX_WBITS };
	FUNCTION(library, inflateInit2_);
	FUNCTION(library, inflate);
	FUNCTION(library, inflateEnd);
	z_stream z = {
		.next_in = (Bytef *)packed->src,
		.avail_in = (uInt)packed->src_len,
		.next_out = packed->dst,
		.avail_out = (uInt)packed->dst_len,
	};
	int rc;

	if (!inflateInit2__ || !inflate_ || !inflateEnd_)
		return -ENOTSUP;
	if (inflateInit2__(&z, GZIP_ONLY, ZLIB_VERSION, (int)sizeof(z)) != Z_OK)
		return -ENOMEM;
	rc = inflate_(&z, Z_FINISH);
	*len = packed->dst_len - z.avail_out;
	inflateEnd_(&z);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	return rc == Z_STREAM_END && !z.avail_in ? 0 : -EINVAL;
}
decompress_codec *const decompress_zlib = unpack_zlib;
#else
decompress_codec *const decompress_zlib = NULL;
#endif

#if defined(HAVE_BZIP2) && LIBRARY_HAS(BZIP2)
static int unpack_bzip2(void *library, const struct packed *packed, size_t *len)
{
	FUNCTION(library, BZ2_bzBuffToBuffDecompress);
	unsigned int got = (unsigned int)packed->dst_len;
	int rc;

	if (!BZ2_bzBuffToBuffDecompress_)
		return -ENOTSUP;
	rc = BZ2_bzBuffToBuffDecompress_((char *)packed->dst, &got, (char *)packed->src,
		(unsigned int)packed->src_len, 0, 0);
	*len = got;
	return rc == BZ_OK ? 0 : rc == BZ_MEM_ERROR ? -ENOMEM : -EINVAL;
}
decompress_codec *const decompress_bzip2 = unpack_bzip2;
#else
decompress_codec *const decompress_bzip2 = NULL;
#endif

#if LIBRARY_HAS(LZMA)
static int unpack_lzma(void *library, const struct packed *packed, size_t *len)
{
	/* For the dictionary, the size of which is the file's to say: Linux's largest is 128 MiB.
	 */
	const uint64_t max_memory = 192 * MiB;
	FUNCTION(library, lzma_auto_decoder);
	FUNCTION(library, lzma_code);
	FUNCTION(library, lzma_end);
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret rc;

	if (!lzma_auto_decoder_ || !lzma_code_ || !lzma_end_)
		return -ENOTSUP;
	z.next_in = packed->src;
	z.avail_in = packed->src_len;
	z.next_out = packed->dst;
	z.avail_out = packed->dst_len;
	rc = lzma_auto_decoder_(&z, max_memory, 0);
	/* Ends: a second call without progress is an error of its own. */
	while (rc == LZMA_OK)
		rc = lzma_code_(&z, LZMA_FINISH);
	*len = packed->dst_len - z.avail_out;
	lzma_end_(&z);
	return rc == LZMA_STREAM_END ? 0 : rc == LZMA_MEM_ERROR ? -ENOMEM : -EINVAL;
}
decompress_codec *const decompress_lzma = unpack_lzma;
#else
decompress_codec *const decompress_lzma = NULL;
#endif

#if LIBRARY_HAS(ZSTD)
static int unpack_zstd(void *library, const struct packed *packed, size_t *len)
{
	FUNCTION(library, ZSTD_decompress);
	FUNCTION(library, ZSTD_isError);

	if (!ZSTD_decompress_ || !ZSTD_isError_)
		return -ENOTSUP;
	*len = ZSTD_decompress_(packed->dst, packed->dst_len, packed->src, packed->src_len);
	return ZSTD_isError_(*len) ? -EINVAL : 0;
}
decompress_codec *const decompress_zstd = unpack_zstd;
#else
decompress_codec *const decompress_zstd = NULL;
#endif

#if LIBRARY_HAS(LZ4)
/*
 * The legacy frame (lz4's doc/lz4_Frame_format.md): the magic word, then blocks, each with its
 * packed size in front, and each but the last of 8 MiB unpacked.
 */
static int unpack_lz4(void *library, const struct packed *packed, size_t *len)
{
	const size_t block_max = 8 * MiB;
	FUNCTION(library, LZ4_decompress_safe);
	size_t at = 4, got = 0;

	if (!LZ4_decompress_safe_)
		return -ENOTSUP;
	while (packed->src_len - at >= 4) {
		uint32_t size = get_le32(packed->src + at);
		size_t room = MIN(packed->dst_len - got, block_max);
		int n;

		at += 4;
		if (size > packed->src_len - at || size > INT32_MAX)
			return -EINVAL;
		n = LZ4_decompress_safe_((const char *)packed->src + at, (char *)packed->dst + got,
			(int)size, (int)room);
		if (n <= 0)
			return -EINVAL;
		at += size;
		got += (size_t)n;
	}
	*len = got;
	return at == packed->src_len ? 0 : -EINVAL;
}
decompress_codec *const decompress_lz4 = unpack_lz4;
#else
decompress_codec *const decompress_lz4 = NULL;
#endif
