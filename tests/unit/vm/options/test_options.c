/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command line is read with: the table, verbs, sizes, and the nearest name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm/config/config.h"
#include "vm/core/error.h"
#include "vm/core/suggest.h"
#include "vm/options/options.h"

static void verbs(void **state)
{
	static const struct {
		const char *name;
		enum verb verb;
	} known[] = {{"run", VERB_RUN}, {"doctor", VERB_DOCTOR}, {"version", VERB_VERSION},
		{"--version", VERB_VERSION}, {"-V", VERB_VERSION}, {"help", VERB_HELP},
		{"--help", VERB_HELP}, {"-h", VERB_HELP}, {"completion", VERB_COMPLETION}};
	static const struct {
		const char *name, *words;
	} unknown[] = {
		{"rnu", "unknown verb 'rnu' (did you mean 'run'?)"},
		{"docter", "did you mean 'doctor'?"},
		{"vers", "did you mean 'version'?"},
		{"bzImage", "unknown verb 'bzImage' (did you mean 'bantam run bzImage'?)"},
		{"-m1G", "as in 'bantam run -m1G'"},
		{"", "unknown verb ''"},
	};
	enum verb verb;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_int_equal(verb_find(known[i].name, &verb, NULL), 0);
		assert_int_equal(verb, known[i].verb);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		struct error err = {""};

		assert_int_equal(verb_find(unknown[i].name, &verb, &err), -ENOENT);
		if (!strstr(err.text, unknown[i].words))
			fail_msg("'%s': '%s'", unknown[i].name, err.text);
	}
}

/* A mistake in the table would make an option unreachable. */
static void table_is_unambiguous(void **state)
{
	(void)state;
	for (enum option_id a = 0; a < NUM_OPTIONS; a++) {
		assert_non_null(option_spec(a)->name);
		assert_non_null(option_spec(a)->brief);
		assert_true(option_spec(a)->verbs);
		assert_non_null(option_group_title(option_spec(a)->group));
		if (option_spec(a)->file || option_spec(a)->choices)
			assert_non_null(option_spec(a)->value);
		if (option_spec(a)->closed)
			assert_non_null(option_spec(a)->choices);
		for (enum option_id b = 0; b < a; b++) {
			/* Two verbs may call different things alike. */
			if (!(option_spec(a)->verbs & option_spec(b)->verbs))
				continue;
			assert_string_not_equal(option_spec(a)->name, option_spec(b)->name);
			if (option_spec(a)->short_name)
				assert_int_not_equal(
					option_spec(a)->short_name, option_spec(b)->short_name);
		}
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit, size;
		int result;
	} cases[] = {
		{"0", 1, 0, 0},
		{"7", 1, 7, 0},
		{"7", MiB, 7 * MiB, 0},
		{"7b", MiB, 7, 0},
		{"7k", MiB, 7 * KiB, 0},
		{"7KB", MiB, 7 * KiB, 0},
		{"7KiB", MiB, 7 * KiB, 0},
		{"7mib", 1, 7 * MiB, 0},
		{"007G", 1, 7 * GiB, 0},
		{"18446744073709551615", 1, UINT64_MAX, 0},
		{"18446744073709551616", 1, 0, -ERANGE},
		{"16777215T", 1, 16777215 * TiB, 0},
		{"16777216T", 1, 0, -ERANGE},
		{"18446744073709551615", 2, 0, -ERANGE},
		{"", 1, 0, -EINVAL},
		{"K", 1, 0, -EINVAL},
		{"1Ki", 1, 0, -EINVAL},
		{"1KK", 1, 0, -EINVAL},
		{"1bb", 1, 0, -EINVAL},
		{"1iB", 1, 0, -EINVAL},
		{"1 K", 1, 0, -EINVAL},
		{"1K ", 1, 0, -EINVAL},
		{"-1", 1, 0, -EINVAL},
		{"a", 1, 0, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t size = 12345;

		if (config_parse_size(cases[i].text, cases[i].unit, &size) != cases[i].result)
			fail_msg("'%s'", cases[i].text);
		assert_int_equal(size, cases[i].result ? 12345 : cases[i].size);
	}
}

static void distances(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int distance;
	} cases[] = {{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"ABC", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "ab", 1},
		{"abc", "abxc", 1}, {"kitten", "sitting", 3}, {"memroy", "memory", 1},
		{"ca", "abc", 3},
		{"abcdefghijklmnopqrstuvwxyz12345", "abcdefghijklmnopqrstuvwxyz12345", 0},
		{"abcdefghijklmnopqrstuvwxyz123456", "abc", UINT32_MAX}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].distance);
		assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].distance);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs),
		cmocka_unit_test(table_is_unambiguous),
		cmocka_unit_test(sizes),
		cmocka_unit_test(distances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
