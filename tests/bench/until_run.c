/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * until_run calls|steps|time COMMAND...: what a VMM does from its exec to its first KVM_RUN, which
 * it does not come to. Prints a number:
 *
 *	calls	system calls, execve included, but not those that only end a signal's handler
 *	steps	instructions in user space; each round of a repeated string instruction is one
 *	time	nanoseconds of real time
 *
 * A seccomp filter stops the VMM at the system calls that are of interest, here at ptrace(2)'s
 * other side; with steps it also stops after each instruction. So that the numbers are always the
 * same, what other threads do after they have made the one that calls KVM_RUN does not count, nor
 * does what they do meanwhile. Addresses are not random.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 64 };

enum mode { CALLS, STEPS, TIME };

struct thread {
	pid_t tid;
	uint64_t before; /* what all had done when it was made */
	uint64_t own;
};

struct run {
	enum mode mode;
	struct thread threads[MAX_THREADS];
	unsigned int num_threads;
	uint64_t total;
	bool stepping;
};

static void fail(const char *what)
{
	fprintf(stderr, "until_run: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the VMM's side ---- */

static void stop_at_calls(enum mode mode)
{
	struct sock_filter only_run[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE)};
	struct sock_fprog filter = {sizeof(only_run) / sizeof(only_run[0]), only_run};

	if (mode == CALLS)
		filter = (struct sock_fprog){1, all};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		fail("seccomp");
}

static void be_vmm(enum mode mode, char **argv)
{
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		fail("personality");
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		fail("ptrace");
	raise(SIGSTOP);
	stop_at_calls(mode);
	execv(argv[0], argv);
	fail(argv[0]);
}

/* ---- this side ---- */

static struct thread *find(struct run *run, pid_t tid)
{
	for (unsigned int i = 0; i < run->num_threads; i++)
		if (run->threads[i].tid == tid)
			return &run->threads[i];
	if (run->num_threads == MAX_THREADS) {
		errno = E2BIG;
		fail("threads");
	}
	run->threads[run->num_threads] = (struct thread){.tid = tid};
	return &run->threads[run->num_threads++];
}

static void count(struct run *run, struct thread *thread)
{
	thread->own++;
	run->total++;
}

static struct user_regs_struct registers(pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
		fail("registers");
	return regs;
}

/* A system call. True: it is KVM_RUN. How many signals come is up to time. */
static bool look_at_call(struct run *run, struct thread *thread)
{
	const struct user_regs_struct regs = registers(thread->tid);

	if (regs.orig_rax == SYS_ioctl && (uint32_t)regs.rsi == KVM_RUN)
		return true;
	if (regs.orig_rax != SYS_rt_sigreturn)
		count(run, thread);
	return false;
}

/* What a stop is for. True: it is at KVM_RUN. *signal is what the thread is to get. */
static bool look(struct run *run, struct thread *thread, int status, int *signal)
{
	struct thread *child;
	unsigned long born;

	*signal = 0;
	switch (status >> 8) {
	case SIGTRAP | PTRACE_EVENT_SECCOMP << 8:
		return look_at_call(run, thread);
	case SIGTRAP | PTRACE_EVENT_EXEC << 8:
		run->stepping = run->mode == STEPS;
		break;
	case SIGTRAP | PTRACE_EVENT_CLONE << 8:
		if (ptrace(PTRACE_GETEVENTMSG, thread->tid, NULL, &born) < 0)
			fail("a thread's number");
		child = find(run, (pid_t)born);
		child->before = run->total - child->own; /* it may have gone ahead */
		break;
	case SIGTRAP:
		if (run->stepping)
			count(run, thread);
		break;
	case SIGSTOP: /* how a new thread begins */
		break;
	default:
		*signal = WSTOPSIG(status);
	}
	return false;
}

static uint64_t follow(struct run *run)
{
	const uint64_t begin = now();

	for (;;) {
		struct thread *thread;
		int status, signal;
		const pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0) {
			errno = ESRCH;
			fail("the VMM ended before KVM_RUN");
		}
		if (!WIFSTOPPED(status))
			continue;
		thread = find(run, tid);
		if (look(run, thread, status, &signal))
			return run->mode == TIME ? now() - begin : thread->before + thread->own;
		ptrace(run->stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, tid, NULL, (long)signal);
	}
}

static enum mode mode_of(const char *word)
{
	if (!strcmp(word, "calls"))
		return CALLS;
	if (!strcmp(word, "steps"))
		return STEPS;
	if (!strcmp(word, "time"))
		return TIME;
	fprintf(stderr, "until_run: %s is not known\n", word);
	exit(2);
}

int main(int argc, char **argv)
{
	static struct run run;
	uint64_t number;
	pid_t pid;
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: until_run calls|steps|time COMMAND...\n");
		return 2;
	}
	run.mode = mode_of(argv[1]);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid)
		be_vmm(run.mode, argv + 2);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		fail("the VMM does not start");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		    PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC |
			    PTRACE_O_TRACECLONE) < 0 ||
		ptrace(PTRACE_CONT, pid, NULL, 0L) < 0)
		fail("ptrace");
	number = follow(&run);
	kill(pid, SIGKILL);
	printf("%llu\n", (unsigned long long)number);
	return 0;
}
