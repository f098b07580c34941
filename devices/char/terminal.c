/* SPDX-License-Identifier: BSD-2-Clause */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

int terminal_open(
	struct terminal *ret, int shared_fd, const struct confine *confine, int *guard_error)
{
	struct terminal terminal = {.guard.fd = -1};

	terminal.fd = fcntl(shared_fd, F_DUPFD_CLOEXEC, 3);
	if (terminal.fd < 0)
		return -errno;
	*guard_error = guard_create(terminal.fd, confine, &terminal.guard);
	*ret = terminal;
	return 0;
}

bool terminal_is_ours(const struct terminal *terminal)
{
	pid_t foreground = tcgetpgrp(terminal->fd);

	/* An error: it is not our controlling terminal, so no shell shares it out. */
	return foreground < 0 || foreground == getpgrp();
}

/* Should the job be moved to the background just now, SIGTTOU must not stop us halfway. */
static int set_modes(int fd, const struct termios *modes)
{
	sigset_t ttou, before;
	int rc;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &before);
	do
		rc = tcsetattr(fd, TCSANOW, modes) < 0 ? -errno : 0;
	while (rc == -EINTR);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static bool looks_raw(const struct termios *modes)
{
	return !(modes->c_lflag & (ISIG | ICANON | ECHO)) && !(modes->c_oflag & OPOST);
}

int terminal_set_raw(struct terminal *terminal)
{
	struct termios modes;
	int rc;

	if (tcgetattr(terminal->fd, &modes) < 0)
		return -errno;
	/* After `kill -STOP` and fg, the modes that the shell hands back may be our own. */
	if (!terminal->raw && !(terminal->has_saved && looks_raw(&modes)))
		terminal->saved = modes;
	terminal->has_saved = true;
	guard_arm(&terminal->guard, &terminal->saved);
	cfmakeraw(&modes);
	modes.c_cc[VMIN] = 1;
	modes.c_cc[VTIME] = 0;
	rc = set_modes(terminal->fd, &modes);
	if (!rc)
		terminal->raw = true;
	return rc;
}

void terminal_restore(struct terminal *terminal)
{
	if (!terminal->raw)
		return;
	set_modes(terminal->fd, &terminal->saved);
	terminal_forget(terminal);
}

void terminal_forget(struct terminal *terminal)
{
	terminal->raw = false;
	guard_disarm(&terminal->guard);
}

void terminal_close(struct terminal *terminal)
{
	terminal_restore(terminal);
	guard_destroy(&terminal->guard);
	close(terminal->fd);
	terminal->fd = -1;
}

bool terminal_size(int fd, uint16_t *cols, uint16_t *rows)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
		return false;
	*cols = size.ws_col;
	*rows = size.ws_row;
	return true;
}
