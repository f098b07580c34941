/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files in the cache. The first byte says which: the secret, or an entry, which gets a trailer that
 * is right but for the byte that the second one names. Oracles: a secret of another size is
 * replaced; an entry is found only with a right trailer at the end of a whole file, and what is
 * then read is the file, whatever the trailer says of holes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/cache/kernel_cache.h"
#include "loader/cache/kernel_entry.h"
#include "loader/elf.h"
#include "loader/image/bytes.h"
#include "loader/relocs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	HOLES = 32,
	BOOT = HOLES + 16 * IMAGE_HOLES,
	WRITTEN = BOOT + KERNEL_BOOT_ID,
	TRAILER = WRITTEN + 8
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Made when it is first asked for, and removed at exit. */
static char dir[64];

static void remove_directory(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	must(system(command) == 0); /* NOLINT(cert-env33-c) */
}

static const char *directory(void)
{
	if (!dir[0]) {
		atexit(remove_directory);
		snprintf(dir, sizeof(dir), "%s/bantam-fuzz-XXXXXX",
			access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		must(mkdtemp(dir) != NULL);
	}
	return dir;
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
	char path[192];
	int fd;

	snprintf(path, sizeof(path), "%s/kernels/%s", directory(), name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static void fuzz_secret(const uint8_t *data, size_t size)
{
	struct kernel_cache *cache;
	char path[192];
	struct stat st;

	write_file("secret", data, size);
	must(kernel_cache_open(directory(), &cache) == 0);
	must(kernel_cache_read_secret(cache) == 0);
	kernel_cache_close(cache);
	snprintf(path, sizeof(path), "%s/kernels/secret", directory());
	must(stat(path, &st) == 0 && st.st_size == KEY_HASH_SECRET);
}

static void parse(const struct image *image)
{
	struct relocs relocs;
	struct elf elf;

	uint8_t *table;

	if (elf_parse(image, &elf, NULL) || !elf.is64 || relocs_find(image, &elf, &relocs, NULL) ||
		!relocs.size)
		return;
	table = malloc(relocs.size);
	relocs_read(image, &relocs, table, NULL);
	free(table);
}

static void fuzz_entry(
	const struct kernel_cache *cache, uint8_t damage, const uint8_t *data, size_t size)
{
	uint8_t *file = malloc(size + TRAILER), *found = malloc(size + 1);
	struct kernel_moment now;
	struct kernel_key key;
	char name[2 * KEY_HASH_SIZE + 1];
	struct image image;
	int rc;

	must(file && found);
	kernel_cache_key(cache, (const uint8_t *)"kernel", 6, &key);
	for (size_t i = 0; i < KEY_HASH_SIZE; i++)
		snprintf(name + 2 * i, 3, "%02x", key.bytes[i]);
	if (size)
		memcpy(file, data, size);
	memcpy(file + size, "bantamK3", 8);
	put_le64(file + size + 8, size);
	memcpy(file + size + 16, key.bytes, KEY_HASH_SIZE);
	memset(file + size + HOLES, 0, BOOT - HOLES);
	kernel_moment_now(&now);
	memcpy(file + size + BOOT, now.boot, KERNEL_BOOT_ID);
	put_le64(file + size + WRITTEN, (uint64_t)now.seconds);
	if (damage < TRAILER)
		file[size + damage] ^= 0x90;
	write_file(name, file, size + TRAILER);
	rc = kernel_cache_get(cache, &key, "kernel", &image);
	must(rc == 0 || rc == -ENOENT);
	/* A changed byte may leave a hole of no bytes, and another time of the same boot. */
	must(rc ? damage < TRAILER : damage >= HOLES);
	if (rc == 0) {
		must(image.size == size && image_read(&image, 0, found, size, NULL) == 0);
		must(size == 0 || memcmp(found, data, size) == 0);
		parse(&image);
		image_close(&image);
	}
	free(file);
	free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_cache *cache = NULL;

	if (size < 2)
		return 0;
	must(kernel_cache_open(directory(), &cache) == 0);
	must(kernel_cache_read_secret(cache) == 0);
	if (data[0] & 1)
		fuzz_secret(data + 1, size - 1);
	else
		fuzz_entry(cache, data[1] % (2 * TRAILER), data + 2, size - 2);
	kernel_cache_close(cache);
	return 0;
}
