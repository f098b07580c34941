/* SPDX-License-Identifier: BSD-2-Clause */
/* The signals that end Bantam, in order. They are blocked in all threads and come by signalfd. */
#ifndef BANTAM_VM_CORE_SIGNALS_H
#define BANTAM_VM_CORE_SIGNALS_H

#include <signal.h>

#include "vm/core/base.h"

/*
 * What would end or stop us may have been ignored by whoever started us: nohup, or a shell without
 * job control behind "&". A signal that is blocked comes nevertheless.
 */
bool signal_is_ignored(int signal);

/* Those that end us: all of them, or only those that are not ignored. */
void signals_ending(sigset_t *ret);
void signals_ending_heeded(sigset_t *ret);

/* One of the latter that waits to be taken, or 0. */
int signals_ending_pending(void);

#endif
