/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A filter is a copy of a table, in which the numbers that stand for descriptors and this process
 * (slots.h) are replaced. A comparison with what there is none of becomes one that is never true.
 * What is denied carries the class of its filter, for the handler.
 *
 * SECCOMP_FILTER_FLAG_SPEC_ALLOW: kernels before 5.16 take a filter for a reason to slow down
 * speculation for the thread. What runs beneath is a guest that the processor keeps apart, and KVM
 * does what is needed on its way.
 */
#include "vm/sandbox/filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#include "vm/core/base.h"
#include "vm/sandbox/slots.h"

#define FILTER_PROGRAMS
#include "sandbox_filters.h"

#define PROGRAM(list)                                                                              \
	{                                                                                          \
		filter_##list, ARRAY_SIZE(filter_##list)                                           \
	}

static const struct {
	const struct sock_filter *program;
	size_t count;
} filters[NUM_CONFINE_CLASSES] = {
	[CONFINE_MAIN] = PROGRAM(base),
	[CONFINE_MAIN_USER] = PROGRAM(baseuser),
	[CONFINE_MAIN_FS] = PROGRAM(basefs),
	[CONFINE_MAIN_USER_FS] = PROGRAM(baseuserfs),
	[CONFINE_VCPU] = PROGRAM(vcpu),
	[CONFINE_DISK] = PROGRAM(disk),
	[CONFINE_NET] = PROGRAM(net),
	[CONFINE_NET_USER] = PROGRAM(user),
	[CONFINE_FS] = PROGRAM(fs),
	[CONFINE_DUMP] = PROGRAM(dump),
	[CONFINE_GUARD] = PROGRAM(guard),
	[CONFINE_JANITOR] = PROGRAM(janitor),
	[CONFINE_KEEPER] = PROGRAM(keeper),
	[CONFINE_NET_HELPER] = PROGRAM(nethelper),
};

_Static_assert(ARRAY_SIZE(filter_baseuserfs) <= FILTER_MAX && ARRAY_SIZE(filter_base) <= FILTER_MAX,
	"room for the longest one");

static void put_value(struct sock_filter *insn, int value)
{
	if (value >= 0)
		insn->k = (uint32_t)value;
	else
		insn->jt = insn->jf;
}

static void fill_in(
	struct sock_filter *insn, enum confine_class what, const struct filter_values *values)
{
	if (insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == SLOT_PID)
		put_value(insn, values->pid);
	else if (insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == SLOT_RUN)
		put_value(insn, values->run_fd);
	else if (insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == SLOT_TASKS)
		put_value(insn, values->tasks_fd);
	else if (insn->code == (BPF_RET | BPF_K) && insn->k == SECCOMP_RET_TRAP)
		insn->k = values->log ? SECCOMP_RET_LOG : SECCOMP_RET_TRAP | what;
	else if (insn->code == (BPF_RET | BPF_K) && values->log &&
		 (insn->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
		insn->k = SECCOMP_RET_ALLOW;
}

size_t filter_make(
	enum confine_class what, const struct filter_values *values, struct sock_filter *program)
{
	const size_t count = filters[what].count;

	memcpy(program, filters[what].program, count * sizeof(*program));
	for (size_t i = 0; i < count; i++)
		fill_in(&program[i], what, values);
	return count;
}

int filter_load(
	const struct sandbox_sys *sys, enum confine_class what, const struct filter_values *values)
{
	struct sock_filter program[FILTER_MAX];
	const struct sock_fprog prog = {
		.len = (unsigned short)filter_make(what, values, program), .filter = program};
	long rc = sandbox_call(sys, SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_SPEC_ALLOW, sandbox_ptr(&prog));

	return (int)MIN(rc, 0L);
}
