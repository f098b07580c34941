/* SPDX-License-Identifier: BSD-2-Clause */
/* The headers tell the functions' types; the functions come from the library that was opened. */
#include "packed.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "vm/core/library.h"

struct qcow2_codec {
	void *library;
	enum qcow2_packing packing;
	__typeof__(inflateInit2_) *inflate_init;
	__typeof__(inflate) *inflate;
	__typeof__(inflateEnd) *inflate_end;
	__typeof__(ZSTD_createDStream) *zstd_create;
	__typeof__(ZSTD_decompressStream) *zstd_stream;
	__typeof__(ZSTD_freeDStream) *zstd_free;
	__typeof__(ZSTD_DCtx_setParameter) *zstd_set;
	__typeof__(ZSTD_isError) *zstd_is_error;
};

#if LIBRARY_HAS(ZLIB)
static bool find_zlib(struct qcow2_codec *codec)
{
	codec->inflate_init = LIBRARY_SYMBOL(codec->library, inflateInit2_);
	codec->inflate = LIBRARY_SYMBOL(codec->library, inflate);
	codec->inflate_end = LIBRARY_SYMBOL(codec->library, inflateEnd);
	return codec->inflate_init && codec->inflate && codec->inflate_end;
}
#else
static bool find_zlib(struct qcow2_codec *codec)
{
	(void)codec;
	return false;
}
#endif

#if LIBRARY_HAS(ZSTD)
static bool find_zstd(struct qcow2_codec *codec)
{
	codec->zstd_create = LIBRARY_SYMBOL(codec->library, ZSTD_createDStream);
	codec->zstd_stream = LIBRARY_SYMBOL(codec->library, ZSTD_decompressStream);
	codec->zstd_free = LIBRARY_SYMBOL(codec->library, ZSTD_freeDStream);
	codec->zstd_set = LIBRARY_SYMBOL(codec->library, ZSTD_DCtx_setParameter);
	codec->zstd_is_error = LIBRARY_SYMBOL(codec->library, ZSTD_isError);
	return codec->zstd_create && codec->zstd_stream && codec->zstd_free && codec->zstd_set &&
	       codec->zstd_is_error;
}
#else
static bool find_zstd(struct qcow2_codec *codec)
{
	(void)codec;
	return false;
}
#endif

/* What is opened stays so: the next image will want it, too. */
int qcow2_codec_open(enum qcow2_packing packing, struct qcow2_codec **ret)
{
	static const char *const names[] = {
		[QCOW2_ZLIB] = "libz.so.1", [QCOW2_ZSTD] = "libzstd.so.1"};
	struct qcow2_codec *codec = calloc(1, sizeof(*codec));
	bool there;

	if (!codec)
		return -ENOMEM;
	codec->packing = packing;
	codec->library = LIBRARY_OPEN(names[packing]);
	there = codec->library && (packing == QCOW2_ZLIB ? find_zlib(codec) : find_zstd(codec));
	if (!there) {
		free(codec);
		return -ENOTSUP;
	}
	*ret = codec;
	return 0;
}

void qcow2_codec_close(struct qcow2_codec *codec)
{
	free(codec);
}

/* Raw deflate, with a small window. What comes behind the end of the stream is somebody else's. */
static int unpack_zlib(
	const struct qcow2_codec *codec, const uint8_t *src, size_t len, uint8_t *dst, size_t size)
{
	enum { WINDOW_BITS = -12 };
	z_stream z = {
		.next_in = (Bytef *)src,
		.avail_in = (uInt)len,
		.next_out = dst,
		.avail_out = (uInt)size,
	};
	int rc;

	if (codec->inflate_init(&z, WINDOW_BITS, ZLIB_VERSION, (int)sizeof(z)) != Z_OK)
		return -ENOMEM;
	rc = codec->inflate(&z, Z_FINISH);
	codec->inflate_end(&z);
	if (rc == Z_MEM_ERROR)
		return -ENOMEM;
	/* A full buffer with the end mark unread is Z_BUF_ERROR. */
	return (rc == Z_STREAM_END || rc == Z_BUF_ERROR) && !z.avail_out ? 0 : -EIO;
}

/* Frames until the cluster is full. How much memory one may ask for is not the file's to say. */
static int unpack_zstd(
	const struct qcow2_codec *codec, const uint8_t *src, size_t len, uint8_t *dst, size_t size)
{
	enum { WINDOW_LOG = 24 };
	ZSTD_DStream *stream = codec->zstd_create();
	ZSTD_outBuffer out = {.dst = dst, .size = size};
	ZSTD_inBuffer in = {.src = src, .size = len};
	int rc = stream ? 0 : -ENOMEM;

	if (!rc && codec->zstd_is_error(codec->zstd_set(stream, ZSTD_d_windowLogMax, WINDOW_LOG)))
		rc = -EIO;
	while (!rc && out.pos < out.size) {
		const size_t before = in.pos + out.pos;
		const size_t n = codec->zstd_stream(stream, &out, &in);

		if (codec->zstd_is_error(n) || in.pos + out.pos == before)
			rc = -EIO;
	}
	if (stream)
		codec->zstd_free(stream);
	return rc;
}

int qcow2_unpack(
	const struct qcow2_codec *codec, const uint8_t *src, size_t len, uint8_t *dst, size_t size)
{
	return codec->packing == QCOW2_ZLIB ? unpack_zlib(codec, src, len, dst, size)
					    : unpack_zstd(codec, src, len, dst, size);
}
