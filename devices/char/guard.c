/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard blocks in recv on a socket pair whose other end only we hold. Each message replaces
 * what it shall do at the end of file, which the kernel delivers however we die. A seqpacket socket
 * and not a pipe: a message is whole or absent, and a guard that somebody killed costs us an error,
 * not a SIGPIPE.
 *
 * It runs in a session of its own, so that neither a signal to our process group (`kill -9 %1`) nor
 * the terminal's keys reach it; all signals are blocked besides, which also lets it set a terminal
 * that is not its own. Between fork and _exit it calls only functions that are safe after a fork in
 * a threaded process.
 *
 * A shell that saw us die may have set the terminal for its next prompt before the guard runs. So
 * the guard restores nothing unless the terminal still is as only we leave it: raw, without
 * signals.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm/core/base.h"

enum { GUARD_TTY = 0, GUARD_WIRE = 1, GUARD_FDS = 2 };

/* How often, a millisecond apart, the guard is asked whether it has ended. */
enum { REAP_TRIES = 1000 };

enum guard_order { GUARD_IDLE, GUARD_RESTORE };

struct guard_message {
	enum guard_order order;
	struct termios modes;
};

/* ---- in the guard ---- */

static void close_others(void)
{
	struct rlimit limit;

	if (close_range(GUARD_FDS, ~0u, 0) == 0)
		return;
	/* Linux before 5.9 */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (int fd = GUARD_FDS; fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

static bool is_raw(int tty_fd)
{
	struct termios now;

	return tcgetattr(tty_fd, &now) == 0 && !(now.c_lflag & (ISIG | ICANON | ECHO)) &&
	       !(now.c_oflag & OPOST);
}

static void run(int tty_fd, int wire, const struct confine *confine) __attribute__((noreturn));

static void run(int tty_fd, int wire, const struct confine *confine)
{
	struct guard_message message = {.order = GUARD_IDLE};
	ssize_t n;

	/* The descriptors may be the numbers that they shall become: both move out of the way. */
	tty_fd = fcntl(tty_fd, F_DUPFD, GUARD_FDS);
	wire = fcntl(wire, F_DUPFD, GUARD_FDS);
	if (tty_fd < 0 || wire < 0 || dup2(tty_fd, GUARD_TTY) < 0 || dup2(wire, GUARD_WIRE) < 0)
		_exit(1);
	close_others();
	setsid();
	prctl(PR_SET_NAME, "bantam-tty");
	confine_enter(confine, CONFINE_GUARD);
	do
		n = recv(GUARD_WIRE, &message, sizeof(message), 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (message.order == GUARD_RESTORE && is_raw(GUARD_TTY))
		tcsetattr(GUARD_TTY, TCSANOW, &message.modes);
	_exit(0);
}

/* ---- in bantam ---- */

int guard_create(int tty_fd, const struct confine *confine, struct guard *ret)
{
	struct guard guard;
	sigset_t all, before;
	int wire[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	guard.pid = fork();
	rc = -errno;
	if (guard.pid == 0)
		run(tty_fd, wire[1], confine);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(wire[1]);
	if (guard.pid < 0) {
		close(wire[0]);
		return rc;
	}
	guard.fd = wire[0];
	*ret = guard;
	return 0;
}

static void send_order(struct guard *guard, enum guard_order order, const struct termios *modes)
{
	struct guard_message message = {.order = order};

	if (guard->fd < 0)
		return;
	if (modes)
		message.modes = *modes;
	/* Should the guard have been killed, there is nobody to replace it. */
	if (send(guard->fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		return;
}

void guard_arm(struct guard *guard, const struct termios *modes)
{
	send_order(guard, GUARD_RESTORE, modes);
}

void guard_disarm(struct guard *guard)
{
	send_order(guard, GUARD_IDLE, NULL);
}

void guard_destroy(struct guard *guard)
{
	const struct timespec pause = {.tv_nsec = (long)NSEC_PER_MSEC};

	if (guard->fd < 0)
		return;
	guard_disarm(guard);
	close(guard->fd);
	guard->fd = -1;
	for (unsigned int i = 0; i < REAP_TRIES; i++) {
		if (waitpid(guard->pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&pause, NULL);
	}
	/*
	 * Somebody has stopped it. It is not reaped, so the number still is its own. Who may not
	 * kill it leaves it to the system: it ends when it goes on.
	 */
	if (kill(guard->pid, SIGKILL) == 0)
		waitpid(guard->pid, NULL, 0);
}
