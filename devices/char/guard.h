/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small process that outlives us, to give a terminal its modes back should we die in any way,
 * SIGKILL included.
 */
#ifndef BANTAM_DEVICES_CHAR_GUARD_H
#define BANTAM_DEVICES_CHAR_GUARD_H

#include <sys/types.h>
#include <termios.h>

#include "vm/core/confine.h"

struct guard {
	pid_t pid;
	int fd; /* our end of the wire; -1: there is no guard */
};

/*
 * Forks the guard of the terminal tty_fd. Call it while the process is small: its pages are shared
 * until they are written. Returns 0 or a negative errno.
 */
int guard_create(int tty_fd, const struct confine *confine, struct guard *ret);

/* When we die from now on, the terminal gets these modes if it is in raw mode still. */
void guard_arm(struct guard *guard, const struct termios *modes);
/* When we die from now on, nothing happens. */
void guard_disarm(struct guard *guard);

/* Ends the guard without touching the terminal, and reaps it. */
void guard_destroy(struct guard *guard);

#endif
