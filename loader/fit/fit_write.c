/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass with libfdt's sequential writer. Files are read straight to where they lie in the tree,
 * and hashed there. Images carry the number of the configuration that had them first.
 *
 * A kernel's load address and entry are its own format's to say; U-Boot wants the properties to be
 * there, and the type "kernel_noload" says that they mean nothing.
 */
#include "loader/fit/fit_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/fit/fdt_out.h"
#include "loader/fit/fit_hash.h"
#include "vm/core/error.h"

/* For all that is neither image nor command line: a configuration has about 1000 bytes of it. */
#define ROOM (64 * KiB)

/* What fit_open takes. */
#define MAX_SIZE (512 * MiB)

enum { PAD = 4 };

struct writer {
	struct fdt_out out;
	const struct fit_write_config *configs;
	size_t count;
};

/* The configuration that has the same kernel, or initrds, first. */
static size_t kernel_of(const struct writer *w, size_t i)
{
	size_t first = 0;

	while (w->configs[first].kernel != w->configs[i].kernel)
		first++;
	return first;
}

static size_t ramdisk_of(const struct writer *w, size_t i)
{
	size_t first = 0;

	while (w->configs[first].initrds != w->configs[i].initrds)
		first++;
	return first;
}

static uint64_t total_size(const struct image *images, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = ALIGN_UP(sum, PAD) + images[i].size;
	return sum;
}

static int write_data(
	struct fdt_out *out, const struct image *images, size_t count, struct error *err)
{
	uint64_t size = total_size(images, count), done = 0;
	uint8_t *room = fdt_out_room(out, "data", size), hash[FIT_HASH_MAX];
	int rc = 0;

	for (size_t i = 0; room && !rc && i < count; i++) {
		uint64_t at = ALIGN_UP(done, PAD);

		memset(room + done, 0, at - done);
		rc = image_read(&images[i], 0, room + at, images[i].size, err);
		done = at + images[i].size;
	}
	if (rc < 0 || !room)
		return rc;
	rc = fit_hash("sha256", room, size, hash, err);
	if (rc < 0)
		return rc;
	fdt_out_begin(out, "hash-1");
	fdt_out_string(out, "algo", "sha256");
	fdt_out_bytes(out, "value", hash, (size_t)rc);
	fdt_out_end(out);
	return 0;
}

static void describe_image(struct fdt_out *out, const char *description, const char *type)
{
	fdt_out_string(out, "description", description);
	fdt_out_string(out, "type", type);
	fdt_out_string(out, "arch", "x86_64");
	fdt_out_string(out, "os", "linux");
	fdt_out_string(out, "compression", "none");
}

static int write_kernel(struct writer *w, size_t i, struct error *err)
{
	struct fdt_out *out = &w->out;
	int rc;

	fdt_out_begin(out, "kernel-%zu", i + 1);
	describe_image(out, "Linux kernel", "kernel_noload");
	fdt_out_cell(out, "load", 0);
	fdt_out_cell(out, "entry", 0);
	rc = write_data(out, w->configs[i].kernel, 1, err);
	fdt_out_end(out);
	return rc;
}

static int write_ramdisk(struct writer *w, size_t i, struct error *err)
{
	struct fdt_out *out = &w->out;
	int rc;

	fdt_out_begin(out, "ramdisk-%zu", i + 1);
	describe_image(out, "initial RAM disk", "ramdisk");
	rc = write_data(out, w->configs[i].initrds, w->configs[i].num_initrds, err);
	fdt_out_end(out);
	return rc;
}

static int write_images(struct writer *w, struct error *err)
{
	int rc = 0;

	fdt_out_begin(&w->out, "images");
	for (size_t i = 0; !rc && i < w->count; i++)
		if (kernel_of(w, i) == i)
			rc = write_kernel(w, i, err);
	for (size_t i = 0; !rc && i < w->count; i++)
		if (w->configs[i].num_initrds && ramdisk_of(w, i) == i)
			rc = write_ramdisk(w, i, err);
	fdt_out_end(&w->out);
	return rc;
}

/* "kernel-1": the name of an image. */
static void write_reference(struct fdt_out *out, const char *what, size_t i)
{
	char name[32];

	snprintf(name, sizeof(name), "%s-%zu", what, i + 1);
	fdt_out_string(out, what, name);
}

static void write_configs(struct writer *w)
{
	struct fdt_out *out = &w->out;

	fdt_out_begin(out, "configurations");
	fdt_out_string(out, "default", w->configs[0].name);
	for (size_t i = 0; i < w->count; i++) {
		const struct fit_write_config *config = &w->configs[i];

		fdt_out_begin(out, "%s", config->name);
		fdt_out_string(out, "description", config->name);
		write_reference(out, "kernel", kernel_of(w, i));
		if (config->num_initrds)
			write_reference(out, "ramdisk", ramdisk_of(w, i));
		if (*config->cmdline)
			fdt_out_string(out, "bootargs", config->cmdline);
		fdt_out_end(out);
	}
	fdt_out_end(out);
}

static uint64_t room_for(const struct writer *w)
{
	uint64_t size = ROOM;

	for (size_t i = 0; i < w->count; i++) {
		const struct fit_write_config *config = &w->configs[i];

		size += KiB + strlen(config->cmdline);
		if (kernel_of(w, i) == i)
			size += config->kernel->size;
		if (ramdisk_of(w, i) == i)
			size += total_size(config->initrds, config->num_initrds);
	}
	return size;
}

int fit_write(const struct fit_write_config *configs, size_t count, uint32_t timestamp, void **ret,
	size_t *size, struct error *err)
{
	struct writer w = {.configs = configs, .count = count};
	uint64_t room = room_for(&w);
	void *buf = room < MAX_SIZE ? calloc(1, room) : NULL;
	int rc, len;

	if (!buf)
		return room < MAX_SIZE
			       ? error_set_errno(err, -ENOMEM, "the FIT image")
			       : error_set(err, -EFBIG, "a FIT image has less than 512 MiB");
	fdt_out_start(&w.out, buf, room);
	fdt_out_string(&w.out, "description", "made by bantam");
	fdt_out_cell(&w.out, "timestamp", timestamp);
	fdt_out_cell(&w.out, "#address-cells", 1);
	rc = write_images(&w, err);
	write_configs(&w);
	len = fdt_out_finish(&w.out);
	if (!rc && len < 0)
		rc = error_set_errno(err, len, "the FIT image");
	if (rc < 0) {
		free(buf);
		return rc;
	}
	*ret = buf;
	*size = (size_t)len;
	return 0;
}
