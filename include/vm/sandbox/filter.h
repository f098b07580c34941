/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters of system calls (seccomp), made of vm/sandbox/lists while Bantam is built, and what
 * happens when one denies a call.
 */
#ifndef BANTAM_VM_SANDBOX_FILTER_H
#define BANTAM_VM_SANDBOX_FILTER_H

#include <stddef.h>

#include "vm/core/confine.h"
#include "vm/sandbox/sys.h"

struct error;
struct sock_filter;

/* What is known only now. -1: there is none, and no call that wants it is allowed. */
struct filter_values {
	int pid;
	int run_fd;
	int tasks_fd;
	int log; /* not 0: nothing is denied; the kernel's log has what would be */
};

enum { FILTER_MAX = 1024 }; /* instructions */

/* Writes the filter, of FILTER_MAX instructions at most, and returns how many it has. */
size_t filter_make(
	enum confine_class what, const struct filter_values *values, struct sock_filter *program);

/*
 * On this thread and those that it starts, besides what it has already. 0 or -errno. The process
 * has no new privileges (PR_SET_NO_NEW_PRIVS).
 */
int filter_load(
	const struct sandbox_sys *sys, enum confine_class what, const struct filter_values *values);

/* The handler of SIGSYS, which says what was denied and ends the process with EXIT_DENIED. */
int denial_setup(const struct sandbox_sys *sys, struct error *err);

/* The line that it writes, with its end: the length. Safe in a handler. */
size_t denial_text(char *buf, size_t size, const char *what, long nr, const unsigned long args[6]);

const char *confine_class_name(enum confine_class what);

#endif
