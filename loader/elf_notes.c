/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes: {namesz, descsz, type}, the name, the descriptor, each of the two padded to the segment's
 * alignment. Some matter: Xen's PHYS32_ENTRY (18), which is where a PVH guest begins in 32-bit
 * mode, and either Xen's GUEST_OS (6) or any note by the name of Linux, which tell that the kernel
 * is Linux and speaks the 64-bit boot protocol (Xen: public/elfnote.h; Linux:
 * include/linux/elfnote.h).
 *
 * GNU's ABI tag (1) names the operating system that a program runs under: no kernel has it.
 *
 * They are read one by one, and their number is bounded: no buffer has to be as large as a file
 * says.
 */
#include "loader/elf_notes.h"

#include <errno.h>
#include <string.h>

#include "loader/image/bytes.h"
#include "vm/core/error.h"

enum {
	NOTE_HEADER = 12,
	NOTE_MAX = 256,
	NOTE_DESC_MAX = 8,
	GNU_ABI_TAG = 1,
	XEN_GUEST_OS = 6,
	XEN_PHYS32_ENTRY = 18,
};

struct note {
	uint32_t namesz, descsz, type;
	uint64_t name_off, desc_off; /* in the file */
};

static int bad_notes(const struct image *image, struct error *err)
{
	return image_error(image, err, -EINVAL,
		"an ELF note overruns its segment (PT_NOTE): the file is damaged");
}

/* Reads up to 8 bytes of the name or of the descriptor; the rest of buf is 0. */
static int read_some(const struct image *image, uint64_t off, uint32_t size,
	uint8_t buf[NOTE_DESC_MAX], struct error *err)
{
	memset(buf, 0, NOTE_DESC_MAX);
	return image_read(image, off, buf, MIN(size, NOTE_DESC_MAX), err);
}

static int take_phys32_entry(
	const struct image *image, const struct note *note, struct elf *elf, struct error *err)
{
	uint8_t desc[NOTE_DESC_MAX];
	int rc;

	if (note->descsz != 4 && note->descsz != 8)
		return image_error(image, err, -EINVAL,
			"the PVH entry note has %u bytes instead of 4 or 8: the file is damaged",
			note->descsz);
	rc = read_some(image, note->desc_off, note->descsz, desc, err);
	if (rc)
		return rc;
	elf->pvh_entry = get_le64(desc);
	elf->has_pvh = true;
	if (elf->pvh_entry >= 4 * GiB)
		return image_error(image, err, -EINVAL,
			"the PVH entry 0x%llx is above 4 GiB: the file is damaged",
			(unsigned long long)elf->pvh_entry);
	return 0;
}

static int take_note(
	const struct image *image, const struct note *note, struct elf *elf, struct error *err)
{
	uint8_t name[NOTE_DESC_MAX], desc[NOTE_DESC_MAX];
	int rc = read_some(image, note->name_off, note->namesz, name, err);

	if (rc)
		return rc;
	if (note->namesz == sizeof("Linux") && memcmp(name, "Linux", sizeof("Linux")) == 0)
		elf->is_linux = true;
	if (note->namesz == sizeof("GNU") && memcmp(name, "GNU", sizeof("GNU")) == 0)
		elf->is_program |= note->type == GNU_ABI_TAG;
	if (note->namesz != sizeof("Xen") || memcmp(name, "Xen", sizeof("Xen")) != 0)
		return 0;
	if (note->type == XEN_PHYS32_ENTRY)
		return take_phys32_entry(image, note, elf, err);
	if (note->type == XEN_GUEST_OS) {
		rc = read_some(image, note->desc_off, note->descsz, desc, err);
		elf->is_linux |= !rc && memcmp(desc, "linux", 5) == 0;
	}
	return rc;
}

int elf_read_notes(const struct image *image, uint64_t offset, uint64_t size, uint64_t align,
	struct elf *elf, struct error *err)
{
	uint64_t pad = align == 8 ? 8 : 4;
	uint64_t at = 0; /* from offset */

	for (unsigned int n = 0; n < NOTE_MAX && range_ok(at, NOTE_HEADER, size); n++) {
		uint8_t h[NOTE_HEADER];
		struct note note;
		int rc = image_read(image, offset + at, h, sizeof(h), err);

		if (rc)
			return rc;
		note = (struct note){get_le32(h), get_le32(h + 4), get_le32(h + 8), 0, 0};
		at += NOTE_HEADER;
		note.name_off = offset + at;
		if (!range_ok(at, note.namesz, size))
			return bad_notes(image, err);
		at = ALIGN_UP(at + note.namesz, pad);
		note.desc_off = offset + at;
		if (!range_ok(at, note.descsz, size))
			return bad_notes(image, err);
		at = ALIGN_UP(at + note.descsz, pad);
		rc = take_note(image, &note, elf, err);
		if (rc)
			return rc;
	}
	return 0;
}
