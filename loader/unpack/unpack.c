/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bzImage names its payload by payload_offset and payload_length (boot protocol 2.08). What is
 * inside is an ELF file, and behind that the relocations (loader/relocs.c).
 *
 * With a cache the payload is not read if the file is known by its identity. Else it is read once,
 * in pieces that are hashed and forgotten. Only if there is nothing under that key, it is read
 * again as a whole, to be unpacked; what is then kept gets the key of those very bytes, so that a
 * file which changes in between does no harm.
 *
 * The unpacked kernel is read from the cache to its place in the guest, not mapped there: a mapping
 * would save the copy, and cost a nested page fault for each 4 KiB that the guest ever touches
 * instead of one for 2 MiB, and the large pages for all of its life; and a file that is cut while
 * it is mapped is a SIGBUS.
 */
#include "loader/unpack/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "loader/cache/kernel_cache.h"
#include "loader/image/bytes.h"
#include "loader/unpack/big_alloc.h"
#include "loader/unpack/decompress.h"
#include "vm/core/error.h"

static int check_place(const struct image *image, const struct bzimage *bz, struct error *err)
{
	if (bz->payload_size == 0)
		return image_error(
			image, err, -ENOTSUP, "its header names no payload (payload_length)");
	if (bz->payload_size < DECOMPRESS_HEAD + DECOMPRESS_TAIL ||
		!range_ok(bz->payload_offset, bz->payload_size, image->size))
		return image_error(image, err, -EINVAL,
			"its payload (payload_offset 0x%x, payload_length 0x%x) is too small or "
			"outside the file: damaged or cut short",
			get_le32(bz->header + HDR_PAYLOAD_OFFSET), (uint32_t)bz->payload_size);
	return 0;
}

static int check_size(
	const struct image *image, const struct bzimage *bz, uint64_t size, struct error *err)
{
	if (size > 0 && size <= bz->init_size)
		return 0;
	return image_error(image, err, -EINVAL,
		"its payload promises %llu bytes, and init_size is %llu: the file is damaged or "
		"cut short",
		(unsigned long long)size, (unsigned long long)bz->init_size);
}

static int unpack(const struct image *image, const struct bzimage *bz, const uint8_t *payload,
	struct unpacked *ret, struct error *err)
{
	uint32_t size = get_le32(payload + bz->payload_size - DECOMPRESS_TAIL);
	struct error reason = {{0}};
	uint8_t *bytes;
	int rc;

	if (!decompress_knows(payload))
		return image_error(
			image, err, -ENOTSUP, "its payload is compressed in an unknown format");
	rc = check_size(image, bz, size, err);
	if (rc)
		return rc;
	bytes = big_alloc(size);
	if (!bytes)
		return image_error(image, err, -ENOMEM, "no memory for unpacking it");
	rc = decompress(payload, bz->payload_size, bytes, size, &reason);
	if (rc) {
		free(bytes);
		return image_error(image, err, rc, "%s", reason.text);
	}
	ret->bytes = bytes;
	image_from_memory(image->name, bytes, size, &ret->image);
	return 0;
}

/* The packed kernel's file is told by what it was when it was read. */
static void keep_entry(
	struct unpack_keep *keep, const struct image *image, const struct image *entry)
{
	if (image_identify(image, &keep->identity))
		return;
	keep->entry = *entry;
	keep->kept = true;
}

static int read_and_unpack(const struct image *image, const struct bzimage *bz,
	const struct kernel_cache *cache, struct unpack_keep *keep, struct unpacked *ret,
	struct error *err)
{
	uint8_t *payload = big_alloc(bz->payload_size);
	struct kernel_key key;
	struct image entry;
	int rc;

	if (!payload)
		return image_error(image, err, -ENOMEM, "no memory for unpacking it");
	rc = image_read(image, bz->payload_offset, payload, bz->payload_size, err);
	if (!rc)
		rc = unpack(image, bz, payload, ret, err);
	if (!rc && cache) {
		kernel_cache_key(cache, payload, bz->payload_size, &key);
		kernel_cache_put(cache, &key, ret->bytes, ret->image.size);
		kernel_cache_remember(cache, image, &key, time(NULL));
		if (keep && kernel_cache_get(cache, &key, image->name, &entry) == 0)
			keep_entry(keep, image, &entry);
	}
	free(payload);
	return rc;
}

static int take_entry(const struct image *image, const struct bzimage *bz,
	const struct kernel_cache *cache, const struct kernel_key *key, struct unpacked *ret,
	struct error *err)
{
	int rc = kernel_cache_get(cache, key, image->name, &ret->image);

	if (rc)
		return rc;
	rc = check_size(image, bz, ret->image.size, err);
	if (rc)
		image_close(&ret->image);
	return rc;
}

/* -ENOENT where the cache has none. */
static int take_from_cache(const struct image *image, const struct bzimage *bz,
	const struct kernel_cache *cache, struct unpacked *ret, struct error *err)
{
	struct kernel_key key;
	int rc = kernel_cache_key_of_file(
		cache, image, bz->payload_offset, bz->payload_size, &key, err);

	if (!rc)
		rc = take_entry(image, bz, cache, &key, ret, err);
	if (!rc)
		kernel_cache_remember(cache, image, &key, time(NULL));
	return rc;
}

static int unpack_with_cache(const struct image *image, const struct bzimage *bz,
	struct kernel_cache *cache, struct unpack_keep *keep, struct unpacked *ret,
	struct error *err)
{
	struct kernel_key key;
	int rc;

	if (kernel_cache_recall(cache, image, &key) == 0 &&
		take_entry(image, bz, cache, &key, ret, NULL) == 0)
		return 0;
	if (kernel_cache_read_secret(cache))
		return read_and_unpack(image, bz, NULL, NULL, ret, err);
	rc = take_from_cache(image, bz, cache, ret, err);
	return rc == -ENOENT ? read_and_unpack(image, bz, cache, keep, ret, err) : rc;
}

static bool take_kept(
	const struct image *image, struct unpack_keep *keep, struct unpacked *unpacked)
{
	if (!keep || !keep->kept || !image_is_still(image, &keep->identity))
		return false;
	image_forget(&keep->entry);
	unpacked->image = keep->entry;
	return true;
}

int unpack_payload(const struct image *image, const struct bzimage *bz, const char *cache_dir,
	struct unpack_keep *keep, struct unpacked *ret, struct error *err)
{
	struct unpacked unpacked = {.image = {.fd = -1}};
	struct kernel_cache *cache = NULL;
	int rc = check_place(image, bz, err);

	if (rc)
		return rc;
	if (take_kept(image, keep, &unpacked))
		rc = check_size(image, bz, unpacked.image.size, err);
	else if (cache_dir && kernel_cache_open(cache_dir, &cache) == 0)
		rc = unpack_with_cache(image, bz, cache, keep, &unpacked, err);
	else
		rc = read_and_unpack(image, bz, NULL, NULL, &unpacked, err);
	kernel_cache_close(cache);
	if (!rc && keep && !keep->kept && !unpacked.bytes)
		keep_entry(keep, image, &unpacked.image);
	unpacked.kept = keep && keep->kept && unpacked.image.fd == keep->entry.fd;
	if (!rc)
		*ret = unpacked;
	return rc;
}

void unpack_release(struct unpacked *unpacked)
{
	if (unpacked->bytes)
		free(unpacked->bytes);
	else if (unpacked->image.size && !unpacked->kept)
		image_close(&unpacked->image);
	*unpacked = (struct unpacked){.image = {.fd = -1}};
}

void unpack_forget(struct unpack_keep *keep)
{
	if (keep->kept)
		image_close(&keep->entry);
	keep->kept = false;
}
