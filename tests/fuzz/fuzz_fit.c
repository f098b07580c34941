/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A FIT image, its default configuration and one called "two". Oracles: what is accepted lies
 * within the bounds that are promised, carries strings that end, and the same bytes give the same
 * answer.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/fit/fit.h"
#include "vm/core/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Reads all of it, for the sanitizer to see. */
static unsigned int sum(const struct image *image)
{
	unsigned int total = 0;

	for (uint64_t i = 0; i < image->size; i++)
		total += image->bytes[i];
	return total;
}

static void check(const struct fit_boot *boot, size_t size)
{
	must(boot->kernel.size > 0 && boot->kernel.size <= 256 * MiB);
	must(boot->ramdisk.size < size);
	must(strlen(boot->config) < size && strlen(boot->cmdline) < size);
	must(!boot->unhashed || strlen(boot->unhashed) < size);
}

static void open_config(const uint8_t *data, size_t size, const char *config)
{
	struct fit *first = NULL, *second = NULL;
	struct error err = {{0}};
	struct image image;
	int rc;

	image_from_memory("app.itb", data, size, &image);
	rc = fit_open(&image, config, &first, &err);
	must(rc <= 0);
	must(fit_open(&image, config, &second, NULL) == rc);
	if (rc) {
		must(strncmp(err.text, "app.itb: ", 9) == 0 && err.text[9]);
		must(!first && !second);
		return;
	}
	check(fit_boot(first), size);
	must(sum(&fit_boot(first)->kernel) == sum(&fit_boot(second)->kernel));
	must(sum(&fit_boot(first)->ramdisk) == sum(&fit_boot(second)->ramdisk));
	fit_close(first);
	fit_close(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_config(data, size, NULL);
	open_config(data, size, "two");
	return 0;
}
