/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors, dispositions of signals and limits come from whoever starts us, and he may have had
 * reasons that are not ours. What would make us fail in a way of its own is set right here; what
 * he may mean (nohup, ulimit -v) is left. The mask of signals is vm_host.c's.
 *
 * - Descriptors 0 to 2, closed: the next file that is opened would get such a number, a disk, say,
 *   that then receives our messages.
 * - SIGXFSZ: a file that may not grow (ulimit -f) is an error of that write, EFBIG.
 * - SIGCHLD, ignored: waitpid would not tell how a child ended.
 * - The soft limit of descriptors is for programs that use select, which we don't. Many disks and
 *   queues need more than its usual 1024.
 */
#include "vm/cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vm/config/exit_code.h"

/* More than we use. Children inherit it, and some close all there could be. */
enum { ENOUGH_DESCRIPTORS = 65536 };

static bool one_is_closed(void)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO}, {.fd = STDOUT_FILENO}, {.fd = STDERR_FILENO}};

	poll(fds, ARRAY_SIZE(fds), 0);
	return (fds[0].revents | fds[1].revents | fds[2].revents) & POLLNVAL;
}

static int fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	return fd < 0 ? -errno : 0;
}

/* Should it fail, the limit stays as it was. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= ENOUGH_DESCRIPTORS ||
		limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)ENOUGH_DESCRIPTORS);
	setrlimit(RLIMIT_NOFILE, &limit);
}

int process_begin(void)
{
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	allow_descriptors();
	return one_is_closed() ? fill_standard_descriptors() : 0;
}

/* All is cleaned up: there is nothing to find in a core file, which some of them would leave. */
static void die_by(int number)
{
	sigset_t one;

	fflush(NULL);
	prctl(PR_SET_DUMPABLE, 0);
	signal(number, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

int process_end(int status)
{
	if (status <= EXIT_BY_SIGNAL)
		return status;
	die_by(status - EXIT_BY_SIGNAL);
	return EXIT_SIGNAL_BASE + status - EXIT_BY_SIGNAL;
}
