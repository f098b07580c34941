/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip says at its end how much it unpacks to (RFC 1952, ISIZE), so the memory is had at once and
 * whatever disagrees with that number is damaged: there is no unpacking without end. zlib is opened
 * only here.
 */
#include "loader/fit_unpack.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "loader/bytes.h"
#include "vm/error.h"

enum { GZIP_MIN = 18, GZIP_TRAILER = 4 };

/* zlib's functions, by their own names. */
struct zlib {
	int (*init)(z_streamp, int, const char *, int);
	int (*inflate)(z_streamp, int);
	int (*end)(z_streamp);
};

static int inflate_all(const struct zlib *zlib, const uint8_t *bytes, uint64_t size, uint8_t *dst,
	uint64_t dst_size, struct error *err)
{
	enum { GZIP_ONLY = 16 + MAX_WBITS };
	z_stream z = {
		.next_in = (Bytef *)bytes,
		.avail_in = (uInt)size,
		.next_out = dst,
		.avail_out = (uInt)dst_size,
	};
	int rc;

	if (zlib->init(&z, GZIP_ONLY, ZLIB_VERSION, (int)sizeof(z)) != Z_OK)
		return error_set_errno(err, -ENOMEM, "zlib");
	rc = zlib->inflate(&z, Z_FINISH);
	zlib->end(&z);
	if (rc == Z_STREAM_END && !z.avail_out && !z.avail_in)
		return 0;
	return error_set(err, -EINVAL, "the gzip data is damaged or cut short");
}

static int unpack(const struct zlib *zlib, const uint8_t *bytes, uint64_t size, uint8_t **ret,
	uint64_t ret_size, struct error *err)
{
	uint8_t *dst = malloc(ret_size);
	int rc;

	if (!dst)
		return error_set_errno(err, -ENOMEM, "unpacking gzip data");
	rc = inflate_all(zlib, bytes, size, dst, ret_size, err);
	if (rc < 0)
		free(dst);
	else
		*ret = dst;
	return rc;
}

static int unpack_gzip(const uint8_t *bytes, uint64_t size, uint64_t max, uint8_t **ret,
	uint64_t *ret_size, struct error *err)
{
	static const char name[] = "libz.so.1";
	uint64_t promised = size >= GZIP_MIN ? get_le32(bytes + size - GZIP_TRAILER) : 0;
	void *library;
	struct zlib zlib;
	int rc;

	if (!promised || size > UINT_MAX)
		return error_set(err, -EINVAL, "the gzip data is damaged or cut short");
	if (promised > max)
		return error_set(err, -EINVAL,
			"the gzip data says that it unpacks to %llu MiB: it is damaged",
			(unsigned long long)(promised / MiB));
	library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return error_set(err, -ENOTSUP, "gzip needs %s, which is not installed", name);
	zlib.init = dlsym(library, "inflateInit2_");
	zlib.inflate = dlsym(library, "inflate");
	zlib.end = dlsym(library, "inflateEnd");
	if (zlib.init && zlib.inflate && zlib.end)
		rc = unpack(&zlib, bytes, size, ret, promised, err);
	else
		rc = error_set(err, -ENOTSUP, "%s is no zlib", name);
	if (!rc)
		*ret_size = promised;
	dlclose(library);
	return rc;
}

int fit_unpack(const char *method, const uint8_t *bytes, uint64_t size, uint64_t max, uint8_t **ret,
	uint64_t *ret_size, struct error *err)
{
	if (!strcmp(method, "gzip"))
		return unpack_gzip(bytes, size, max, ret, ret_size, err);
	return error_set(err, -ENOTSUP,
		"compression '%s' is not known here: pack the kernel with gzip, or as it is (a "
		"bzImage is compressed anyway)",
		method);
}
