/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments of `bantam pack`. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vm/cli/pack.h"
#include "vm/core/error.h"

enum { MAX_ARGS = 64 };

/* Parses a line of words, which the result points into. */
static int parse(struct pack_config *pack, char *line, struct error *err)
{
	char *argv[MAX_ARGS + 1] = {(char *)"pack"}, *save = NULL;
	int argc = 1;

	for (char *w = strtok_r(line, " ", &save); w && argc < MAX_ARGS;
		w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return pack_config_parse(pack, argc, argv, err);
}

static void one_configuration(void **state)
{
	char line[] = "-o out -k kernel -i one -i two -a words -a more";
	struct pack_config pack;
	struct error err = {""};

	(void)state;
	assert_int_equal(parse(&pack, line, &err), 0);
	assert_string_equal(pack.output, "out");
	assert_int_equal(pack.count, 1);
	assert_string_equal(pack.entries[0].name, "conf-1");
	assert_string_equal(pack.entries[0].kernel, "kernel");
	assert_int_equal(pack.entries[0].num_initrds, 2);
	assert_string_equal(pack.entries[0].initrds[1], "two");
	assert_string_equal(pack.entries[0].cmdline, "words more");
	pack_config_destroy(&pack);
}

static void several_configurations(void **state)
{
	char line[] = "kernel -a main --config=second -a rest --config third -k other --output out";
	char named[] = "--config only kernel -o out";
	struct pack_config pack;
	struct error err = {""};

	(void)state;
	assert_int_equal(parse(&pack, line, &err), 0);
	assert_int_equal(pack.count, 3);
	assert_string_equal(pack.entries[0].name, "conf-1");
	assert_string_equal(pack.entries[0].cmdline, "main");
	assert_string_equal(pack.entries[1].name, "second");
	assert_null(pack.entries[1].kernel);
	assert_string_equal(pack.entries[1].cmdline, "rest");
	assert_string_equal(pack.entries[2].kernel, "other");
	assert_null(pack.entries[2].cmdline);
	pack_config_destroy(&pack);
	assert_int_equal(parse(&pack, named, &err), 0);
	assert_int_equal(pack.count, 1);
	assert_string_equal(pack.entries[0].name, "only");
	assert_string_equal(pack.entries[0].kernel, "kernel");
	pack_config_destroy(&pack);
}

static void help(void **state)
{
	char line[] = "-k kernel --help";
	struct pack_config pack;

	(void)state;
	assert_int_equal(parse(&pack, line, NULL), 1);
	pack_config_destroy(&pack);
}

static void refused(void **state)
{
	static const struct {
		const char *line, *part;
	} bad[] = {
		{"-k kernel", "--output"},
		{"-o out --output= kernel", "--output"},
		{"-o out one two", "a second kernel, 'two'"},
		{"-o out one -k two", "a second kernel, 'two'"},
		{"-o out --kernel= ", "--kernel"},
		{"-o out --initrd= ", "--initrd"},
		{"-o out --memory 1G", "--memory"},
		{"-o out --config a/b k", "'a/b' is not a valid name"},
		{"-o out --config .a k", "'.a' is not a valid name"},
		{"-o out --config -a k", "'-a' is not a valid name"},
		{"-o out --config= k", "'' is not a valid name"},
		{"-o out --config abcdefghijklmnopqrstuvwxyzabcdef k", "is not a valid name"},
		{"-o out --config a k --config a", "two configurations are called 'a'"},
		{"-o out k --config conf-1", "two configurations are called 'conf-1'"},
		{"-o out k -i1 -i2 -i3 -i4 -i5 -i6 -i7 -i8 -i9 -ia -ib -ic -id -ie -if -ig -ih",
			"more than 16 files"},
		{"-o out k --config b --config c --config d --config e --config f --config g "
		 "--config h --config i --config j --config k --config l --config m --config n "
		 "--config o --config p --config q",
			"more than 16 configurations"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pack_config pack;
		struct error err = {""};
		char line[512];
		int rc;

		snprintf(line, sizeof(line), "%s", bad[i].line);
		rc = parse(&pack, line, &err);
		if (rc != -EINVAL || !strstr(err.text, bad[i].part))
			fail_msg("'%s': %d '%s'", bad[i].line, rc, err.text);
		pack_config_destroy(&pack);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_configuration),
		cmocka_unit_test(several_configurations),
		cmocka_unit_test(help),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
