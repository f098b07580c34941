/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm/core/guest_mem.h"

static uint8_t low[0x1000], next[0x1000], high[0x1000];

/* Two regions that touch at 0x2000, and one at the very top of the address space. */
static int setup(void **state)
{
	struct guest_mem *mem;

	if (guest_mem_create(&mem) < 0)
		return -1;
	if (guest_mem_add(mem, 0x2000, sizeof(next), next) < 0 ||
		guest_mem_add(mem, UINT64_MAX - 0xfff, sizeof(high), high) < 0 ||
		guest_mem_add(mem, 0x1000, sizeof(low), low) < 0)
		return -1;
	for (unsigned int i = 0; i < 0x1000; i++) {
		low[i] = (uint8_t)i;
		next[i] = (uint8_t)~i;
	}
	*state = mem;
	return 0;
}

static int teardown(void **state)
{
	guest_mem_destroy(*state);
	return 0;
}

static void sorted(void **state)
{
	size_t count;
	const struct guest_mem_region *r = guest_mem_regions(*state, &count);

	assert_int_equal(count, 3);
	assert_true(r[0].gpa == 0x1000 && r[1].gpa == 0x2000 && r[2].gpa == UINT64_MAX - 0xfff);
}

static void bad_regions(void **state)
{
	static const struct {
		uint64_t gpa, size;
		int rc;
	} rows[] = {
		{0x8000, 0, -EINVAL},
		{UINT64_MAX - 1, 3, -EINVAL},
		{0x1fff, 1, -EEXIST},
		{0x0, 0x1001, -EEXIST},
		{0x0, UINT64_MAX, -EEXIST},
		{0x2fff, 0x10, -EEXIST},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(guest_mem_add(*state, rows[i].gpa, rows[i].size, low), rows[i].rc);
}

static void pointers(void **state)
{
	static const struct {
		uint64_t gpa, len;
		const uint8_t *hva;
	} rows[] = {
		{0x1000, 0x1000, low},
		{0x1fff, 1, low + 0xfff},
		{0x1fff, 2, NULL}, /* would span two regions */
		{0x2000, 0, next},
		{0xfff, 1, NULL},
		{0xfff, 0, NULL},
		{0x3000, 0, NULL},
		{0x2ff0, 0x10, next + 0xff0},
		{0x2ff0, 0x11, NULL},
		{0x1000, UINT64_MAX, NULL},
		{UINT64_MAX, 1, high + 0xfff},
		{UINT64_MAX, 2, NULL},
		{UINT64_MAX - 0xfff, 0x1000, high},
		{UINT64_MAX - 0xfff, UINT64_MAX, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_ptr_equal(guest_mem_ptr(*state, rows[i].gpa, rows[i].len), rows[i].hva);
}

static void copies_span_regions(void **state)
{
	uint8_t buf[4];

	assert_int_equal(guest_mem_read(*state, 0x1ffe, buf, 4), 0);
	assert_memory_equal(buf, ((uint8_t[]){0xfe, 0xff, 0xff, 0xfe}), 4);
	assert_int_equal(guest_mem_write(*state, 0x1ffe, "abcd", 4), 0);
	assert_memory_equal(low + 0xffe, "ab", 2);
	assert_memory_equal(next, "cd", 2);
	assert_int_equal(guest_mem_zero(*state, 0x1fff, 2), 0);
	assert_int_equal(low[0xfff], 0);
	assert_int_equal(next[0], 0);
	assert_int_equal(next[1], 'd');
}

static void failed_copies_copy_nothing(void **state)
{
	uint8_t buf[16] = "unchanged";

	assert_int_equal(guest_mem_read(*state, 0x2ff8, buf, 16), -EFAULT);
	assert_string_equal((char *)buf, "unchanged");
	next[0xff8] = 7;
	assert_int_equal(guest_mem_write(*state, 0x2ff8, buf, 16), -EFAULT);
	assert_int_equal(next[0xff8], 7);
	assert_int_equal(guest_mem_zero(*state, 0x2ff8, 16), -EFAULT);
	assert_int_equal(next[0xff8], 7);
	/* Runs past 2^64. */
	assert_int_equal(guest_mem_write(*state, UINT64_MAX - 3, buf, 8), -EFAULT);
	assert_int_equal(guest_mem_read(*state, 0x9000, buf, 0), 0);
}

static void iovecs(void **state)
{
	struct iovec iov[2];

	assert_int_equal(guest_mem_iov(*state, 0x1ff0, 0x20, iov, 2), 2);
	assert_ptr_equal(iov[0].iov_base, low + 0xff0);
	assert_int_equal(iov[0].iov_len, 0x10);
	assert_ptr_equal(iov[1].iov_base, next);
	assert_int_equal(iov[1].iov_len, 0x10);
	assert_int_equal(guest_mem_iov(*state, 0x1ff0, 0x20, iov, 1), -E2BIG);
	assert_int_equal(guest_mem_iov(*state, 0x2ff0, 0x20, iov, 2), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sorted, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(pointers, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_span_regions, setup, teardown),
		cmocka_unit_test_setup_teardown(failed_copies_copy_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(iovecs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
