/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_malformed DIR: makes the malformed kernels and initrds in DIR, to be given to the program.
 * One line for each on standard output, its fields separated by tabs: name, kernel, initrd or "-",
 * length of the command line, memory in MiB, a part of the expected message. Big files are sparse.
 *
 * make_malformed --seeds DIR: writes the sound kernels there, in sub-directories by fuzz target.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../unit/fakes/kernel_files.h"
#include "../unit/loader/malformed_set.h"

static int make_set(const char *dir)
{
	size_t count;
	const struct malformed_case *cases = malformed_cases(&count);

	for (size_t i = 0; i < count; i++) {
		const struct malformed_case *c = &cases[i];
		struct malformed_paths paths;
		int rc = malformed_make(c, dir, &paths);

		if (rc) {
			fprintf(stderr, "%s/%s: %s\n", dir, c->name, strerror(-rc));
			return 1;
		}
		printf("%s\t%s\t%s\t%u\t%u\t%s\n", c->name, paths.kernel,
			paths.initrd[0] ? paths.initrd : "-", c->cmdline_len, MALFORMED_MEMORY_MIB,
			c->reason);
	}
	return 0;
}

static int write_seed(const char *dir, const char *target, const char *name,
	const struct kernel_file *file, const uint8_t *prefix, size_t prefix_len)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, target);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return 1;
	snprintf(path, sizeof(path), "%s/%s/%s", dir, target, name);
	out = fopen(path, "w");
	if (!out)
		return 1;
	fwrite(prefix, 1, prefix_len, out);
	fwrite(file->bytes, 1, file->size, out);
	return fclose(out) != 0;
}

static int make_seeds(const char *dir)
{
	/* See tests/fuzz/fuzz_loader.c: 32 MiB and a page, two initrds, a short command line */
	static const uint8_t choices[8] = {4, 2, 20, 0, 9, 30, 0, 0};
	static const uint8_t pvh_choices[8] = {4, 0x81, 200, 0, 7, 0, 0, 0};
	/* The first byte of fuzz_kernel_cache.c: an entry, the second: undamaged */
	static const uint8_t entry[2] = {0, 63}, secret[1] = {1};
	/* With KASLR */
	static const uint8_t random_choices[8] = {5, 0x21, 20, 0, 9, 0, 0, 77};
	struct kernel_file bz, elf64, elf32, packed, relocatable, newer;

	make_bzimage(&bz);
	bz.size = BZ_CODE_OFFSET + 1024;
	poke(&bz, 0x1f4, 4, 64);
	make_elf64(&elf64);
	make_elf32(&elf32);
	make_packed(&packed);
	make_relocatable(&relocatable, true);
	make_relocatable(&newer, false);
	return write_seed(dir, "relocs", "three-lists", &relocatable, NULL, 0) |
	       write_seed(dir, "relocs", "two-lists", &newer, NULL, 0) |
	       write_seed(dir, "kernel_cache", "entry", &newer, entry, sizeof(entry)) |
	       write_seed(dir, "kernel_cache", "secret", &elf32, secret, sizeof(secret)) |
	       write_seed(
		       dir, "loader", "packed", &packed, random_choices, sizeof(random_choices)) |
	       write_seed(dir, "loader", "packed-pvh", &packed, pvh_choices, sizeof(pvh_choices)) |
	       write_seed(dir, "bzimage", "sound", &bz, NULL, 0) |
	       write_seed(dir, "elf", "elf64", &elf64, NULL, 0) |
	       write_seed(dir, "elf", "elf32", &elf32, NULL, 0) |
	       write_seed(dir, "loader", "bzimage", &bz, choices, sizeof(choices)) |
	       write_seed(dir, "loader", "elf64", &elf64, choices, sizeof(choices)) |
	       write_seed(dir, "loader", "elf64-pvh", &elf64, pvh_choices, sizeof(pvh_choices)) |
	       write_seed(dir, "loader", "elf32", &elf32, choices, sizeof(choices));
}

int main(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] != '-')
		return make_set(argv[1]);
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
		return make_seeds(argv[2]);
	fprintf(stderr, "usage: make_malformed DIR | make_malformed --seeds DIR\n");
	return 2;
}
