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
#include <unistd.h>

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
	bool there;
	bool added; /* its config's strings are our own */
	char id[CONFIG_MAX_DEVICE_ID + 1];
	char serial[CONFIG_MAX_DISK_SERIAL + 1]; /* of one whose image was swapped */
	struct disk_config config;
	struct blk *blk;
	struct disk_thread own; /* or the shared one */
	struct limit_config limit;
};

struct disks {
	struct log *log;
	const struct confine *confine;
	bool started;
	struct disk_thread shared;
	struct disk disk[CONFIG_MAX_DISKS];
};

static int open_thread(struct disks *disks, unsigned int i, struct error *err)
{
	const bool own = disks->disk[i].config.iothread;
	struct disk_thread *at = own ? &disks->disk[i].own : &disks->shared;
	char name[16] = "disks";
	const struct io_thread_config config = {
		.name = name, .confine = disks->confine, .what = CONFINE_DISK};
	int rc;

	if (at->thread)
		return 0;
	if (own)
		snprintf(name, sizeof(name), "disk%u", i);
	rc = io_thread_create(&config, &at->thread, err);
	if (rc < 0)
		return rc;
	rc = timer_queue_create(io_thread_loop(at->thread), &at->timers);
	if (rc < 0)
		return error_set_errno(err, rc, "disks");
	return disks->started ? io_thread_resume(at->thread, err) : 0;
}

/*
 * A raw image is never looked into to find out what it is: a guest can write there what it likes.
 * A name that ends in .qcow2 is a person's word; what is behind it has to agree.
 */
static int choose_format(
	const struct disk_config *config, const int *fds, bool *qcow2, struct error *err)
{
	static const char suffix[] = ".qcow2";
	const size_t len = strlen(config->path), end = sizeof(suffix) - 1;

	*qcow2 = config->format == DISK_QCOW2;
	if (config->format != DISK_AUTO || len <= end || strcmp(config->path + len - end, suffix))
		return 0;
	*qcow2 = blk_qcow2_looks(config->path, fds ? fds[0] : -1);
	if (*qcow2)
		return 0;
	if (!fds && access(config->path, R_OK) < 0)
		return error_set_errno(err, -errno, "%s", config->path);
	return error_set(err, -EINVAL,
		"%s is not a qcow2 image, as its name says; if it is a raw one, add format=raw",
		config->path);
}

static int open_blk(struct disks *disks, const struct disk_config *config, const int *fds,
	struct blk **ret, struct error *err)
{
	bool qcow2;
	int rc = choose_format(config, fds, &qcow2, err);
	const struct blk_config blk = {
		.path = config->path,
		.fds = fds,
		.read_only = config->read_only,
		.backing = config->backing,
		.cache = config->cache,
		.aio = config->aio,
		.log = disks->log,
	};

	if (rc)
		return rc;
	if (config->snapshot)
		return blk_snapshot_create(&blk, qcow2, config->size, ret, err);
	return qcow2 ? blk_qcow2_create(&blk, ret, err) : blk_raw_create(&blk, ret, err);
}

int disks_find(const struct disks *disks, const char *id)
{
	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++)
		if (disks->disk[i].there && !strcmp(disks->disk[i].id, id))
			return (int)i;
	return -ENOENT;
}

/* The one that was asked for, or "disk" and a number. */
static int choose_id(struct disks *disks, unsigned int i, struct error *err)
{
	const char *id = disks->disk[i].config.id;
	char text[CONFIG_MAX_DEVICE_ID + 1];
	unsigned int n = i;

	if (id && disks_find(disks, id) >= 0)
		return error_set(err, -EEXIST, "disk %s: there is one of that id", id);
	do
		snprintf(text, sizeof(text), "disk%u", n++);
	while (!id && disks_find(disks, text) >= 0);
	snprintf(disks->disk[i].id, sizeof(text), "%s", id ? id : text);
	return 0;
}

static int open_disk(struct disks *disks, unsigned int i, const int *fds, struct error *err)
{
	struct disk *disk = &disks->disk[i];
	int rc = choose_id(disks, i, err);

	if (rc < 0)
		return rc;
	disk->there = true;
	disk->limit = disk->config.limit;
	rc = open_blk(disks, &disk->config, fds, &disk->blk, err);
	return rc < 0 ? rc : open_thread(disks, i, err);
}

int disks_open(const struct config *config, struct log *log, const struct confine *confine,
	struct disks **ret, struct error *err)
{
	struct disks *disks = calloc(1, sizeof(*disks));
	int rc = 0;

	if (!disks)
		return error_set_errno(err, -ENOMEM, "disks");
	disks->log = log;
	disks->confine = confine;
	for (unsigned int i = 0; !rc && i < config->num_disks; i++) {
		disks->disk[i].config = config->disks[i];
		rc = open_disk(disks, i, NULL, err);
	}
	if (rc < 0) {
		disks_close(disks);
		return rc;
	}
	*ret = disks;
	return 0;
}

int disks_start(struct disks *disks, struct error *err)
{
	int rc = disks->shared.thread ? io_thread_resume(disks->shared.thread, err) : 0;

	for (unsigned int i = 0; !rc && i < CONFIG_MAX_DISKS; i++)
		if (disks->disk[i].own.thread)
			rc = io_thread_resume(disks->disk[i].own.thread, err);
	disks->started = true;
	return rc;
}

static void close_thread(struct disk_thread *at)
{
	if (!at->thread)
		return;
	io_thread_hold(at->thread);
	timer_queue_destroy(at->timers);
	io_thread_destroy(at->thread);
}

/* Threads go before what they serve. */
static void close_disk(struct disk *disk)
{
	close_thread(&disk->own);
	blk_close(disk->blk);
	if (disk->added)
		free(disk->config.copy);
	*disk = (struct disk){0};
}

void disks_close(struct disks *disks)
{
	if (!disks)
		return;
	close_thread(&disks->shared);
	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++)
		close_disk(&disks->disk[i]);
	free(disks);
}

int disks_add(
	struct disks *disks, const struct disk_config *config, const int *fds, struct error *err)
{
	unsigned int i = 0;
	int rc;

	while (i < CONFIG_MAX_DISKS && disks->disk[i].there)
		i++;
	if (i == CONFIG_MAX_DISKS)
		return error_set(err, -ENOSPC, "a VM has %d disks at most", CONFIG_MAX_DISKS);
	disks->disk[i].config = *config;
	rc = open_disk(disks, i, fds, err);
	if (rc < 0) {
		close_disk(&disks->disk[i]);
		return rc;
	}
	disks->disk[i].added = true;
	return (int)i;
}

void disks_remove(struct disks *disks, unsigned int i)
{
	close_disk(&disks->disk[i]);
}

int disks_open_other(struct disks *disks, unsigned int i, const char *path, const int *fds,
	struct blk **ret, struct error *err)
{
	struct disk_config other = disks->disk[i].config;

	other.path = path;
	return open_blk(disks, &other, fds, ret, err);
}

void disks_replace(struct disks *disks, unsigned int i, struct blk *blk, char *copy)
{
	struct disk *disk = &disks->disk[i];

	blk_close(disk->blk);
	disk->blk = blk;
	if (!copy)
		return;
	/* The serial number stays, and is in the text of the first one. */
	if (disk->config.serial && disk->config.serial != disk->serial) {
		snprintf(disk->serial, sizeof(disk->serial), "%s", disk->config.serial);
		disk->config.serial = disk->serial;
	}
	if (disk->added)
		free(disk->config.copy);
	disk->config.path = disk->config.copy = copy;
	disk->config.id = NULL;
	disk->added = true;
}

bool disks_has(const struct disks *disks, unsigned int i)
{
	return i < CONFIG_MAX_DISKS && disks->disk[i].there;
}

const struct disk_config *disks_config(const struct disks *disks, unsigned int i)
{
	return &disks->disk[i].config;
}

const char *disks_id(const struct disks *disks, unsigned int i)
{
	return disks->disk[i].id;
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

static void tell_size(struct disks *disks, unsigned int i)
{
	log_msg(disks->log, LOG_INFO, "%s: %llu bytes now", disks->disk[i].config.path,
		(unsigned long long)blk_capacity(disks->disk[i].blk));
}

int disks_resize(struct disks *disks, unsigned int i, uint64_t size, struct error *err)
{
	struct disk *disk = &disks->disk[i];
	const char *path = disk->config.path;
	const uint64_t was = blk_capacity(disk->blk);
	int rc = size ? blk_grow(disk->blk, size) : blk_refresh(disk->blk);

	if (rc == -EINVAL)
		return error_set(err, rc, "%s: a disk can be made larger, not smaller", path);
	if (rc == -ENOTSUP)
		return error_set(err, rc,
			"%s: a device has the size that it has, and so have a qcow2 image whose "
			"backing "
			"file is larger, and one of version 2 with snapshots",
			path);
	if (rc < 0)
		return error_set_errno(err, rc, "%s", path);
	if (blk_capacity(disk->blk) != was)
		tell_size(disks, i);
	return 0;
}

void disks_refresh(struct disks *disks)
{
	struct error err;

	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++)
		if (disks->disk[i].there && disks_resize(disks, i, 0, &err) < 0)
			log_msg(disks->log, LOG_WARN, "%s", err.text);
}
