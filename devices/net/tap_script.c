/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "vm/core/error.h"

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

int tap_run_script(const char *path, const char *ifname, struct error *err)
{
	/* posix_spawn does not write to them. */
	char *const argv[] = {(char *)path, (char *)ifname, NULL};
	int status, rc;
	pid_t pid = -1;

	rc = spawn(path, argv, &pid);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, -errno, "%s %s", path, ifname);
	if (WIFSIGNALED(status))
		return error_set(err, -ECHILD, "%s %s: killed by signal %d (%s)", path, ifname,
			WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return error_set(err, -ECHILD, "%s %s: failed with exit status %d", path, ifname,
			WEXITSTATUS(status));
	return 0;
}
