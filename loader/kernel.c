/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bzImage can be entered in two ways: as it is, so that its own code unpacks the kernel in it, or
 * by the kernel's own entry, once that was unpacked here. The latter is much faster: the code in
 * the guest runs on memory that was never touched, and the cache saves the work altogether. Both
 * are entered with the same boot_params.
 */
#include "loader/kernel.h"

#include <errno.h>
#include <string.h>

#include "loader/multiboot.h"
#include "loader/unpack/magic.h"
#include "vm/core/error.h"

const char *kernel_format_name(enum kernel_format format)
{
	static const char *const names[] = {
		[KERNEL_BZIMAGE64] = "bzImage, 64-bit entry",
		[KERNEL_BZIMAGE32] = "bzImage, 32-bit entry",
		[KERNEL_UNPACKED64] = "bzImage, unpacked, 64-bit entry",
		[KERNEL_ELF64] = "ELF, 64-bit entry",
		[KERNEL_PVH] = "ELF, PVH entry",
		[KERNEL_MULTIBOOT] = "Multiboot",
	};

	return (unsigned int)format < ARRAY_SIZE(names) ? names[format] : "unknown";
}

/* An ELF kernel with both entries is entered as Linux only when it is Linux. */
static int choose_elf_entry(const struct image *image, const struct elf *elf, enum loader_boot boot,
	enum kernel_format *format, struct error *err)
{
	if (boot == BOOT_PVH && !elf->has_pvh)
		return image_error(image, err, -ENOTSUP,
			"the kernel has no PVH entry%s: boot it without --boot pvh",
			elf->is_linux ? " (CONFIG_PVH)" : "");
	if (boot == BOOT_ELF && !elf->is64)
		return image_error(image, err, -ENOTSUP,
			"a 32-bit kernel has no 64-bit entry: boot it without --boot elf");
	*format = boot == BOOT_PVH				   ? KERNEL_PVH
		  : boot == BOOT_ELF				   ? KERNEL_ELF64
		  : elf->has_pvh && (!elf->is64 || !elf->is_linux) ? KERNEL_PVH
								   : KERNEL_ELF64;
	return 0;
}

static int parse_multiboot(const struct image *image, const struct multiboot *header,
	struct kernel *kernel, struct error *err)
{
	kernel->format = KERNEL_MULTIBOOT;
	kernel->elf_image = image;
	return multiboot_parse(image, header, &kernel->elf, err);
}

/* With --boot multiboot, whatever else the file is. */
static int insist_on_multiboot(const struct image *image, struct kernel *kernel, struct error *err)
{
	struct multiboot header;

	switch (multiboot_find(image, &header)) {
	case MULTIBOOT_1:
		return parse_multiboot(image, &header, kernel, err);
	case MULTIBOOT_2:
		return image_error(
			image, err, -ENOTSUP, "a Multiboot 2 kernel; only version 1 is supported");
	case MULTIBOOT_NONE:
		break;
	}
	return image_error(image, err, -ENOTSUP,
		"no Multiboot header in its first 8 KiB: boot it without --boot multiboot");
}

/* An entry that tells the kernel more than Multiboot does is preferred. */
static int parse_elf(
	const struct image *image, enum loader_boot boot, struct kernel *kernel, struct error *err)
{
	const struct elf *elf = &kernel->elf;
	struct multiboot header;
	int rc = elf_read(image, &kernel->elf, err);

	if (boot == BOOT_AUTO && (rc || !(elf->has_pvh || (elf->is64 && elf->is_linux))) &&
		multiboot_find(image, &header) == MULTIBOOT_1)
		return parse_multiboot(image, &header, kernel, err);
	if (!rc)
		rc = elf_check(image, elf, err);
	if (!rc && boot == BOOT_BZIMAGE)
		rc = image_error(image, err, -ENOTSUP,
			"an ELF file, not a bzImage: boot it without --boot bzimage");
	kernel->elf_image = image;
	return rc ? rc : choose_elf_entry(image, &kernel->elf, boot, &kernel->format, err);
}

int kernel_parse(
	const struct image *image, enum loader_boot boot, struct kernel *kernel, struct error *err)
{
	uint8_t head[HDR_MAGIC + 4] = {0};
	size_t len = MIN(image->size, sizeof(head));
	enum multiboot_version version;
	struct multiboot header;
	int rc;

	memset(kernel, 0, sizeof(*kernel));
	if (!image->size)
		return image_error(image, err, -EINVAL, "the file is empty");
	rc = image_read(image, 0, head, len, err);
	if (rc)
		return rc;
	if (boot == BOOT_MULTIBOOT)
		return insist_on_multiboot(image, kernel, err);
	kernel->is_bzimage = bzimage_detect(head, len);
	if (kernel->is_bzimage) {
		rc = bzimage_parse(image, &kernel->bz, err);
		kernel->format = kernel->bz.entry64 ? KERNEL_BZIMAGE64 : KERNEL_BZIMAGE32;
		return rc;
	}
	if (elf_detect(head, len))
		return parse_elf(image, boot, kernel, err);
	version = multiboot_find(image, &header);
	if (boot == BOOT_AUTO && version == MULTIBOOT_1)
		return parse_multiboot(image, &header, kernel, err);
	return image_error(image, err, -ENOTSUP,
		"not a bootable kernel (bzImage, ELF or Multiboot 1); it looks like %s",
		version == MULTIBOOT_NONE ? magic_describe(image)
		: version == MULTIBOOT_1  ? "a Multiboot kernel: boot it without --boot"
					  : "a Multiboot 2 kernel");
}

/* The kernel must be what the header speaks of: linked for gpa, and within init_size. */
static int check_payload(
	const struct image *image, const struct kernel *kernel, uint64_t gpa, struct error *err)
{
	const struct elf *elf = &kernel->elf;

	if (elf->start != gpa)
		return image_error(image, err, -ENOTSUP,
			"its payload begins at p_paddr 0x%llx, and is expected at 0x%llx "
			"(pref_address)",
			(unsigned long long)elf->start, (unsigned long long)gpa);
	if (elf->end - elf->start > kernel->bz.init_size)
		return image_error(image, err, -EINVAL,
			"its payload takes 0x%llx bytes of memory, more than init_size 0x%llx: the "
			"file is damaged",
			(unsigned long long)(elf->end - elf->start),
			(unsigned long long)kernel->bz.init_size);
	return 0;
}

/*
 * What is at pref_address in a bzImage that has the 64-bit entry is Linux: some builds of Linux
 * have no note of that name.
 */
static int open_payload(
	const struct loader_config *config, struct kernel *kernel, uint64_t gpa, struct error *err)
{
	const struct image *image = &kernel->unpacked.image;
	struct elf *elf = &kernel->elf;
	int rc = unpack_payload(config->kernel, &kernel->bz, config->cache_dir, config->keep,
		&kernel->unpacked, err);

	if (rc)
		return rc;
	rc = elf_parse(image, elf, err);
	if (rc == -ENOTSUP && config->boot == BOOT_PVH && !elf->is64 && !elf->has_pvh)
		return image_error(image, err, rc, "its payload is not a kernel with a PVH entry");
	if (!rc)
		rc = check_payload(image, kernel, gpa, err);
	elf->is_linux |= !rc && elf->is64 && kernel->bz.entry64;
	if (!rc && config->boot != BOOT_PVH && !(elf->is64 && elf->is_linux))
		rc = image_error(image, err, -ENOTSUP, "its payload is not a 64-bit Linux kernel");
	return rc;
}

int kernel_unpack(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct error *err)
{
	struct error reason = {{0}};
	uint64_t gpa = 0;
	int rc;

	if (!kernel->is_bzimage || config->boot == BOOT_BZIMAGE)
		return 0;
	if (config->boot == BOOT_AUTO && !kernel->bz.entry64)
		return 0;
	if (config->boot == BOOT_ELF && !kernel->bz.entry64)
		return image_error(config->kernel, err, -ENOTSUP,
			"an i386 kernel, which has no 64-bit entry: boot it without --boot elf");
	rc = bzimage_place(mem, config->kernel, &kernel->bz, &gpa, err);
	if (rc)
		return rc;
	rc = open_payload(config, kernel, gpa, &reason);
	if (rc == -ENOTSUP && config->boot == BOOT_AUTO) {
		unpack_release(&kernel->unpacked);
		kernel->not_unpacked = reason;
		return 0;
	}
	if (rc == -ENOTSUP)
		return error_set(err, rc, "%s: boot it without %s", reason.text,
			config->boot == BOOT_PVH ? "--boot pvh" : "--boot elf");
	if (rc)
		return error_set(err, rc, "%s", reason.text);
	kernel->elf_image = &kernel->unpacked.image;
	kernel->format = KERNEL_UNPACKED64;
	if (config->boot == BOOT_PVH)
		rc = choose_elf_entry(config->kernel, &kernel->elf, BOOT_PVH, &kernel->format, err);
	return rc;
}

void kernel_release(struct kernel *kernel)
{
	unpack_release(&kernel->unpacked);
}
