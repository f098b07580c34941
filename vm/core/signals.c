/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/signals.h"

/*
 * SIGALRM and SIGXCPU are how a caller limits our time: both timer and limit outlive an exec.
 */
static const int ending[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM, SIGXCPU};

bool signal_is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void signals_ending(sigset_t *ret)
{
	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaddset(ret, ending[i]);
}

void signals_ending_heeded(sigset_t *ret)
{
	sigemptyset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (!signal_is_ignored(ending[i]))
			sigaddset(ret, ending[i]);
}

int signals_ending_pending(void)
{
	sigset_t heeded, pending;

	signals_ending_heeded(&heeded);
	sigpending(&pending);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (sigismember(&heeded, ending[i]) && sigismember(&pending, ending[i]))
			return ending[i];
	return 0;
}
