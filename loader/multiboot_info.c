/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Multiboot kernel is told (Multiboot Specification 0.6.96, 3.3). One page holds the
 * information structure, the list of modules and the memory map; the strings lie where other
 * kernels have their command line.
 *
 * The modules are right behind the kernel, where other loaders put them: a small kernel maps that
 * early on, and not the end of its memory. It must keep clear of them by itself, as the memory map
 * does not tell of them.
 */
#include <errno.h>
#include <string.h>

#include "loader/boot/bda.h"
#include "loader/boot/e820.h"
#include "loader/boot/lowram.h"
#include "loader/image/bytes.h"
#include "loader/multiboot.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { PAGE = 4096, MMAP_ENTRY_REST = 20 };

_Static_assert(MULTIBOOT_INFO_SIZE <= MULTIBOOT_MODULES_OFF, "the list is behind the structure");
_Static_assert(MULTIBOOT_MODULES_OFF + MULTIBOOT_MAX_MODULES * MULTIBOOT_MODULES_STEP <=
		       MULTIBOOT_MMAP_OFF,
	"the map is behind the list");
_Static_assert(MULTIBOOT_MMAP_OFF + E820_MAX * MULTIBOOT_MMAP_STEP <= PAGE, "it is one page");
_Static_assert(LAYOUT_MULTIBOOT_INFO + PAGE <= LAYOUT_BOOT_PARAMS, "the page is free");

/* The page that is being made, and where the next string goes. */
struct telling {
	const struct guest_mem *mem;
	const struct multiboot_config *config;
	uint8_t page[PAGE];
	uint32_t strings;
};

static int put_bytes(struct telling *t, const char *text, size_t len, struct error *err)
{
	if (len > LAYOUT_CMDLINE + LAYOUT_CMDLINE_MAX - t->strings)
		return image_error(t->config->kernel, err, -E2BIG,
			"the command line and the names of the modules have more than %d bytes: "
			"shorten them",
			LAYOUT_CMDLINE_MAX);
	if (guest_mem_write(t->mem, t->strings, text, len))
		return image_error(t->config->kernel, err, -ENOSPC,
			"no RAM for the command line at 0x%x", LAYOUT_CMDLINE);
	t->strings += (uint32_t)len;
	return 0;
}

/* With its zero; the address goes into the page at off. */
static int put_string(struct telling *t, size_t off, const char *text, struct error *err)
{
	put_le32(t->page + off, t->strings);
	return put_bytes(t, text, strlen(text) + 1, err);
}

static int put_cmdline(struct telling *t, struct error *err)
{
	const char *name = t->config->kernel->name, *rest = t->config->cmdline;
	int rc;

	put_le32(t->page + 16, t->strings);
	rc = put_bytes(t, name, strlen(name), err);
	if (!rc && *rest)
		rc = put_bytes(t, " ", 1, err);
	return rc ? rc : put_bytes(t, rest, strlen(rest) + 1, err);
}

static int put_module(struct telling *t, size_t i, uint64_t gpa, struct error *err)
{
	const struct image *module = &t->config->modules[i];
	const size_t off = MULTIBOOT_MODULES_OFF + i * MULTIBOOT_MODULES_STEP;
	const uint64_t end = lowram_end(t->mem);
	uint8_t *dst = NULL;
	int rc;

	if (range_ok(gpa, module->size, end))
		dst = guest_mem_ptr(t->mem, gpa, module->size);
	if (!dst)
		return image_error(module, err, -ENOSPC,
			"the module (%llu MiB) does not fit behind the kernel and those before it, "
			"at %llu MiB: the RAM below 4 GiB ends at %llu MiB: give more memory with "
			"-m",
			(unsigned long long)to_mib(module->size), (unsigned long long)to_mib(gpa),
			(unsigned long long)(end >> 20));
	rc = image_read(module, 0, dst, module->size, err);
	if (rc)
		return rc;
	put_le32(t->page + off, (uint32_t)gpa);
	put_le32(t->page + off + 4, (uint32_t)(gpa + module->size));
	return put_string(t, off + 8, module->name, err);
}

static int put_modules(struct telling *t, uint64_t *gpa, uint64_t *size, struct error *err)
{
	const struct multiboot_config *config = t->config;
	const uint64_t start = ALIGN_UP(config->kernel_end, PAGE);
	uint64_t at = start, end = start;
	int rc = 0;

	*gpa = *size = 0;
	if (config->num_modules > MULTIBOOT_MAX_MODULES)
		return image_error(
			config->kernel, err, -E2BIG, "more than %d modules", MULTIBOOT_MAX_MODULES);
	for (size_t i = 0; !rc && i < config->num_modules; i++) {
		rc = put_module(t, i, at, err);
		end = at + config->modules[i].size;
		at = ALIGN_UP(end, PAGE);
	}
	if (rc || !config->num_modules)
		return rc;
	put_le32(t->page + 20, (uint32_t)config->num_modules);
	put_le32(t->page + 24, LAYOUT_MULTIBOOT_INFO + MULTIBOOT_MODULES_OFF);
	*gpa = start;
	*size = end - start;
	return 0;
}

static void put_map(struct telling *t, const struct e820_map *map)
{
	for (unsigned int i = 0; i < map->count; i++) {
		uint8_t *p = t->page + MULTIBOOT_MMAP_OFF + (size_t)i * MULTIBOOT_MMAP_STEP;

		put_le32(p, MMAP_ENTRY_REST);
		put_le64(p + 4, map->entries[i].addr);
		put_le64(p + 12, map->entries[i].size);
		put_le32(p + 20, map->entries[i].type);
	}
	put_le32(t->page + 44, map->count * MULTIBOOT_MMAP_STEP);
	put_le32(t->page + 48, LAYOUT_MULTIBOOT_INFO + MULTIBOOT_MMAP_OFF);
	/* In KiB: up to the EBDA, and from 1 MiB up to the first hole. */
	put_le32(t->page + 4, LAYOUT_EBDA >> 10);
	put_le32(t->page + 8, (uint32_t)((lowram_end(t->mem) - LAYOUT_KERNEL_MIN) >> 10));
}

static int put_page(struct telling *t, struct error *err)
{
	struct e820_map map;
	int rc = e820_build(t->mem, &map);

	if (!rc)
		rc = bda_write(t->mem);
	if (!rc) {
		put_map(t, &map);
		rc = guest_mem_write(t->mem, LAYOUT_MULTIBOOT_INFO, t->page, sizeof(t->page));
	}
	return rc ? image_error(t->config->kernel, err, rc,
			    "no RAM for boot parameters and tables below 1 MiB")
		  : 0;
}

int multiboot_tell(const struct guest_mem *mem, const struct multiboot_config *config,
	uint64_t *gpa, uint64_t *size, struct error *err)
{
	struct telling t = {.mem = mem, .config = config, .strings = LAYOUT_CMDLINE};
	uint32_t flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MMAP |
			 MULTIBOOT_INFO_NAME;
	int rc = put_cmdline(&t, err);

	if (!rc)
		rc = put_string(&t, 64, "Bantam", err);
	if (!rc)
		rc = put_modules(&t, gpa, size, err);
	if (rc)
		return rc;
	put_le32(t.page, flags | (config->num_modules ? MULTIBOOT_INFO_MODULES : 0));
	return put_page(&t, err);
}
