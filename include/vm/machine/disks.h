/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disks of a configuration on the host's side: opened and locked once, before the first boot,
 * with the threads that serve them. They outlive every machine that uses them.
 */
#ifndef BANTAM_VM_MACHINE_DISKS_H
#define BANTAM_VM_MACHINE_DISKS_H

#include "vm/config/config.h"
#include "vm/core/base.h"

struct blk;
struct clock;
struct disks;
struct error;
struct event_loop;
struct log;

/*
 * Opens all disks of config, which outlives them, as log does. Threads are made only for disks:
 * one for all that do not ask for their own. -errno with a line that names the file.
 */
int disks_open(const struct config *config, struct log *log, struct disks **ret, struct error *err);
/* No machine uses them; NULL is allowed. */
void disks_close(struct disks *disks);

/* i < config->num_disks */
struct blk *disks_blk(struct disks *disks, unsigned int i);
struct event_loop *disks_loop(struct disks *disks, unsigned int i);

/* Of that loop. */
const struct clock *disks_clock(struct disks *disks, unsigned int i);
/* How much the disk may do, from the configuration at first; for who changes it, and for reboots.
 */
struct limit_config *disks_limit(struct disks *disks, unsigned int i);

/* Looks how large the disks are now, and logs what has changed. */
void disks_refresh(struct disks *disks);

#endif
