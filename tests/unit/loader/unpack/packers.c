/* SPDX-License-Identifier: BSD-2-Clause */
#include "packers.h"

#include <dlfcn.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "libraries.h"
#include "loader/image/bytes.h"

#define OPEN(lib)	     void *library = dlopen(lib, RTLD_NOW | RTLD_LOCAL)
#define FUNCTION(name)	     __typeof__(name) *name##_ = library ? dlsym(library, #name) : NULL
#define CLOSE_UNLESS(really) ((really) ? true : (library ? dlclose(library) : 0, false))

static void must(bool ok)
{
	if (!ok)
		abort();
}

static size_t pack_gzip(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("libz.so.1");
	FUNCTION(deflateInit2_);
	FUNCTION(deflate);
	FUNCTION(deflateEnd);
	z_stream z = {.next_in = (Bytef *)src,
		.avail_in = (uInt)len,
		.next_out = dst,
		.avail_out = (uInt)room};

	if (!CLOSE_UNLESS(deflateInit2__ && deflate_ && deflateEnd_))
		return 0;
	must(deflateInit2__(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
		     (int)sizeof(z)) == Z_OK);
	must(deflate_(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd_(&z);
	dlclose(library);
	return room - z.avail_out;
}

#ifdef HAVE_BZIP2
#include <bzlib.h>
static size_t pack_bzip2(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("libbz2.so.1.0");
	FUNCTION(BZ2_bzBuffToBuffCompress);
	unsigned int got = (unsigned int)room;

	if (!CLOSE_UNLESS(BZ2_bzBuffToBuffCompress_))
		return 0;
	must(BZ2_bzBuffToBuffCompress_(
		     (char *)dst, &got, (char *)src, (unsigned int)len, 9, 0, 0) == BZ_OK);
	dlclose(library);
	return got;
}
#else
#define pack_bzip2 NULL
#endif

static size_t pack_lzma(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("liblzma.so.5");
	FUNCTION(lzma_lzma_preset);
	FUNCTION(lzma_alone_encoder);
	FUNCTION(lzma_code);
	FUNCTION(lzma_end);
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	if (!CLOSE_UNLESS(lzma_lzma_preset_ && lzma_alone_encoder_ && lzma_code_ && lzma_end_))
		return 0;
	must(!lzma_lzma_preset_(&options, 1));
	must(lzma_alone_encoder_(&z, &options) == LZMA_OK);
	z.next_in = src;
	z.avail_in = len;
	z.next_out = dst;
	z.avail_out = room;
	must(lzma_code_(&z, LZMA_FINISH) == LZMA_STREAM_END);
	lzma_end_(&z);
	dlclose(library);
	return room - z.avail_out;
}

/* With the filter for x86 code and the check that Linux's build asks for */
static size_t pack_xz(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("liblzma.so.5");
	FUNCTION(lzma_lzma_preset);
	FUNCTION(lzma_stream_buffer_encode);
	lzma_options_lzma options;
	lzma_filter filters[] = {{.id = LZMA_FILTER_X86},
		{.id = LZMA_FILTER_LZMA2, .options = &options}, {.id = LZMA_VLI_UNKNOWN}};
	size_t got = 0;

	if (!CLOSE_UNLESS(lzma_lzma_preset_ && lzma_stream_buffer_encode_))
		return 0;
	must(!lzma_lzma_preset_(&options, 1));
	must(lzma_stream_buffer_encode_(
		     filters, LZMA_CHECK_CRC32, NULL, src, len, dst, &got, room) == LZMA_OK);
	dlclose(library);
	return got;
}

static size_t pack_lz4_frame(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("liblz4.so.1");
	FUNCTION(LZ4_compress_default);
	size_t at = 4;

	if (!CLOSE_UNLESS(LZ4_compress_default_))
		return 0;
	put_le32(dst, 0x184c2102);
	for (size_t done = 0, n; done < len; done += n) {
		int got;

		n = MIN(len - done, 8 * MiB);
		got = LZ4_compress_default_((const char *)src + done, (char *)dst + at + 4, (int)n,
			(int)(room - at - 4));
		must(got > 0);
		put_le32(dst + at, (uint32_t)got);
		at += 4 + (size_t)got;
	}
	dlclose(library);
	return at;
}

static size_t pack_zstd(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	OPEN("libzstd.so.1");
	FUNCTION(ZSTD_compress);
	FUNCTION(ZSTD_isError);
	size_t got;

	if (!CLOSE_UNLESS(ZSTD_compress_ && ZSTD_isError_))
		return 0;
	got = ZSTD_compress_(dst, room, src, len, 3);
	must(!ZSTD_isError_(got));
	dlclose(library);
	return got;
}

#ifdef HAVE_LZO
#include <lzo/lzo1x.h>

struct writer {
	uint8_t *dst;
	size_t at;
};

static void put_be(struct writer *w, unsigned int len, uint32_t value)
{
	while (len-- > 0)
		w->dst[w->at++] = (uint8_t)(value >> (8 * len));
}

/* As lzop writes: version 1.04, a checksum of the unpacked data, the file's name. */
static void put_lzop_header(struct writer *w)
{
	static const char magic[] = "\x89LZO\0\r\n\x1a\n", name[] = "vmlinux.bin";

	memcpy(w->dst, magic, sizeof(magic) - 1);
	w->at = sizeof(magic) - 1;
	put_be(w, 2, 0x1040);
	put_be(w, 2, 0x20a0);
	put_be(w, 2, 0x940);
	put_be(w, 1, 3);
	put_be(w, 1, 9);
	put_be(w, 4, 0x03000001);
	put_be(w, 4, 0100644);
	put_be(w, 4, 0x12345678);
	put_be(w, 4, 0);
	put_be(w, 1, sizeof(name) - 1);
	memcpy(w->dst + w->at, name, sizeof(name) - 1);
	w->at += sizeof(name) - 1;
	put_be(w, 4, 0xabadcafe);
}

static size_t pack_lzo(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
	enum { BLOCK = 256 * 1024 };
	OPEN("liblzo2.so.2");
	FUNCTION(lzo1x_1_compress);
	struct writer w = {.dst = dst};
	void *work = malloc(LZO1X_1_MEM_COMPRESS);
	uint8_t *packed = malloc(2 * BLOCK);

	(void)room;
	if (!CLOSE_UNLESS(lzo1x_1_compress_))
		goto out;
	put_lzop_header(&w);
	for (size_t done = 0, n; done < len; done += n) {
		lzo_uint got = 0;
		bool smaller;

		n = MIN(len - done, (size_t)BLOCK);
		must(lzo1x_1_compress_(src + done, n, packed, &got, work) == LZO_E_OK);
		smaller = got < n;
		put_be(&w, 4, (uint32_t)n);
		put_be(&w, 4, (uint32_t)(smaller ? got : n));
		put_be(&w, 4, 0xadadadad);
		memcpy(dst + w.at, smaller ? packed : src + done, smaller ? got : n);
		w.at += smaller ? got : n;
	}
	put_be(&w, 4, 0);
	dlclose(library);

out:
	free(packed);
	free(work);
	return w.at;
}
#else
#define pack_lzo NULL
#endif

const struct packer packers[] = {
	{"gzip", pack_gzip, true},
	{"bzip2", pack_bzip2, false},
	{"LZMA", pack_lzma, false},
	{"XZ", pack_xz, false},
	{"LZO", pack_lzo, false},
	{"LZ4", pack_lz4_frame, false},
	{"zstd", pack_zstd, false},
};
const size_t num_packers = ARRAY_SIZE(packers);

size_t pack_payload(const struct packer *packer, const uint8_t *src, size_t len, uint8_t **payload)
{
	size_t room = len + len / 4 + 4096, got;

	*payload = malloc(room);
	got = packer->pack ? packer->pack(src, len, *payload, room - 4) : 0;
	if (!got) {
		free(*payload);
		*payload = NULL;
		return 0;
	}
	if (!packer->own_size) {
		put_le32(*payload + got, (uint32_t)len);
		got += 4;
	}
	return got;
}
