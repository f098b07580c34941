/* SPDX-License-Identifier: BSD-2-Clause */
/* Page tables of each kind, with and without a page for user mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "vcpu/user_pages.h"

enum { P = 1, RW = 2, U = 4, PS = 128, LOW = 0, MAX_LEVELS = 5 };

#define PG	     (UINT64_C(1) << 31)
#define PAE	     (UINT64_C(1) << 5)
#define LA57	     (UINT64_C(1) << 12)
#define LMA	     (UINT64_C(1) << 10)

#define TABLE(level) (UINT64_C(0x10000) + 0x1000 * (uint64_t)(level))

struct paging {
	const char *name;
	uint64_t cr4, efer;
	unsigned int levels, entry_size, user_entries; /* of the top table */
	unsigned int large;			       /* up to this level */
	bool top_is_user;
};

static const struct paging pagings[] = {
	{"five levels", PAE | LA57, LMA, 5, 8, 256, 3, false},
	{"four levels", PAE, LMA, 4, 8, 256, 3, false},
	{"PAE", PAE, 0, 3, 8, 3, 2, true},
	{"32 bits", 0, 0, 2, 4, 768, 2, false},
};

static void put(const struct fake_ram *ram, const struct paging *paging, unsigned int level,
	unsigned int i, uint64_t entry)
{
	memcpy(fake_ram_at(
		       ram, TABLE(level) + (uint64_t)i * paging->entry_size, paging->entry_size),
		&entry, paging->entry_size);
}

/* One chain of tables down to a page, by way of entry top of the highest. */
static void chain(const struct fake_ram *ram, const struct paging *paging, unsigned int top)
{
	memset(fake_ram_at(ram, TABLE(0), 0x1000 * (MAX_LEVELS + 1)), 0, 0x1000 * (MAX_LEVELS + 1));
	for (unsigned int level = paging->levels; level >= 1; level--) {
		const bool is_top = level == paging->levels;
		const uint64_t user = is_top && paging->top_is_user ? 0 : U;

		put(ram, paging, level, is_top ? top : 7, TABLE(level - 1) | P | RW | user);
	}
}

static bool mapped(const struct fake_ram *ram, const struct paging *paging)
{
	const struct paging_registers regs = {
		PG | 1, TABLE(paging->levels) | 0x18, paging->cr4, paging->efer};

	return user_pages_mapped(ram->mem, &regs);
}

static void found(void **state)
{
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, MiB);
	for (size_t i = 0; i < ARRAY_SIZE(pagings); i++) {
		const struct paging *paging = &pagings[i];
		struct paging_registers off = {1, TABLE(paging->levels), paging->cr4, 0};

		off.efer = paging->efer;
		off.cr3 &= ~UINT64_C(0xfff);
		chain(&ram, paging, 0);
		/* What PAE's CR3 has in these bits is part of the address. */
		if (!paging->top_is_user)
			assert_true(mapped(&ram, paging));
		off.cr0 |= PG;
		if (!user_pages_mapped(ram.mem, &off))
			fail_msg("%s", paging->name);
		chain(&ram, paging, paging->user_entries - 1);
		assert_true(user_pages_mapped(ram.mem, &off));
		/* The kernel's half: the vsyscall page, say. */
		chain(&ram, paging, paging->user_entries);
		assert_false(user_pages_mapped(ram.mem, &off));
		/* No paging at all */
		chain(&ram, paging, 0);
		off.cr0 = 1;
		assert_false(user_pages_mapped(ram.mem, &off));
	}
	fake_ram_destroy(&ram);
}

/* Each level keeps user mode out by itself, or is not there. */
static void kept_out(void **state)
{
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, MiB);
	for (size_t i = 0; i < ARRAY_SIZE(pagings); i++) {
		const struct paging *paging = &pagings[i];
		const struct paging_registers regs = {
			PG | 1, TABLE(paging->levels), paging->cr4, paging->efer};

		for (unsigned int level = 1; level <= paging->levels; level++) {
			const bool is_top = level == paging->levels;
			const unsigned int at = is_top ? 0 : 7;

			chain(&ram, paging, 0);
			put(&ram, paging, level, at, TABLE(level - 1) | RW | U);
			assert_false(user_pages_mapped(ram.mem, &regs));
			put(&ram, paging, level, at, TABLE(level - 1) | P | RW);
			assert_int_equal(
				user_pages_mapped(ram.mem, &regs), is_top && paging->top_is_user);
			/* A large page is one, where there are some. */
			put(&ram, paging, level, at, UINT64_C(0x200000) | P | U | PS);
			assert_int_equal(user_pages_mapped(ram.mem, &regs),
				level == 1 || level <= paging->large);
			/* A table that is not in RAM */
			put(&ram, paging, level, at, UINT64_C(0x40000000) | P | U);
			assert_int_equal(user_pages_mapped(ram.mem, &regs), level == 1);
		}
	}
	fake_ram_destroy(&ram);
}

/* Tables that point at themselves are looked at for a bounded time. */
static void hostile(void **state)
{
	struct fake_ram ram;

	(void)state;
	fake_ram_create(&ram, MiB);
	for (size_t i = 0; i < ARRAY_SIZE(pagings); i++) {
		const struct paging *paging = &pagings[i];
		const unsigned int size = paging->entry_size;
		const struct paging_registers regs = {PG | 1, TABLE(2), paging->cr4, paging->efer};
		const struct paging_registers nowhere = {
			PG | 1, ~UINT64_C(0), paging->cr4, paging->efer};

		memset(fake_ram_at(&ram, TABLE(0), 0x3000), 0, 0x3000);
		for (unsigned int n = 0; n < 0x1000 / size; n++)
			put(&ram, paging, 2, n, TABLE(2) | P | U);
		assert_true(user_pages_mapped(ram.mem, &regs));
		for (unsigned int n = 0; n < 0x1000 / size; n++) {
			put(&ram, paging, 2, n, TABLE(2) | P | U);
			put(&ram, paging, 1, n, TABLE(1) | RW);
		}
		assert_true(user_pages_mapped(ram.mem, &regs));
		assert_false(user_pages_mapped(ram.mem, &nowhere));
	}
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found),
		cmocka_unit_test(kept_out),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
