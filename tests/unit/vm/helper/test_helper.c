/* SPDX-License-Identifier: BSD-2-Clause */
/* Keepers and helpers, which are real processes: what they have, how they end, who comes after. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../../vm/helper/restart.h"
#include "vm/core/error.h"
#include "vm/helper/helper.h"

enum { MEMORY = 8192, PATIENCE_MS = 30000 };

/* What the helper leaves in memory */
struct report {
	int pid, parent;
	int generation;
	int open_fds[16], num_open;
	int no_new_privs, dumpable, null_at_0, fork_errno;
	long files, core, size;
	int confined; /* calls of confine, as the keeper's and the helper's memory have it */
	char answer[64];
	int answer_len;
};

enum what { SERVE, DIE, EXIT_LATER, FAIL };

struct plan {
	enum what what;
	int fail_prepare, fail_confine;
	int prepared, confined;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NSEC_PER_MSEC;
}

/* ---- in the other processes ---- */

static int prepare(void *opaque, struct error *err)
{
	struct plan *plan = opaque;

	plan->prepared++;
	return plan->fail_prepare ? error_set(err, -ENOENT, "no library") : 0;
}

static int confine(void *opaque, enum helper_role role, struct error *err)
{
	struct plan *plan = opaque;

	plan->confined |= role == HELPER_KEEPER ? 1 : 2;
	return plan->fail_confine == plan->confined ? error_set(err, -EPERM, "no sandbox") : 0;
}

static size_t answer(void *opaque, void *buf, size_t size)
{
	struct plan *plan = opaque;
	int open = 0;

	for (int fd = 0; fd < 1024; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	/* 0 to 2; control, lines, memory, eventfds, both ends for questions; for its children */
	return (size_t)snprintf(
		buf, size, "prepared %d, %s", plan->prepared, open == 11 ? "clean" : "unclean");
}

static void look_around(struct report *r, struct helper_self *self)
{
	struct rlimit limit;
	struct stat st;

	r->parent = getppid();
	r->generation = (int)self->generation;
	r->num_open = 0;
	for (int fd = 0; fd < 1024 && r->num_open < (int)ARRAY_SIZE(r->open_fds); fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			r->open_fds[r->num_open++] = fd;
	r->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	r->dumpable = prctl(PR_GET_DUMPABLE);
	r->null_at_0 = fstat(0, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0x103;
	getrlimit(RLIMIT_NOFILE, &limit);
	r->files = (long)limit.rlim_max;
	getrlimit(RLIMIT_CORE, &limit);
	r->core = (long)limit.rlim_max;
	getrlimit(RLIMIT_FSIZE, &limit);
	r->size = (long)limit.rlim_max;
	r->pid = getpid();
}

static int body(void *opaque, struct helper_self *self, struct error *err)
{
	struct report *r = self->memory;
	struct plan *plan = opaque;
	struct pollfd pfd = {.fd = self->wake, .events = POLLIN};
	const uint64_t one = 1;
	uint64_t count;

	look_around(r, self);
	if (plan->what == FAIL)
		return error_set(err, -EADDRINUSE, "somebody has it");
	if (plan->what == DIE)
		abort();
	if (plan->what == EXIT_LATER && self->generation > 1)
		return 0;
	if (write(self->lines, "bantam: hello\n", 14) < 0)
		return -1;
	if (helper_ready(self, err) < 0)
		return -EPERM;
	r->confined = plan->confined;
	for (;;) {
		r->answer_len = (int)helper_ask(self, r->answer, sizeof(r->answer));
		if (write(self->vm_wake, &one, sizeof(one)) < 0)
			return -1;
		poll(&pfd, 1, -1);
		if (read(self->wake, &count, sizeof(count)) < 0)
			return -1;
	}
}

/* ---- in this one ---- */

struct fixture {
	struct plan plan;
	struct helper_confine confine;
	struct helper_config config;
	struct helper *helper;
	struct error err;
	char lines[256];
	int extra; /* a descriptor that nobody else shall have */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->config = (struct helper_config){.name = "test-helper",
		.memory = MEMORY,
		.max_files = 64,
		.prepare = prepare,
		.body = body,
		.answer = answer,
		.confine = &f->confine,
		.opaque = &f->plan};
	f->confine = (struct helper_confine){.enter = confine, .opaque = &f->plan};
	f->extra = open("/dev/zero", O_RDWR);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	helper_close(f->helper);
	close(f->extra);
	/* No child is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	free(f);
	return 0;
}

static void on_line(void *opaque, const char *line)
{
	struct fixture *f = opaque;

	strncat(f->lines, line, sizeof(f->lines) - strlen(f->lines) - 1);
}

static volatile struct report *report_of(struct fixture *f)
{
	return helper_memory(f->helper);
}

static int try_start(struct fixture *f)
{
	assert_int_equal(helper_start(&f->config, &f->helper, &f->err), 0);
	return helper_wait(f->helper, on_line, f, &f->err);
}

/* What is at the next sign of life. */
static void await_vm_wake(struct fixture *f)
{
	struct pollfd pfd = {.fd = helper_vm_wake(f->helper), .events = POLLIN};
	uint64_t count;

	assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
	assert_int_equal(read(pfd.fd, &count, sizeof(count)), sizeof(count));
}

static void start(struct fixture *f)
{
	const int generation = try_start(f);

	if (generation < 0)
		fail_msg("%s", f->err.text);
	assert_int_equal(generation, 1);
	helper_go(f->helper, 1);
	await_vm_wake(f);
}

/* The next news but none. */
static struct helper_message next(struct fixture *f, bool control)
{
	struct helper_message message;
	const uint64_t end = now_ms() + PATIENCE_MS;
	struct pollfd pfd = {.fd = control ? helper_control(f->helper) : helper_lines(f->helper),
		.events = POLLIN};

	do {
		assert_true(now_ms() < end);
		poll(&pfd, 1, 100);
		if (control)
			helper_read_control(f->helper, &message);
		else
			helper_read_lines(f->helper, &message);
	} while (message.news == HELPER_NONE);
	return message;
}

static void await_end(int pid)
{
	const uint64_t end = now_ms() + PATIENCE_MS;

	while (kill(pid, 0) == 0) {
		assert_true(now_ms() < end);
		usleep(1000);
	}
}

/* ---- what it has ---- */

static void test_alone(void **state)
{
	struct fixture *f = *state;
	volatile struct report *r;

	start(f);
	r = report_of(f);
	assert_string_equal(f->lines, "bantam: hello");
	assert_int_equal(r->generation, 1);
	assert_true(r->pid != getpid() && r->parent != getpid());
	/* /dev/null thrice, lines, two eventfds, the socket to the keeper */
	assert_int_equal(r->num_open, 7);
	assert_true(r->open_fds[r->num_open - 1] < 10);
	assert_int_equal(r->null_at_0, 1);
	assert_int_equal(r->no_new_privs, 1);
	assert_int_equal(r->dumpable, 0);
	assert_int_equal(r->files, 64);
	assert_int_equal(r->core, 0);
	assert_int_equal(r->size, 0);
	assert_int_equal(r->confined, 3);
}

static void test_asks(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (unsigned int i = 0; i < 3; i++) {
		/* On a busy machine an answer may come too late, and is not taken for the next one.
		 */
		for (const uint64_t end = now_ms() + PATIENCE_MS; !report_of(f)->answer_len;) {
			assert_true(now_ms() < end);
			helper_wake(f->helper);
			await_vm_wake(f);
		}
		assert_int_equal(report_of(f)->answer_len, 17);
		assert_memory_equal((const void *)report_of(f)->answer, "prepared 1, clean", 17);
		helper_wake(f->helper);
		await_vm_wake(f);
	}
}

/* ---- ends ---- */

static void test_started_anew(void **state)
{
	struct fixture *f = *state;
	struct helper_message m;
	int pids[4];

	start(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = report_of(f)->pid;
		for (unsigned int k = 0; k < i; k++)
			assert_true(pids[k] != pids[i]);
		assert_int_equal(kill(pids[i], SIGKILL), 0);
		m = next(f, true);
		assert_int_equal(m.news, HELPER_DIED);
		assert_int_equal(m.generation, i + 1);
		assert_non_null(strstr(m.text, "signal 9"));
		m = next(f, false);
		assert_int_equal(m.news, HELPER_LINE);
		m = next(f, false);
		assert_int_equal(m.news, HELPER_READY);
		assert_int_equal(m.generation, i + 2);
		/* It waits. */
		helper_wake(f->helper);
		helper_go(f->helper, m.generation);
		await_vm_wake(f);
		assert_int_equal(report_of(f)->generation, i + 2);
		assert_int_equal(report_of(f)->parent, report_of(f)->parent);
	}
}

static void test_restart_on_order(void **state)
{
	struct fixture *f = *state;
	int first;

	start(f);
	first = report_of(f)->pid;
	kill(first, SIGSTOP);
	helper_restart(f->helper);
	assert_int_equal(next(f, true).news, HELPER_DIED);
	assert_int_equal(next(f, false).news, HELPER_LINE);
	assert_int_equal(next(f, false).news, HELPER_READY);
	assert_true(kill(first, 0) < 0);
}

/* One that cannot live is given up. */
static void test_given_up(void **state)
{
	struct fixture *f = *state;

	struct helper_message m;
	unsigned int deaths = 0;

	f->plan.what = EXIT_LATER;
	start(f);
	kill(report_of(f)->pid, SIGKILL);
	for (m = next(f, true); m.news == HELPER_DIED; m = next(f, true)) {
		deaths++;
		assert_int_equal(m.generation, deaths);
	}
	assert_int_equal(m.news, HELPER_GAVE_UP);
	assert_int_equal(deaths, RESTART_MAX_DEATHS - 1);
	assert_non_null(strstr(m.text, "status 0"));
	assert_int_equal(next(f, true).news, HELPER_GONE);
}

static void test_fails(void **state)
{
	struct fixture *f = *state;

	f->plan.what = FAIL;
	assert_int_equal(try_start(f), -EADDRINUSE);
	assert_string_equal(f->err.text, "somebody has it");
	helper_close(f->helper);
	f->plan.what = DIE;
	assert_int_equal(try_start(f), -EIO);
	assert_non_null(strstr(f->err.text, "signal 6"));
	helper_close(f->helper);
	f->plan.what = SERVE;
	f->plan.fail_prepare = 1;
	assert_int_equal(try_start(f), -ENOENT);
	assert_string_equal(f->err.text, "no library");
	helper_close(f->helper);
	f->plan.fail_prepare = 0;
	f->plan.fail_confine = 1;
	assert_int_equal(try_start(f), -EPERM);
	assert_string_equal(f->err.text, "no sandbox");
}

static void test_keeper_killed(void **state)
{
	struct fixture *f = *state;
	int helper;

	start(f);
	helper = report_of(f)->pid;
	assert_int_equal(kill(report_of(f)->parent, SIGKILL), 0);
	assert_int_equal(next(f, true).news, HELPER_GONE);
	await_end(helper);
}

static void test_close(void **state)
{
	struct fixture *f = *state;
	int helper, keeper;

	start(f);
	helper = report_of(f)->pid;
	keeper = report_of(f)->parent;
	/* One that was stopped is no reason to wait for ever. */
	kill(keeper, SIGSTOP);
	helper_close(f->helper);
	f->helper = NULL;
	assert_true(kill(keeper, 0) < 0);
	await_end(helper);
}

/* Whoever has started it, and however that ends, nobody is left. */
static void test_vm_killed(void **state)
{
	struct fixture *f = *state;
	int pids[2], wire[2], status;
	pid_t vm;

	assert_int_equal(pipe2(wire, O_CLOEXEC), 0);
	vm = fork();
	if (vm == 0) {
		if (try_start(f) != 1)
			_exit(1);
		helper_go(f->helper, 1);
		await_vm_wake(f);
		pids[0] = report_of(f)->pid;
		pids[1] = report_of(f)->parent;
		if (write(wire[1], pids, sizeof(pids)) < 0)
			_exit(1);
		pause();
	}
	assert_int_equal(read(wire[0], pids, sizeof(pids)), sizeof(pids));
	kill(vm, SIGKILL);
	waitpid(vm, &status, 0);
	await_end(pids[0]);
	await_end(pids[1]);
	close(wire[0]);
	close(wire[1]);
}

/* ---- what it says ---- */

/* Lines are whatever bytes; the helper cannot speak for the keeper. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	int fds[HELPER_FDS], ends[2], seal[2];
	struct helper_message m;
	char big[4096];

	start(f);
	helper_descriptors(f->helper, fds);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	seal[0] = dup(fds[HELPER_FD_LINES]);
	assert_true(dup2(ends[0], fds[HELPER_FD_LINES]) >= 0);
	memset(big, 'x', sizeof(big));
	assert_int_equal(send(ends[1], big, sizeof(big), 0), sizeof(big));
	m = next(f, false);
	assert_int_equal(m.news, HELPER_LINE);
	assert_true(strlen(m.text) < sizeof(m.text));
	assert_int_equal(send(ends[1], "\33[31m\n\1\377", 8, 0), 8);
	m = next(f, false);
	assert_int_equal(m.news, HELPER_LINE);
	assert_memory_equal(m.text, "?[31m??", 7);
	for (uint8_t news = HELPER_READY; news <= HELPER_GONE; news++) {
		const uint8_t message[16] = {news, [4] = 9};

		assert_int_equal(send(ends[1], message, sizeof(message), 0), sizeof(message));
		m = next(f, false);
		assert_true(
			m.news == HELPER_LINE || m.news == HELPER_READY || m.news == HELPER_FAILED);
	}
	/* Too short to be anything */
	assert_int_equal(send(ends[1], "\1", 1, 0), 1);
	helper_read_lines(f->helper, &m);
	assert_int_equal(m.news, HELPER_NONE);
	assert_true(dup2(seal[0], fds[HELPER_FD_LINES]) >= 0);
	close(seal[0]);
	close(ends[0]);
	close(ends[1]);
}

/* ---- handing it on ---- */

static void test_adopt(void **state)
{
	struct fixture *f = *state;
	struct helper *other = NULL;
	int fds[HELPER_FDS], bad[HELPER_FDS], keeper;

	start(f);
	helper_descriptors(f->helper, fds);
	keeper = report_of(f)->parent;
	for (unsigned int i = 0; i < HELPER_FDS; i++) {
		memcpy(bad, fds, sizeof(bad));
		bad[i] = f->extra;
		assert_int_equal(helper_adopt(bad, MEMORY, &other, &f->err), -EINVAL);
	}
	assert_int_equal(helper_adopt(fds, MEMORY + 4096, &other, &f->err), -EINVAL);
	/* Memory that could be cut off */
	memcpy(bad, fds, sizeof(bad));
	bad[HELPER_FD_MEMORY] = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(bad[HELPER_FD_MEMORY], MEMORY + 4096), 0);
	assert_int_equal(helper_adopt(bad, MEMORY, &other, &f->err), -EINVAL);
	close(bad[HELPER_FD_MEMORY]);
	for (unsigned int i = 0; i < HELPER_FDS; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(helper_adopt(fds, MEMORY, &other, &f->err), 0);
	helper_release(f->helper);
	f->helper = other;
	helper_wake(f->helper);
	await_vm_wake(f);
	assert_int_equal(report_of(f)->parent, keeper);
	helper_close(f->helper);
	f->helper = NULL;
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
}

/* ---- when ---- */

static void test_policy(void **state)
{
	struct restart r = {0};
	int before = 0, ms;

	(void)state;
	assert_int_equal(restart_after(&r, 10), 0);
	assert_int_equal(restart_after(&r, 10), RESTART_FIRST_MS);
	for (unsigned int i = 3; i < RESTART_MAX_DEATHS; i++) {
		ms = restart_after(&r, 10);
		assert_true(ms >= before && ms <= RESTART_SLOWEST_MS);
		before = ms;
	}
	assert_int_equal(before, RESTART_SLOWEST_MS);
	assert_int_equal(restart_after(&r, 10), -1);
	/* A good life makes up for what was. */
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(restart_after(&r, RESTART_GOOD_MS), 0);
	assert_int_equal(restart_after(&r, RESTART_GOOD_MS - 1), RESTART_FIRST_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alone),
		TEST(test_asks),
		TEST(test_started_anew),
		TEST(test_restart_on_order),
		TEST(test_given_up),
		TEST(test_fails),
		TEST(test_keeper_killed),
		TEST(test_close),
		TEST(test_vm_killed),
		TEST(test_lies),
		TEST(test_adopt),
		cmocka_unit_test(test_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
