/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that are loaded, run as the kernel would: each line of each list lets through what
 * it says, and not what is beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#include "vm/core/base.h"
#include "vm/sandbox/bpf.h"
#include "vm/sandbox/filter.h"
#include "vm/sandbox/slots.h"

struct filter_test {
	unsigned int arg;
	int op;
	uint64_t a, b;
};

struct filter_rule {
	const char *list, *where;
	int nr, error;
	unsigned int num_tests;
	struct filter_test tests[6];
};

#define FILTER_RULES
#include "sandbox_filters.h"

enum { PID = 4711, RUN_FD = 16, TASKS_FD = 15, X32 = 0x40000000, LAST_CALL = 500 };

static const struct filter_values all_there = {.pid = PID, .run_fd = RUN_FD, .tasks_fd = TASKS_FD};
static const struct filter_values none_there = {.pid = PID, .run_fd = -1, .tasks_fd = -1};

static const struct {
	const char *list;
	enum confine_class what;
	int most; /* calls */
} classes[] = {
	{"base", CONFINE_MAIN, 80},
	{"baseuser", CONFINE_MAIN_USER, 90},
	{"basefs", CONFINE_MAIN_FS, 120},
	{"baseuserfs", CONFINE_MAIN_USER_FS, 130},
	{"vcpu", CONFINE_VCPU, 20},
	{"disk", CONFINE_DISK, 30},
	{"net", CONFINE_NET, 30},
	{"user", CONFINE_NET_USER, 50},
	{"fs", CONFINE_FS, 60},
	{"dump", CONFINE_DUMP, 30},
	{"guard", CONFINE_GUARD, 10},
	{"janitor", CONFINE_JANITOR, 10},
	{"keeper", CONFINE_KEEPER, 70},
	{"nethelper", CONFINE_NET_HELPER, 25},
};

static uint32_t run(enum confine_class what, const struct filter_values *values,
	const struct seccomp_data *data)
{
	struct sock_filter program[FILTER_MAX];
	const size_t count = filter_make(what, values, program);

	return bpf_run(program, count, data) & SECCOMP_RET_ACTION_FULL;
}

static uint64_t real(uint64_t value)
{
	return value == SLOT_PID     ? PID
	       : value == SLOT_RUN   ? RUN_FD
	       : value == SLOT_TASKS ? TASKS_FD
				     : value;
}

static bool holds(const struct filter_test *test, uint64_t arg)
{
	switch (test->op) {
	case '=':
		return arg == real(test->a);
	case '!':
		return arg != real(test->a);
	default:
		return (arg & test->a) == test->b;
	}
}

/* What the lists say about a call, without BPF. */
static uint32_t expected(const char *list, const struct seccomp_data *data)
{
	uint32_t error = SECCOMP_RET_TRAP;

	for (size_t i = 0; i < ARRAY_SIZE(filter_rules); i++) {
		const struct filter_rule *rule = &filter_rules[i];
		bool all = rule->nr == data->nr && !strcmp(rule->list, list);

		for (unsigned int k = 0; all && k < rule->num_tests; k++)
			all = holds(&rule->tests[k], data->args[rule->tests[k].arg]);
		if (all && !rule->error)
			return SECCOMP_RET_ALLOW;
		if (all)
			error = SECCOMP_RET_ERRNO;
	}
	return error;
}

static uint64_t that_holds(const struct filter_test *test)
{
	return test->op == '=' ? real(test->a) : test->op == '!' ? real(test->a) + 1 : test->b;
}

static void check(
	enum confine_class what, const struct filter_rule *rule, const struct seccomp_data *data)
{
	const uint32_t got = run(what, &all_there, data), want = expected(rule->list, data);

	if (got != want)
		fail_msg("%s: %s: call %d (0x%llx 0x%llx 0x%llx 0x%llx): 0x%x instead of 0x%x",
			rule->list, rule->where, data->nr, (unsigned long long)data->args[0],
			(unsigned long long)data->args[1], (unsigned long long)data->args[2],
			(unsigned long long)data->args[3], got, want);
}

/* The line's own call, and its neighbours: each argument a little, and by a high bit, otherwise. */
static void try_rule(enum confine_class what, const struct filter_rule *rule)
{
	struct seccomp_data data = {.nr = rule->nr, .arch = AUDIT_ARCH_X86_64};

	for (unsigned int k = 0; k < rule->num_tests; k++)
		data.args[rule->tests[k].arg] = that_holds(&rule->tests[k]);
	check(what, rule, &data);
	assert_int_not_equal(run(what, &all_there, &data), SECCOMP_RET_TRAP);
	for (unsigned int k = 0; k < rule->num_tests; k++) {
		__u64 *arg = &data.args[rule->tests[k].arg];
		const uint64_t was = *arg;

		for (unsigned int bit = 0; bit < 64; bit++) {
			*arg = was ^ UINT64_C(1) << bit;
			check(what, rule, &data);
		}
		*arg = was;
	}
}

static void test_rules(void **state)
{
	unsigned int tried = 0;

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++)
		for (size_t i = 0; i < ARRAY_SIZE(filter_rules); i++)
			if (!strcmp(filter_rules[i].list, classes[c].list)) {
				try_rule(classes[c].what, &filter_rules[i]);
				tried++;
			}
	assert_true(tried > 300);
}

/* A thread runs under the filter of the process besides its own. */
static void test_base_has_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filter_rules); i++) {
		const struct filter_rule *rule = &filter_rules[i];
		struct seccomp_data data = {.nr = rule->nr, .arch = AUDIT_ARCH_X86_64};
		const bool user = !strcmp(rule->list, "user") || !strcmp(rule->list, "baseuser");
		const bool fs = !strcmp(rule->list, "fs") || !strcmp(rule->list, "basefs");
		const bool user_fs = !strcmp(rule->list, "baseuserfs");
		const bool helper = !strcmp(rule->list, "nethelper");

		if (rule->error || !strcmp(rule->list, "guard") || !strcmp(rule->list, "janitor") ||
			!strcmp(rule->list, "keeper"))
			continue;
		for (unsigned int k = 0; k < rule->num_tests; k++)
			data.args[rule->tests[k].arg] = that_holds(&rule->tests[k]);
		if (run(user	      ? CONFINE_MAIN_USER
			    : fs      ? CONFINE_MAIN_FS
			    : user_fs ? CONFINE_MAIN_USER_FS
			    : helper  ? CONFINE_KEEPER
				      : CONFINE_MAIN,
			    &all_there, &data) != SECCOMP_RET_ALLOW)
			fail_msg("%s: %s is not in the base", rule->list, rule->where);
	}
}

/* Each call that no list is about, another architecture's, and those of x32 */
static void test_the_rest(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++)
		for (int nr = 0; nr < LAST_CALL; nr++) {
			struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
			const struct filter_rule some = {.list = classes[c].list, .where = "none"};

			check(classes[c].what, &some, &data);
			data.arch = AUDIT_ARCH_I386;
			assert_int_equal(
				run(classes[c].what, &all_there, &data), SECCOMP_RET_KILL_PROCESS);
			data.arch = AUDIT_ARCH_X86_64;
			data.nr = nr | X32;
			assert_int_equal(
				run(classes[c].what, &all_there, &data), SECCOMP_RET_KILL_PROCESS);
		}
}

/* Without their directories no path goes with any descriptor, least of all with these numbers. */
static void test_without_directories(void **state)
{
	const int dirs[] = {-1, -100, RUN_FD, TASKS_FD, SLOT_RUN, SLOT_TASKS};
	const int calls[] = {SYS_openat, SYS_unlinkat, SYS_newfstatat};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		for (size_t k = 0; k < ARRAY_SIZE(calls); k++) {
			const struct seccomp_data data = {.nr = calls[k],
				.arch = AUDIT_ARCH_X86_64,
				.args = {(uint64_t)(int64_t)dirs[i], 1, 02000000}};

			assert_int_not_equal(
				run(CONFINE_MAIN, &none_there, &data), SECCOMP_RET_ALLOW);
		}
}

/*
 * A file can be told to send any signal to any process, and kill(2)'s filter is not asked then; and
 * who makes an eventfd block that he shares can hold up the other one.
 */
static void test_fcntl(void **state)
{
	const int denied[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG, F_SETLEASE, F_NOTIFY, F_ADD_SEALS};
	const int flags[] = {0, O_RDWR, O_NONBLOCK | O_ASYNC};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++)
		for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
			const struct seccomp_data data = {.nr = SYS_fcntl,
				.arch = AUDIT_ARCH_X86_64,
				.args = {3, (uint64_t)denied[i], 9}};

			assert_int_equal(run(classes[c].what, &all_there, &data), SECCOMP_RET_TRAP);
		}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const struct seccomp_data data = {.nr = SYS_fcntl,
			.arch = AUDIT_ARCH_X86_64,
			.args = {6, F_SETFL, (uint64_t)flags[i]}};

		assert_int_equal(run(CONFINE_NET_HELPER, &all_there, &data), SECCOMP_RET_TRAP);
	}
}

static uint32_t whole(enum confine_class what, int log, int nr)
{
	const struct filter_values values = {.pid = PID, .log = log};
	const struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
	struct sock_filter program[FILTER_MAX];

	return bpf_run(program, filter_make(what, &values, program), &data);
}

/* The handler hears whose filter it was; log denies nothing, not even quietly. */
static void test_actions(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++) {
		assert_int_equal(
			whole(classes[c].what, 0, SYS_ptrace), SECCOMP_RET_TRAP | classes[c].what);
		assert_int_equal(whole(classes[c].what, 1, SYS_ptrace), SECCOMP_RET_LOG);
	}
	assert_int_equal(whole(CONFINE_VCPU, 0, SYS_openat), SECCOMP_RET_ERRNO | 13);
	assert_int_equal(whole(CONFINE_VCPU, 1, SYS_openat), SECCOMP_RET_ALLOW);
}

/* How many a thread may make is a promise (Documentation/security.md). */
static void test_counts(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(classes); c++) {
		char seen[LAST_CALL] = {0};
		int calls = 0;

		for (size_t i = 0; i < ARRAY_SIZE(filter_rules); i++) {
			const struct filter_rule *rule = &filter_rules[i];

			if (rule->error || strcmp(rule->list, classes[c].list))
				continue;
			calls += !seen[rule->nr];
			seen[rule->nr] = 1;
		}
		assert_true(calls > 0);
		if (calls > classes[c].most)
			fail_msg("%s: %d calls", classes[c].list, calls);
	}
}

static void test_denial(void **state)
{
	const unsigned long args[6] = {0xffffff9c, 0, 2, 3, 4, 0x55};
	char text[512], little[20];

	(void)state;
	denial_text(text, sizeof(text), "vcpu", SYS_openat, args);
	assert_string_equal(text,
		"bantam: the sandbox denied openat(0xffffff9c, 0x0, 0x2, 0x3, 0x4, 0x55) to the "
		"vcpu "
		"thread; please report this line, and what the guest did; --sandbox log goes on");
	denial_text(text, sizeof(text), "main", 9999, args);
	assert_non_null(strstr(text, "denied call 9999("));
	assert_int_equal(denial_text(little, sizeof(little), "main", SYS_read, args), 19);
	assert_string_equal(confine_class_name(CONFINE_DISK), "disk");
	assert_string_equal(confine_class_name(NUM_CONFINE_CLASSES), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_base_has_all),
		cmocka_unit_test(test_the_rest),
		cmocka_unit_test(test_without_directories),
		cmocka_unit_test(test_fcntl),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_denial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
