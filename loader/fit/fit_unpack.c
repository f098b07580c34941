/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip says at its end how much it unpacks to (RFC 1952, ISIZE), so the memory is had at once and
 * whatever disagrees with that number is damaged: there is no unpacking without end.
 */
#include "loader/fit/fit_unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "loader/unpack/big_alloc.h"
#include "loader/unpack/decompress.h"
#include "vm/core/error.h"

static const uint8_t gzip_magic[] = {0x1f, 0x8b};

static int unpack_gzip(const uint8_t *bytes, uint64_t size, uint64_t max, uint8_t **ret,
	uint64_t *ret_size, struct error *err)
{
	struct error reason = {{0}};
	uint64_t promised;
	uint8_t *dst;
	int rc;

	if (size < DECOMPRESS_HEAD + DECOMPRESS_TAIL || size > UINT32_MAX ||
		memcmp(bytes, gzip_magic, sizeof(gzip_magic)) != 0)
		return error_set(err, -EINVAL, "the gzip data is damaged or cut short");
	promised = get_le32(bytes + size - DECOMPRESS_TAIL);
	if (promised > max)
		return error_set(err, -EINVAL,
			"the gzip data says that it unpacks to %llu MiB: it is damaged",
			(unsigned long long)(promised / MiB));
	if (!promised)
		return error_set(
			err, -EINVAL, "the gzip data is damaged, or there is nothing in it");
	dst = big_alloc(promised);
	if (!dst)
		return error_set_errno(err, -ENOMEM, "unpacking gzip data");
	rc = decompress(bytes, size, dst, promised, &reason);
	if (rc < 0) {
		free(dst);
		return error_set(err, rc, "%s", reason.text);
	}
	*ret = dst;
	*ret_size = promised;
	return 0;
}

int fit_unpack(const char *method, const uint8_t *bytes, uint64_t size, uint64_t max, uint8_t **ret,
	uint64_t *ret_size, struct error *err)
{
	if (!strcmp(method, "gzip"))
		return unpack_gzip(bytes, size, max, ret, ret_size, err);
	return error_set(err, -ENOTSUP,
		"compression '%s' is not supported: compress the kernel with gzip, or pack it as "
		"it is (a "
		"bzImage is compressed anyway)",
		method);
}
