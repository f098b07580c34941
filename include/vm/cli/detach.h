/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `bantam run --detach`: the VM is a child in a session of its own, with nothing of its caller's.
 * The parent waits until the guest runs, or until the child has ended.
 */
#ifndef BANTAM_VM_CLI_DETACH_H
#define BANTAM_VM_CLI_DETACH_H

#include "vm/core/base.h"

struct config;
struct error;
struct log;

struct detach {
	int wire;     /* to the parent; -1: this process is not detached */
	int log_fd;   /* the VM's log file, or -1 */
	int older_fd; /* the other one, if that is there */
	int *fds;     /* that were open when the process was started; ends with -1 */
};

/*
 * Forks; call it before anything is opened and any thread is made. Returns 0 in the child, whose
 * standard input and output are /dev/null, and whose errors still go where the caller's go. Returns
 * 1 in the parent, when all is over there, with the exit code in *code. -errno with a line.
 */
int detach_fork(struct detach *detach, const struct config *config, int *code, struct error *err);

/* In the child: makes the log file of a VM of that name. -errno with a line. */
int detach_prepare(struct detach *detach, const char *name, struct error *err);
/*
 * In the child: the guest runs, under that name. From now on standard error is the VM's log file,
 * where what was logged before stands already, no descriptor of the caller's is open any more, and
 * the parent prints the name and ends. -errno with a line when there is nobody who could be
 * told.
 */
int detach_running(struct detach *detach, const char *name, struct log *log, struct error *err);

void detach_destroy(struct detach *detach);

#endif
