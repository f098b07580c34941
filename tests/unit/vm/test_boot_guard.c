/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/boot_guard.h"

static bool boot(struct boot_guard *guard, uint64_t *now, uint64_t ns, bool came_up)
{
	boot_guard_start(guard, *now);
	*now += ns;
	return boot_guard_again(guard, *now, came_up);
}

static void in_a_row(void **state)
{
	struct boot_guard guard = {0};
	uint64_t now = 12345;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 1; i < BOOT_GUARD_MAX; i++)
			assert_true(boot(&guard, &now, NSEC_PER_SEC, false));
		/* Once to user space, or for long: the row begins anew. */
		assert_true(boot(&guard, &now, round ? 1 : BOOT_GUARD_LONG_NS, round != 0));
	}
	for (int i = 1; i < BOOT_GUARD_MAX; i++)
		assert_true(boot(&guard, &now, BOOT_GUARD_LONG_NS - 1, false));
	assert_false(boot(&guard, &now, 0, false));
}

static void for_ever(void **state)
{
	struct boot_guard guard = {0};
	uint64_t now = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(boot(&guard, &now, 1, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_row),
		cmocka_unit_test(for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
