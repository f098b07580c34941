/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/kernel_files.h"
#include "loader/image/bytes.h"
#include "loader/relocs.h"
#include "vm/core/error.h"

#define TEXT  ((uint32_t)(ELF_VBASE + ELF_TEXT_PADDR))
#define SPAN  (ELF_DATA_PADDR + ELF_DATA_MEM - ELF_TEXT_PADDR)
#define SLIDE 0x13600000u

struct run {
	struct kernel_file file;
	struct image image;
	struct elf elf;
	struct relocs relocs;
	uint8_t *table;
	uint8_t *kernel; /* SPAN bytes, on the heap, so that ASan sees what is beyond */
	struct error err;
};

static struct run *run_new(bool inverse)
{
	struct run *r = calloc(1, sizeof(*r));

	make_relocatable(&r->file, inverse);
	r->kernel = malloc(SPAN);
	memset(r->kernel, 0xcc, SPAN);
	return r;
}

/* With so many words behind the ELF file instead of those that are there. */
static struct run *run_with(const uint32_t *words, size_t count)
{
	struct run *r = run_new(true);

	r->file.size = ELF_DATA_OFF + ELF_DATA_SIZE;
	for (size_t i = 0; i < count; i++, r->file.size += 4)
		poke(&r->file, r->file.size, 4, words[i]);
	return r;
}

static int run_read(struct run *r)
{
	int rc;

	image_from_memory("kernel", r->file.bytes, r->file.size, &r->image);
	assert_int_equal(elf_parse(&r->image, &r->elf, &r->err), 0);
	rc = relocs_find(&r->image, &r->elf, &r->relocs, &r->err);
	if (rc || !r->relocs.size)
		return rc;
	/* Exactly as long, so that ASan sees what is beyond */
	free(r->table);
	r->table = malloc(r->relocs.size);
	return relocs_read(&r->image, &r->relocs, r->table, &r->err);
}

static int run_apply(struct run *r)
{
	return relocs_apply(&r->relocs, &r->image, r->kernel, SPAN, ELF_TEXT_PADDR, SLIDE, &r->err);
}

static void run_free(struct run *r)
{
	free(r->table);
	free(r->kernel);
	free(r);
}

static void check_refusal(const struct run *r, int rc)
{
	assert_int_equal(rc, -EINVAL);
	assert_non_null(strstr(r->err.text, "kernel: "));
	assert_non_null(strstr(r->err.text, "relocation table"));
}

static void check_both_layouts(bool inverse)
{
	struct run *r = run_new(inverse);
	uint8_t expected[64];

	memset(expected, 0xcc, sizeof(expected));
	put_le64(expected + RELOC64_OFF, UINT64_C(0xcccccccccccccccc) + SLIDE);
	if (inverse)
		put_le32(expected + RELOC_INVERSE_OFF, 0xccccccccu - SLIDE);
	put_le32(expected + RELOC32_OFF, 0xccccccccu + SLIDE);
	assert_int_equal(run_read(r), 0);
	assert_non_null(r->relocs.table);
	assert_int_equal(run_apply(r), 0);
	assert_memory_equal(r->kernel, expected, sizeof(expected));
	for (size_t i = sizeof(expected); i < SPAN; i++)
		assert_int_equal(r->kernel[i], 0xcc);
	run_free(r);
}

static void test_both_layouts(void **state)
{
	(void)state;
	check_both_layouts(true);
	check_both_layouts(false);
}

/* A value that the slide carries over a word's end, in each list */
static void test_carries(void **state)
{
	struct run *r = run_new(true);

	(void)state;
	memset(r->kernel, 0, 64);
	put_le64(r->kernel + RELOC64_OFF, 0xffffffff);
	put_le32(r->kernel + RELOC32_OFF, 0xffffffff);
	assert_int_equal(run_read(r), 0);
	assert_int_equal(run_apply(r), 0);
	assert_int_equal(get_le64(r->kernel + RELOC64_OFF), UINT64_C(0xffffffff) + SLIDE);
	assert_int_equal(get_le32(r->kernel + RELOC_INVERSE_OFF), 0u - SLIDE);
	assert_int_equal(get_le32(r->kernel + RELOC_INVERSE_OFF + 4), 0);
	assert_int_equal(get_le32(r->kernel + RELOC32_OFF), SLIDE - 1);
	assert_int_equal(get_le32(r->kernel + RELOC32_OFF + 4), 0);
	run_free(r);
}

static void test_empty_lists(void **state)
{
	static const uint32_t none2[] = {0, 0}, none3[] = {0, 0, 0};
	static const uint32_t only64[] = {0, TEXT + 8, 0, 0}, only32[] = {0, 0, TEXT + 8};
	static const struct {
		const uint32_t *words;
		size_t count;
		uint64_t change; /* of the 8 bytes at 8 */
	} table[] = {{none2, 2, 0}, {none3, 3, 0}, {only64, 4, SLIDE}, {only32, 3, SLIDE}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct run *r = run_with(table[i].words, table[i].count);

		memset(r->kernel, 0, 64);
		assert_int_equal(run_read(r), 0);
		assert_int_equal(run_apply(r), 0);
		assert_int_equal(get_le64(r->kernel + 8), table[i].change);
		run_free(r);
	}
}

static void test_none(void **state)
{
	struct run *r = run_with(NULL, 0);

	(void)state;
	assert_int_equal(run_read(r), 0);
	assert_null(r->relocs.table);
	run_free(r);
}

static void test_what_is_no_table(void **state)
{
	static const uint32_t one[] = {0};
	static const uint32_t no_first[] = {TEXT, 0, TEXT, 0, TEXT};
	static const uint32_t one_list[] = {0, TEXT, TEXT};
	static const uint32_t four_lists[] = {0, TEXT, 0, TEXT, 0, TEXT, 0, TEXT};
	static const struct {
		const uint32_t *words;
		size_t count;
	} table[] = {{one, 1}, {no_first, 5}, {one_list, 3}, {four_lists, 8}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct run *r = run_with(table[i].words, table[i].count);

		check_refusal(r, run_read(r));
		assert_null(r->relocs.table);
		run_free(r);
	}
	for (unsigned int cut = 1; cut < 4; cut++) {
		struct run *r = run_new(true);

		r->file.size -= cut;
		check_refusal(r, run_read(r));
		run_free(r);
	}
}

/* One more word than the kernel has bytes for */
static void test_huge_table(void **state)
{
	struct run *r = run_new(false);

	(void)state;
	poke(&r->file, ELF64_PH(1) + 24, 8, ELF_TEXT_PADDR + ELF_TEXT_SIZE);
	poke(&r->file, ELF64_PH(1) + 40, 8, ELF_DATA_SIZE);
	r->file.size = ELF_DATA_OFF + ELF_DATA_SIZE + ELF_TEXT_SIZE + ELF_DATA_SIZE;
	memset(r->file.bytes + ELF_DATA_OFF + ELF_DATA_SIZE, 0x80, ELF_TEXT_SIZE + ELF_DATA_SIZE);
	poke(&r->file, ELF_DATA_OFF + ELF_DATA_SIZE, 8, 0);
	assert_int_equal(run_read(r), 0);
	r->file.size += 4;
	check_refusal(r, run_read(r));
	run_free(r);
}

/* The last place inside and the first one outside, at both ends, for each width */
static void test_ends_of_the_kernel(void **state)
{
	static const struct {
		uint32_t place;
		bool fits64, fits32;
	} table[] = {
		{TEXT, true, true},
		{TEXT - 1, false, false},
		{TEXT + SPAN - 8, true, true},
		{TEXT + SPAN - 7, false, true},
		{TEXT + SPAN - 4, false, true},
		{TEXT + SPAN - 3, false, false},
		{TEXT + SPAN, false, false},
		{0x80000000, false, false},
		{0x7fffffff, false, false},
		{0xffffffff, false, false},
		{1, false, false},
		{(uint32_t)ELF_TEXT_PADDR, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const uint32_t place = table[i].place;
		const uint32_t words[3][6] = {{0, place, 0, TEXT, 0, TEXT},
			{0, TEXT, 0, place, 0, TEXT}, {0, TEXT, 0, TEXT, 0, place}};

		for (size_t list = 0; list < 3; list++) {
			struct run *r = run_with(words[list], 6);
			bool fits = list ? table[i].fits32 : table[i].fits64;

			assert_int_equal(run_read(r), 0);
			if (fits)
				assert_int_equal(run_apply(r), 0);
			else
				check_refusal(r, run_apply(r));
			run_free(r);
		}
	}
}

/* The table begins behind whatever is last in the file: here the section headers. */
static void test_sections_count(void **state)
{
	const size_t shdrs = ELF_DATA_OFF + ELF_DATA_SIZE, strings = shdrs + 128;
	struct run *r = run_new(false);
	uint8_t table[16];

	(void)state;
	memcpy(table, r->file.bytes + shdrs, sizeof(table));
	memset(r->file.bytes + shdrs, 0, 128 + 32);
	poke(&r->file, 40, 8, shdrs);
	poke(&r->file, 58, 2, 64);
	poke(&r->file, 60, 2, 2);
	poke(&r->file, shdrs + 64 + 4, 4, 3); /* SHT_STRTAB */
	poke(&r->file, shdrs + 64 + 24, 8, strings);
	poke(&r->file, shdrs + 64 + 32, 8, 32);
	memcpy(r->file.bytes + strings + 32, table, sizeof(table));
	r->file.size = strings + 32 + sizeof(table);
	assert_int_equal(run_read(r), 0);
	assert_int_equal(r->relocs.size, sizeof(table));
	/* A section without bytes in the file does not count, however large it says that it is. */
	poke(&r->file, shdrs + 64 + 4, 4, 8);
	poke(&r->file, shdrs + 64 + 32, 8, UINT64_MAX);
	memmove(r->file.bytes + strings, table, sizeof(table));
	r->file.size = strings + sizeof(table);
	assert_int_equal(run_read(r), 0);
	assert_int_equal(r->relocs.size, sizeof(table));
	/* One with bytes that are not there, and headers that are not */
	poke(&r->file, shdrs + 64 + 4, 4, 1);
	check_refusal(r, run_read(r));
	poke(&r->file, 60, 2, 0xffff);
	check_refusal(r, run_read(r));
	poke(&r->file, 60, 2, 2);
	poke(&r->file, 58, 2, 63);
	check_refusal(r, run_read(r));
	poke(&r->file, 58, 2, 64);
	poke(&r->file, 40, 8, UINT64_MAX - 63);
	check_refusal(r, run_read(r));
	run_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_layouts),
		cmocka_unit_test(test_carries),
		cmocka_unit_test(test_empty_lists),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_what_is_no_table),
		cmocka_unit_test(test_huge_table),
		cmocka_unit_test(test_ends_of_the_kernel),
		cmocka_unit_test(test_sections_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
