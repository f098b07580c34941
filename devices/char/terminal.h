/* SPDX-License-Identifier: BSD-2-Clause */
/* A terminal in raw mode, and the way back. One thread. */
#ifndef BANTAM_DEVICES_CHAR_TERMINAL_H
#define BANTAM_DEVICES_CHAR_TERMINAL_H

#include <termios.h>

#include "guard.h"
#include "vm/core/base.h"

struct confine;

struct terminal {
	int fd; /* ours */
	struct termios saved;
	bool has_saved;
	bool raw; /* we made it so */
	struct guard guard;
};

/*
 * Duplicates shared_fd and starts the guard; sets no modes. *guard_error is 0, or why there is no
 * guard, which is no reason to fail. Returns 0 or a negative errno.
 */
int terminal_open(
	struct terminal *ret, int shared_fd, const struct confine *confine, int *guard_error);

/* False: the terminal belongs to another job of the shell now, and is not to be touched. */
bool terminal_is_ours(const struct terminal *terminal);

/*
 * Raw mode: every key is a byte (^C, ^Z and ^S too), no byte of output is changed. What to come
 * back to is what is found now, unless it is raw already. Returns 0 or a negative errno.
 */
int terminal_set_raw(struct terminal *terminal);
/* The modes from before, at once: what waits in the terminal is neither sent nor lost. */
void terminal_restore(struct terminal *terminal);
/* The terminal has become somebody else's: there is nothing to restore. */
void terminal_forget(struct terminal *terminal);

/* Restores and ends the guard. */
void terminal_close(struct terminal *terminal);

/* False: fd is no terminal, or one that does not know its size. */
bool terminal_size(int fd, uint16_t *cols, uint16_t *rows);

#endif
