/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel is parsed first, and unpacked if need be, and everything about it that can be checked
 * without guest memory is checked then (loader/kernel.c). What is loaded follows one order for
 * every format: kernel, command line, initrd (which must know where the kernel is), memory map, and
 * the structure that the kernel is told it all with; the CPU's tables come last. All of the
 * loader's own structures lie below 576 KiB (vm/core/layout.h), kernels and initrds above 1 MiB, so
 * they cannot meet.
 *
 * Formats differ in three things only, which struct plan holds: where the kernel goes, what limits
 * it sets, and how it is entered. A random address is chosen between the two ends: not below where
 * the kernel is linked to run, nor above where the initrd goes when the kernel is there.
 */
#include "loader/loader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/boot/bda.h"
#include "loader/boot/boot_params.h"
#include "loader/boot/e820.h"
#include "loader/boot/gdt.h"
#include "loader/boot/initrd.h"
#include "loader/boot/lowram.h"
#include "loader/boot/paging.h"
#include "loader/boot/setup_data.h"
#include "loader/bzimage.h"
#include "loader/elf.h"
#include "loader/kernel.h"
#include "loader/multiboot.h"
#include "loader/pvh.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

/* Linux's COMMAND_LINE_SIZE on x86 less the final zero: an ELF file does not tell. */
enum { ELF_LINUX_CMDLINE = 2047 };

struct plan {
	uint64_t kernel_gpa, kernel_size;
	uint64_t entry;
	uint64_t cmdline_max;
	uint64_t initrd_addr_max;
	bool kaslr;
};

int loader_probe(const struct image *kernel, enum kernel_format *format, struct error *err)
{
	struct kernel parsed;
	int rc = kernel_parse(kernel, BOOT_AUTO, &parsed, err);

	if (!rc)
		*format = parsed.format;
	kernel_release(&parsed);
	return rc;
}

static struct initrd_config initrd_config(
	const struct loader_config *config, const struct plan *plan)
{
	return (struct initrd_config){
		.images = config->initrds,
		.count = config->num_initrds,
		.addr_max = plan->initrd_addr_max,
		.kernel_gpa = plan->kernel_gpa,
		.kernel_size = plan->kernel_size,
		.kernel_name = config->kernel->name,
	};
}

static int load_bzimage(const struct guest_mem *mem, const struct image *image,
	const struct bzimage *bz, struct plan *plan, struct error *err)
{
	int rc = bzimage_load(mem, image, bz, &plan->kernel_gpa, err);

	plan->kernel_size = bz->init_size;
	plan->entry = plan->kernel_gpa + (bz->entry64 ? HDR_ENTRY64_OFFSET : 0);
	return rc;
}

/* Moves a kernel that is unpacked here and has relocations to a random address. */
static int randomize(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct plan *plan, struct error *err)
{
	const struct initrd_config initrd = initrd_config(config, plan);
	struct kaslr_config choice = {
		.start = plan->kernel_gpa,
		.size = plan->kernel_size,
		.align = kernel->bz.alignment,
		.limit = lowram_end(mem),
		.cmdline = config->cmdline,
		.random = {config->random[0], config->random[1]},
	};
	uint64_t initrd_gpa, initrd_size;
	int rc;

	if (!config->kaslr || kernel->format != KERNEL_UNPACKED64 || !kernel->bz.relocatable ||
		!kaslr_allowed(config->cmdline))
		return 0;
	rc = relocs_find(kernel->elf_image, &kernel->elf, &kernel->relocs, err);
	if (rc || !kernel->relocs.size)
		return rc;
	rc = initrd_place(mem, &initrd, &initrd_gpa, &initrd_size, err);
	if (rc)
		return rc;
	if (initrd_gpa > choice.start)
		choice.limit = initrd_gpa;
	kaslr_choose(&choice, &kernel->kaslr);
	elf_slide(&kernel->elf, kernel->kaslr.physical);
	plan->kernel_gpa += kernel->kaslr.physical;
	plan->kaslr = true;
	return 0;
}

static int relocate_by(
	const struct guest_mem *mem, struct kernel *kernel, uint8_t *table, struct error *err)
{
	const struct elf *elf = &kernel->elf;
	const uint64_t size = elf->end - elf->start;
	uint8_t *bytes = guest_mem_ptr(mem, elf->start, size);
	int rc;

	if (!bytes)
		return image_error(kernel->elf_image, err, -ENOSPC, "no RAM for the kernel");
	rc = relocs_read(kernel->elf_image, &kernel->relocs, table, err);
	if (rc)
		return rc;
	return relocs_apply(&kernel->relocs, kernel->elf_image, bytes, size,
		elf->start - kernel->kaslr.physical, kernel->kaslr.virtual, err);
}

/*
 * A kernel that unpacks itself has its table behind itself, and init_size has room for it there: so
 * it has here, in memory that takes one page fault and not hundreds, and that is zeros afterwards.
 */
static int relocate(const struct guest_mem *mem, struct kernel *kernel, const struct plan *plan,
	struct error *err)
{
	const size_t size = kernel->relocs.size;
	const uint64_t used = kernel->elf.end - plan->kernel_gpa;
	uint8_t *room = NULL, *table;
	int rc;

	if (!size)
		return 0;
	if (range_ok(used, size, plan->kernel_size))
		room = guest_mem_ptr(mem, kernel->elf.end, size);
	table = room ? room : malloc(size);
	if (!table)
		return image_error(
			kernel->elf_image, err, -ENOMEM, "no memory for its relocations");
	rc = relocate_by(mem, kernel, table, err);
	if (room)
		memset(room, 0, size);
	else
		free(table);
	return rc;
}

static int load_elf(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct plan *plan, struct error *err)
{
	struct elf *elf = &kernel->elf;
	int rc;

	plan->kernel_gpa = elf->start;
	plan->kernel_size = kernel->is_bzimage ? kernel->bz.init_size : elf->end - elf->start;
	rc = randomize(mem, config, kernel, plan, err);
	if (!rc)
		rc = elf_load(mem, kernel->elf_image, elf, err);
	if (!rc)
		rc = relocate(mem, kernel, plan, err);
	plan->entry = elf->pvh_entry;
	if (!rc && kernel->format != KERNEL_PVH && elf_entry(elf, &plan->entry))
		return image_error(kernel->elf_image, err, -EINVAL,
			"e_entry 0x%llx is in no segment", (unsigned long long)elf->entry);
	return rc;
}

static int load_kernel(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct plan *plan, struct error *err)
{
	if (kernel->is_bzimage) {
		plan->cmdline_max = kernel->bz.cmdline_size;
		plan->initrd_addr_max = kernel->bz.initrd_addr_max;
	} else {
		plan->cmdline_max = kernel->elf.is_linux ? ELF_LINUX_CMDLINE : LAYOUT_CMDLINE_MAX;
		plan->initrd_addr_max = UINT32_MAX;
	}
	return kernel->elf_image ? load_elf(mem, config, kernel, plan, err)
				 : load_bzimage(mem, config->kernel, &kernel->bz, plan, err);
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
			"or drop the default parameters with --no-default-cmdline",
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
	bool is_long = kernel->format != KERNEL_BZIMAGE32 && kernel->format != KERNEL_PVH &&
		       kernel->format != KERNEL_MULTIBOOT;
	int rc;

	*entry = (struct entry_state){
		.mode = is_long ? ENTRY_LONG : ENTRY_PROTECTED,
		.rip = plan->entry,
		.rsp = LAYOUT_BOOT_STACK,
	};
	entry->rsi = is_long || kernel->format == KERNEL_BZIMAGE32 ? LAYOUT_BOOT_PARAMS : 0;
	if (kernel->format == KERNEL_PVH)
		entry->rbx = LAYOUT_PVH_START_INFO;
	if (kernel->format == KERNEL_MULTIBOOT) {
		entry->rbx = LAYOUT_MULTIBOOT_INFO;
		entry->rax = MULTIBOOT_ENTRY_MAGIC;
	}
	rc = gdt_build(mem, entry);
	if (!rc && is_long)
		rc = paging_build(mem, &entry->cr3);
	return rc;
}

static int put_dtb(const struct guest_mem *mem, const struct loader_config *config,
	const struct kernel *kernel, struct boot_info *info, struct error *err)
{
	int rc;

	if (!config->dtb)
		return 0;
	if (kernel->format == KERNEL_PVH || kernel->format == KERNEL_MULTIBOOT ||
		(kernel->is_bzimage && kernel->bz.protocol < 0x0209))
		return image_error(config->kernel, err, -ENOTSUP,
			"a device tree (--dtb) needs the Linux boot protocol, 2.09 or later");
	rc = setup_data_write(
		mem, SETUP_DATA_DTB, config->dtb, config->dtb_size, &info->setup_data_gpa);
	return rc ? image_error(config->kernel, err, rc, "no RAM for the device tree") : 0;
}

/* Command line, initrd, and the structure that tells of them. */
static int inform(const struct guest_mem *mem, const struct loader_config *config,
	const struct kernel *kernel, const struct plan *plan, struct boot_info *info,
	struct error *err)
{
	const struct initrd_config initrd = initrd_config(config, plan);
	int rc = put_cmdline(mem, config->kernel, plan, config->cmdline, err);

	if (!rc)
		rc = initrd_load(mem, &initrd, &info->initrd_gpa, &info->initrd_size, err);
	if (!rc)
		rc = put_dtb(mem, config, kernel, info, err);
	if (rc)
		return rc;
	rc = tell_kernel(mem, kernel, info);
	return rc ? image_error(config->kernel, err, rc,
			    "no RAM for boot parameters and tables below 1 MiB")
		  : 0;
}

static int inform_multiboot(const struct guest_mem *mem, const struct loader_config *config,
	const struct kernel *kernel, const struct plan *plan, struct boot_info *info,
	struct error *err)
{
	const struct multiboot_config multiboot = {
		.kernel = config->kernel,
		.kernel_end = plan->kernel_gpa + plan->kernel_size,
		.modules = config->initrds,
		.num_modules = config->num_initrds,
		.cmdline = config->own_cmdline ? config->own_cmdline : config->cmdline,
	};
	int rc = put_dtb(mem, config, kernel, info, err);

	return rc ? rc
		  : multiboot_tell(mem, &multiboot, &info->initrd_gpa, &info->initrd_size, err);
}

static_assert(sizeof(((struct loader_result *)0)->version) == BZIMAGE_VERSION, "whole ones");

static int load_all(const struct guest_mem *mem, const struct loader_config *config,
	struct kernel *kernel, struct loader_result *out, struct error *err)
{
	struct boot_info info = {.cmdline_gpa = LAYOUT_CMDLINE, .rsdp_gpa = config->rsdp_gpa};
	struct plan plan = {0};
	int rc = load_kernel(mem, config, kernel, &plan, err);

	if (rc)
		return rc;
	info.kernel_gpa = plan.kernel_gpa;
	info.kaslr = plan.kaslr;
	if (kernel->format == KERNEL_MULTIBOOT)
		rc = inform_multiboot(mem, config, kernel, &plan, &info, err);
	else
		rc = inform(mem, config, kernel, &plan, &info, err);
	if (rc)
		return rc;
	rc = build_entry(mem, kernel, &plan, &out->entry);
	if (rc)
		return image_error(config->kernel, err, rc,
			"no RAM for boot parameters and tables below 1 MiB");
	out->kernel_gpa = plan.kernel_gpa;
	out->kernel_size = plan.kernel_size;
	out->kaslr = plan.kaslr;
	if (kernel->elf_image && kernel->elf.is_linux) {
		out->kernel_slide = kernel->kaslr.virtual;
		out->kernel_virtual = RELOCS_KERNEL_MAP + kernel->elf.start -
				      kernel->kaslr.physical + out->kernel_slide;
	}
	out->initrd_gpa = info.initrd_gpa;
	out->initrd_size = info.initrd_size;
	return 0;
}

/* memtest86+ and iPXE are bzImages too, but unpack nothing. */
static bool is_linux(const struct kernel *kernel)
{
	return kernel->elf_image ? kernel->elf.is_linux : kernel->bz.payload_size;
}

int loader_load(const struct guest_mem *mem, const struct loader_config *config,
	struct loader_result *result, struct error *err)
{
	struct loader_result out = {0};
	struct kernel kernel;
	int rc = kernel_parse(config->kernel, config->boot, &kernel, err);

	if (!rc)
		rc = kernel_unpack(mem, config, &kernel, err);
	if (!rc)
		rc = load_all(mem, config, &kernel, &out, err);
	if (!rc && config->version && kernel.is_bzimage)
		rc = bzimage_read_version(config->kernel, &kernel.bz, out.version, err);
	if (!rc) {
		out.format = kernel.format;
		out.not_unpacked = kernel.not_unpacked;
		out.is_linux = is_linux(&kernel);
		out.cached = kernel.elf_image == &kernel.unpacked.image && !kernel.unpacked.bytes;
		*result = out;
	}
	kernel_release(&kernel);
	return rc;
}
