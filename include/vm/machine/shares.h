/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's shared directories and the threads that serve them; they outlive a reboot of the guest. */
#ifndef BANTAM_VM_MACHINE_SHARES_H
#define BANTAM_VM_MACHINE_SHARES_H

#include "vm/config/config.h"
#include "vm/core/confine.h"

struct error;
struct event_loop;
struct fs;
struct shares;

struct shares_config {
	const struct config *config; /* outlives them */
	/* This process will be in a sandbox: see fs_config. */
	bool confined;
	/* What the thread of a directory is given, or NULL; outlives it. */
	const struct confine *(*confine)(void *opaque, int fd, bool read_only);
	void *opaque;
};

/*
 * Opens all that the configuration names; their threads do not run yet. Without any, *ret is NULL,
 * and that is what all of these take. -errno with a line.
 */
int shares_open(const struct shares_config *config, struct shares **ret, struct error *err);
void shares_close(struct shares *shares);
/* Starts their threads. -errno with a line. */
int shares_start(struct shares *shares, struct error *err);

struct fs *shares_fs(struct shares *shares, unsigned int i);
/* Run by its thread. */
struct event_loop *shares_loop(struct shares *shares, unsigned int i);

#endif
