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
struct confine;
struct disks;
struct error;
struct event_loop;
struct log;

/*
 * Opens all disks of config, which outlives them, as log and confine do. Threads are made only for
 * disks: one for all that do not ask for their own; they are held until disks_start, also for disks
 * that are added. -errno with a line that names the file.
 */
int disks_open(const struct config *config, struct log *log, const struct confine *confine,
	struct disks **ret, struct error *err);
/* Twice is once. */
int disks_start(struct disks *disks, struct error *err);
/* No machine uses them; NULL is allowed. */
void disks_close(struct disks *disks);

/*
 * One more, from descriptors (see struct blk_config): its index, or -errno with a line. What
 * config->copy has is taken over unless that fails.
 */
int disks_add(
	struct disks *disks, const struct disk_config *config, const int *fds, struct error *err);
/* No machine uses it. */
void disks_remove(struct disks *disks, unsigned int i);

/*
 * Another image for a disk, opened like it. Put behind the device (virtio_blk_swap), it replaces
 * the one that was there, which is closed then; copy is its path, taken over, or NULL: it keeps
 * the old one's.
 */
int disks_open_other(struct disks *disks, unsigned int i, const char *path, const int *fds,
	struct blk **ret, struct error *err);
void disks_replace(struct disks *disks, unsigned int i, struct blk *blk, char *copy);

/* The index of the disk of that id, or -ENOENT. */
int disks_find(const struct disks *disks, const char *id);

/* Indices have gaps where disks were removed, and stay as they are. i < CONFIG_MAX_DISKS */
bool disks_has(const struct disks *disks, unsigned int i);
/* The others want one that there is. */
const struct disk_config *disks_config(const struct disks *disks, unsigned int i);
const char *disks_id(const struct disks *disks, unsigned int i);
struct blk *disks_blk(struct disks *disks, unsigned int i);
struct event_loop *disks_loop(struct disks *disks, unsigned int i);

/* Of that loop. */
const struct clock *disks_clock(struct disks *disks, unsigned int i);
/* How much the disk may do, from the configuration at first; for who changes it, and for reboots.
 */
struct limit_config *disks_limit(struct disks *disks, unsigned int i);

/*
 * Looks how large the disk is now; with a size it is made that large first. Logs what has changed.
 * -errno with a line.
 */
int disks_resize(struct disks *disks, unsigned int i, uint64_t size, struct error *err);
/* Looks at all of them. */
void disks_refresh(struct disks *disks);

#endif
