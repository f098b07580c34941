/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process inherits from whoever starts it, and the signal that it may die by. */
#ifndef BANTAM_VM_CLI_PROCESS_H
#define BANTAM_VM_CLI_PROCESS_H

#include "vm/core/base.h"

/* First thing of all. Returns 0 or a negative errno. */
int process_begin(void);

/*
 * Last thing of all: returns status, unless that is EXIT_BY_SIGNAL + N. Then the process dies by
 * signal N. (For one that cannot die of it, the first in a PID namespace: EXIT_SIGNAL_BASE + N.)
 */
int process_end(int status);

#endif
