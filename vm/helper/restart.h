/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the next helper is started: at once after the first death, and then ever later, up to
 * RESTART_SLOWEST_MS. A helper that has lived for RESTART_GOOD_MS makes up for all deaths before.
 */
#ifndef BANTAM_VM_HELPER_RESTART_H
#define BANTAM_VM_HELPER_RESTART_H

#include "vm/core/base.h"

enum {
	RESTART_FIRST_MS = 50, /* after the second death; doubled after each other one */
	RESTART_SLOWEST_MS = 2000,
	RESTART_GOOD_MS = 60000,
	RESTART_MAX_DEATHS = 10, /* in a row; then it is given up */
};

struct restart {
	unsigned int deaths;
};

/* After a death: milliseconds to wait, or -1: no more. */
int restart_after(struct restart *restart, uint64_t lived_ms);

#endif
