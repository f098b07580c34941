/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "loader/kaslr.h"

static const struct kaslr_config plain = {
	.start = 16 * MiB,
	.size = 54 * MiB,
	.align = 2 * MiB,
	.limit = 256 * MiB,
	.cmdline = "quiet",
};

static struct kaslr choose(struct kaslr_config config, uint64_t physical, uint64_t virtual)
{
	struct kaslr kaslr;

	config.random[0] = physical;
	config.random[1] = virtual;
	kaslr_choose(&config, &kaslr);
	return kaslr;
}

/* Each place comes up for one of as many numbers in a row, the first and the last included. */
static void test_every_place(void **state)
{
	enum { PHYSICAL = (256 - 54 - 16) / 2 + 1, VIRTUAL = (1024 - 54 - 16) / 2 + 1 };
	bool seen[PHYSICAL] = {false};

	(void)state;
	for (uint64_t i = 0; i < PHYSICAL; i++) {
		struct kaslr kaslr = choose(plain, 1000 + i, 0);

		assert_int_equal(kaslr.virtual, 0);
		assert_int_equal(kaslr.physical % (2 * MiB), 0);
		assert_true(16 * MiB + kaslr.physical + 54 * MiB <= 256 * MiB);
		assert_false(seen[kaslr.physical / (2 * MiB)]);
		seen[kaslr.physical / (2 * MiB)] = true;
	}
	assert_int_equal(choose(plain, 0, VIRTUAL - 1).virtual, (1024 - 54 - 16) * MiB);
	assert_int_equal(choose(plain, 0, VIRTUAL).virtual, 0);
	assert_int_equal(choose(plain, PHYSICAL, 1).physical, 0);
}

static void test_any_number_is_good(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 64; i++) {
		struct kaslr kaslr = choose(plain, UINT64_MAX >> i, UINT64_MAX << i);

		assert_true(16 * MiB + kaslr.physical + 54 * MiB <= 256 * MiB);
		assert_true(16 * MiB + kaslr.virtual + 54 * MiB <= GiB);
		assert_int_equal(kaslr.virtual % (2 * MiB), 0);
	}
}

/* Where there is one place, and where there is not even that, it stays where it is. */
static void test_no_room(void **state)
{
	struct kaslr_config config = plain;

	(void)state;
	config.limit = 70 * MiB;
	assert_int_equal(choose(config, 12345, 1).physical, 0);
	config.limit = 72 * MiB;
	assert_int_equal(choose(config, 12345, 1).physical, 2 * MiB);
	config.limit = 69 * MiB;
	assert_int_equal(choose(config, 12345, 1).physical, 0);
	config.limit = 0;
	assert_int_equal(choose(config, 12345, 1).physical, 0);
	config.size = GiB;
	assert_int_equal(choose(config, 1, 12345).virtual, 0);
	config.size = 0xffffffff;
	config.limit = UINT64_MAX;
	assert_int_equal(choose(config, 1, 12345).virtual, 0);
}

static void test_alignment(void **state)
{
	struct kaslr_config config = plain;

	(void)state;
	config.align = 16 * MiB;
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(choose(config, i, i).physical % (16 * MiB), 0);
		assert_int_equal(choose(config, i, i).virtual % (16 * MiB), 0);
	}
	/* Less than what Linux's page tables need counts as that. */
	config.align = 1;
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(choose(config, i, i).physical, i % 94 * 2 * MiB);
	config.align = 2 * GiB;
	assert_int_equal(choose(config, 12345, 12345).physical, 0);
	assert_int_equal(choose(config, 12345, 12345).virtual, 0);
}

static void test_memory_set_aside(void **state)
{
	static const char *const words[] = {
		"mem=128M", "a memmap=1M$32M", "hugepagesz=1G hugepages=1"};
	struct kaslr_config config = plain;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		config.cmdline = words[i];
		assert_int_equal(choose(config, 5, 5).physical, 0);
		assert_int_equal(choose(config, 5, 5).virtual, 10 * MiB);
	}
}

static void test_nokaslr(void **state)
{
	static const struct {
		const char *cmdline;
		bool allowed;
	} table[] = {
		{"", true},
		{"quiet panic=1", true},
		{"nokaslr", false},
		{"quiet nokaslr panic=1", false},
		{"quiet\tnokaslr", false},
		{"quiet -- nokaslr", false},
		{"\"a nokaslr b\"", false},
		{"nokaslr=1", true},
		{"xnokaslr", true},
		{"nokaslrx", true},
		{"a.nokaslr", true},
		{"\"nokaslr\"", true},
		{"nokaslrnokaslr", true},
		{"nokaslrx nokaslr", false},
		{"nokasl", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (kaslr_allowed(table[i].cmdline) != table[i].allowed)
			fail_msg("%s", table[i].cmdline);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_any_number_is_good),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_memory_set_aside),
		cmocka_unit_test(test_nokaslr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
