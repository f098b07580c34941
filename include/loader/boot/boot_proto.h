/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets and constants of the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst and
 * zero-page.rst in Linux). The setup header has the same offsets in the file and in boot_params.
 */
#ifndef BANTAM_LOADER_BOOT_BOOT_PROTO_H
#define BANTAM_LOADER_BOOT_BOOT_PROTO_H

#define BOOT_PARAMS_SIZE 4096

/* The setup header */
#define HDR_SETUP_SECTS	       0x1f1 /* u8 */
#define HDR_ROOT_FLAGS	       0x1f2 /* u16 */
#define HDR_SYSSIZE	       0x1f4 /* u32, in paragraphs of 16 bytes */
#define HDR_VID_MODE	       0x1fa /* u16 */
#define HDR_BOOT_FLAG	       0x1fe /* u16 */
#define HDR_JUMP_LEN	       0x201 /* u8, the header ends at HDR_MAGIC + this */
#define HDR_MAGIC	       0x202 /* u32 */
#define HDR_VERSION	       0x206 /* u16 */
#define HDR_KERNEL_VERSION     0x20e /* u16, of a string, less 0x200 */
#define HDR_TYPE_OF_LOADER     0x210 /* u8 */
#define HDR_LOADFLAGS	       0x211 /* u8 */
#define HDR_CODE32_START       0x214 /* u32 */
#define HDR_RAMDISK_IMAGE      0x218 /* u32 */
#define HDR_RAMDISK_SIZE       0x21c /* u32 */
#define HDR_HEAP_END_PTR       0x224 /* u16 */
#define HDR_EXT_LOADER_VER     0x226 /* u8 */
#define HDR_EXT_LOADER_TYPE    0x227 /* u8 */
#define HDR_CMD_LINE_PTR       0x228 /* u32 */
#define HDR_INITRD_ADDR_MAX    0x22c /* u32, the last usable address */
#define HDR_KERNEL_ALIGNMENT   0x230 /* u32, 2.05 */
#define HDR_RELOCATABLE	       0x234 /* u8, 2.05 */
#define HDR_XLOADFLAGS	       0x236 /* u16, 2.12 */
#define HDR_CMDLINE_SIZE       0x238 /* u32, 2.06, without the final zero */
#define HDR_HARDWARE_SUBARCH   0x23c /* u32, 2.07 */
#define HDR_SUBARCH_DATA       0x240 /* u64, 2.07 */
#define HDR_PAYLOAD_OFFSET     0x248 /* u32, 2.08, from the protected-mode code on */
#define HDR_PAYLOAD_LENGTH     0x24c /* u32, 2.08 */
#define HDR_SETUP_DATA	       0x250 /* u64, 2.09 */
#define HDR_PREF_ADDRESS       0x258 /* u64, 2.10 */
#define HDR_INIT_SIZE	       0x260 /* u32, 2.10 */
#define HDR_END_2_06	       0x23c
#define HDR_END_2_10	       0x264
#define HDR_START	       HDR_SETUP_SECTS
#define HDR_LIMIT	       0x290 /* what follows in boot_params is no header any more */
#define HDR_MIN_FILE	       0x268

#define HDR_BOOT_FLAG_VALUE    0xaa55
#define HDR_MAGIC_VALUE	       0x53726448 /* "HdrS" */
#define HDR_LOADER_UNDEFINED   0xff
#define HDR_VID_MODE_NORMAL    0xffff
#define HDR_LOADED_HIGH	       0x01
#define HDR_KASLR_FLAG	       0x02 /* set for the kernel by what unpacks it */
#define HDR_XLF_KERNEL_64      0x0001
#define HDR_ENTRY64_OFFSET     0x200
#define HDR_DEFAULT_CODE_START 0x100000

/* boot_params around it */
#define BP_ACPI_RSDP_ADDR    0x070 /* u64 */
#define BP_EXT_RAMDISK_IMAGE 0x0c0 /* u32 */
#define BP_EXT_RAMDISK_SIZE  0x0c4 /* u32 */
#define BP_EXT_CMD_LINE_PTR  0x0c8 /* u32 */
#define BP_E820_ENTRIES	     0x1e8 /* u8 */
#define BP_E820_TABLE	     0x2d0 /* of 20 bytes each: u64 address, u64 size, u32 type */
#define BP_E820_ENTRY_SIZE   20
#define BP_E820_MAX	     128

#endif
