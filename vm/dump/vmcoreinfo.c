/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMCOREINFO (Linux, Documentation/admin-guide/kdump/vmcoreinfo.rst): lines of NAME=VALUE, of which
 * OSRELEASE is the first. The kernel keeps them at the start of a page of their own, which is how
 * they are found: no device of this machine lets the guest say where they are.
 *
 * The page is copied once, as the guest may go on; the copy is checked and used. A value is taken
 * only where all of its line is as expected. Addresses may be nonsense: who uses them checks them
 * against RAM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "untouched.h"
#include "vm/core/guest_mem.h"
#include "vm/dump/dump.h"

/* __START_KERNEL_map: what the kernel's image is linked to is behind it. */
#define KERNEL_MAP	 UINT64_C(0xffffffff80000000)
#define KERNEL_ALIGN	 (2 * MiB)
#define KERNEL_MAP_BYTES (1 * GiB) /* of KERNEL_MAP, before the modules */

static const char first_line[] = "OSRELEASE=";

/* The value of the line that begins with key, up to the line's end; NULL when there is none. */
static const char *value_of(const struct vmcoreinfo *info, const char *key)
{
	const size_t len = strlen(key);
	const char *line = info->text, *end = info->text + info->len;

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		if (!next)
			break;
		if ((size_t)(next - line) > len && !memcmp(line, key, len))
			return line + len;
		line = next + 1;
	}
	return NULL;
}

/* The text ends with a line's end, which ends a number too. */
static bool number_of(const struct vmcoreinfo *info, const char *key, int base, uint64_t *value)
{
	const char *text = value_of(info, key);
	char *end;

	if (!text || *text == ' ' || *text == '+')
		return false;
	errno = 0;
	/* phys_base may be negative: it wraps, as the sum that it is for does. */
	*value = strtoull(text, &end, base);
	return end > text && *end == '\n' && !errno;
}

static void find_image(struct vmcoreinfo *info)
{
	uint64_t stext, phys_base;

	if (!number_of(info, "SYMBOL(_stext)=", 16, &stext) ||
		!number_of(info, "NUMBER(phys_base)=", 10, &phys_base) || stext < KERNEL_MAP ||
		stext - KERNEL_MAP >= KERNEL_MAP_BYTES)
		return;
	info->has_image = true;
	info->image_vaddr = ALIGN_DOWN(stext, KERNEL_ALIGN);
	info->image_paddr = info->image_vaddr - KERNEL_MAP + phys_base;
	info->image_size = KERNEL_MAP_BYTES - (info->image_vaddr - KERNEL_MAP);
}

static bool is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~'))
			return false;
	return true;
}

bool vmcoreinfo_parse(const char page[VMCOREINFO_MAX], struct vmcoreinfo *ret)
{
	const size_t len = strnlen(page, VMCOREINFO_MAX);
	const char *pagesize;

	*ret = (struct vmcoreinfo){.len = 0};
	if (len == VMCOREINFO_MAX || len < sizeof(first_line) || page[len - 1] != '\n' ||
		memcmp(page, first_line, sizeof(first_line) - 1) || !is_text(page, len))
		return false;
	memcpy(ret->text, page, len);
	ret->len = len;
	pagesize = value_of(ret, "PAGESIZE=");
	if (!pagesize || strncmp(pagesize, "4096\n", 5)) {
		ret->len = 0;
		return false;
	}
	find_image(ret);
	return true;
}

static bool look_at(const char *page, struct vmcoreinfo *ret)
{
	char copy[VMCOREINFO_MAX];

	if (memcmp(page, first_line, sizeof(first_line) - 1))
		return false;
	memcpy(copy, page, sizeof(copy));
	return vmcoreinfo_parse(copy, ret);
}

static bool search(
	const struct guest_mem_region *region, bool skip_untouched, struct vmcoreinfo *ret)
{
	const uint64_t pages = region->size / DUMP_PAGE;
	unsigned char touched[DUMP_CHUNK_PAGES];
	char *p = region->hva;

	memset(touched, 1, sizeof(touched));
	for (uint64_t at = 0; at < pages; at++, p += DUMP_PAGE) {
		if (skip_untouched && at % DUMP_CHUNK_PAGES == 0)
			dump_touched(p, MIN(pages - at, (uint64_t)DUMP_CHUNK_PAGES), touched);
		if ((touched[at % DUMP_CHUNK_PAGES] & 1) && look_at(p, ret))
			return true;
	}
	return false;
}

void vmcoreinfo_find(const struct guest_mem *mem, bool skip_untouched, struct vmcoreinfo *ret)
{
	size_t count;
	const struct guest_mem_region *regions = guest_mem_regions(mem, &count);

	*ret = (struct vmcoreinfo){.len = 0};
	for (size_t i = 0; i < count; i++)
		if (search(&regions[i], skip_untouched, ret))
			return;
}
