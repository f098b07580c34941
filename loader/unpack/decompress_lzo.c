/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LZO in the file format of lzop, big-endian throughout. The magic number is followed by
 *
 *	u16 version, u16 of the library; from version 0x940 on: u16 version needed; u8 method;
 *	from 0x940 on: u8 level; u32 flags; u32 filter, if flags has FILTER; u32 mode; u32 mtime;
 *	from 0x940 on: u32 mtime's upper half; u8 length of a name, the name; u32 checksum
 *
 * and blocks: u32 unpacked size, 0 for the end; u32 packed size; for each of the four checksums
 * that flags names a u32 (those of the packed data only where it is packed); the data. A block of
 * two equal sizes is not packed. Checksums are not looked at: Linux looks at none of them either.
 */
#include <errno.h>
#include <string.h>

#include "libraries.h"
#include "loader/unpack/decompress_codecs.h"
#include "vm/core/library.h"

#if defined(HAVE_LZO) && LIBRARY_HAS(LZO)
#include <lzo/lzo1x.h>

enum {
	MAGIC_LEN = 9,
	VERSION_LONG = 0x940,
	/* flags: Adler-32 and CRC-32 of the unpacked data and of the packed, filter */
	ADLER32_D = 0x1,
	ADLER32_C = 0x2,
	CRC32_D = 0x100,
	CRC32_C = 0x200,
	FILTER = 0x800,
};

/* What is left to read. Reading past the end gives zeros and is noted. */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool overrun;
};

static const uint8_t *skip(struct cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (len > c->left) {
		c->overrun = true;
		return NULL;
	}
	c->p += len;
	c->left -= len;
	return p;
}

static uint32_t read_be(struct cursor *c, unsigned int len)
{
	const uint8_t *p = skip(c, len);
	uint32_t v = 0;

	for (unsigned int i = 0; p && i < len; i++)
		v = v << 8 | p[i];
	return v;
}

static uint32_t read_header(struct cursor *c)
{
	uint32_t version, flags;

	skip(c, MAGIC_LEN);
	version = read_be(c, 2);
	skip(c, version >= VERSION_LONG ? 6 : 3);
	flags = read_be(c, 4);
	skip(c, (flags & FILTER ? 4 : 0) + 8 + (version >= VERSION_LONG ? 4 : 0));
	skip(c, read_be(c, 1));
	skip(c, 4);
	return flags;
}

static int unpack_block(__typeof__(lzo1x_decompress_safe) *unpack, struct cursor *c, uint32_t flags,
	const struct packed *packed, size_t *got)
{
	uint32_t size = read_be(c, 4), packed_size;
	const uint8_t *data;
	lzo_uint n = size;

	if (!size || c->overrun)
		return c->overrun ? -EINVAL : 0;
	packed_size = read_be(c, 4);
	skip(c, (flags & ADLER32_D ? 4 : 0) + (flags & CRC32_D ? 4 : 0));
	if (packed_size < size)
		skip(c, (flags & ADLER32_C ? 4 : 0) + (flags & CRC32_C ? 4 : 0));
	data = skip(c, packed_size);
	if (c->overrun || packed_size > size || size > packed->dst_len - *got)
		return -EINVAL;
	if (packed_size == size)
		memcpy(packed->dst + *got, data, size);
	else if (unpack(data, packed_size, packed->dst + *got, &n, NULL) != LZO_E_OK || n != size)
		return -EINVAL;
	*got += size;
	return 1;
}

static int unpack_lzo(void *library, const struct packed *packed, size_t *len)
{
	__typeof__(lzo1x_decompress_safe) *unpack = LIBRARY_SYMBOL(library, lzo1x_decompress_safe);
	struct cursor c = {.p = packed->src, .left = packed->src_len};
	uint32_t flags = read_header(&c);
	int rc = 1;

	if (!unpack)
		return -ENOTSUP;
	*len = 0;
	while (rc > 0)
		rc = unpack_block(unpack, &c, flags, packed, len);
	return rc;
}
decompress_codec *const decompress_lzo = unpack_lzo;
#else
decompress_codec *const decompress_lzo = NULL;
#endif
