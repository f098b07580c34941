/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel unpacks itself upwards from where it lies, so the initrd goes to the top: below the
 * end of the RAM under 4 GiB and below the highest address that the kernel takes. Where the kernel
 * is in the way there (a low initrd_addr_max, or a kernel loaded high), the place below it is
 * tried.
 */
#include "loader/boot/initrd.h"

#include <errno.h>
#include <string.h>

#include "loader/boot/lowram.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { PAGE = 4096, PAD = 4 };

/* Sums up the sizes, with padding between files. No sum above 4 GiB is of use, nor can it wrap. */
static int total_size(const struct initrd_config *config, uint64_t *total, struct error *err)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < config->count; i++) {
		const struct image *image = &config->images[i];

		sum = ALIGN_UP(sum, PAD);
		if (!range_ok(sum, image->size, 4 * GiB))
			return image_error(image, err, -ENOSPC,
				"the initrd of %llu MiB does not fit into the RAM below 4 GiB",
				(unsigned long long)to_mib(image->size));
		sum += image->size;
	}
	*total = sum;
	return 0;
}

/* The highest page-aligned place for size bytes in [start, end), or 0. */
static uint64_t highest(uint64_t start, uint64_t end, uint64_t size)
{
	uint64_t at;

	if (end < size)
		return 0;
	at = ALIGN_DOWN(end - size, PAGE);
	return at >= start ? at : 0;
}

static int no_room(const struct guest_mem *mem, const struct initrd_config *config, uint64_t total,
	uint64_t end, struct error *err)
{
	const struct image *image = &config->images[config->count - 1];

	if (end < lowram_end(mem))
		return image_error(image, err, -ENOSPC,
			"the initrd (%llu MiB) does not fit below 0x%llx, the highest address that "
			"%s takes "
			"(initrd_addr_max), beside the kernel's %llu MiB at 0x%llx",
			(unsigned long long)to_mib(total), (unsigned long long)end,
			config->kernel_name, (unsigned long long)to_mib(config->kernel_size),
			(unsigned long long)config->kernel_gpa);
	return image_error(image, err, -ENOSPC,
		"the initrd (%llu MiB) does not fit: the RAM below 4 GiB ends at %llu MiB, the "
		"kernel has "
		"%llu MiB at %llu MiB: give the guest more memory with -m",
		(unsigned long long)to_mib(total), (unsigned long long)(end >> 20),
		(unsigned long long)to_mib(config->kernel_size),
		(unsigned long long)(config->kernel_gpa >> 20));
}

static int place(const struct guest_mem *mem, const struct initrd_config *config, uint64_t total,
	uint64_t *gpa, struct error *err)
{
	/* addr_max is inclusive. */
	uint64_t end = MIN(lowram_end(mem), MIN(config->addr_max, 4 * GiB) + 1);
	uint64_t kernel_end = config->kernel_gpa + config->kernel_size;
	uint64_t at = highest(MAX(kernel_end, LAYOUT_KERNEL_MIN), end, total);

	if (!at)
		at = highest(LAYOUT_KERNEL_MIN, MIN(end, config->kernel_gpa), total);
	if (!at)
		return no_room(mem, config, total, end, err);
	*gpa = at;
	return 0;
}

int initrd_place(const struct guest_mem *mem, const struct initrd_config *config, uint64_t *gpa,
	uint64_t *size, struct error *err)
{
	uint64_t total = 0, at = 0;
	int rc = total_size(config, &total, err);

	if (!rc && total)
		rc = place(mem, config, total, &at, err);
	*gpa = rc ? 0 : at;
	*size = rc ? 0 : total;
	return rc;
}

int initrd_load(const struct guest_mem *mem, const struct initrd_config *config, uint64_t *gpa,
	uint64_t *size, struct error *err)
{
	uint64_t total, at, done = 0;
	uint8_t *dst;
	int rc = initrd_place(mem, config, &at, &total, err);

	*gpa = *size = 0;
	if (rc || !total)
		return rc;
	dst = guest_mem_ptr(mem, at, total);
	if (!dst)
		return no_room(mem, config, total, at, err);
	for (size_t i = 0; i < config->count; i++) {
		uint64_t padded = ALIGN_UP(done, PAD);

		memset(dst + done, 0, padded - done);
		rc = image_read(&config->images[i], 0, dst + padded, config->images[i].size, err);
		if (rc)
			return rc;
		done = padded + config->images[i].size;
	}
	*gpa = at;
	*size = total;
	return 0;
}
