/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire is a pipe. The child writes the VM's name to it when the guest runs; if it ends before,
 * the parent reads nothing, and ends as the child did, which has said why on the standard error
 * that both have until then.
 *
 * Descriptors that the caller has left open (a pipe of a CI job, say) may be named by options
 * (/dev/fd/N, fd=N), so they are noted before the fork, and closed when all is open that is going
 * to be. What a network card was given stays, as it is in use.
 */
#include "vm/cli/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/config/config.h"
#include "vm/config/exit_code.h"
#include "vm/control/registry.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

enum {
	FIRST_FD = STDERR_FILENO + 1,
	MAX_FDS = 65536,
	/* How long a VM may take that is told to end */
	END_TRIES = 500,
	END_TRY_US = 10000,
};

#define LOG_FILE_MAX (16 * MiB) /* as the manual says */

static bool is_a_cards(const struct config *config, int fd)
{
	for (unsigned int i = 0; i < config->num_nets; i++)
		for (unsigned int k = 0; k < config->nets[i].num_fds; k++)
			if (config->nets[i].fds[k] == fd)
				return true;
	return false;
}

/* One poll tells which numbers are open. NULL: no memory. */
static int *open_fds(const struct config *config)
{
	struct rlimit limit;
	struct pollfd *polls;
	nfds_t n = MAX_FDS;
	int *fds = NULL;
	size_t count = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		n = MIN(n, (nfds_t)limit.rlim_cur);
	polls = calloc(n, sizeof(*polls));
	if (!polls)
		return NULL;
	for (nfds_t i = 0; i < n; i++)
		polls[i].fd = (int)i;
	if (poll(polls, n, 0) >= 0)
		fds = malloc((n + 1) * sizeof(*fds));
	for (nfds_t i = FIRST_FD; fds && i < n; i++)
		if (!(polls[i].revents & POLLNVAL) && !is_a_cards(config, (int)i))
			fds[count++] = (int)i;
	if (fds)
		fds[count] = -1;
	free(polls);
	return fds;
}

/* ---- the parent ---- */

static int ended_by(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_HOST;
	return WIFSIGNALED(status) ? EXIT_BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whoever did not get the name could not reach it. */
static void end(pid_t child)
{
	kill(child, SIGTERM);
	for (unsigned int i = 0; i < END_TRIES; i++) {
		if (waitpid(child, NULL, WNOHANG) == child)
			return;
		usleep(END_TRY_US);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static int wait_for(int wire, pid_t child)
{
	char name[REGISTRY_MAX_NAME + 1];
	ssize_t n;

	do
		n = read(wire, name, sizeof(name) - 1);
	while (n < 0 && errno == EINTR);
	close(wire);
	if (n <= 0)
		return ended_by(child);
	name[n] = '\0';
	registry_tidy_logs();
	if (printf("%s\n", name) >= 0 && fflush(stdout) == 0)
		return EXIT_POWEROFF;
	end(child);
	return EXIT_HOST;
}

/* ---- the child ---- */

static int leave_caller(void)
{
	int fd;

	setsid();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		return -errno;
	close(fd);
	return 0;
}

/* One that is there is an earlier VM's, and somebody may still read it: it is replaced. */
static int open_log(const char *name, bool older, int flags, struct error *err)
{
	char path[REGISTRY_MAX_PATH];
	int fd, rc = registry_log_path(name, older, path, sizeof(path), err);

	if (rc < 0)
		return rc;
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	return fd < 0 ? error_set_errno(err, -errno, "%s", path) : fd;
}

/* The one in use, and the one that takes over when that is full: then nothing can be opened. */
static int open_logs(const char *name, int *older_fd, struct error *err)
{
	int fd = open_log(name, false, O_APPEND, err);

	if (fd < 0)
		return fd;
	*older_fd = open_log(name, true, 0, err);
	if (*older_fd >= 0)
		return fd;
	close(fd);
	return *older_fd;
}

static int tell_parent(struct detach *detach, const char *name, struct error *err)
{
	ssize_t n;

	do
		n = write(detach->wire, name, strlen(name));
	while (n < 0 && errno == EINTR);
	close(detach->wire);
	detach->wire = -1;
	return n < 0 ? error_set(err, -ECANCELED, "%s: whoever started it is gone", name) : 0;
}

/*
 * What was logged so far, the caller has seen; it is the log's, too. By write(2) alone: dprintf(3)
 * of glibc 2.36 seeks, which the sandbox denies by now.
 */
static void replay(struct log *log, int fd)
{
	char line[LOG_MAX_LINE + 1];
	uint64_t pos = 0;

	while (log_read(log, &pos, line, LOG_MAX_LINE)) {
		size_t len = strlen(line);

		line[len++] = '\n';
		if (write(fd, line, len) < 0)
			return;
	}
}

int detach_prepare(struct detach *detach, const char *name, struct error *err)
{
	detach->log_fd = open_logs(name, &detach->older_fd, err);
	return MIN(detach->log_fd, 0);
}

int detach_running(struct detach *detach, const char *name, struct log *log, struct error *err)
{
	replay(log, detach->log_fd);
	dup2(detach->log_fd, STDERR_FILENO);
	close(detach->log_fd);
	/* For the life of the process */
	log_rotate(log, detach->older_fd, LOG_FILE_MAX);
	detach->log_fd = -1;
	for (const int *fd = detach->fds; *fd >= 0; fd++)
		close(*fd);
	return tell_parent(detach, name, err);
}

void detach_destroy(struct detach *detach)
{
	if (detach->wire >= 0)
		close(detach->wire);
	if (detach->log_fd >= 0)
		close(detach->log_fd);
	free(detach->fds);
	*detach = (struct detach){.wire = -1, .log_fd = -1};
}

int detach_fork(struct detach *detach, const struct config *config, int *code, struct error *err)
{
	int wire[2], rc;
	pid_t child;

	detach->fds = open_fds(config);
	if (!detach->fds)
		return error_set_errno(err, -ENOMEM, "--detach");
	if (pipe2(wire, O_CLOEXEC) < 0)
		return error_set_errno(err, -errno, "--detach");
	fflush(NULL);
	child = fork();
	rc = -errno;
	if (child > 0) {
		close(wire[1]);
		*code = wait_for(wire[0], child);
		return 1;
	}
	close(wire[0]);
	if (child < 0) {
		close(wire[1]);
		return error_set_errno(err, rc, "--detach");
	}
	detach->wire = wire[1];
	rc = leave_caller();
	return rc < 0 ? error_set_errno(err, rc, "/dev/null") : 0;
}
