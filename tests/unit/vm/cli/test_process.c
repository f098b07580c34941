/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process inherits; each case in a process of its own. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/cli/process.h"
#include "vm/config/exit_code.h"

static int in_child(int (*what)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(what());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int check_children(void)
{
	int status = -1;
	pid_t pid;

	signal(SIGCHLD, SIG_IGN);
	if (process_begin() < 0)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(7);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 2;
	return WEXITSTATUS(status) == 7 ? 0 : 3;
}

static int check_file_size(void)
{
	const struct rlimit none = {0, RLIM_INFINITY};
	char path[] = "/tmp/bantam-test-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	signal(SIGXFSZ, SIG_DFL);
	if (setrlimit(RLIMIT_FSIZE, &none) < 0 || process_begin() < 0)
		return 1;
	return write(fd, "x", 1) < 0 ? 0 : 2;
}

static int check_descriptors(void)
{
	struct rlimit limit;

	for (int closed = 1; closed < 8; closed++) {
		for (int fd = 0; fd < 3; fd++)
			if (closed & 1 << fd)
				close(fd);
		if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
			return 1;
		limit.rlim_cur = 8;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || process_begin() < 0)
			return 2;
		for (int fd = 0; fd < 3; fd++)
			if (fcntl(fd, F_GETFD) < 0)
				return 3;
		if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= 8)
			return 4;
	}
	return 0;
}

static void test_inherited(void **state)
{
	(void)state;
	assert_int_equal(in_child(check_children), 0);
	assert_int_equal(in_child(check_file_size), 0);
	assert_int_equal(in_child(check_descriptors), 0);
}

static int end_by_quit(void)
{
	sigset_t quit;

	sigemptyset(&quit);
	sigaddset(&quit, SIGQUIT);
	sigprocmask(SIG_BLOCK, &quit, NULL);
	return process_end(EXIT_BY_SIGNAL + SIGQUIT);
}

/* A status that the guest chose, by --exit-port. */
static int end_by_guest(void)
{
	return process_end(EXIT_SIGNAL_BASE + SIGQUIT);
}

static void test_end(void **state)
{
	int status;

	(void)state;
	status = in_child(end_by_quit);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGQUIT);
	assert_false(WCOREDUMP(status));
	status = in_child(end_by_guest);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_SIGNAL_BASE + SIGQUIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
