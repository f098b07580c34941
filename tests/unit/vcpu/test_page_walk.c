/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks through page tables of each kind, with pages of each size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "vcpu/page_walk.h"

enum { P = 1, PS = 128 };

#define PG	 (UINT64_C(1) << 31)
#define PSE	 (UINT64_C(1) << 4)
#define PAE	 (UINT64_C(1) << 5)
#define LA57	 (UINT64_C(1) << 12)
#define LMA	 (UINT64_C(1) << 10)
#define NX	 (UINT64_C(1) << 63)

#define TABLE(n) (UINT64_C(0x10000) + 0x1000 * (uint64_t)(n))

static struct fake_ram ram;

static int setup(void **state)
{
	(void)state;
	fake_ram_create(&ram, MiB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_ram_destroy(&ram);
	return 0;
}

static void put(unsigned int table, unsigned int index, unsigned int size, uint64_t entry)
{
	memcpy(fake_ram_at(&ram, TABLE(table) + (uint64_t)index * size, size), &entry, size);
}

static bool walk(uint64_t cr4, uint64_t efer, uint64_t vaddr, struct page_walk *ret)
{
	const struct paging_registers regs = {PG | 1, TABLE(0), cr4, efer};

	return page_walk(ram.mem, &regs, vaddr, ret);
}

/* 0xffffffff81234567: entry 511 of the first table, 510, 9, 0x34. */
static void four_levels(void **state)
{
	const uint64_t vaddr = UINT64_C(0xffffffff81234567);
	struct page_walk w;

	(void)state;
	put(0, 511, 8, TABLE(1) | P);
	put(1, 510, 8, TABLE(2) | P);
	put(2, 9, 8, TABLE(3) | P | NX);
	put(3, 0x34, 8, 0x123000 | P | NX);
	assert_true(walk(PAE, LMA, vaddr, &w));
	assert_true(w.gpa == 0x123567 && w.size == 4096);
	assert_int_equal(w.num_steps, 4);
	assert_int_equal(w.steps[0].level, 4);
	assert_true(w.steps[3].gpa == TABLE(3) + 0x34 * 8);
	assert_false(walk(PAE, LMA, vaddr + 4096, &w));
	assert_int_equal(w.num_steps, 4);
	assert_false(walk(PAE, LMA, UINT64_C(0xffff800000000000), &w));
	assert_int_equal(w.num_steps, 1);
	/* Not canonical: the same bits below. */
	assert_false(walk(PAE, LMA, vaddr & 0xffffffffffff, &w));
	assert_int_equal(w.num_steps, 0);
	put(2, 9, 8, 0x40000000 | P | PS);
	assert_true(walk(PAE, LMA, vaddr, &w));
	assert_true(w.gpa == 0x40034567 && w.size == 2 * MiB);
	put(1, 510, 8, UINT64_C(0x1c0000000) | P | PS);
	assert_true(walk(PAE, LMA, vaddr, &w));
	assert_true(w.gpa == 0x1c1234567 && w.size == GiB);
	/* There is no page of 512 GiB. */
	put(0, 511, 8, TABLE(1) | P | PS);
	assert_false(walk(PAE, LMA, vaddr, &w));
}

static void five_levels(void **state)
{
	struct page_walk w;

	(void)state;
	put(0, 256, 8, TABLE(1) | P);
	put(1, 1, 8, TABLE(2) | P);
	put(2, 2, 8, TABLE(3) | P);
	put(3, 3, 8, TABLE(4) | P);
	put(4, 4, 8, 0x5000 | P);
	assert_true(walk(PAE | LA57, LMA, UINT64_C(0xff00008080604abc), &w));
	assert_true(w.gpa == 0x5abc);
	assert_int_equal(w.steps[0].level, 5);
	/* Canonical with five levels only. */
	assert_false(walk(PAE, LMA, UINT64_C(0xff00008080604abc), &w));
}

static void pae(void **state)
{
	struct page_walk w;

	(void)state;
	put(0, 3, 8, TABLE(1) | P);
	put(1, 511, 8, TABLE(2) | P);
	put(2, 511, 8, UINT64_C(0x200001000) | P);
	assert_true(walk(PAE, 0, 0xfffff123, &w));
	assert_true(w.gpa == UINT64_C(0x200001123));
	put(1, 511, 8, 0x200000 | P | PS);
	assert_true(walk(PAE, 0, 0xfffff123, &w));
	assert_true(w.gpa == 0x3ff123 && w.size == 2 * MiB);
	assert_false(walk(PAE, 0, UINT64_C(0x1fffff123), &w));
}

static void two_levels(void **state)
{
	struct page_walk w;

	(void)state;
	put(0, 0x3ff, 4, TABLE(1) | P);
	put(1, 0x3fe, 4, 0x7000 | P);
	assert_true(walk(0, 0, 0xffffe010, &w));
	assert_true(w.gpa == 0x7010);
	/* The bit of a large page counts with CR4.PSE only; it has 40 bits of address. */
	put(0, 0x300, 4, TABLE(1) | P | PS);
	put(1, 1, 4, 0x8000 | P);
	assert_true(walk(0, 0, 0xc0001020, &w));
	assert_true(w.gpa == 0x8020);
	put(0, 0x300, 4, 0x12400000 | 0x5 << 13 | P | PS);
	assert_true(walk(PSE, 0, 0xc0001020, &w));
	assert_true(w.gpa == UINT64_C(0x512401020) && w.size == 4 * MiB);
}

static void no_paging(void **state)
{
	const struct paging_registers real = {0, 0, 0, 0};
	struct page_walk w;

	(void)state;
	assert_true(page_walk(ram.mem, &real, 0xfedcba98, &w));
	assert_true(w.gpa == 0xfedcba98);
	/* What a kernel's symbol says is nothing there yet. */
	assert_false(page_walk(ram.mem, &real, UINT64_C(0xffffffff81000000), &w));
}

static void hostile(void **state)
{
	const struct paging_registers far = {PG, ~UINT64_C(0), PAE, LMA};
	struct page_walk w;

	(void)state;
	/* Tables outside of RAM, at its end, and one that is its own entry. */
	assert_false(page_walk(ram.mem, &far, 0, &w));
	assert_int_equal(w.num_steps, 0);
	put(0, 0, 8, 0x000ffffffffff000 | P);
	assert_false(walk(PAE, LMA, 0, &w));
	assert_int_equal(w.num_steps, 1);
	put(0, 0, 8, TABLE(0) | P);
	assert_true(walk(PAE, LMA, 0, &w));
	assert_true(w.gpa == TABLE(0));
	assert_int_equal(w.num_steps, 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(four_levels),
		TEST(five_levels),
		TEST(pae),
		TEST(two_levels),
		TEST(no_paging),
		TEST(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
