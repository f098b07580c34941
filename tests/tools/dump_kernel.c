/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump_kernel KERNEL OUT MIB [RANDOM RANDOM [CACHE]]: loads a kernel into so much guest memory, at
 * a random address with these two numbers, and writes the memory that it has then to OUT. Prints
 * "NAME VALUE" lines: format, gpa, size, entry, loadflags, kaslr, cached.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/fakes/fake_ram.h"
#include "loader/boot/boot_proto.h"
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/layout.h"

static int write_memory(
	const struct fake_ram *ram, const struct loader_result *result, const char *path)
{
	const uint8_t *bytes = fake_ram_at(ram, result->kernel_gpa, result->kernel_size);
	FILE *out = fopen(path, "w");
	size_t n;

	if (!out)
		return 1;
	n = fwrite(bytes, 1, result->kernel_size, out);
	return fclose(out) || n != result->kernel_size;
}

static void print(const struct fake_ram *ram, const struct loader_result *result)
{
	printf("format %s\n", kernel_format_name(result->format));
	printf("gpa %" PRIu64 "\n", result->kernel_gpa);
	printf("size %" PRIu64 "\n", result->kernel_size);
	printf("entry %" PRIu64 "\n", result->entry.rip);
	printf("loadflags %u\n", *fake_ram_at(ram, LAYOUT_BOOT_PARAMS + HDR_LOADFLAGS, 1));
	printf("kaslr %d\n", result->kaslr);
	printf("cached %d\n", result->cached);
}

int main(int argc, char **argv)
{
	struct loader_config config = {.cmdline = ""};
	struct loader_result result;
	struct error err = {{0}};
	struct fake_ram ram;
	struct image kernel;
	int rc;

	if (argc < 4 || argc > 7 || argc == 5) {
		fprintf(stderr, "usage: dump_kernel KERNEL OUT MIB [RANDOM RANDOM [CACHE]]\n");
		return 2;
	}
	config.kernel = &kernel;
	config.kaslr = argc > 5;
	for (int i = 0; argc > 5 && i < 2; i++)
		config.random[i] = strtoull(argv[4 + i], NULL, 0);
	config.cache_dir = argc > 6 ? argv[6] : NULL;
	fake_ram_create(&ram, strtoull(argv[3], NULL, 0) * MiB);
	rc = image_open(argv[1], &kernel, &err);
	if (!rc)
		rc = loader_load(ram.mem, &config, &result, &err);
	if (rc) {
		fprintf(stderr, "dump_kernel: %s\n", err.text);
		return 1;
	}
	print(&ram, &result);
	rc = write_memory(&ram, &result, argv[2]);
	image_close(&kernel);
	fake_ram_destroy(&ram);
	return rc;
}
