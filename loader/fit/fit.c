/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A FIT image is a flattened device tree: /images has kernels and initial RAM disks with their
 * bytes and hashes, /configurations says what belongs together. The tree is read into memory as a
 * whole and walked by libfdt, which trusts it once it has been checked from end to end. That check
 * and every search go over all nodes and properties, and over names in the block of strings, so
 * both are bounded first: a tree of kernels has few of either.
 *
 * What a configuration can ask for beyond a kernel, an initial RAM disk and a command line is for
 * other machines, and refused rather than left out.
 */
#include "loader/fit/fit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/fit/fit_tree.h"
#include "loader/unpack/big_alloc.h"
#include "vm/core/error.h"

/* Older formats than 17, of 2005, do not tell all their sizes. */
enum { FORMAT = 17, MAX_TAGS = 16384 };
#define MAX_TREE    (512 * MiB)
#define MAX_STRINGS (64 * KiB)

struct fit {
	struct fit_boot boot;
	struct fit_tree tree;
	struct fit_data kernel, ramdisk;
};

/* ---- the tree ---- */

bool fit_detect(const struct image *image)
{
	fdt32_t magic;

	return image->size >= sizeof(magic) &&
	       image_read(image, 0, &magic, sizeof(magic), NULL) == 0 &&
	       fdt32_ld(&magic) == FDT_MAGIC;
}

static int bad_tree(const struct image *file, int fdt_rc, struct error *err)
{
	return image_error(
		file, err, -EINVAL, "the FIT image is damaged (%s)", fdt_strerror(fdt_rc));
}

static int check_size(const struct image *file, const void *header, struct error *err)
{
	int rc = fdt_check_header(header);

	if (!rc && fdt_version(header) < FORMAT)
		rc = -FDT_ERR_BADVERSION;
	if (rc)
		return bad_tree(file, rc, err);
	if (fdt_totalsize(header) > MAX_TREE || fdt_size_dt_strings(header) > MAX_STRINGS)
		return image_error(file, err, -EINVAL, "the FIT image's tree is too large");
	if (fdt_totalsize(header) > file->size)
		return image_error(file, err, -EINVAL,
			"the FIT image has %llu bytes instead of %u: cut short, copy it again",
			(unsigned long long)file->size, fdt_totalsize(header));
	return 0;
}

/* libfdt's own check takes time by tags times strings. */
static int check_tree(const struct image *file, const void *fdt, struct error *err)
{
	int offset = 0, tags = 0, rc;
	uint32_t tag;

	do {
		tag = fdt_next_tag(fdt, offset, &offset);
		if (++tags > MAX_TAGS)
			return image_error(file, err, -EINVAL,
				"the FIT image's tree has too many nodes and properties");
	} while (tag != FDT_END);
	rc = fdt_check_full(fdt, fdt_totalsize(fdt));
	return rc ? bad_tree(file, rc, err) : 0;
}

static int read_tree(struct fit_tree *tree, struct error *err)
{
	const struct image *file = tree->file;
	struct fdt_header header;
	int rc;

	if (file->size < sizeof(header))
		return image_error(file, err, -EINVAL, "too short for a FIT image");
	rc = image_read(file, 0, &header, sizeof(header), err);
	if (!rc)
		rc = check_size(file, &header, err);
	if (rc < 0)
		return rc;
	tree->size = fdt_totalsize(&header);
	tree->fdt = big_alloc(tree->size);
	if (!tree->fdt)
		return image_error(file, err, -ENOMEM, "no memory for the FIT image");
	rc = image_read(file, 0, tree->fdt, tree->size, err);
	if (rc < 0)
		return rc;
	/* What was checked is the header that is in memory now, not one that has changed since. */
	memcpy(tree->fdt, &header, sizeof(header));
	return check_tree(file, tree->fdt, err);
}

/* ---- configurations ---- */

/* "a, b, c", cut where there is no more room. */
static void list_configs(const void *fdt, int configs, char *list, size_t size)
{
	size_t used = 0;
	int node;

	list[0] = '\0';
	fdt_for_each_subnode(node, fdt, configs)
	{
		int n = snprintf(list + used, size - used, "%s%s", used ? ", " : "",
			fdt_get_name(fdt, node, NULL));

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int find_config(const struct fit_tree *tree, const char **name, int *node, struct error *err)
{
	int configs = fdt_subnode_offset(tree->fdt, 0, "configurations");
	char list[200];

	if (configs < 0)
		return image_error(tree->file, err, -EINVAL,
			"a device tree without configurations, so not a FIT image");
	if (!*name)
		*name = fit_string(tree->fdt, configs, "default");
	*node = *name ? fdt_subnode_offset(tree->fdt, configs, *name) : -FDT_ERR_NOTFOUND;
	if (*node >= 0)
		return 0;
	list_configs(tree->fdt, configs, list, sizeof(list));
	if (!*name)
		return image_error(tree->file, err, -ENOENT,
			"the FIT image has no default configuration; choose one with --fit-config: "
			"%s",
			list);
	return image_error(tree->file, err, -ENOENT,
		"the FIT image has no configuration '%s', but: %s", *name, list);
}

static int refuse_others(const struct fit_tree *tree, int config, struct error *err)
{
	static const struct {
		const char *property, *text;
	} others[] = {
		{"fdt", "a device tree (fdt), which describes another machine than this one"},
		{"setup", "setup code (setup): put the whole bzImage into the image instead"},
		{"loadables", "further images to load (loadables)"},
		{"firmware", "firmware"},
		{"fpga", "an FPGA's image (fpga)"},
		{"script", "a boot script (script)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (fdt_getprop(tree->fdt, config, others[i].property, NULL))
			return image_error(tree->file, err, -ENOTSUP,
				"the configuration has %s, which is not supported", others[i].text);
	return 0;
}

/* A string that may be missing, but not be anything else. */
static int get_string(const struct fit_tree *tree, int config, const char *property,
	const char **text, struct error *err)
{
	*text = fit_string(tree->fdt, config, property);
	if (*text || !fdt_getprop(tree->fdt, config, property, NULL))
		return 0;
	return image_error(
		tree->file, err, -EINVAL, "the configuration's %s is not one string", property);
}

static int read_images(struct fit *fit, const char *kernel, const char *ramdisk, struct error *err)
{
	static const char *const kernels[] = {"kernel", "kernel_noload", NULL};
	static const char *const ramdisks[] = {"ramdisk", NULL};
	const struct fit_tree *tree = &fit->tree;
	int rc = fit_image_read(tree, kernel, kernels, true, &fit->kernel, err);

	if (!rc && ramdisk)
		rc = fit_image_read(tree, ramdisk, ramdisks, false, &fit->ramdisk, err);
	if (rc < 0)
		return rc;
	fit->boot.unhashed = !fit->kernel.hashed	       ? kernel
			     : ramdisk && !fit->ramdisk.hashed ? ramdisk
							       : NULL;
	image_from_memory(tree->file->name, fit->kernel.bytes, fit->kernel.size, &fit->boot.kernel);
	image_from_memory(
		tree->file->name, fit->ramdisk.bytes, fit->ramdisk.size, &fit->boot.ramdisk);
	return 0;
}

static int read_config(struct fit *fit, const char *name, struct error *err)
{
	const char *kernel = NULL, *ramdisk = NULL, *cmdline = NULL;
	struct fit_tree *tree = &fit->tree;
	int config = 0, rc = find_config(tree, &name, &config, err);

	if (!rc)
		rc = refuse_others(tree, config, err);
	if (!rc)
		rc = get_string(tree, config, "kernel", &kernel, err);
	if (!rc)
		rc = get_string(tree, config, "ramdisk", &ramdisk, err);
	if (!rc)
		rc = get_string(tree, config, "bootargs", &cmdline, err);
	if (rc < 0)
		return rc;
	if (!kernel)
		return image_error(
			tree->file, err, -EINVAL, "configuration '%s' names no kernel", name);
	fit->boot.config = fdt_get_name(tree->fdt, config, NULL);
	fit->boot.cmdline = cmdline ? cmdline : "";
	tree->images = fdt_subnode_offset(tree->fdt, 0, "images");
	if (tree->images < 0)
		return image_error(tree->file, err, -EINVAL, "the FIT image has no images");
	return read_images(fit, kernel, ramdisk, err);
}

/* ---- */

int fit_open(const struct image *image, const char *config, struct fit **ret, struct error *err)
{
	struct fit *fit = calloc(1, sizeof(*fit));
	int rc;

	if (!fit)
		return image_error(image, err, -ENOMEM, "no memory for the FIT image");
	fit->tree.file = image;
	rc = read_tree(&fit->tree, err);
	if (!rc)
		rc = read_config(fit, config, err);
	if (rc < 0) {
		fit_close(fit);
		return rc;
	}
	fit->tree.file = NULL;
	*ret = fit;
	return 0;
}

void fit_close(struct fit *fit)
{
	if (!fit)
		return;
	free(fit->kernel.owned);
	free(fit->ramdisk.owned);
	free(fit->tree.fdt);
	free(fit);
}

const struct fit_boot *fit_boot(const struct fit *fit)
{
	return &fit->boot;
}
