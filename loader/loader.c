/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel is parsed first, and everything about it that can be checked without guest memory is
 * checked then. What is loaded follows one order for every format: kernel, command line, initrd
 * (which must know where the kernel is), memory map, and the structure that the kernel is told it
 * all with; the CPU's tables come last. All of the loader's own structures lie below 192 KiB
 * (vm/layout.h), kernels and initrds above 1 MiB, so they cannot meet.
 *
 * Formats differ in three things only, which struct plan holds: where the kernel went, what limits
 * it sets, and how it is entered.
 */
#include "loader/loader.h"

#include <errno.h>
#include <string.h>

#include "loader/bda.h"
#include "loader/boot_params.h"
#include "loader/bzimage.h"
#include "loader/e820.h"
#include "loader/elf.h"
#include "loader/gdt.h"
#include "loader/initrd.h"
#include "loader/magic.h"
#include "loader/paging.h"
#include "loader/pvh.h"
#include "loader/setup_data.h"
#include "vm/error.h"
#include "vm/guest_mem.h"
#include "vm/layout.h"

/* Linux's COMMAND_LINE_SIZE on x86 less the final zero: an ELF file does not tell. */
enum { ELF_LINUX_CMDLINE = 2047 };

struct kernel {
	enum kernel_format format;
	bool is_bzimage;
	union {
		struct bzimage bz;
		struct elf elf;
	};
};

struct plan {
	uint64_t kernel_gpa, kernel_size;
	uint64_t entry;
	uint64_t cmdline_max;
	uint64_t initrd_addr_max;
};

const char *kernel_format_name(enum kernel_format format)
{
	static const char *const names[] = {
		[KERNEL_BZIMAGE64] = "bzImage, 64-bit entry",
		[KERNEL_BZIMAGE32] = "bzImage, 32-bit entry",
		[KERNEL_ELF64] = "ELF, 64-bit entry",
		[KERNEL_PVH] = "ELF, PVH entry",
	};

	return (unsigned int)format < ARRAY_SIZE(names) ? names[format] : "unknown";
}

/* An ELF kernel with both entries is entered as Linux only when it is Linux. */
static int choose_elf_entry(
	const struct image *image, struct kernel *kernel, bool prefer_pvh, struct error *err)
{
	const struct elf *elf = &kernel->elf;

	if (prefer_pvh && !elf->has_pvh)
		return image_error(image, err, -ENOTSUP,
			"the kernel has no PVH entry (CONFIG_PVH): boot it without --pvh");
	kernel->format = elf->has_pvh && (prefer_pvh || !elf->is64 || !elf->is_linux)
				 ? KERNEL_PVH
				 : KERNEL_ELF64;
	return 0;
}

static int parse(
	const struct image *image, struct kernel *kernel, bool prefer_pvh, struct error *err)
{
	uint8_t head[HDR_MAGIC + 4] = {0};
	size_t len = MIN(image->size, sizeof(head));
	int rc;

	if (!image->size)
		return image_error(image, err, -EINVAL, "the file is empty");
	rc = image_read(image, 0, head, len, err);
	if (rc)
		return rc;
	memset(kernel, 0, sizeof(*kernel));
	kernel->is_bzimage = bzimage_detect(head, len);
	if (kernel->is_bzimage) {
		rc = bzimage_parse(image, &kernel->bz, err);
		kernel->format = kernel->bz.entry64 ? KERNEL_BZIMAGE64 : KERNEL_BZIMAGE32;
		if (!rc && prefer_pvh)
			rc = image_error(image, err, -ENOTSUP,
				"a bzImage has no PVH entry: take the vmlinux, or boot it without "
				"--pvh");
		return rc;
	}
	if (elf_detect(head, len)) {
		rc = elf_parse(image, &kernel->elf, err);
		return rc ? rc : choose_elf_entry(image, kernel, prefer_pvh, err);
	}
	return image_error(image, err, -ENOTSUP,
		"no kernel that can be booted (bzImage or ELF); it looks like %s",
		magic_describe(image));
}

int loader_probe(const struct image *kernel, enum kernel_format *format, struct error *err)
{
	struct kernel parsed = {0};
	int rc = parse(kernel, &parsed, false, err);

	if (!rc)
		*format = parsed.format;
	return rc;
}

static int load_bzimage(const struct guest_mem *mem, const struct image *image,
	const struct kernel *kernel, struct plan *plan, struct error *err)
{
	const struct bzimage *bz = &kernel->bz;
	uint64_t gpa;
	int rc = bzimage_load(mem, image, bz, &gpa, err);

	if (rc)
		return rc;
	*plan = (struct plan){
		.kernel_gpa = gpa,
		.kernel_size = bz->init_size,
		.entry = gpa + (bz->entry64 ? HDR_ENTRY64_OFFSET : 0),
		.cmdline_max = bz->cmdline_size,
		.initrd_addr_max = bz->initrd_addr_max,
	};
	return 0;
}

static int load_elf(const struct guest_mem *mem, const struct image *image,
	const struct kernel *kernel, struct plan *plan, struct error *err)
{
	const struct elf *elf = &kernel->elf;
	uint64_t entry = elf->pvh_entry;
	int rc = elf_load(mem, image, elf, err);

	if (rc)
		return rc;
	if (kernel->format == KERNEL_ELF64 && elf_entry(elf, &entry))
		return image_error(image, err, -EINVAL, "e_entry 0x%llx is in no segment",
			(unsigned long long)elf->entry);
	*plan = (struct plan){
		.kernel_gpa = elf->start,
		.kernel_size = elf->end - elf->start,
		.entry = entry,
		.cmdline_max = elf->is_linux ? ELF_LINUX_CMDLINE : LAYOUT_CMDLINE_MAX,
		.initrd_addr_max = UINT32_MAX,
	};
	return 0;
}

static int put_cmdline(const struct guest_mem *mem, const struct image *image,
	const struct plan *plan, const char *cmdline, struct error *err)
{
	size_t len = strlen(cmdline);
	uint64_t max = MIN(plan->cmdline_max, LAYOUT_CMDLINE_MAX - 1);

	if (len > max)
		return image_error(image, err, -E2BIG,
			"the command line has %zu bytes, the kernel takes %llu (cmdline_size): "
			"shorten it, "
			"or drop the default words with --no-default-cmdline",
			len, (unsigned long long)max);
	if (guest_mem_write(mem, LAYOUT_CMDLINE, cmdline, len + 1))
		return image_error(
			image, err, -ENOSPC, "no RAM for the command line at 0x%x", LAYOUT_CMDLINE);
	return 0;
}

/* boot_params or start_info, and the words that a BIOS would have left. */
static int tell_kernel(
	const struct guest_mem *mem, const struct kernel *kernel, const struct boot_info *info)
{
	struct e820_map map;
	int rc = e820_build(mem, &map);

	if (!rc)
		rc = bda_write(mem);
	if (rc)
		return rc;
	if (kernel->format == KERNEL_PVH)
		return pvh_write(mem, info, &map);
	return boot_params_write(mem, kernel->is_bzimage ? &kernel->bz : NULL, info, &map);
}

static int build_entry(const struct guest_mem *mem, const struct kernel *kernel,
	const struct plan *plan, struct entry_state *entry)
{
	bool is_long = kernel->format == KERNEL_BZIMAGE64 || kernel->format == KERNEL_ELF64;
	int rc;

	*entry = (struct entry_state){
		.mode = is_long ? ENTRY_LONG : ENTRY_PROTECTED,
		.rip = plan->entry,
		.rsp = LAYOUT_BOOT_STACK,
	};
	if (kernel->format == KERNEL_PVH)
		entry->rbx = LAYOUT_PVH_START_INFO;
	else
		entry->rsi = LAYOUT_BOOT_PARAMS;
	rc = gdt_build(mem, entry);
	if (!rc && is_long)
		rc = paging_build(mem, &entry->cr3);
	return rc;
}

static int load_initrd(const struct guest_mem *mem, const struct loader_config *config,
	const struct plan *plan, struct boot_info *info, struct error *err)
{
	struct initrd_config initrd = {
		.images = config->initrds,
		.count = config->num_initrds,
		.addr_max = plan->initrd_addr_max,
		.kernel_gpa = plan->kernel_gpa,
		.kernel_size = plan->kernel_size,
		.kernel_name = config->kernel->name,
	};

	return initrd_load(mem, &initrd, &info->initrd_gpa, &info->initrd_size, err);
}

static int put_dtb(const struct guest_mem *mem, const struct loader_config *config,
	const struct kernel *kernel, struct boot_info *info, struct error *err)
{
	int rc;

	if (!config->dtb)
		return 0;
	if (kernel->format == KERNEL_PVH || (kernel->is_bzimage && kernel->bz.protocol < 0x0209))
		return image_error(config->kernel, err, -ENOTSUP,
			"a device tree (--dtb) needs the Linux boot protocol, 2.09 or later");
	rc = setup_data_write(
		mem, SETUP_DATA_DTB, config->dtb, config->dtb_size, &info->setup_data_gpa);
	return rc ? image_error(config->kernel, err, rc, "no RAM for the device tree") : 0;
}

int loader_load(const struct guest_mem *mem, const struct loader_config *config,
	struct loader_result *result, struct error *err)
{
	struct boot_info info = {.cmdline_gpa = LAYOUT_CMDLINE, .rsdp_gpa = config->rsdp_gpa};
	struct loader_result out = {0};
	struct kernel kernel = {0};
	struct plan plan = {0};
	int rc = parse(config->kernel, &kernel, config->prefer_pvh, err);

	if (rc)
		return rc;
	rc = (kernel.is_bzimage ? load_bzimage : load_elf)(
		mem, config->kernel, &kernel, &plan, err);
	if (!rc)
		rc = put_cmdline(mem, config->kernel, &plan, config->cmdline, err);
	if (!rc)
		rc = load_initrd(mem, config, &plan, &info, err);
	if (rc)
		return rc;
	rc = put_dtb(mem, config, &kernel, &info, err);
	if (rc)
		return rc;
	info.kernel_gpa = plan.kernel_gpa;
	rc = tell_kernel(mem, &kernel, &info);
	if (!rc)
		rc = build_entry(mem, &kernel, &plan, &out.entry);
	if (rc)
		return image_error(config->kernel, err, rc,
			"no RAM for boot parameters and tables below 1 MiB");
	out.format = kernel.format;
	if (kernel.is_bzimage)
		memcpy(out.version, kernel.bz.version, sizeof(out.version));
	out.kernel_gpa = plan.kernel_gpa;
	out.kernel_size = plan.kernel_size;
	out.initrd_gpa = info.initrd_gpa;
	out.initrd_size = info.initrd_size;
	*result = out;
	return 0;
}
