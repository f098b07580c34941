/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bzImage's header. Oracles: what is accepted keeps the promises of struct bzimage, and the same
 * bytes give the same answer.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/bzimage.h"
#include "vm/core/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check(const struct bzimage *bz, size_t size)
{
	must(bz->code_offset + bz->code_size == size && bz->code_size > 0);
	must(is_power_of_two(bz->alignment));
	must(bz->header_end >= HDR_END_2_06 && bz->header_end <= HDR_LIMIT);
	must(bz->init_size >= bz->code_size);
	must(bz->protocol >= 0x0206 && bz->protocol <= 0x02ff);
	must(!bz->entry64 || bz->code_size > HDR_ENTRY64_OFFSET);
}

static void check_version(const struct image *image, const struct bzimage *bz)
{
	char version[BZIMAGE_VERSION];

	must(bzimage_read_version(image, bz, version, NULL) == 0);
	must(memchr(version, '\0', sizeof(version)) != NULL);
	for (const char *p = version; *p; p++)
		must(*p >= ' ' && *p <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bzimage first, second;
	struct error err = {{0}};
	struct image image;
	int rc;

	image_from_memory("kernel", data, size, &image);
	rc = bzimage_parse(&image, &first, &err);
	must(rc <= 0);
	must(bzimage_parse(&image, &second, NULL) == rc);
	if (rc) {
		must(strncmp(err.text, "kernel: ", 8) == 0 && err.text[8]);
		return 0;
	}
	must(memcmp(&first, &second, sizeof(first)) == 0);
	check(&first, size);
	check_version(&image, &first);
	return 0;
}
