/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image of a FIT: its bytes lie in the tree (data) or behind it in the file (data-size with
 * data-position, from the file's start, or data-offset, from the tree's end), its hashes in child
 * nodes called hash*. The properties are U-Boot's (doc/usage/fit/source_file_format.rst).
 *
 * Bytes behind the tree are read into memory before they are hashed: what is checked is what runs.
 */
#include "loader/fit/fit_tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "loader/fit/fit_hash.h"
#include "loader/fit/fit_unpack.h"
#include "loader/unpack/big_alloc.h"
#include "vm/core/error.h"

/* Hashes of one image: each costs a pass over it. */
enum { MAX_HASHES = 8 };

const char *fit_string(const void *fdt, int node, const char *property)
{
	int len;
	const char *text = fdt_getprop(fdt, node, property, &len);

	if (!text || len < 1 || memchr(text, '\0', (size_t)len) != text + len - 1)
		return NULL;
	return text;
}

/* A number of 32 bits. */
static bool get_cell(const void *fdt, int node, const char *property, uint64_t *value)
{
	int len;
	const void *cell = fdt_getprop(fdt, node, property, &len);

	if (!cell || len != (int)sizeof(fdt32_t))
		return false;
	*value = fdt32_ld(cell);
	return true;
}

/* ---- where the bytes are ---- */

/* Behind the tree: only makes room for it. */
static int find_external(const struct fit_tree *tree, int node, struct fit_data *data,
	uint64_t *position, struct error *err)
{
	uint64_t size, offset;

	if (!get_cell(tree->fdt, node, "data-size", &size))
		return error_set(err, -EINVAL, "it has neither data nor data-size");
	if (!get_cell(tree->fdt, node, "data-position", position)) {
		if (!get_cell(tree->fdt, node, "data-offset", &offset))
			return error_set(err, -EINVAL,
				"it has data-size, but neither data-position nor data-offset");
		*position = ALIGN_UP(tree->size, 4) + offset;
	}
	if (!size || size > FIT_MAX_IMAGE || !range_ok(*position, size, tree->file->size))
		return error_set(err, -EINVAL,
			"%llu bytes at %llu are not in the file, which has %llu: it is damaged or "
			"cut short",
			(unsigned long long)size, (unsigned long long)*position,
			(unsigned long long)tree->file->size);
	data->owned = big_alloc(size);
	if (!data->owned)
		return error_set_errno(err, -ENOMEM, "%llu bytes", (unsigned long long)size);
	data->bytes = data->owned;
	data->size = size;
	return 0;
}

static int find_data(const struct fit_tree *tree, int node, struct fit_data *data,
	uint64_t *position, struct error *err)
{
	int len;

	data->bytes = fdt_getprop(tree->fdt, node, "data", &len);
	if (!data->bytes)
		return find_external(tree, node, data, position, err);
	if (len < 1)
		return error_set(err, -EINVAL, "its data is empty");
	data->size = (uint64_t)len;
	return 0;
}

/* ---- hashes ---- */

static int check_hash(const void *fdt, int node, const struct fit_data *data, struct error *err)
{
	const char *algo = fit_string(fdt, node, "algo");
	uint8_t hash[FIT_HASH_MAX];
	const void *value;
	int len, rc;

	if (!algo)
		return error_set(err, -EINVAL, "a hash does not name its algorithm (algo)");
	value = fdt_getprop(fdt, node, "value", &len);
	if (!value)
		return error_set(err, -EINVAL, "its %s hash has no value", algo);
	rc = fit_hash(algo, data->bytes, data->size, hash, err);
	if (rc < 0)
		return rc;
	if (rc != len || memcmp(hash, value, (size_t)rc))
		return error_set(err, -EINVAL,
			"its %s hash does not match: it is damaged or was changed", algo);
	return 0;
}

static int check_hashes(
	const struct fit_tree *tree, int node, struct fit_data *data, struct error *err)
{
	unsigned int count = 0;
	int child, rc = 0;

	fdt_for_each_subnode(child, tree->fdt, node)
	{
		const char *name = fdt_get_name(tree->fdt, child, NULL);

		if (!strncmp(name, "cipher", 6))
			return error_set(err, -ENOTSUP, "it is encrypted");
		if (strncmp(name, "hash", 4))
			continue;
		if (++count > MAX_HASHES)
			return error_set(err, -EINVAL, "it has more than %d hashes", MAX_HASHES);
		rc = check_hash(tree->fdt, child, data, err);
		if (rc < 0)
			return rc;
	}
	data->hashed = count;
	return 0;
}

/* ---- the image ---- */

static int check_kind(
	const struct fit_tree *tree, int node, const char *const *types, struct error *err)
{
	const char *type = fit_string(tree->fdt, node, "type");
	const char *arch = fit_string(tree->fdt, node, "arch");
	const char *const *t = types;

	while (*t && (!type || strcmp(*t, type)))
		t++;
	if (!*t)
		return error_set(err, -EINVAL, "its type is '%s' instead of '%s'", type ? type : "",
			types[0]);
	if (arch && strcmp(arch, "x86_64") && strcmp(arch, "x86"))
		return error_set(err, -ENOTSUP, "it is for '%s', this machine runs x86_64", arch);
	return 0;
}

static int unpack_data(
	const struct fit_tree *tree, int node, struct fit_data *data, struct error *err)
{
	const char *method = fit_string(tree->fdt, node, "compression");
	uint8_t *unpacked = NULL;
	uint64_t size = 0;
	int rc;

	if (!method || !strcmp(method, "none"))
		return 0;
	rc = fit_unpack(method, data->bytes, data->size, FIT_MAX_KERNEL, &unpacked, &size, err);
	if (rc < 0)
		return rc;
	free(data->owned);
	data->bytes = data->owned = unpacked;
	data->size = size;
	return 0;
}

int fit_image_read(const struct fit_tree *tree, const char *name, const char *const *types,
	bool unpack, struct fit_data *data, struct error *err)
{
	int node = fdt_subnode_offset(tree->fdt, tree->images, name);
	struct fit_data found = {.bytes = NULL};
	struct error reason = {""};
	uint64_t position = 0;
	int rc;

	if (node < 0)
		return image_error(tree->file, err, -EINVAL, "there is no image called '%s'", name);
	rc = check_kind(tree, node, types, &reason);
	if (!rc)
		rc = find_data(tree, node, &found, &position, &reason);
	if (!rc && found.owned) {
		rc = image_read(tree->file, position, found.owned, found.size, err);
		if (rc < 0)
			goto free_data;
	}
	if (!rc)
		rc = check_hashes(tree, node, &found, &reason);
	if (!rc && unpack)
		rc = unpack_data(tree, node, &found, &reason);
	if (!rc) {
		*data = found;
		return 0;
	}
	image_error(tree->file, err, rc, "image '%s': %s", name, reason.text);

free_data:
	free(found.owned);
	return rc;
}
