/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_ram.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"

enum { GUARD = 4096 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void add(struct fake_ram *ram, unsigned int i, uint64_t gpa, uint64_t size, bool usable)
{
	size_t whole = size + 2 * GUARD;
	uint8_t *p =
		mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED);
	if (usable)
		must(mprotect(p + GUARD, size, PROT_READ | PROT_WRITE) == 0);
	ram->maps[i].addr = p;
	ram->maps[i].size = whole;
	must(guest_mem_add(ram->mem, gpa, size, p + GUARD) == 0);
}

void fake_ram_create(struct fake_ram *ram, uint64_t size)
{
	const uint64_t starts[] = {0, LAYOUT_HIGH_RAM_START, LAYOUT_MMIO64_END};
	const uint64_t ends[] = {LAYOUT_LOW_RAM_END, LAYOUT_MMIO64_BASE, UINT64_MAX};

	memset(ram, 0, sizeof(*ram));
	must(guest_mem_create(&ram->mem) == 0);
	for (unsigned int i = 0; size; i++) {
		uint64_t piece = MIN(size, ends[i] - starts[i]);

		add(ram, i, starts[i], piece, i == 0);
		size -= piece;
	}
}

void fake_ram_destroy(struct fake_ram *ram)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ram->maps); i++)
		if (ram->maps[i].addr)
			munmap(ram->maps[i].addr, ram->maps[i].size);
	guest_mem_destroy(ram->mem);
}

uint8_t *fake_ram_at(const struct fake_ram *ram, uint64_t gpa, uint64_t len)
{
	uint8_t *p = guest_mem_ptr(ram->mem, gpa, len);

	must(p != NULL);
	return p;
}
