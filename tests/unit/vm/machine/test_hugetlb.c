/* SPDX-License-Identifier: BSD-2-Clause */
/* What cgroups leave of the huge pages, read out of trees as the kernel shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/machine/hugetlb.h"

struct tree {
	char top[32];
};

static int setup(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));

	strcpy(t->top, "/tmp/bantam-huge-XXXXXX");
	*state = t;
	return mkdtemp(t->top) ? 0 : -1;
}

static int teardown(void **state)
{
	struct tree *t = *state;
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", t->top);
	free(t);
	return system(command); /* NOLINT(cert-env33-c) */
}

/* Makes the file with all its directories, below the top. */
static void put(const struct tree *t, const char *path, const char *text)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p $(dirname %s/%s) && printf '%s' >%s/%s",
		t->top, path, text, t->top, path);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static uint64_t room(const struct tree *t, const char *groups, char where[HUGETLB_WHERE])
{
	char list[64], mount[64];

	put(t, "cgroup", groups);
	snprintf(list, sizeof(list), "%s/cgroup", t->top);
	snprintf(mount, sizeof(mount), "%s/sys", t->top);
	return hugetlb_room(list, mount, where);
}

static void test_nobody_limits(void **state)
{
	struct tree *t = *state;
	char where[HUGETLB_WHERE];

	assert_true(hugetlb_room("/nonexistent", "/nonexistent", where) == UINT64_MAX);
	assert_true(room(t, "", where) == UINT64_MAX);
	assert_true(room(t, "0::/user.slice\\n", where) == UINT64_MAX);
	assert_true(room(t, "nonsense\\n::\\n5:cpu:/\\n0:\\n", where) == UINT64_MAX);
	put(t, "sys/user.slice/hugetlb.2MB.max", "max\\n");
	put(t, "sys/user.slice/hugetlb.2MB.current", "2097152\\n");
	assert_true(room(t, "0::/user.slice\\n", where) == UINT64_MAX);
	assert_string_equal(where, "");
}

/* The tightest of all groups from ours up to the root, which is the container's own. */
static void test_version_2(void **state)
{
	struct tree *t = *state;
	char where[HUGETLB_WHERE];

	put(t, "sys/a/b/hugetlb.2MB.max", "67108864\\n");
	put(t, "sys/a/b/hugetlb.2MB.current", "2097152\\n");
	put(t, "sys/a/b/c/hugetlb.2MB.max", "max\\n");
	assert_true(room(t, "0::/a/b/c\\n", where) == 62 * MiB);
	assert_non_null(strstr(where, "/sys/a/b/hugetlb.2MB.max"));
	assert_true(room(t, "0::/a\\n", where) == UINT64_MAX);
	put(t, "sys/a/hugetlb.2MB.rsvd.max", "4194304\\n");
	assert_true(room(t, "0::/a/b/c\\n", where) == 4 * MiB);
	assert_non_null(strstr(where, "/sys/a/hugetlb.2MB.rsvd.max"));
	put(t, "sys/hugetlb.2MB.max", "2097152\\n");
	put(t, "sys/hugetlb.2MB.current", "4194304\\n");
	assert_true(room(t, "0::/a/b/c\\n", where) == 0);
	assert_true(room(t, "0::/\\n", where) == 0);
}

static void test_version_1(void **state)
{
	struct tree *t = *state;
	char where[HUGETLB_WHERE];

	put(t, "sys/hugetlb/box/hugetlb.2MB.limit_in_bytes", "10485760\\n");
	put(t, "sys/hugetlb/box/hugetlb.2MB.usage_in_bytes", "0\\n");
	put(t, "sys/hugetlb/hugetlb.2MB.limit_in_bytes", "9223372036854771712\\n");
	assert_true(room(t, "9:hugetlb:/box\\n4:memory:/else\\n0::/\\n", where) == 10 * MiB);
	assert_true(room(t, "9:cpu,hugetlb:/box\\n", where) == 10 * MiB);
	assert_true(room(t, "9:nohugetlb:/box\\n", where) == UINT64_MAX);
	put(t, "sys/unified/box/hugetlb.2MB.max", "2097152\\n");
	assert_true(room(t, "9:hugetlb:/box\\n0::/box\\n", where) == 2 * MiB);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_nobody_limits),
		CASE(test_version_2),
		CASE(test_version_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
