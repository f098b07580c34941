/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A script runs while the signals that end us are blocked, and may take its time: so they are
 * looked at here. One that came stays where it is, for whoever takes it in the end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "vm/core/error.h"
#include "vm/core/signals.h"

/*
 * How often a script is looked at where Linux has no pidfd_open (before 5.3), and how long one has
 * to end by itself.
 */
enum { LOOK_MS = 10, GRACE_LOOKS = 200 };

/* A child starts with the signals of an ordinary program: ours may be blocked or ignored. */
static int spawn(const char *path, char *const argv[], pid_t *pid)
{
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc = posix_spawnattr_init(&attr);

	if (rc)
		return -rc;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(pid, path, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

static pid_t wait_for(pid_t pid, int *status, int options)
{
	pid_t rc;

	do
		rc = waitpid(pid, status, options);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/* -EINTR: a signal that ends us came first. Other errors are waitpid's. */
static int await(pid_t pid, int *status)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	sigset_t ending;
	int rc;

	signals_ending_heeded(&ending);
	/* Without one of them poll passes it over. */
	fds[0].fd = signalfd(-1, &ending, SFD_CLOEXEC);
	fds[1].fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while ((rc = wait_for(pid, status, WNOHANG)) == 0 && !(fds[0].revents & POLLIN))
		poll(fds, ARRAY_SIZE(fds), fds[1].fd < 0 ? LOOK_MS : -1);
	if (rc <= 0)
		rc = rc < 0 ? -errno : -EINTR;
	if (fds[0].fd >= 0)
		close(fds[0].fd);
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	return MIN(rc, 0);
}

static void end_script(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	for (int look = 0; look < GRACE_LOOKS; look++) {
		if (wait_for(pid, &status, WNOHANG) != 0)
			return;
		poll(NULL, 0, LOOK_MS);
	}
	kill(pid, SIGKILL);
	wait_for(pid, &status, 0);
}

int tap_run_script(const char *path, const char *ifname, struct error *err)
{
	/* posix_spawn does not write to them. */
	char *const argv[] = {(char *)path, (char *)ifname, NULL};
	int status, rc;
	pid_t pid = -1;

	rc = spawn(path, argv, &pid);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", path);
	rc = await(pid, &status);
	if (rc == -EINTR)
		end_script(pid);
	/* The terminal's ^C reaches both. */
	else if (!rc && WIFSIGNALED(status) && signals_ending_pending())
		rc = -EINTR;
	if (rc == -EINTR)
		return error_set(err, rc, "ended by a signal while %s ran", path);
	if (rc < 0)
		return error_set_errno(err, rc, "%s %s", path, ifname);
	if (WIFSIGNALED(status))
		return error_set(err, -ECHILD, "%s %s: killed by signal %d (%s)", path, ifname,
			WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return error_set(err, -ECHILD, "%s %s: failed with exit status %d", path, ifname,
			WEXITSTATUS(status));
	return 0;
}
