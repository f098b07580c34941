/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared directories: words, what they come to, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_line.h"

static void shares(void **state)
{
	struct config_line line;
	struct config config;

	(void)state;
	config_line_ok(&config, &line,
		"--share /a,,b,tag=x,ro,cache=always,owner=root,hide=.ssh,hide=/c/d,mounts "
		"--share /c");
	assert_int_equal(config.num_shares, 2);
	assert_string_equal(config.shares[0].path, "/a,b");
	assert_string_equal(config.shares[0].tag, "x");
	assert_true(config.shares[0].read_only && config.shares[0].mounts);
	assert_int_equal(config.shares[0].cache, FS_CACHE_ALWAYS);
	assert_int_equal(config.shares[0].owner, FS_OWNER_ROOT);
	assert_int_equal(config.shares[0].num_hide, 2);
	assert_string_equal(config.shares[0].hide[0], ".ssh");
	assert_string_equal(config.shares[0].hide[1], "/c/d");
	assert_string_equal(config.shares[1].path, "/c");
	assert_string_equal(config.shares[1].tag, "share1");
	assert_false(config.shares[1].read_only || config.shares[1].mounts);
	assert_int_equal(config.shares[1].cache, FS_CACHE_AUTO);
	assert_int_equal(config.shares[1].owner, FS_OWNER_HOST);
	config_destroy(&config);
}

/* As many of a word as it takes to be one too many */
static void too_many(const char *first, const char *word, unsigned int n, const char *why)
{
	char text[4096];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s", first);

	for (unsigned int i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", word);
	config_line_refused(text, why);
}

static void refused(void **state)
{
	(void)state;
	config_line_refused("--share ,ro", "needs a directory");
	config_line_refused("--share /a,cache=maybe", "cache: 'maybe' is not one of");
	config_line_refused("--share /a,owner=me", "owner: 'me' is not one of");
	config_line_refused("--share /a,tag=", "tag needs a value");
	config_line_refused("--share /a,tag=a~b", "tag: 'a b'");
	config_line_refused("--share /a,tag=0123456789012345678901234567890123456", "tag:");
	config_line_refused("--share /a,read", "unknown option 'read'");
	config_line_refused("--share /a,ro=1", "ro takes no value");
	config_line_refused("--share /a,tag=x --share /b,tag=x", "cannot both have the tag 'x'");
	config_line_refused("--share /a,tag=share1 --share /b", "the tag 'share1'");
	too_many("--share /a", ",hide=x", FS_MAX_HIDE + 1, "of these at most");
	too_many("", "--share /a ", CONFIG_MAX_SHARES + 1, "of these at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shares), cmocka_unit_test(refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
