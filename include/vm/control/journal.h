/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front end without a client: what happens to a VM, and every so often what it has counted, as
 * lines of JSON into a file, a pipe or a socket. Events look as those of the command "events",
 * figures as the result of "stat".
 *
 * Nothing of it holds up the VM: what a reader does not take in time is left out, whole lines of
 * it, and said once. Main thread.
 */
#ifndef BANTAM_VM_CONTROL_JOURNAL_H
#define BANTAM_VM_CONTROL_JOURNAL_H

#include "vm/core/base.h"

struct clock;
struct control;
struct journal;
struct log;

struct journal_config {
	struct control *control;   /* whose listener it is */
	const struct clock *clock; /* of the main loop */
	struct log *log;
	/* Taken over, also when it fails; -1: none. */
	int events_fd, metrics_fd;
	int memory_fd; /* of /proc/self/smaps_rollup, for the command */
	uint64_t interval_ns;
};

int journal_create(const struct journal_config *config, struct journal **ret);
/* The control is gone already, so that its last event and answer are written. NULL is allowed. */
void journal_destroy(struct journal *journal);

#endif
