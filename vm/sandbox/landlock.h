/* SPDX-License-Identifier: BSD-2-Clause */
/* Landlock: files, ports, signals and abstract sockets, as far as the kernel's version goes. */
#ifndef BANTAM_VM_SANDBOX_LANDLOCK_H
#define BANTAM_VM_SANDBOX_LANDLOCK_H

#include <stdbool.h>

#include "vm/sandbox/sys.h"

enum landlock_right {
	LANDLOCK_READ,
	LANDLOCK_REMOVE,
	LANDLOCK_SERVE,	     /* all that is done with files but running them; no devices */
	LANDLOCK_SERVE_READ, /* reading, of the same */
};

struct landlock_grant {
	int fd; /* -1: none */
	enum landlock_right right;
};

/*
 * This process may open, make, change and remove nothing any more but what is granted, beneath fd.
 * With network it may go on to bind and connect. The ABI's version, as far as
 * we know them, or -errno.
 */
int landlock_enter(const struct sandbox_sys *sys, const struct landlock_grant *grants,
	unsigned int num, bool network);

/*
 * The same for a thread, which calls landlock_restrict later: a descriptor of the rules, or -errno.
 */
int landlock_rules(
	const struct sandbox_sys *sys, const struct landlock_grant *grants, unsigned int num);
int landlock_restrict(const struct sandbox_sys *sys, int rules);

#endif
