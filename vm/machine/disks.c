/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk's loop is never the main one: a guest that resets its disk waits on a vCPU for what is in
 * flight, and the main thread waits for the vCPUs when the machine ends.
 */
#include "vm/machine/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/blk.h"
#include "vm/core/clock.h"
#include "vm/core/error.h"
#include "vm/core/io_thread.h"
#include "vm/core/log.h"

struct disk_thread {
	struct io_thread *thread; /* NULL: there is none */
	struct timer_queue *timers;
};

struct disk {
	struct blk *blk;
	struct disk_thread own; /* or the shared one */
	struct limit_config limit;
};

struct disks {
	const struct config *config;
	struct log *log;
	struct disk_thread shared;
	unsigned int count; /* tried to open */
	struct disk disk[CONFIG_MAX_DISKS];
};

static int open_thread(struct disks *disks, unsigned int i, struct error *err)
{
	const bool own = disks->config->disks[i].iothread;
	struct disk_thread *at = own ? &disks->disk[i].own : &disks->shared;
	char name[16] = "disks";
	int rc;

	if (at->thread)
		return 0;
	if (own)
		snprintf(name, sizeof(name), "disk%u", i);
	rc = io_thread_create(name, &at->thread, err);
	if (rc < 0)
		return rc;
	rc = timer_queue_create(io_thread_loop(at->thread), &at->timers);
	if (rc < 0)
		return error_set_errno(err, rc, "disks");
	return io_thread_resume(at->thread, err);
}

static int open_disk(struct disks *disks, unsigned int i, struct error *err)
{
	const struct disk_config *config = &disks->config->disks[i];
	const struct blk_config blk = {
		.path = config->path,
		.read_only = config->read_only,
		.cache = config->cache,
		.aio = config->aio,
		.log = disks->log,
	};
	int rc;

	disks->disk[i].limit = config->limit;
	rc = blk_raw_create(&blk, &disks->disk[i].blk, err);

	return rc < 0 ? rc : open_thread(disks, i, err);
}

int disks_open(const struct config *config, struct log *log, struct disks **ret, struct error *err)
{
	struct disks *disks = calloc(1, sizeof(*disks));
	int rc = 0;

	if (!disks)
		return error_set_errno(err, -ENOMEM, "disks");
	disks->config = config;
	disks->log = log;
	while (!rc && disks->count < config->num_disks)
		rc = open_disk(disks, disks->count++, err);
	if (rc < 0) {
		disks_close(disks);
		return rc;
	}
	*ret = disks;
	return 0;
}

static void close_thread(struct disk_thread *at)
{
	if (!at->thread)
		return;
	io_thread_hold(at->thread);
	timer_queue_destroy(at->timers);
	io_thread_destroy(at->thread);
}

void disks_close(struct disks *disks)
{
	if (!disks)
		return;
	for (unsigned int i = 0; i < disks->count; i++)
		close_thread(&disks->disk[i].own);
	close_thread(&disks->shared);
	for (unsigned int i = 0; i < disks->count; i++)
		blk_close(disks->disk[i].blk);
	free(disks);
}

struct blk *disks_blk(struct disks *disks, unsigned int i)
{
	return disks->disk[i].blk;
}

static struct disk_thread *thread_of(struct disks *disks, unsigned int i)
{
	return disks->disk[i].own.thread ? &disks->disk[i].own : &disks->shared;
}

struct event_loop *disks_loop(struct disks *disks, unsigned int i)
{
	return io_thread_loop(thread_of(disks, i)->thread);
}

const struct clock *disks_clock(struct disks *disks, unsigned int i)
{
	return timer_queue_clock(thread_of(disks, i)->timers);
}

struct limit_config *disks_limit(struct disks *disks, unsigned int i)
{
	return &disks->disk[i].limit;
}

void disks_refresh(struct disks *disks)
{
	for (unsigned int i = 0; i < disks->count; i++) {
		struct blk *blk = disks->disk[i].blk;
		const char *path = disks->config->disks[i].path;
		int rc = blk_refresh(blk);

		if (rc < 0)
			log_msg(disks->log, LOG_WARN, "%s: its size cannot be read: %s", path,
				strerror(-rc));
		else if (rc)
			log_msg(disks->log, LOG_INFO, "%s: %llu bytes now", path,
				(unsigned long long)blk_capacity(blk));
	}
}
