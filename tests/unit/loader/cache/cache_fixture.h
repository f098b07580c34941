/* SPDX-License-Identifier: BSD-2-Clause */
/* A cache of unpacked kernels in a directory of its own. Entries are named by short strings. */
#ifndef TESTS_CACHE_FIXTURE_H
#define TESTS_CACHE_FIXTURE_H

#include <time.h>

#include "loader/cache/kernel_cache.h"

struct cache_fixture {
	char top[64], dir[80], kernels[96]; /* dir and kernels are not there yet */
};

enum { CACHE_PATH = 192 };

int cache_setup(void **state);
int cache_teardown(void **state);

struct kernel_cache *cache_open(const struct cache_fixture *f);
struct kernel_key cache_key(const struct kernel_cache *cache, const char *name);
void cache_put(const struct kernel_cache *cache, const char *name, const char *content);

/* True when there is an entry; then it must have that content. */
bool cache_has(const struct kernel_cache *cache, const char *name, const char *content);

void cache_path(const struct cache_fixture *f, const struct kernel_cache *cache, const char *name,
	char path[CACHE_PATH]);
unsigned int cache_count(const struct cache_fixture *f, const char *prefix);

/* When an entry was used, so that no clock decides. */
void cache_set_time(const struct cache_fixture *f, const struct kernel_cache *cache,
	const char *name, time_t sec, long nsec);

#endif
