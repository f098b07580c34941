/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hosts that lack what the sandbox wants: a kernel that answers by the numbers of the calls, and
 * keeps a record of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm/core/base.h"
#include "vm/core/confine.h"
#include "vm/core/error.h"
#include "vm/sandbox/sandbox.h"
#include "vm/sandbox/sys.h"

enum {
	MAX_CALLS = 128,
	CREATE_RULESET = 444,
	ADD_RULE = 445,
	RESTRICT_SELF = 446,
	OPEN_TREE = 428
};

struct host {
	struct sandbox_sys sys;
	/* What it lacks */
	bool no_user_ns, no_mounts, no_pivot, no_open_tree;
	int abi; /* of Landlock, 0: none */
	/* What it was asked for */
	long calls[MAX_CALLS];
	unsigned int num;
	unsigned long unshared;
	uint64_t handled[3];
	unsigned int rules;
	bool no_new_privs, not_dumpable, filtered, became, looked_into;
};

/* The rights that each ABI has (kernel: include/uapi/linux/landlock.h) */
static const uint64_t fs_rights[] = {
	0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff, 0xffff, 0xffff, 0x1ffff};

static long create_ruleset(struct host *host, const unsigned long args[6])
{
	const int newest = MIN(host->abi, 8);
	uint64_t attr[3] = {0};

	if (!host->abi)
		return -EOPNOTSUPP;
	if (args[2])
		return args[0] || args[1] ? -EINVAL : host->abi;
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): that is how a kernel is called */
	memcpy(attr, (const void *)args[0], MIN(args[1], sizeof(attr)));
	if ((attr[1] && host->abi < 4) || (attr[2] && host->abi < 6))
		return -E2BIG;
	if (!attr[0] || (attr[0] & ~fs_rights[newest]) || attr[1] > 3 || attr[2] > 3)
		return -EINVAL;
	memcpy(host->handled, attr, sizeof(attr));
	return 90;
}

static long answer(struct host *host, long nr, const unsigned long args[6])
{
	switch (nr) {
	case SYS_unshare:
		if (host->no_user_ns)
			return -EPERM;
		host->unshared = args[0];
		return 0;
	case SYS_mount:
		return host->no_mounts ? -EACCES : 0;
	case SYS_pivot_root:
		return host->no_pivot ? -EINVAL : 0;
	case OPEN_TREE:
		return host->no_open_tree ? -ENOSYS : 91;
	case SYS_openat:
		return 92;
	case CREATE_RULESET:
		return create_ruleset(host, args);
	case ADD_RULE:
		host->rules++;
		return 0;
	case SYS_prctl:
		host->no_new_privs |= args[0] == PR_SET_NO_NEW_PRIVS && args[1] == 1;
		host->not_dumpable |= args[0] == PR_SET_DUMPABLE && args[1] == 0;
		host->looked_into |= host->became && args[0] == PR_SET_DUMPABLE && args[1];
		return 0;
	case SYS_setresuid:
		host->became = true;
		return 0;
	case SYS_seccomp:
		host->filtered = true;
		return host->no_new_privs ? 0 : -EACCES;
	default:
		return 0;
	}
}

static long fake_call(const struct sandbox_sys *sys, long nr, const unsigned long args[6])
{
	struct host *host = container_of(sys, struct host, sys);

	assert_true(host->num < MAX_CALLS);
	/* Nothing but threads' filters comes behind the process's. */
	assert_true(!host->filtered || nr == SYS_seccomp);
	host->calls[host->num++] = nr;
	return answer(host, nr, args);
}

static bool called(const struct host *host, long nr)
{
	for (unsigned int i = 0; i < host->num; i++)
		if (host->calls[i] == nr)
			return true;
	return false;
}

static int enter(struct host *host, enum sandbox_mode mode, struct sandbox **ret, struct error *err)
{
	const struct sandbox_config config = {.mode = mode, .memory = 64 * MiB, .sys = &host->sys};

	host->sys.call = fake_call;
	assert_int_equal(sandbox_create(&config, ret, err), 0);
	sandbox_set_run_dir(*ret, "/run/bantam");
	return sandbox_enter(*ret, err);
}

/* Descriptors of the fake are not ours to close. */
static void leave(struct sandbox *sandbox)
{
	free(sandbox);
}

static void test_whole(void **state)
{
	struct host host = {.abi = 7};
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	assert_int_equal(enter(&host, SANDBOX_STRICT, &sandbox, &err), 0);
	for (int i = 0; i < NUM_SANDBOX_LAYERS; i++)
		assert_true(sandbox_results(sandbox)[i].there);
	assert_int_equal(host.unshared,
		CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET);
	assert_true(host.no_new_privs && host.not_dumpable && host.filtered);
	assert_true(called(&host, SYS_capset));
	assert_int_equal(host.rules, 2);
	assert_true(sandbox_run_fd(sandbox) >= 0 && sandbox_tasks_fd(sandbox) >= 0);
	assert_true(sandbox_is_entered(sandbox));
	leave(sandbox);
}

/* The start is counted: Documentation/security.md, tests/bench/guard.json. */
static void test_calls(void **state)
{
	struct host host = {.abi = 7};
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	assert_int_equal(enter(&host, SANDBOX_ON, &sandbox, &err), 0);
	assert_true(host.num <= 21);
	leave(sandbox);
}

static void test_landlock(void **state)
{
	(void)state;
	for (int abi = 0; abi <= 9; abi++) {
		struct host host = {.abi = abi};
		struct sandbox *sandbox;
		struct error err = {""};
		int rc = enter(&host, SANDBOX_STRICT, &sandbox, &err);

		assert_int_equal(rc, abi ? 0 : -EOPNOTSUPP);
		assert_int_equal(sandbox_results(sandbox)[SANDBOX_LANDLOCK].there, abi > 0);
		assert_int_equal(host.handled[0], fs_rights[MIN(abi, 7)]);
		assert_int_equal(host.handled[1], abi >= 4 ? 3 : 0);
		assert_int_equal(host.handled[2], abi >= 6 ? 3 : 0);
		assert_int_equal(called(&host, RESTRICT_SELF), abi > 0);
		if (!abi)
			assert_non_null(strstr(err.text, "no Landlock"));
		leave(sandbox);
	}
}

static void test_no_user_namespaces(void **state)
{
	struct host host = {.abi = 2, .no_user_ns = true}, again = host;
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	assert_int_equal(enter(&host, SANDBOX_ON, &sandbox, &err), 0);
	assert_false(sandbox_results(sandbox)[SANDBOX_NAMESPACES].there);
	assert_int_equal(sandbox_results(sandbox)[SANDBOX_NAMESPACES].error, -EPERM);
	assert_false(sandbox_results(sandbox)[SANDBOX_ROOT].there);
	assert_false(called(&host, SYS_mount) && called(&host, SYS_pivot_root));
	assert_true(host.filtered && called(&host, RESTRICT_SELF));
	/* Landlock keeps them in. */
	assert_true(sandbox_run_fd(sandbox) >= 0);
	leave(sandbox);
	assert_int_equal(enter(&again, SANDBOX_STRICT, &sandbox, &err), -EPERM);
	assert_non_null(strstr(err.text, "--sandbox strict: this host gives no namespaces"));
	assert_non_null(strstr(err.text, "bantam doctor"));
	leave(sandbox);
}

/* Nothing keeps a directory in: there is none. */
static void test_neither(void **state)
{
	struct host host = {.no_user_ns = true};
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	assert_int_equal(enter(&host, SANDBOX_ON, &sandbox, &err), 0);
	assert_int_equal(sandbox_run_fd(sandbox), -1);
	assert_int_equal(sandbox_tasks_fd(sandbox), -1);
	assert_true(host.filtered);
	leave(sandbox);
}

/* A user namespace without rights over mounts, as AppArmor gives it; an old kernel; a chroot. */
static void test_half(void **state)
{
	struct host hosts[] = {{.abi = 3, .no_mounts = true}, {.abi = 3, .no_open_tree = true},
		{.abi = 3, .no_pivot = true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct sandbox *sandbox;
		struct error err = {""};

		assert_int_equal(enter(&hosts[i], SANDBOX_ON, &sandbox, &err), 0);
		assert_int_equal(sandbox_results(sandbox)[SANDBOX_ROOT].there, !hosts[i].no_mounts);
		assert_int_equal(called(&hosts[i], SYS_chroot), hosts[i].no_pivot);
		assert_true(hosts[i].filtered);
		leave(sandbox);
	}
}

/* What root has opened is not for other processes of the user that he becomes. */
static void test_not_looked_into(void **state)
{
	struct host host = {.abi = 7};
	const struct sandbox_config config = {
		.mode = SANDBOX_ON, .memory = 64 * MiB, .sys = &host.sys, .user = "1234:1234"};
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	if (geteuid() != 0)
		skip();
	host.sys.call = fake_call;
	assert_int_equal(sandbox_create(&config, &sandbox, &err), 0);
	assert_int_equal(sandbox_enter(sandbox, &err), 0);
	assert_true(host.became && host.not_dumpable && !host.looked_into);
	leave(sandbox);
}

static void test_off_and_log(void **state)
{
	struct host off = {.abi = 7}, log = {.abi = 7};
	struct sandbox *sandbox;
	struct error err = {""};

	(void)state;
	assert_int_equal(enter(&off, SANDBOX_OFF, &sandbox, &err), 0);
	assert_int_equal(off.num, 0);
	assert_false(sandbox_is_entered(sandbox));
	confine_enter(sandbox_confine(sandbox), CONFINE_VCPU);
	assert_int_equal(off.num, 0);
	leave(sandbox);
	assert_int_equal(enter(&log, SANDBOX_LOG, &sandbox, &err), 0);
	assert_int_equal(log.num, 2);
	assert_true(log.filtered && !sandbox_is_entered(sandbox));
	leave(sandbox);
}

static void test_threads(void **state)
{
	struct host host = {.abi = 7};
	struct sandbox *sandbox;
	struct error err = {""};
	unsigned int before;

	(void)state;
	assert_int_equal(enter(&host, SANDBOX_ON, &sandbox, &err), 0);
	before = host.num;
	confine_enter(sandbox_confine(sandbox), CONFINE_VCPU);
	confine_enter(NULL, CONFINE_VCPU);
	assert_int_equal(host.num, before + 1);
	assert_int_equal(host.calls[before], SYS_seccomp);
	leave(sandbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_landlock),
		cmocka_unit_test(test_no_user_namespaces),
		cmocka_unit_test(test_neither),
		cmocka_unit_test(test_half),
		cmocka_unit_test(test_not_looked_into),
		cmocka_unit_test(test_off_and_log),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
