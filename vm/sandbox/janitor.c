/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * It waits for the end of file on a socket pair whose other end only the VM's process holds, and is
 * told nothing by it: what it does was settled before there was a guest. A file that took a
 * socket's place meanwhile is left alone. It has the user's rights, and a filter that leaves it
 * hardly anything to do with them.
 */
#include "vm/sandbox/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm/core/base.h"
#include "vm/core/error.h"
#include "vm/sandbox/filter.h"

/* How often, a millisecond apart, the janitor is asked whether it has ended. */
enum { REAP_TRIES = 1000 };

struct janitor {
	int wire;
	pid_t pid;
};

/* ---- in the janitor ---- */

static void confine(int wire)
{
	const struct filter_values values = {.run_fd = -1, .tasks_fd = -1};

	dup2(wire, STDIN_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	setsid();
	prctl(PR_SET_NAME, "bantam-sockets");
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		filter_load(&sandbox_sys_host, CONFINE_JANITOR, &values);
}

static void run(const char *const *paths, unsigned int num, int wire) __attribute__((noreturn));

static void run(const char *const *paths, unsigned int num, int wire)
{
	struct stat was[JANITOR_MAX], now;
	char byte;
	ssize_t n;

	for (unsigned int i = 0; i < num; i++)
		if (lstat(paths[i], &was[i]) < 0)
			was[i].st_ino = 0;
	confine(wire);
	do
		n = recv(STDIN_FILENO, &byte, 1, 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	for (unsigned int i = 0; i < num; i++)
		if (was[i].st_ino && lstat(paths[i], &now) == 0 && now.st_ino == was[i].st_ino &&
			now.st_dev == was[i].st_dev)
			unlink(paths[i]);
	_exit(0);
}

/* ---- in bantam ---- */

int janitor_start(
	const char *const *paths, unsigned int num, struct janitor **ret, struct error *err)
{
	struct janitor *janitor = malloc(sizeof(*janitor));
	sigset_t all, before;
	int wire[2], rc;

	if (!janitor)
		return error_set_errno(err, -ENOMEM, "a process to remove sockets");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0) {
		rc = -errno;
		goto free_janitor;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	janitor->pid = fork();
	rc = -errno;
	if (janitor->pid == 0)
		run(paths, num, wire[1]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(wire[1]);
	janitor->wire = wire[0];
	if (janitor->pid < 0)
		goto close_wire;
	*ret = janitor;
	return 0;

close_wire:
	close(wire[0]);
free_janitor:
	free(janitor);
	return error_set_errno(err, rc, "a process to remove sockets");
}

void janitor_end(struct janitor *janitor)
{
	const struct timespec pause = {.tv_nsec = (long)NSEC_PER_MSEC};

	if (!janitor)
		return;
	close(janitor->wire);
	for (unsigned int i = 0; i < REAP_TRIES; i++) {
		if (waitpid(janitor->pid, NULL, WNOHANG) != 0)
			break;
		nanosleep(&pause, NULL);
	}
	free(janitor);
}
