/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/fake_ram.h"
#include "loader/boot/initrd.h"
#include "vm/core/error.h"
#include "vm/core/guest_mem.h"

#define KERNEL	    (16 * MiB)
#define KERNEL_SIZE (16 * MiB)

static int load(const struct fake_ram *ram, const struct image *images, size_t count,
	uint64_t addr_max, uint64_t *gpa, uint64_t *size)
{
	const struct initrd_config config = {
		.images = images,
		.count = count,
		.addr_max = addr_max,
		.kernel_gpa = KERNEL,
		.kernel_size = KERNEL_SIZE,
		.kernel_name = "kernel",
	};

	return initrd_load(ram->mem, &config, gpa, size, NULL);
}

static void test_none(void **state)
{
	struct fake_ram ram;
	uint64_t gpa = 1, size = 1;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	assert_int_equal(load(&ram, NULL, 0, UINT32_MAX, &gpa, &size), 0);
	assert_int_equal(gpa, 0);
	assert_int_equal(size, 0);
	fake_ram_destroy(&ram);
}

/* Several files of every length modulo 4: padded between, exact at the end. */
static void test_concatenation(void **state)
{
	static const char *const files[] = {"a", "bcdefg", "hijk", "lmn", "op"};
	static const char expected[] = "a\0\0\0bcdefg\0\0hijklmn\0op";
	struct image images[ARRAY_SIZE(files)];
	struct fake_ram ram;
	uint64_t gpa, size;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	memset(fake_ram_at(&ram, 63 * MiB, MiB), 0xee, MiB);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		image_from_memory(files[i], files[i], strlen(files[i]), &images[i]);
	assert_int_equal(load(&ram, images, ARRAY_SIZE(files), UINT32_MAX, &gpa, &size), 0);
	assert_int_equal(gpa, 64 * MiB - 4096);
	assert_int_equal(size, sizeof(expected) - 1);
	assert_memory_equal(fake_ram_at(&ram, gpa, size), expected, size);
	assert_int_equal(fake_ram_at(&ram, gpa + size, 1)[0], 0xee);
	fake_ram_destroy(&ram);
}

/* One file of `size`, in so much memory; 0 for refused. The file is all zeros, never written out.
 */
static const struct {
	uint64_t memory, addr_max, size, expected;
} places[] = {
	{64 * MiB, 0x7fffffff, 1, 64 * MiB - 4096},
	{64 * MiB, 0x7fffffff, 4096, 64 * MiB - 4096},
	{64 * MiB, 0x7fffffff, 4097, 64 * MiB - 8192},
	{64 * MiB, 0x7fffffff, 32 * MiB, 32 * MiB},
	{64 * MiB, 0x7fffffff, 32 * MiB + 1, 0},
	{64 * MiB + 4096, 0x7fffffff, 4096, 64 * MiB},
	/* The kernel's limit is an address, not an end. */
	{64 * MiB, 48 * MiB - 1, 4096, 48 * MiB - 4096},
	{64 * MiB, 48 * MiB - 2, 4096, 48 * MiB - 8192},
	{3 * GiB, 0x7fffffff, 4096, 2 * GiB - 4096},
	{3 * GiB, UINT32_MAX, 4096, 3 * GiB - 4096},
	{6 * GiB, UINT32_MAX, 4096, 3 * GiB - 4096},
	{6 * GiB, UINT64_MAX, 4096, 3 * GiB - 4096},
	/* Below the kernel when there is no place above */
	{64 * MiB, 24 * MiB, 4096, 16 * MiB - 4096},
	{64 * MiB, 20 * MiB, 15 * MiB, MiB},
	{64 * MiB, 20 * MiB, 15 * MiB + 1, 0},
	{64 * MiB, 8 * MiB - 1, MiB, 7 * MiB},
	{64 * MiB, MiB - 1, 1, 0},
	{64 * MiB, 0, 1, 0},
	{64 * MiB, 0x7fffffff, 64 * MiB, 0},
	{64 * MiB, 0x7fffffff, UINT64_MAX, 0},
};

static void test_placement(void **state)
{
	uint8_t *zeros = calloc(1, 32 * MiB);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct fake_ram ram;
		struct image image;
		uint64_t gpa = 1, size = 1;
		int rc;

		fake_ram_create(&ram, places[i].memory);
		image_from_memory("initrd", zeros, places[i].size, &image);
		rc = load(&ram, &image, 1, places[i].addr_max, &gpa, &size);
		if (rc != (places[i].expected ? 0 : -ENOSPC) || gpa != places[i].expected)
			fail_msg("row %zu: %d at 0x%llx", i, rc, (unsigned long long)gpa);
		assert_int_equal(size, places[i].expected ? places[i].size : 0);
		fake_ram_destroy(&ram);
	}
	free(zeros);
}

/* Sizes that would wrap when summed up */
static void test_huge_sums(void **state)
{
	struct image images[3];
	struct fake_ram ram;
	uint64_t gpa, size;

	(void)state;
	fake_ram_create(&ram, 64 * MiB);
	for (size_t i = 0; i < 3; i++)
		image_from_memory("huge", "", UINT64_C(1) << 63, &images[i]);
	assert_int_equal(load(&ram, images, 3, UINT32_MAX, &gpa, &size), -ENOSPC);
	for (size_t i = 0; i < 3; i++)
		images[i].size = 2 * GiB - 1;
	assert_int_equal(load(&ram, images, 3, UINT32_MAX, &gpa, &size), -ENOSPC);
	fake_ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_concatenation),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_huge_sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
