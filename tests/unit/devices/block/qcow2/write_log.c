/* SPDX-License-Identifier: BSD-2-Clause */
#include "write_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../blk_fixture.h"

static struct write_log *to_log(const struct blk_sys *sys)
{
	return (struct write_log *)(uintptr_t)sys;
}

static void add(struct write_log *log, struct write_log_entry entry)
{
	if (log->off) {
		free(entry.data);
		return;
	}
	if (log->num == log->room) {
		log->room = MAX(2 * log->room, 256u);
		log->entries = realloc(log->entries, log->room * sizeof(entry));
		if (!log->entries)
			abort();
	}
	log->entries[log->num++] = entry;
}

/* 0, or why this write fails. */
static int count_write(struct write_log *log)
{
	const unsigned int n = ++log->writes;

	return log->fail_at && n >= log->fail_at && n - log->fail_at < log->fail_for ? log->error
										     : 0;
}

static uint8_t *gather(const struct iovec *iov, int num, uint64_t len)
{
	uint8_t *data = malloc(len), *p = data;

	if (!data)
		abort();
	for (int i = 0; i < num; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return data;
}

static ssize_t log_pwritev(
	const struct blk_sys *sys, int fd, const struct iovec *iov, int num, uint64_t offset)
{
	struct write_log *log = to_log(sys);
	uint64_t len = 0;
	ssize_t n;

	for (int i = 0; i < num; i++)
		len += iov[i].iov_len;
	pthread_mutex_lock(&log->lock);
	n = count_write(log);
	if (!n) {
		n = blk_sys_host.pwritev(&blk_sys_host, fd, iov, num, offset);
		if (n != (ssize_t)len)
			abort();
		add(log, (struct write_log_entry){LOG_DATA, offset, len, gather(iov, num, len)});
	}
	pthread_mutex_unlock(&log->lock);
	return n;
}

static int log_fallocate(const struct blk_sys *sys, int fd, int mode, uint64_t offset, uint64_t len)
{
	struct write_log *log = to_log(sys);
	int rc;

	pthread_mutex_lock(&log->lock);
	rc = count_write(log);
	if (!rc)
		rc = blk_sys_host.fallocate(&blk_sys_host, fd, mode, offset, len);
	if (!rc)
		add(log, (struct write_log_entry){LOG_ZEROS, offset, len, NULL});
	pthread_mutex_unlock(&log->lock);
	return rc;
}

static int log_fdatasync(const struct blk_sys *sys, int fd)
{
	struct write_log *log = to_log(sys);
	int rc = 0;

	(void)fd;
	pthread_mutex_lock(&log->lock);
	if (log->fail_flush && log->writes >= log->fail_at)
		rc = -EIO;
	else
		add(log, (struct write_log_entry){LOG_FLUSH, 0, 0, NULL});
	pthread_mutex_unlock(&log->lock);
	return rc;
}

void write_log_init(struct write_log *log)
{
	*log = (struct write_log){.table = blk_sys_host};
	log->table.pwritev = log_pwritev;
	log->table.fallocate = log_fallocate;
	log->table.fdatasync = log_fdatasync;
	pthread_mutex_init(&log->lock, NULL);
}

void write_log_fini(struct write_log *log)
{
	for (unsigned int i = 0; i < log->num; i++)
		free(log->entries[i].data);
	free(log->entries);
	pthread_mutex_destroy(&log->lock);
}

void write_log_note(struct write_log *log, const void *data, uint64_t len)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

	pthread_mutex_lock(&log->lock);
	add(log, (struct write_log_entry){LOG_NOTE, 0, len, gather(&iov, 1, len)});
	pthread_mutex_unlock(&log->lock);
}

static void apply_part(const struct write_log_entry *entry, uint64_t at, uint64_t len,
	uint8_t *state, uint64_t size)
{
	const uint64_t offset = entry->offset + at;

	if (offset >= size)
		return;
	len = MIN(len, size - offset);
	if (entry->kind == LOG_DATA)
		memcpy(state + offset, entry->data + at, len);
	else
		memset(state + offset, 0, len);
}

void write_log_apply(const struct write_log_entry *entry, uint8_t *state, uint64_t size)
{
	if (entry->kind == LOG_DATA || entry->kind == LOG_ZEROS)
		apply_part(entry, 0, entry->len, state, size);
}

void write_log_some(const struct write_log *log, unsigned int from, unsigned int to, uint8_t *state,
	uint64_t size, uint32_t *rng)
{
	for (unsigned int i = from; i < to; i++) {
		const struct write_log_entry *entry = &log->entries[i];
		/* Whole writes are lost, or parts of them. */
		const uint32_t how = test_random(rng) % 4;
		uint64_t step;

		if (entry->kind == LOG_NOTE || entry->kind == LOG_FLUSH || how == 0)
			continue;
		for (uint64_t at = 0; at < entry->len; at += step) {
			step = MIN(entry->len - at, 512 - (entry->offset + at) % 512);
			if (how == 1 || test_random(rng) % 2)
				apply_part(entry, at, step, state, size);
		}
	}
}
