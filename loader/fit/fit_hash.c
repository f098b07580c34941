/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By nettle, which is small, has no state and comes with every Debian (apt needs it), and zlib for
 * crc32. Both are opened when a FIT image has such a hash and closed after it, so that a machine
 * without one pays nothing for them. nettle's interface to all its hashes is a table each, which
 * makes one function of what would be one for every hash.
 */
#include "loader/fit/fit_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "libraries.h"
#include "vm/core/error.h"
#include "vm/core/library.h"

#ifdef HAVE_NETTLE
#include <nettle/nettle-meta.h>
#include <nettle/version.h>
#endif

/* Libraries stay: another boot may be inside the sandbox, where none can be opened. */

static int no_library(const char *algo, const char *library, struct error *err)
{
	return error_set(
		err, -ENOTSUP, "hashes by %s need %s, which is not installed", algo, library);
}

#if LIBRARY_HAS(ZLIB)
/* Big-endian, as U-Boot writes it. */
static int hash_crc32(const void *bytes, size_t len, uint8_t *hash, struct error *err)
{
	static const char name[] = "libz.so.1";
	void *library = LIBRARY_OPEN(name);
	__typeof__(crc32_z) *crc32_z_ = library ? LIBRARY_SYMBOL(library, crc32_z) : NULL;
	int rc = 4;

	if (crc32_z_) {
		uLong crc = crc32_z_(0, bytes, len);

		for (int i = 0; i < 4; i++)
			hash[i] = (uint8_t)(crc >> (24 - 8 * i));
	} else {
		rc = no_library("crc32", name, err);
	}
	return rc;
}
#else
static int hash_crc32(const void *bytes, size_t len, uint8_t *hash, struct error *err)
{
	(void)bytes, (void)len, (void)hash;
	return no_library("crc32", "zlib", err);
}
#endif

/* Version 4 has another interface and another name. */
#if defined(NETTLE_VERSION_MAJOR) && NETTLE_VERSION_MAJOR == 3 && LIBRARY_HAS(NETTLE)
static const struct nettle_hash *find_method(void *library, const char *algo)
{
	if (!strcmp(algo, "md5"))
		return LIBRARY_SYMBOL(library, nettle_md5);
	if (!strcmp(algo, "sha1"))
		return LIBRARY_SYMBOL(library, nettle_sha1);
	if (!strcmp(algo, "sha256"))
		return LIBRARY_SYMBOL(library, nettle_sha256);
	if (!strcmp(algo, "sha384"))
		return LIBRARY_SYMBOL(library, nettle_sha384);
	return LIBRARY_SYMBOL(library, nettle_sha512);
}

static int hash_with(const struct nettle_hash *method, const void *bytes, size_t len, uint8_t *hash)
{
	void *context = malloc(method->context_size);

	if (!context)
		return -ENOMEM;
	method->init(context);
	method->update(context, len, bytes);
	method->digest(context, method->digest_size, hash);
	free(context);
	return (int)method->digest_size;
}

static int hash_nettle(
	const char *algo, const void *bytes, size_t len, uint8_t *hash, struct error *err)
{
	static const char name[] = "libnettle.so.8";
	void *library = LIBRARY_OPEN(name);
	const struct nettle_hash *method = library ? find_method(library, algo) : NULL;

	if (!method || method->digest_size > FIT_HASH_MAX)
		return no_library(algo, name, err);
	return hash_with(method, bytes, len, hash);
}
#else
static int hash_nettle(
	const char *algo, const void *bytes, size_t len, uint8_t *hash, struct error *err)
{
	(void)bytes, (void)len, (void)hash;
	return error_set(err, -ENOTSUP,
		"hashes by %s need the library nettle 3, which was not there when "
		"this " LIBRARY_BUILD " was made",
		algo);
}
#endif

int fit_hash(const char *algo, const void *bytes, size_t len, uint8_t hash[FIT_HASH_MAX],
	struct error *err)
{
	static const char *const known[] = {"md5", "sha1", "sha256", "sha384", "sha512"};

	if (!strcmp(algo, "crc32"))
		return hash_crc32(bytes, len, hash, err);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(algo, known[i]))
			return hash_nettle(algo, bytes, len, hash, err);
	return error_set(err, -ENOTSUP,
		"unknown hash algorithm '%s' (not crc32, md5, sha1, sha256, sha384 or sha512)",
		algo);
}
