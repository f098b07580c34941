/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the host promised and cannot give: a huge page behind a cgroup's limit, a page that
 * is damaged. What touches it cannot go on, in whatever function and under whatever locks that is,
 * so the process ends there. (On a vCPU it is KVM_RUN that fails, see vcpu/vcpu.c; in a system call
 * of ours it is an I/O error.) The terminal's modes come back by the guard (devices/char/guard.c).
 */
#include "vm/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vm/config/exit_code.h"
#include "vm/core/error.h"

/* Async-signal-safe calls only. */
static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	static const char refused[] =
		"bantam: the host has no more memory for the guest (SIGBUS); under --hugepages a "
		"cgroup may limit it (hugetlb.2MB.max)";
	static const char damaged[] = "bantam: memory of the host that the guest used is damaged "
				      "(SIGBUS, a machine check)";
	const bool is_damaged = info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO;
	const char *text = is_damaged ? damaged : refused;
	struct termios modes;
	const bool raw = tcgetattr(STDERR_FILENO, &modes) == 0 && !(modes.c_oflag & OPOST);

	(void)signal;
	(void)context;
	if (write(STDERR_FILENO, text, strlen(text)) < 0 ||
		write(STDERR_FILENO, raw ? "\r\n" : "\n", raw ? 2 : 1) < 0)
		_exit(EXIT_HOST);
	_exit(EXIT_HOST);
}

int sigbus_setup(struct error *err)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	if (sigaction(SIGBUS, &action, NULL) < 0)
		return error_set_errno(err, -errno, "signal handler");
	return 0;
}
