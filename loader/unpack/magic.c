/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signatures of files that people give in place of a kernel by mistake, most telling first. Only
 * used to word a refusal: nothing is decided by them.
 */
#include "loader/unpack/magic.h"

#include <string.h>

#include "loader/image/bytes.h"

struct signature {
	uint32_t offset;
	uint8_t len;
	const char *bytes;
	const char *text;
};

#define SIG(offset, bytes, text)                                                                   \
	{                                                                                          \
		offset, sizeof(bytes) - 1, bytes, text                                             \
	}

#define UNPACK "unpack it first, then give the result"

static const struct signature signatures[] = {
	SIG(4, "zimg", "a compressed EFI kernel (EFI zboot): use the vmlinux or bzImage"),
	SIG(56, "ARM\x64", "a kernel for 64-bit ARM: this machine runs x86-64 kernels"),
	SIG(56, "RSC\x05", "a kernel for RISC-V: this machine runs x86-64 kernels"),
	SIG(48, "RISCV", "a kernel for RISC-V: this machine runs x86-64 kernels"),
	SIG(36, "\x18\x28\x6f\x01", "a kernel for 32-bit ARM: this machine runs x86-64 kernels"),
	SIG(0, "\x1f\x8b",
		"gzip-compressed data (a vmlinux.gz or Image.gz, or an initrd): " UNPACK),
	SIG(0,
		"\xfd"
		"7zXZ",
		"xz-compressed data: " UNPACK),
	SIG(0, "\x28\xb5\x2f\xfd", "zstd-compressed data: " UNPACK),
	SIG(0, "\x04\x22\x4d\x18", "lz4-compressed data: " UNPACK),
	SIG(0, "\x02\x21\x4c\x18", "lz4-compressed data (legacy frame): " UNPACK),
	SIG(0, "\x5d\x00\x00", "lzma-compressed data: " UNPACK),
	SIG(0, "\x89LZO", "lzo-compressed data: " UNPACK),
	SIG(0, "BZh", "bzip2-compressed data: " UNPACK),
	SIG(0, "070701", "an initramfs (cpio archive): give it with --initrd"),
	SIG(0, "070702", "an initramfs (cpio archive): give it with --initrd"),
	SIG(0, "070707", "a cpio archive: give an initramfs with --initrd"),
	SIG(0, "\xd0\x0d\xfe\xed",
		"a device tree or FIT image (.dtb, .itb): use the kernel itself"),
	SIG(0, "\x27\x05\x19\x56", "a U-Boot image (uImage): use the bzImage or vmlinux"),
	SIG(0, "ANDROID!", "an Android boot image: use the bzImage inside it"),
	SIG(0, "#!", "a script"),
	SIG(0, "QFI\xfb", "a disk image (qcow2)"),
	SIG(0, "KDMV", "a disk image (VMDK)"),
	SIG(0, "# Disk DescriptorFile", "a disk image (VMDK)"),
	SIG(0, "vhdxfile", "a disk image (VHDX)"),
	SIG(0, "conectix", "a disk image (VHD)"),
	SIG(0, "<<< ", "a disk image (VDI)"),
	SIG(0, "hsqs", "a squashfs file system"),
	SIG(0, "XFSB", "an XFS file system"),
	SIG(0, "!<arch>\ndebian", "a Debian package: use the vmlinuz inside it (dpkg -x)"),
	SIG(0, "!<arch>\n", "an archive of object files"),
	SIG(0, "\xed\xab\xee\xdb", "an RPM package: use the vmlinuz inside it"),
	SIG(0, "PK\x03\x04", "a zip archive"),
	SIG(257, "ustar", "a tar archive"),
	SIG(512, "EFI PART", "a disk image (GPT)"),
	SIG(1080, "\x53\xef", "an ext2/3/4 file system"),
	SIG(32769, "CD001", "a CD image (ISO 9660)"),
	SIG(65600, "_BHRfS_M", "a btrfs file system"),
	SIG(0, "MZ", "an EFI or Windows program (PE) without a Linux setup header"),
	SIG(510, "\x55\xaa", "a boot sector or disk image"),
};

static bool matches(const struct image *image, const struct signature *sig)
{
	uint8_t found[32];

	return range_ok(sig->offset, sig->len, image->size) && sig->len <= sizeof(found) &&
	       image_read(image, sig->offset, found, sig->len, NULL) == 0 &&
	       memcmp(found, sig->bytes, sig->len) == 0;
}

/*
 * A unified kernel image is a PE program for EFI that has a kernel in a section of its own. Section
 * headers of 40 bytes follow the headers: of the file, with their number at 6, and the optional
 * one, whose size is at 20.
 */
static bool is_uki(const struct image *image)
{
	enum { PE_OFFSET = 0x3c, PE_SIZE = 24, SECTION_SIZE = 40, SECTIONS_MAX = 96 };
	uint8_t head[PE_OFFSET + 4], pe[PE_SIZE], section[8];
	uint64_t at;

	if (image->size < sizeof(head) || image_read(image, 0, head, sizeof(head), NULL) ||
		memcmp(head, "MZ", 2) != 0)
		return false;
	at = get_le32(head + PE_OFFSET);
	if (!range_ok(at, sizeof(pe), image->size) || image_read(image, at, pe, sizeof(pe), NULL) ||
		memcmp(pe, "PE\0\0", 4) != 0)
		return false;
	at += sizeof(pe) + get_le16(pe + 20);
	for (unsigned int i = 0; i < MIN(get_le16(pe + 6), SECTIONS_MAX); i++, at += SECTION_SIZE)
		if (range_ok(at, sizeof(section), image->size) &&
			!image_read(image, at, section, sizeof(section), NULL) &&
			!memcmp(section, ".linux\0", sizeof(section)))
			return true;
	return false;
}

/* Printable text in its first bytes, as far as they go, with a letter of another script here and
 * there. */
static bool is_text(const struct image *image)
{
	uint8_t found[256];
	size_t len = MIN(image->size, sizeof(found)), foreign = 0;

	if (image_read(image, 0, found, len, NULL))
		return false;
	for (size_t i = 0; i < len; i++) {
		foreign += found[i] >= 0x80;
		if ((found[i] < ' ' && !strchr("\t\r\n\f", found[i])) || found[i] == 0 ||
			found[i] == 0x7f)
			return false;
	}
	return foreign <= len / 4;
}

static bool is_zero(const struct image *image)
{
	uint8_t found[1024];
	size_t len = MIN(image->size, sizeof(found));

	if (image_read(image, 0, found, len, NULL))
		return false;
	for (size_t i = 0; i < len; i++)
		if (found[i])
			return false;
	return true;
}

const char *magic_describe(const struct image *image)
{
	if (is_uki(image))
		return "a unified kernel image (UKI): extract its parts with objcopy -O binary -j "
		       ".linux FILE vmlinuz, and the same for .initrd and .cmdline";
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
		if (matches(image, &signatures[i]))
			return signatures[i].text;
	if (is_text(image))
		return "a text file";
	if (is_zero(image))
		return "zeros at its beginning (a fresh disk image, or a failed copy?)";
	return "an unknown format";
}
