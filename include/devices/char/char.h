/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The character back ends: terminal (or whatever stdin and stdout are), file, pty, unix socket.
 * Each opens its resources in its constructor and says in err what could not be had.
 */
#ifndef BANTAM_DEVICES_CHAR_CHAR_H
#define BANTAM_DEVICES_CHAR_CHAR_H

#include "devices/char/chardev.h"
#include "vm/core/base.h"
#include "vm/core/clock.h"

/* What the person typed after Ctrl-A; the back end does the rest (break, help) itself. */
enum console_command {
	CONSOLE_QUIT,	      /* x */
	CONSOLE_POWER_BUTTON, /* p */
	CONSOLE_RESET,	      /* r */
	CONSOLE_SUSPEND,      /* z: stop bantam as ^Z would */
	CONSOLE_DETACH,	      /* d: leave the guest alone; of `bantam console` only */
};

struct char_config {
	struct event_loop *loop;
	const struct clock *clock; /* for stall detection */
	struct log *log;
	/* stdio only; called on the loop's thread */
	void (*command)(void *opaque, enum console_command command);
	/*
	 * stdio only, may be NULL: no more input will come; no more output can be written (on any
	 * thread, and instead of a line in the log).
	 */
	void (*ended)(void *opaque);
	void (*broken)(void *opaque, int error);
	const struct confine *confine; /* of the guard, or NULL */
	const char *help;	       /* what Ctrl-A ? prints; NULL: the keys of a VM's terminal */
	void *opaque;
};

/*
 * in_fd and out_fd stay the caller's, and their modes too: others may share the open file
 * descriptions. A terminal as input is put into raw mode (once it is this job's) and restored by
 * close, by char_stdio_suspend, and by a guard process should bantam die in any way; the guard is
 * forked here, so come here before guest memory is mapped. Ctrl-A commands work on a terminal
 * only; command must not close the back end. At end of input (a pipe, a file, /dev/null, a closed
 * descriptor) output goes on.
 */
int char_stdio_create(const struct char_config *config, int in_fd, int out_fd, struct chardev **ret,
	struct error *err);
/* On the loop's thread; NULL is allowed. */
void char_stdio_suspend(struct chardev *dev); /* cooked mode again, before stopping (SIGTSTP) */
void char_stdio_resume(struct chardev *dev);  /* raw mode again, after SIGCONT */
void char_stdio_resized(struct chardev *dev); /* SIGWINCH */
/* The input has ended, and the front end has taken all of it. */
bool char_stdio_is_over(struct chardev *dev);

int char_file_create(const struct char_config *config, const char *path, struct chardev **ret,
	struct error *err);
/* Prints the slave's path by log_msg(LOG_INFO...) */
int char_pty_create(const struct char_config *config, struct chardev **ret, struct error *err);
/* Of the slave of such a one; as long as it is there. */
const char *char_pty_path(const struct chardev *dev);
/* Listens at path; one client at a time, a later one waits until the first has gone. */
int char_unix_create(const struct char_config *config, const char *path, struct chardev **ret,
	struct error *err);

#endif
