/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flat binaries: bytes put at an address and entered there. Real mode needs nothing else in memory;
 * protected and long mode get the GDT, long mode the page tables, both of which lie below 64 KiB
 * and are refused to be overwritten: the guest would die without a word.
 */
#include <errno.h>

#include "loader/boot/gdt.h"
#include "loader/boot/paging.h"
#include "loader/loader.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { REAL_STACK = 0x7c00, REAL_STACK_SIZE = 256, BOOT_STACK_SIZE = 0xF00 };

struct area {
	const char *name;
	uint64_t gpa, size;
};

static const struct area gdt_area = {"the GDT", LAYOUT_BOOT_GDT, GDT_SIZE};
static const struct area stack_area = {
	"the stack", LAYOUT_BOOT_STACK - BOOT_STACK_SIZE, BOOT_STACK_SIZE};
static const struct area tables_area = {"the page tables", LAYOUT_PAGE_TABLES, PAGING_TABLES_SIZE};

static int check_clear(
	const struct image *image, uint64_t gpa, const struct area *area, struct error *err)
{
	if (!ranges_overlap(gpa, image->size, area->gpa, area->size))
		return 0;
	return image_error(image, err, -EINVAL,
		"at 0x%llx the file would cover %s at 0x%llx-0x%llx: choose another address, such "
		"as "
		"@0x10000",
		(unsigned long long)gpa, area->name, (unsigned long long)area->gpa,
		(unsigned long long)(area->gpa + area->size - 1));
}

/*
 * A stack for real mode, as an offset into the segment: the usual 0x7c00 where that is free, else
 * the highest free place of the segment; 0, the top, where the file leaves nothing.
 */
static uint16_t real_stack(
	const struct guest_mem *mem, uint16_t segment, uint64_t gpa, uint64_t size)
{
	uint64_t base = (uint64_t)segment << 4;

	for (uint64_t sp = REAL_STACK; sp; sp = sp == REAL_STACK ? 0xfff0 : sp - REAL_STACK_SIZE) {
		uint64_t bottom = base + sp - REAL_STACK_SIZE;

		if (sp < 2 * REAL_STACK_SIZE)
			break;
		if (!ranges_overlap(bottom, REAL_STACK_SIZE, gpa, size) &&
			guest_mem_ptr(mem, bottom, REAL_STACK_SIZE))
			return (uint16_t)sp;
	}
	return 0;
}

static int enter_real(const struct guest_mem *mem, const struct image *image, uint64_t gpa,
	struct entry_state *entry, struct error *err)
{
	if (gpa >= MiB)
		return image_error(image, err, -EINVAL,
			"0x%llx is above 1 MiB, which real mode does not reach: choose a lower "
			"address or "
			"another --mode",
			(unsigned long long)gpa);
	if (gpa >= 0x10000 && gpa % 16)
		return image_error(image, err, -EINVAL,
			"0x%llx is above 64 KiB and no multiple of 16: no real-mode segment begins "
			"there",
			(unsigned long long)gpa);
	entry->mode = ENTRY_REAL;
	entry->real_segment = gpa < 0x10000 ? 0 : (uint16_t)(gpa >> 4);
	entry->rip = gpa < 0x10000 ? gpa : 0;
	entry->rsp = real_stack(mem, entry->real_segment, gpa, image->size);
	return 0;
}

static int enter_protected(const struct guest_mem *mem, const struct image *image, uint64_t gpa,
	enum entry_mode mode, struct entry_state *entry, struct error *err)
{
	const struct area *areas[] = {&gdt_area, &stack_area, &tables_area};
	size_t count = mode == ENTRY_LONG ? 3 : 2;
	int rc = 0;

	if (gpa >= 4 * GiB)
		return image_error(image, err, -EINVAL,
			"0x%llx is above 4 GiB, which %s: choose a lower address",
			(unsigned long long)gpa,
			mode == ENTRY_LONG ? "is not mapped" : "protected mode does not reach");
	for (size_t i = 0; !rc && i < count; i++)
		rc = check_clear(image, gpa, areas[i], err);
	if (rc)
		return rc;
	entry->mode = mode;
	entry->rip = gpa;
	entry->rsp = LAYOUT_BOOT_STACK;
	rc = gdt_build(mem, entry);
	if (!rc && mode == ENTRY_LONG)
		rc = paging_build(mem, &entry->cr3);
	if (rc)
		return image_error(image, err, rc,
			"no RAM for the GDT and page tables below 64 KiB: give the guest more with "
			"-m");
	return 0;
}

int loader_load_flat(const struct guest_mem *mem, const struct image *image, uint64_t gpa,
	enum entry_mode mode, struct entry_state *entry, struct error *err)
{
	void *dst = image->size ? guest_mem_ptr(mem, gpa, image->size) : NULL;
	struct entry_state state = {.mode = mode};
	int rc;

	if (!dst)
		return image_error(image, err, image->size ? -ENOSPC : -EINVAL,
			"%llu bytes at 0x%llx do not lie in the guest's RAM",
			(unsigned long long)image->size, (unsigned long long)gpa);
	if (mode == ENTRY_REAL)
		rc = enter_real(mem, image, gpa, &state, err);
	else
		rc = enter_protected(mem, image, gpa, mode, &state, err);
	if (!rc)
		rc = image_read(image, 0, dst, image->size, err);
	if (!rc)
		*entry = state;
	return rc;
}
