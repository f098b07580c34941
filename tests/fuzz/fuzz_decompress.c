/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A payload, in each format. The size that it is to unpack to is what it says, within bounds.
 * Oracles: nothing is written behind the buffer (ASan), a success fills it, the same bytes give the
 * same answer, and a refusal has its reason.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "loader/unpack/decompress.h"
#include "vm/core/error.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_UNPACKED = 1 << 18 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int unpack(const uint8_t *data, size_t size, uint8_t *dst, size_t dst_size, uint8_t filler,
	struct error *err)
{
	memset(dst, filler, dst_size);
	return decompress(data, size, dst, dst_size, err);
}

/* Opened here for good, they are not loaded anew for each input. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const libraries[] = {"libz.so.1", "libbz2.so.1.0", "liblzma.so.5",
		"liblzo2.so.2", "liblz4.so.1", "libzstd.so.1"};

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++)
		dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {{0}};
	uint8_t *first, *second;
	size_t unpacked;
	int rc;

	if (size < DECOMPRESS_TAIL)
		return 0;
	unpacked = get_le32(data + size - DECOMPRESS_TAIL) % MAX_UNPACKED;
	first = malloc(unpacked + 1);
	second = malloc(unpacked + 1);
	must(first && second);
	rc = unpack(data, size, first, unpacked, 0, &err);
	must(rc == 0 || rc == -EINVAL || rc == -ENOTSUP || rc == -ENOMEM);
	must(rc == 0 || err.text[0]);
	if (size >= DECOMPRESS_HEAD + DECOMPRESS_TAIL && !decompress_knows(data))
		must(rc == -ENOTSUP);
	must(unpack(data, size, second, unpacked, 0xff, NULL) == rc);
	if (rc == 0)
		must(memcmp(first, second, unpacked) == 0);
	free(first);
	free(second);
	return 0;
}
