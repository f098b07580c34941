/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A clock for a process that sleeps in one place, with a time to wake up. It shows the time of the
 * last slirp_clock_run: the host is asked once for each sleep. One thread.
 */
#ifndef BANTAM_DEVICES_NET_SLIRP_SLIRP_CLOCK_H
#define BANTAM_DEVICES_NET_SLIRP_SLIRP_CLOCK_H

#include "vm/core/clock.h"

struct slirp_clock {
	struct clock clock;
	struct timer *first; /* armed, in no order */
	uint64_t now_ns;
	int fd;		   /* a timerfd; signalled when a timer may be due; need not be read */
	uint64_t alarm_ns; /* what it is set to; 0: to nothing */
};

/* 0 or -errno. */
int slirp_clock_init(struct slirp_clock *sc);
/* Before each sleep: the descriptor will be signalled in time, or at once. */
void slirp_clock_set_alarm(struct slirp_clock *sc);
/* After each sleep: looks at the time, and calls the functions of those that are due. */
void slirp_clock_run(struct slirp_clock *sc);

#endif
