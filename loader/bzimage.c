/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bzImage is a boot sector, real-mode setup code and the protected-mode code (Linux:
 * Documentation/arch/x86/boot.rst). The setup code is for loaders that start in real mode; only the
 * header inside it and the protected-mode code matter here. The header is read once into a buffer,
 * every field is checked there, and what is used later is either a checked value in struct bzimage
 * or a byte of that buffer: the file is not asked twice.
 *
 * The code goes to pref_address. The protocol would let a relocatable kernel go elsewhere, but
 * Linux moves itself to pref_address when it finds itself below it, so a lower place would merely
 * turn "not enough memory" into a silent crash; and where pref_address does not fit, nothing above
 * it does.
 */
#include "loader/bzimage.h"

#include <errno.h>
#include <string.h>

#include "loader/boot/lowram.h"
#include "loader/image/bytes.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { SECTOR = 512, DEFAULT_SETUP_SECTS = 4 };

bool bzimage_detect(const uint8_t *head, size_t len)
{
	return len >= HDR_MAGIC + 4 && get_le32(head + HDR_MAGIC) == HDR_MAGIC_VALUE;
}

static int read_header(const struct image *image, struct bzimage *bz, struct error *err)
{
	const uint8_t *h = bz->header;
	int rc;

	if (image->size < HDR_MIN_FILE)
		return image_error(image, err, -EINVAL,
			"%llu bytes are too few for a bzImage's header (%u): is it a cut download?",
			(unsigned long long)image->size, HDR_MIN_FILE);
	rc = image_read(image, 0, bz->header, MIN(image->size, sizeof(bz->header)), err);
	if (rc)
		return rc;
	if (get_le16(h + HDR_BOOT_FLAG) != HDR_BOOT_FLAG_VALUE)
		return image_error(image, err, -EINVAL,
			"boot_flag is 0x%04x instead of 0xaa55: the file is damaged",
			get_le16(h + HDR_BOOT_FLAG));
	if (get_le32(h + HDR_MAGIC) != HDR_MAGIC_VALUE)
		return image_error(
			image, err, -EINVAL, "not a bzImage: the HdrS signature is missing");
	return 0;
}

static int check_version(const struct image *image, struct bzimage *bz, struct error *err)
{
	uint16_t version = get_le16(bz->header + HDR_VERSION);
	uint32_t need = version >= 0x020a ? HDR_END_2_10 : HDR_END_2_06;

	if (version >> 8 != 2)
		return image_error(image, err, -EINVAL,
			"version 0x%04x of the boot protocol is unknown: the file is damaged",
			version);
	if (version < 0x0206)
		return image_error(image, err, -ENOTSUP,
			"version %u.%02u of the boot protocol is too old: use Linux 2.6.22 or "
			"later",
			version >> 8, version & 0xff);
	bz->protocol = version;
	bz->header_end = HDR_MAGIC + bz->header[HDR_JUMP_LEN];
	if (bz->header_end < need || bz->header_end > HDR_LIMIT)
		return image_error(image, err, -EINVAL,
			"the setup header ends at 0x%x, expected 0x%x to 0x%x: the file is damaged",
			bz->header_end, need, HDR_LIMIT);
	return 0;
}

/* Finds the protected-mode code behind the setup sectors. */
static int find_code(const struct image *image, struct bzimage *bz, struct error *err)
{
	const uint8_t *h = bz->header;
	uint32_t sects = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : DEFAULT_SETUP_SECTS;
	uint64_t promised = (uint64_t)get_le32(h + HDR_SYSSIZE) * 16;

	if (!(h[HDR_LOADFLAGS] & HDR_LOADED_HIGH))
		return image_error(image, err, -ENOTSUP,
			"loadflags lacks LOADED_HIGH: a zImage, which only a BIOS can boot; use a "
			"bzImage");
	bz->code_offset = (uint64_t)(sects + 1) * SECTOR;
	if (bz->code_offset >= image->size)
		return image_error(image, err, -EINVAL,
			"setup_sects is %u, so the kernel begins at byte %llu of a file of %llu: "
			"the file "
			"is damaged or cut short",
			h[HDR_SETUP_SECTS], (unsigned long long)bz->code_offset,
			(unsigned long long)image->size);
	bz->code_size = image->size - bz->code_offset;
	/* syssize counts paragraphs, the last of which the file need not fill. */
	if (bz->code_size + 15 < promised)
		return image_error(image, err, -EINVAL,
			"syssize promises %llu bytes of kernel, the file has %llu: cut short, copy "
			"it again",
			(unsigned long long)promised, (unsigned long long)bz->code_size);
	return 0;
}

static int read_placement(const struct image *image, struct bzimage *bz, struct error *err)
{
	const uint8_t *h = bz->header;

	if (bz->protocol >= 0x0208 && bz->header_end >= HDR_PAYLOAD_LENGTH + 4) {
		bz->payload_offset = bz->code_offset + get_le32(h + HDR_PAYLOAD_OFFSET);
		bz->payload_size = get_le32(h + HDR_PAYLOAD_LENGTH);
	}
	bz->relocatable = h[HDR_RELOCATABLE];
	/* Of a kernel that is not relocatable the alignment says nothing. */
	bz->alignment = bz->relocatable ? get_le32(h + HDR_KERNEL_ALIGNMENT) : 1;
	if (!is_power_of_two(bz->alignment))
		return image_error(image, err, -EINVAL,
			"kernel_alignment 0x%x is not a power of two: the file is damaged",
			bz->alignment);
	if (bz->protocol < 0x020a) {
		/* It says neither where nor how much; it is unpacked over itself, to about 4 times.
		 */
		bz->pref_address = HDR_DEFAULT_CODE_START;
		bz->init_size = bz->code_size * 4 + MiB;
		return 0;
	}
	bz->pref_address = get_le64(h + HDR_PREF_ADDRESS);
	bz->init_size = get_le32(h + HDR_INIT_SIZE);
	if (bz->init_size < bz->code_size)
		return image_error(image, err, -EINVAL,
			"init_size 0x%llx is less than the kernel's own 0x%llx bytes: the file is "
			"damaged",
			(unsigned long long)bz->init_size, (unsigned long long)bz->code_size);
	if (bz->pref_address < LAYOUT_KERNEL_MIN && !bz->relocatable)
		return image_error(image, err, -EINVAL,
			"pref_address 0x%llx is below 1 MiB and the kernel is not relocatable",
			(unsigned long long)bz->pref_address);
	return 0;
}

static int read_entry(const struct image *image, struct bzimage *bz, struct error *err)
{
	const uint8_t *h = bz->header;

	bz->cmdline_size = get_le32(h + HDR_CMDLINE_SIZE);
	bz->initrd_addr_max = get_le32(h + HDR_INITRD_ADDR_MAX);
	bz->entry64 = bz->protocol >= 0x020c && (get_le16(h + HDR_XLOADFLAGS) & HDR_XLF_KERNEL_64);
	if (bz->entry64 && bz->code_size <= HDR_ENTRY64_OFFSET)
		return image_error(image, err, -EINVAL,
			"XLF_KERNEL_64 is set, but %llu bytes of kernel do not reach the 64-bit "
			"entry",
			(unsigned long long)bz->code_size);
	/* Linux says where its 32-bit entry is, as the protocol wants; iPXE has none. */
	if (!bz->entry64 && !get_le32(h + HDR_CODE32_START))
		return image_error(image, err, -ENOTSUP,
			"it starts in real mode only (code32_start is 0), from a BIOS, as iPXE "
			"does: there is no BIOS here");
	return 0;
}

int bzimage_read_version(const struct image *image, const struct bzimage *bz,
	char version[BZIMAGE_VERSION], struct error *err)
{
	uint64_t off = get_le16(bz->header + HDR_KERNEL_VERSION);
	size_t len;
	int rc;

	version[0] = '\0';
	if (!off || off + SECTOR >= bz->code_offset)
		return 0;
	off += SECTOR;
	len = MIN(BZIMAGE_VERSION - 1, bz->code_offset - off);
	rc = image_read(image, off, version, len, err);
	version[rc ? 0 : len] = '\0';
	for (char *p = version; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return rc;
}

int bzimage_parse(const struct image *image, struct bzimage *bz, struct error *err)
{
	static int (*const steps[])(const struct image *, struct bzimage *, struct error *) = {
		read_header,
		check_version,
		find_code,
		read_placement,
		read_entry,
	};
	int rc = 0;

	memset(bz, 0, sizeof(*bz));
	for (size_t i = 0; !rc && i < ARRAY_SIZE(steps); i++)
		rc = steps[i](image, bz, err);
	return rc;
}

int bzimage_place(const struct guest_mem *mem, const struct image *image, const struct bzimage *bz,
	uint64_t *gpa, struct error *err)
{
	uint64_t ram_end = lowram_end(mem);
	uint64_t at = bz->pref_address;

	if (at >= 4 * GiB)
		return image_error(image, err, -EINVAL,
			"pref_address 0x%llx is above 4 GiB: the file is damaged",
			(unsigned long long)at);
	if (bz->relocatable)
		at = ALIGN_UP(MAX(at, LAYOUT_KERNEL_MIN), bz->alignment);
	if (at + bz->init_size > LAYOUT_LOW_RAM_END)
		return image_error(image, err, -ENOSPC,
			"pref_address 0x%llx and init_size 0x%llx need RAM up to 0x%llx, and a "
			"guest's ends "
			"at 0x%x at most: the file is damaged",
			(unsigned long long)bz->pref_address, (unsigned long long)bz->init_size,
			(unsigned long long)at + bz->init_size, LAYOUT_LOW_RAM_END);
	if (!range_ok(at, bz->init_size, ram_end))
		return image_error(image, err, -ENOSPC,
			"the kernel needs %llu MiB of memory to unpack itself (init_size 0x%llx at "
			"0x%llx), "
			"the guest has %llu: give it more with -m",
			(unsigned long long)to_mib(at + bz->init_size),
			(unsigned long long)bz->init_size, (unsigned long long)at,
			(unsigned long long)ram_mib(mem));
	*gpa = at;
	return 0;
}

int bzimage_load(const struct guest_mem *mem, const struct image *image, const struct bzimage *bz,
	uint64_t *gpa, struct error *err)
{
	uint64_t at = 0;
	int rc = bzimage_place(mem, image, bz, &at, err);
	void *dst;

	if (rc)
		return rc;
	dst = guest_mem_ptr(mem, at, bz->code_size);
	if (!dst)
		return image_error(image, err, -ENOSPC, "no RAM for the kernel at 0x%llx",
			(unsigned long long)at);
	rc = image_read(image, bz->code_offset, dst, bz->code_size, err);
	if (rc)
		return rc;
	*gpa = at;
	return 0;
}
