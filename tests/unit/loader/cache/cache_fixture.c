/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

int cache_setup(void **state)
{
	struct cache_fixture *f = calloc(1, sizeof(*f));

	strcpy(f->top, "/tmp/bantam-cache-XXXXXX");
	if (!mkdtemp(f->top))
		return -1;
	/* As ~/.cache/bantam: two levels of which neither is there yet */
	snprintf(f->dir, sizeof(f->dir), "%s/cache/bantam", f->top);
	snprintf(f->kernels, sizeof(f->kernels), "%s/kernels", f->dir);
	*state = f;
	return 0;
}

int cache_teardown(void **state)
{
	struct cache_fixture *f = *state;
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", f->top);
	free(f);
	return system(command); /* NOLINT(cert-env33-c) */
}

struct kernel_cache *cache_open(const struct cache_fixture *f)
{
	struct kernel_cache *cache = NULL;

	assert_int_equal(kernel_cache_open(f->dir, &cache), 0);
	assert_non_null(cache);
	assert_int_equal(kernel_cache_read_secret(cache), 0);
	return cache;
}

struct kernel_key cache_key(const struct kernel_cache *cache, const char *text)
{
	struct kernel_key key;

	kernel_cache_key(cache, (const uint8_t *)text, strlen(text), &key);
	return key;
}

void cache_put(const struct kernel_cache *cache, const char *name, const char *content)
{
	struct kernel_key key = cache_key(cache, name);

	assert_int_equal(kernel_cache_put(cache, &key, content, strlen(content)), 0);
}

bool cache_has(const struct kernel_cache *cache, const char *name, const char *content)
{
	struct kernel_key key = cache_key(cache, name);
	size_t len = strlen(content);
	struct image image;
	char found[64] = "";
	int rc = kernel_cache_get(cache, &key, "name", &image);

	if (rc) {
		assert_int_equal(rc, -ENOENT);
		return false;
	}
	assert_int_equal(image.size, len);
	assert_string_equal(image.name, "name");
	assert_int_equal(image_read(&image, 0, found, len, NULL), 0);
	assert_string_equal(found, content);
	image_close(&image);
	return true;
}

void cache_path(const struct cache_fixture *f, const struct kernel_cache *cache, const char *name,
	char path[CACHE_PATH])
{
	struct kernel_key key = cache_key(cache, name);
	int n = snprintf(path, CACHE_PATH, "%s/", f->kernels);

	for (size_t i = 0; i < sizeof(key.bytes); i++)
		n += snprintf(path + n, CACHE_PATH - (size_t)n, "%02x", key.bytes[i]);
}

unsigned int cache_count(const struct cache_fixture *f, const char *prefix)
{
	DIR *dir = opendir(f->kernels);
	const struct dirent *e;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(dir);
	return n;
}

void cache_set_time(const struct cache_fixture *f, const struct kernel_cache *cache,
	const char *name, time_t sec, long nsec)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {.tv_sec = sec, .tv_nsec = nsec}};
	char path[CACHE_PATH];

	cache_path(f, cache, name, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}
