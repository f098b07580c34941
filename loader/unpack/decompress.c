/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A format is known by its first bytes, as Linux's lib/decompress.c knows it. The build of Linux
 * puts the unpacked size behind the packed data (arch/x86/boot/compressed/mkpiggy.c reads it
 * there); gzip has that very word at its end by itself.
 *
 * Whole in, whole out: the caller has bounded both, so a library gets one input and one output
 * buffer, and none can make more than the buffer holds, however much a stream inflates.
 *
 * The libraries are opened when a payload needs one, and closed after it, instead of being linked:
 * six of them would cost each start some sixty system calls and a quarter of a millisecond, while a
 * kernel out of the cache needs none, and another one needs one. So a library may also be absent.
 */
#include "loader/unpack/decompress.h"

#include <errno.h>
#include <string.h>

#include "loader/unpack/decompress_codecs.h"
#include "vm/core/error.h"
#include "vm/core/library.h"

struct format {
	const char *name;
	const char *magic;
	size_t magic_len;
	bool own_size; /* the size at the end is a part of the format */
	const char *library;
	decompress_codec *const *codec;
};

#define MAGIC(bytes) .magic = (bytes), .magic_len = sizeof(bytes) - 1

static const struct format formats[] = {
	{"gzip", MAGIC("\x1f\x8b"), .own_size = true, "libz.so.1", &decompress_zlib},
	{"bzip2", MAGIC("BZh"), .library = "libbz2.so.1.0", &decompress_bzip2},
	{"LZMA", MAGIC("\x5d\0\0"), .library = "liblzma.so.5", &decompress_lzma},
	{"XZ", MAGIC("\xfd\x37zXZ\0"), .library = "liblzma.so.5", &decompress_lzma},
	{"LZO", MAGIC("\x89LZO\0\r\n\x1a\n"), .library = "liblzo2.so.2", &decompress_lzo},
	{"LZ4", MAGIC("\x02\x21\x4c\x18"), .library = "liblz4.so.1", &decompress_lz4},
	{"zstd", MAGIC("\x28\xb5\x2f\xfd"), .library = "libzstd.so.1", &decompress_zstd},
};

static const struct format *find_format(const uint8_t head[DECOMPRESS_HEAD])
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (memcmp(head, formats[i].magic, formats[i].magic_len) == 0)
			return &formats[i];
	return NULL;
}

bool decompress_knows(const uint8_t head[DECOMPRESS_HEAD])
{
	return find_format(head) != NULL;
}

static int run_codec(
	const struct format *format, const struct packed *packed, size_t *len, struct error *err)
{
	void *library;
	int rc;

	if (!*format->codec)
		return error_set(err, -ENOTSUP,
			"its payload is compressed with %s, which this " LIBRARY_BUILD
			" was built without",
			format->name);
	library = LIBRARY_OPEN(format->library);
	if (!library)
		return error_set(err, -ENOTSUP,
			"its payload is compressed with %s, and %s is not installed", format->name,
			format->library);
	/* It stays: another boot may be inside the sandbox, where it could not be opened. */
	rc = (*format->codec)(library, packed, len);
	if (rc == -ENOTSUP)
		error_set(
			err, rc, "%s cannot unpack its %s payload", format->library, format->name);
	if (rc == -ENOMEM)
		error_set(err, rc, "no memory for unpacking its %s payload", format->name);
	return rc;
}

int decompress(const uint8_t *payload, size_t len, uint8_t *dst, size_t size, struct error *err)
{
	const struct format *format =
		len < DECOMPRESS_HEAD + DECOMPRESS_TAIL ? NULL : find_format(payload);
	struct packed packed = {.src = payload, .src_len = len, .dst = dst, .dst_len = size};
	size_t got = 0;
	int rc;

	if (!format)
		return error_set(err, -ENOTSUP, "its payload is compressed in an unknown format");
	if (!format->own_size)
		packed.src_len -= DECOMPRESS_TAIL;
	rc = run_codec(format, &packed, &got, err);
	if (rc == -EINVAL || (!rc && got != size))
		return error_set(err, -EINVAL,
			"its %s payload does not unpack to the %zu bytes that it promises: the "
			"file is damaged or cut short",
			format->name, size);
	return rc;
}
