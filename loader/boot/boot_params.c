/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page is put together in a buffer and written once. It starts as zeros; a bzImage's setup
 * header is copied into it up to the end that the header names, never further (Linux takes a filled
 * sentinel behind it for a careless loader). Whatever fields are the loader's to fill are then set,
 * so that no address of the file's making reaches the kernel: setup_data above all, a list that it
 * would walk.
 *
 * screen_info stays zero: orig_video_isVGA 0 and no lines say that there is no text screen.
 */
#include "loader/boot/boot_params.h"

#include <string.h>

#include "loader/boot/boot_proto.h"
#include "loader/boot/e820.h"
#include "loader/bzimage.h"
#include "loader/image/bytes.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

_Static_assert(E820_MAX <= BP_E820_MAX, "the whole map fits boot_params");

/* A header for a kernel that brought none: what startup code reads to trust the rest. */
static void make_header(uint8_t *bp)
{
	put_le16(bp + HDR_ROOT_FLAGS, 1); /* read-only until told otherwise, as in a bzImage */
	put_le16(bp + HDR_BOOT_FLAG, HDR_BOOT_FLAG_VALUE);
	put_le32(bp + HDR_MAGIC, HDR_MAGIC_VALUE);
	put_le16(bp + HDR_VERSION, 0x020f);
	put_le32(bp + HDR_KERNEL_ALIGNMENT, 2 * MiB);
	put_le32(bp + HDR_INITRD_ADDR_MAX, 0x7fffffff);
	put_le16(bp + HDR_XLOADFLAGS, HDR_XLF_KERNEL_64);
}

static void clear_foreign(uint8_t *bp)
{
	put_le16(bp + HDR_HEAP_END_PTR, 0);
	bp[HDR_EXT_LOADER_VER] = 0;
	bp[HDR_EXT_LOADER_TYPE] = 0;
	put_le32(bp + HDR_HARDWARE_SUBARCH, 0); /* a plain PC */
	put_le64(bp + HDR_SUBARCH_DATA, 0);
}

static void fill(uint8_t *bp, const struct boot_info *info)
{
	bp[HDR_TYPE_OF_LOADER] = HDR_LOADER_UNDEFINED;
	bp[HDR_LOADFLAGS] = HDR_LOADED_HIGH | (info->kaslr ? HDR_KASLR_FLAG : 0);
	put_le16(bp + HDR_VID_MODE, HDR_VID_MODE_NORMAL);
	put_le32(bp + HDR_CODE32_START, (uint32_t)info->kernel_gpa);
	put_le32(bp + HDR_RAMDISK_IMAGE, (uint32_t)info->initrd_gpa);
	put_le32(bp + HDR_RAMDISK_SIZE, (uint32_t)info->initrd_size);
	put_le32(bp + HDR_CMD_LINE_PTR, (uint32_t)info->cmdline_gpa);
	put_le32(bp + BP_EXT_RAMDISK_IMAGE, (uint32_t)(info->initrd_gpa >> 32));
	put_le32(bp + BP_EXT_RAMDISK_SIZE, (uint32_t)(info->initrd_size >> 32));
	put_le32(bp + BP_EXT_CMD_LINE_PTR, (uint32_t)(info->cmdline_gpa >> 32));
	put_le64(bp + HDR_SETUP_DATA, info->setup_data_gpa);
	put_le64(bp + BP_ACPI_RSDP_ADDR, info->rsdp_gpa);
}

static void fill_e820(uint8_t *bp, const struct e820_map *map)
{
	bp[BP_E820_ENTRIES] = (uint8_t)map->count;
	for (unsigned int i = 0; i < map->count; i++) {
		uint8_t *p = bp + BP_E820_TABLE + i * BP_E820_ENTRY_SIZE;

		put_le64(p, map->entries[i].addr);
		put_le64(p + 8, map->entries[i].size);
		put_le32(p + 16, map->entries[i].type);
	}
}

int boot_params_write(const struct guest_mem *mem, const struct bzimage *bz,
	const struct boot_info *info, const struct e820_map *map)
{
	uint8_t bp[BOOT_PARAMS_SIZE] = {0};

	if (bz)
		memcpy(bp + HDR_START, bz->header + HDR_START, bz->header_end - HDR_START);
	else
		make_header(bp);
	clear_foreign(bp);
	fill(bp, info);
	fill_e820(bp, map);
	return guest_mem_write(mem, LAYOUT_BOOT_PARAMS, bp, sizeof(bp));
}
