/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes BPF programs of the lists in vm/sandbox/lists, which filters.awk has turned into C. It runs
 * while Bantam is built, and libseccomp is used here alone: it knows the numbers of calls and how
 * to test arguments of 64 bits with instructions of 32.
 *
 * What is known only when a filter is loaded stands in it as a number that nothing else has
 * (SLOT_); the loader puts the real one there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 5.14; Debian 12's headers have it, older ones need not. */
#ifndef KVM_GET_STATS_FD
#define KVM_GET_STATS_FD _IO(KVMIO, 0xce)
#endif
#ifndef FIONREAD
#include <asm/ioctls.h>
#endif

#include "vm/sandbox/slots.h"

/* What glibc starts a thread with, all versions since 2.34 */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

enum { MAX_TESTS = 6, MAX_CALLS = 512, MAX_INSNS = 4096 };

struct test {
	unsigned int arg;
	enum scmp_compare op;
	uint64_t a, b;
};

struct rule {
	const char *list, *file;
	int line;
	const char *call;
	int error; /* 0: allowed */
	unsigned int num_tests;
	struct test tests[MAX_TESTS];
};

static const struct rule rules[] = {
#include "filters.inc"
};

enum { NUM_RULES = sizeof(rules) / sizeof(rules[0]) };

static int number_of(const struct rule *rule)
{
	const int nr = seccomp_syscall_resolve_name(rule->call);

	if (nr >= 0)
		return nr;
	fprintf(stderr, "%s:%d: there is no call '%s'\n", rule->file, rule->line, rule->call);
	exit(1);
}

/* What is allowed whatever its arguments are needs no other line about it. */
static int is_free(const struct rule *rule)
{
	for (int i = 0; i < NUM_RULES; i++)
		if (!strcmp(rules[i].list, rule->list) && !strcmp(rules[i].call, rule->call) &&
			!rules[i].error && !rules[i].num_tests)
			return 1;
	return 0;
}

/* An error without tests is for where nothing else is said about that call. */
static int counts(const struct rule *rule)
{
	if (rule->error && is_free(rule))
		return 0;
	for (int i = 0; rule->error && !rule->num_tests && i < NUM_RULES; i++)
		if (!strcmp(rules[i].list, rule->list) && !strcmp(rules[i].call, rule->call) &&
			(!rules[i].error || rules[i].num_tests))
			return 0;
	return 1;
}

static void add(scmp_filter_ctx ctx, const struct rule *rule)
{
	const uint32_t action =
		rule->error ? SCMP_ACT_ERRNO((uint32_t)rule->error) : SCMP_ACT_ALLOW;
	struct scmp_arg_cmp tests[MAX_TESTS];
	int rc;

	for (unsigned int i = 0; i < rule->num_tests; i++) {
		const struct test *test = &rule->tests[i];

		tests[i] = (struct scmp_arg_cmp){test->arg, test->op, test->a, test->b};
	}
	rc = seccomp_rule_add_exact_array(ctx, action, number_of(rule), rule->num_tests, tests);
	/* Two lists that are included may say the same. */
	if (!rc || rc == -EEXIST)
		return;
	fprintf(stderr, "%s:%d: %s: %s\n", rule->file, rule->line, rule->call, strerror(-rc));
	exit(1);
}

static scmp_filter_ctx compile(const char *list)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);

	if (!ctx || seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		exit(1);
	for (int i = 0; i < NUM_RULES; i++)
		if (!strcmp(rules[i].list, list) && counts(&rules[i]))
			add(ctx, &rules[i]);
	return ctx;
}

static void print_program(const char *list, scmp_filter_ctx ctx)
{
	static struct sock_filter program[MAX_INSNS];
	FILE *file = tmpfile();
	size_t n;

	if (!file || seccomp_export_bpf(ctx, fileno(file)) < 0)
		exit(1);
	rewind(file);
	n = fread(program, sizeof(program[0]), MAX_INSNS, file);
	fclose(file);
	printf("static const struct sock_filter filter_%s[] = {\n", list);
	for (size_t i = 0; i < n; i++)
		printf("\t{0x%02x, %u, %u, 0x%x},\n", program[i].code, program[i].jt, program[i].jf,
			program[i].k);
	printf("};\n");
}

/* How many calls are allowed, each counted once. */
static void print_count(const char *list)
{
	char seen[MAX_CALLS] = {0};
	int count = 0;

	for (int i = 0; i < NUM_RULES; i++) {
		if (strcmp(rules[i].list, list) || rules[i].error)
			continue;
		count += !seen[number_of(&rules[i])];
		seen[number_of(&rules[i])] = 1;
	}
	printf("enum { calls_of_%s = %d };\n", list, count);
}

/* Names of all calls behind one another, so that nothing has to be relocated at each start. */
static void print_names(void)
{
	unsigned int offset = 1;

	printf("#endif\n#ifdef FILTER_NAMES\nstatic const char call_names[] = \"\"");
	for (int nr = 0; nr < MAX_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

		if (name)
			printf("\n\t\"\\0%s\"", name);
		free(name);
	}
	printf(";\nstatic const unsigned short call_name_at[] = {\n");
	for (int nr = 0; nr < MAX_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

		printf("\t%u,\n", name ? offset : 0);
		offset += name ? (unsigned int)strlen(name) + 1 : 0;
		free(name);
	}
	printf("};\n#endif\n");
}

/* For the tests: each rule, so that each can be tried. */
static void print_rules(void)
{
	printf("#ifdef FILTER_RULES\nstatic const struct filter_rule filter_rules[] = {\n");
	for (int i = 0; i < NUM_RULES; i++) {
		const struct rule *rule = &rules[i];

		if (!counts(rule))
			continue;
		printf("\t{\"%s\", \"%s:%d\", %d, %d, %u, {", rule->list, rule->file, rule->line,
			number_of(rule), rule->error, rule->num_tests);
		for (unsigned int k = 0; k < rule->num_tests; k++)
			printf("{%u, %d, 0x%llxu, 0x%llxu}, ", rule->tests[k].arg,
				rule->tests[k].op == SCMP_CMP_EQ   ? '='
				: rule->tests[k].op == SCMP_CMP_NE ? '!'
								   : '&',
				(unsigned long long)rule->tests[k].a,
				(unsigned long long)rule->tests[k].b);
		printf("}},\n");
	}
	printf("};\n#endif\n");
}

int main(void)
{
	printf("/* Made by tests/tools/make_filters of vm/sandbox/lists. */\n"
	       "#ifdef FILTER_PROGRAMS\n");
	for (int i = 0; i < NUM_RULES; i++) {
		scmp_filter_ctx ctx;

		if (i && !strcmp(rules[i].list, rules[i - 1].list))
			continue;
		ctx = compile(rules[i].list);
		print_program(rules[i].list, ctx);
		print_count(rules[i].list);
		seccomp_release(ctx);
	}
	print_names();
	print_rules();
	return fflush(stdout) ? 1 : 0;
}
