/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole load into a small guest. The first bytes of the input choose memory size, initrds,
 * command line, mode of booting (Multiboot by the first one's highest bit) and KASLR; the rest is
 * the kernel. The guest's memory lies between
 * inaccessible pages and is used again dirty, as after a restart.
 *
 * Oracles on success: the entry is inside the kernel, and that inside RAM; initrd and command line
 * are in memory byte for byte after everything else was written, clear of the kernel; the memory
 * map is sorted and free of overlaps, and holds kernel and initrd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/boot/boot_proto.h"
#include "loader/boot/e820.h"
#include "loader/image/bytes.h"
#include "loader/loader.h"
#include "loader/multiboot.h"
#include "loader/pvh.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 8, GUARD = 4096, MAX_INITRDS = 3, MAX_CMDLINE = 4096 };

static const uint64_t sizes[] = {64 * KiB, MiB, 2 * MiB, 20 * MiB, 32 * MiB + 4 * KiB, 48 * MiB};

struct guest {
	struct guest_mem *mem;
	uint64_t size;
	uint8_t *map;
};

struct input {
	struct image kernel;
	struct image initrds[MAX_INITRDS];
	char cmdline[MAX_CMDLINE + 1];
	struct loader_config config;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void guest_create(struct guest *guest, uint64_t size)
{
	guest->size = size;
	guest->map = mmap(NULL, size + 2 * GUARD, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(guest->map != MAP_FAILED);
	must(mprotect(guest->map + GUARD, size, PROT_READ | PROT_WRITE) == 0);
	must(guest_mem_create(&guest->mem) == 0);
	must(guest_mem_add(guest->mem, 0, size, guest->map + GUARD) == 0);
}

static void guest_destroy(struct guest *guest)
{
	guest_mem_destroy(guest->mem);
	munmap(guest->map, guest->size + 2 * GUARD);
}

static void make_input(struct input *in, const uint8_t *choice, const uint8_t *data, size_t size)
{
	size_t cmdline = get_le16(choice + 2) % (MAX_CMDLINE + 1);

	memset(in, 0, sizeof(*in));
	memset(in->cmdline, 'c', cmdline);
	image_from_memory("kernel", data, size, &in->kernel);
	in->config = (struct loader_config){
		.kernel = &in->kernel,
		.initrds = in->initrds,
		.num_initrds = choice[1] % (MAX_INITRDS + 1),
		.cmdline = in->cmdline,
		.rsdp_gpa = LAYOUT_ACPI_BASE,
		.boot = choice[0] & 0x80 ? BOOT_MULTIBOOT : (enum loader_boot)(choice[1] >> 6),
		.kaslr = choice[1] & 0x20,
		.random = {choice[7], choice[7] * 31},
	};
	/* Pieces of the input itself, so that their bytes can be compared */
	for (size_t i = 0; i < in->config.num_initrds; i++)
		image_from_memory(
			"initrd", data, MIN(size, choice[4 + i] * 37u + 1), &in->initrds[i]);
}

static void check_initrd(
	const struct guest *guest, const struct input *in, const struct loader_result *result)
{
	uint64_t at = 0;

	must(range_ok(result->initrd_gpa, result->initrd_size, guest->size));
	must(!ranges_overlap(
		result->initrd_gpa, result->initrd_size, result->kernel_gpa, result->kernel_size));
	must(result->initrd_size == 0 || result->initrd_gpa >= LAYOUT_KERNEL_MIN);
	for (size_t i = 0; i < in->config.num_initrds; i++) {
		const struct image *image = &in->initrds[i];

		at = ALIGN_UP(at, 4);
		must(memcmp(guest_mem_ptr(guest->mem, result->initrd_gpa + at, image->size),
			     image->bytes, image->size) == 0);
		at += image->size;
	}
	must(at == result->initrd_size);
}

/* Each module where its entry says, on a page of its own, and all within what the result says. */
static void check_modules(
	const struct guest *guest, const struct input *in, const struct loader_result *result)
{
	const uint8_t *info = guest_mem_ptr(guest->mem, LAYOUT_MULTIBOOT_INFO, MULTIBOOT_INFO_SIZE);
	const uint8_t *list = guest_mem_ptr(guest->mem, get_le32(info + 24),
		in->config.num_initrds * MULTIBOOT_MODULES_STEP + 1);
	uint64_t free_from = result->kernel_gpa + result->kernel_size;

	must(get_le32(info + 20) == in->config.num_initrds);
	for (size_t i = 0; i < in->config.num_initrds; i++, list += MULTIBOOT_MODULES_STEP) {
		const struct image *image = &in->initrds[i];
		uint64_t start = get_le32(list);
		const char *name = guest_mem_ptr(guest->mem, get_le32(list + 8), 7);

		must(start % 4096 == 0 && start >= free_from);
		must(get_le32(list + 4) == start + image->size);
		must(range_ok(start - result->initrd_gpa, image->size, result->initrd_size));
		must(memcmp(guest_mem_ptr(guest->mem, start, image->size), image->bytes,
			     image->size) == 0);
		must(strcmp(name, "initrd") == 0);
		free_from = start + image->size;
	}
}

static void read_multiboot_map(const struct guest *guest, struct e820_map *map)
{
	const uint8_t *info = guest_mem_ptr(guest->mem, LAYOUT_MULTIBOOT_INFO, MULTIBOOT_INFO_SIZE);
	uint32_t len = get_le32(info + 44);
	const uint8_t *table = guest_mem_ptr(guest->mem, get_le32(info + 48), len);

	must(len % MULTIBOOT_MMAP_STEP == 0);
	map->count = len / MULTIBOOT_MMAP_STEP;
	must(map->count > 0 && map->count <= E820_MAX);
	for (unsigned int i = 0; i < map->count; i++, table += MULTIBOOT_MMAP_STEP)
		map->entries[i] = (struct e820_entry){
			get_le64(table + 4), get_le64(table + 12), get_le32(table + 20)};
}

/* Reads the map back from what the kernel is given. */
static void read_map(const struct guest *guest, enum kernel_format format, struct e820_map *map)
{
	bool pvh = format == KERNEL_PVH;
	const uint8_t *page = guest_mem_ptr(
		guest->mem, pvh ? LAYOUT_PVH_START_INFO : LAYOUT_BOOT_PARAMS, BOOT_PARAMS_SIZE);
	const uint8_t *table = page + (pvh ? PVH_MEMMAP_OFF : BP_E820_TABLE);
	size_t step = pvh ? PVH_MEMMAP_ENTRY : BP_E820_ENTRY_SIZE;

	map->count = pvh ? get_le32(page + 48) : page[BP_E820_ENTRIES];
	must(map->count > 0 && map->count <= E820_MAX);
	for (unsigned int i = 0; i < map->count; i++)
		map->entries[i] = (struct e820_entry){get_le64(table + i * step),
			get_le64(table + i * step + 8), get_le32(table + i * step + 16)};
}

static bool is_ram(const struct e820_map *map, uint64_t gpa, uint64_t size)
{
	if (size == 0)
		return true;
	for (unsigned int i = 0; i < map->count; i++)
		if (map->entries[i].type == E820_RAM && gpa >= map->entries[i].addr &&
			range_ok(gpa - map->entries[i].addr, size, map->entries[i].size))
			return true;
	return false;
}

static void check(
	const struct guest *guest, const struct input *in, const struct loader_result *result)
{
	const struct entry_state *entry = &result->entry;
	const bool multiboot = result->format == KERNEL_MULTIBOOT;
	/* Multiboot: "kernel" and a blank stand before it. */
	const char *cmdline = guest_mem_ptr(guest->mem, LAYOUT_CMDLINE, strlen(in->cmdline) + 8);
	struct e820_map map;

	must(result->kernel_gpa >= LAYOUT_KERNEL_MIN);
	must(range_ok(result->kernel_gpa, result->kernel_size, guest->size));
	must(entry->rip >= result->kernel_gpa &&
		entry->rip - result->kernel_gpa < result->kernel_size);
	must(entry->mode == ENTRY_LONG || entry->mode == ENTRY_PROTECTED);
	must((entry->mode == ENTRY_LONG) == (entry->cr3 != 0));
	must(!multiboot || memcmp(cmdline, "kernel", 6) == 0);
	cmdline += !multiboot ? 0 : in->cmdline[0] ? 7 : 6;
	must(strcmp(cmdline, in->cmdline) == 0);
	if (multiboot) {
		check_modules(guest, in, result);
		read_multiboot_map(guest, &map);
	} else {
		check_initrd(guest, in, result);
		read_map(guest, result->format, &map);
	}
	for (unsigned int i = 1; i < map.count; i++)
		must(map.entries[i - 1].addr + map.entries[i - 1].size <= map.entries[i].addr);
	must(is_ram(&map, result->kernel_gpa, result->kernel_size));
	must(is_ram(&map, result->initrd_gpa, result->initrd_size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input in; /* large; nothing of it outlives a run */
	struct loader_result result;
	struct error err = {{0}};
	struct guest guest;
	int rc;

	if (size < CHOICES)
		return 0;
	guest_create(&guest, sizes[data[0] % ARRAY_SIZE(sizes)]);
	make_input(&in, data, data + CHOICES, size - CHOICES);
	/* Twice: a restart finds the memory as the first start left it. */
	for (int i = 0; i < 2; i++) {
		rc = loader_load(guest.mem, &in.config, &result, &err);
		must(rc <= 0);
		if (rc == 0)
			check(&guest, &in, &result);
		else
			must(err.text[0] && strstr(err.text, ": "));
	}
	guest_destroy(&guest);
	return 0;
}
