/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/core/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A guest may provoke this many lines in each window: by one device, and in all. */
enum { LIMIT_BURST = 8, ALL_BURST = 60 };
#define LIMIT_WINDOW_NS NSEC_PER_SEC
#define ALL_WINDOW_NS	(60 * NSEC_PER_SEC)

/* A reader that has stopped gets this long, then the line is dropped: timers wait behind it. */
enum { STALL_MS = 20 };

static void write_line(struct log *log, enum log_level level, const char *fmt, va_list args)
	PRINTF_LIKE(3, 0);

void log_init(struct log *log, int fd, enum log_level level, const char *name)
{
	log->fd = fd;
	log->level = level;
	log->name = name;
	log->notice = NULL;
	log->older_fd = -1;
	atomic_init(&log->raw_tty, false);
	atomic_init(&log->midline, false);
	log->all = (struct log_limit){0};
	pthread_mutex_init(&log->lock, NULL);
	log->written = NULL;
	log->total = 0;
}

/* len bytes, the last of which ends the line. */
static void keep(struct log *log, const char *line, size_t len)
{
	size_t at, first;

	pthread_mutex_lock(&log->lock);
	at = log->total % LOG_KEPT;
	first = MIN(len, LOG_KEPT - at);
	memcpy(log->kept + at, line, first);
	memcpy(log->kept, line + first, len - first);
	log->total += len;
	if (log->written)
		log->written(log->written_opaque);
	pthread_mutex_unlock(&log->lock);
}

/* With the lock held: skips what is not kept any more, and the line that is kept in part. */
static uint64_t first_kept(const struct log *log, uint64_t pos)
{
	if (log->total - pos <= LOG_KEPT)
		return pos;
	pos = log->total - LOG_KEPT;
	while (pos < log->total && log->kept[pos % LOG_KEPT] != '\n')
		pos++;
	return pos + 1;
}

size_t log_read(struct log *log, uint64_t *pos, char *line, size_t size)
{
	size_t len = 0;

	pthread_mutex_lock(&log->lock);
	*pos = first_kept(log, *pos);
	while (*pos < log->total && !(len && log->kept[(*pos - 1) % LOG_KEPT] == '\n')) {
		const char byte = log->kept[(*pos)++ % LOG_KEPT];

		if (len + 1 < size)
			line[len++] = byte;
	}
	pthread_mutex_unlock(&log->lock);
	if (len && line[len - 1] == '\n')
		len--;
	if (size)
		line[len] = '\0';
	return len;
}

void log_listen(struct log *log, void (*fn)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&log->lock);
	log->written = fn;
	log->written_opaque = opaque;
	pthread_mutex_unlock(&log->lock);
}

/*
 * A pipe whose reader has stopped would hold a vCPU, or the loop and with it the way out, for ever.
 * A line is shorter than PIPE_BUF: where poll sees room, it fits. One that cannot be written has
 * nowhere else to go.
 */
static void send_line(int fd, const char *line, size_t len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	int rc;

	do
		rc = poll(&pfd, 1, STALL_MS);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return;
	while (write(fd, line, len) < 0 && errno == EINTR)
		;
}

void log_rotate(struct log *log, int older_fd, uint64_t max)
{
	log->older_fd = older_fd;
	log->file_max = max;
}

/*
 * With the lock held. Copied, not renamed: so it needs no right to open files, and the descriptor
 * may be standard error. What cannot be copied, as the disk is full, is given up all the same.
 */
static void begin_anew(const struct log *log, uint64_t size)
{
	uint64_t at = 0;
	char buf[4096];

	if (ftruncate(log->older_fd, 0) < 0)
		return;
	while (at < size) {
		const ssize_t n = pread(log->fd, buf, sizeof(buf), (off_t)at);

		if (n <= 0 || pwrite(log->older_fd, buf, (size_t)n, (off_t)at) != n)
			break;
		at += (uint64_t)n;
	}
	if (ftruncate(log->fd, 0) < 0)
		return;
}

/* With the lock held. Not every thread may ask for the size; one that may comes soon. */
static void make_room(struct log *log, size_t len)
{
	struct stat st;

	if (fstat(log->fd, &st) == 0 && (uint64_t)st.st_size + len > log->file_max)
		begin_anew(log, (uint64_t)st.st_size);
}

void log_tidy(struct log *log)
{
	if (log->older_fd < 0)
		return;
	pthread_mutex_lock(&log->lock);
	make_room(log, 0);
	pthread_mutex_unlock(&log->lock);
}

static void send_to_file(struct log *log, const char *line, size_t len)
{
	pthread_mutex_lock(&log->lock);
	make_room(log, len);
	while (write(log->fd, line, len) < 0 && errno == EINTR)
		;
	pthread_mutex_unlock(&log->lock);
}

static size_t put_end(const struct log *log, char *at)
{
	size_t used = 0;

	if (atomic_load_explicit(&log->raw_tty, memory_order_relaxed))
		at[used++] = '\r';
	at[used++] = '\n';
	return used;
}

static void write_line(struct log *log, enum log_level level, const char *fmt, va_list args)
{
	static const char *const tags[] = {[LOG_ERROR] = "",
		[LOG_WARN] = "warning: ",
		[LOG_INFO] = "",
		[LOG_DEBUG] = "debug: "};
	char line[LOG_MAX_LINE];
	const size_t room = sizeof(line) - 2; /* for CR LF */
	size_t used = 0, start;
	int n;

	if (atomic_exchange_explicit(&log->midline, false, memory_order_relaxed))
		used = put_end(log, line);
	start = used;
	if (log->name)
		n = snprintf(line + used, room - used, "bantam: %s: %s", log->name, tags[level]);
	else
		n = snprintf(line + used, room - used, "bantam: %s", tags[level]);
	used = MIN(used + (size_t)n, room - 1);
	n = vsnprintf(line + used, room - used, fmt, args);
	if (n > 0)
		used = MIN(used + (size_t)n, room - 1);
	line[used] = '\n';
	keep(log, line + start, used + 1 - start);
	used += put_end(log, line + used);
	if (log->older_fd >= 0)
		send_to_file(log, line, used);
	else
		send_line(log->fd, line, used);
}

void log_msg(struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log || level > log->level)
		return;
	va_start(args, fmt);
	write_line(log, level, fmt, args);
	va_end(args);
}

/* Two threads may race for a new window; a line more or less then does no harm. */
static bool limit_allows(
	struct log_limit *limit, uint32_t burst, uint64_t window_ns, uint32_t *dropped)
{
	struct timespec ts;
	uint64_t now, start = atomic_load(&limit->window_start_ns);

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	if (!start || now - start >= window_ns) {
		atomic_store(&limit->window_start_ns, now);
		atomic_store(&limit->in_window, 0);
	}
	if (atomic_fetch_add(&limit->in_window, 1) >= burst) {
		atomic_fetch_add(&limit->dropped, 1);
		return false;
	}
	*dropped = atomic_exchange(&limit->dropped, 0);
	return true;
}

void log_limited(
	struct log *log, struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	uint32_t dropped, others;
	va_list args;

	if (!log || level > log->level ||
		!limit_allows(limit, LIMIT_BURST, LIMIT_WINDOW_NS, &dropped))
		return;
	if (!limit_allows(&log->all, ALL_BURST, ALL_WINDOW_NS, &others)) {
		atomic_fetch_add(&log->all.dropped, dropped);
		return;
	}
	if (others)
		log_msg(log, level, "(%u lines that the guest caused were dropped)", others);
	if (dropped)
		log_msg(log, level, "(%u lines like the next were dropped)", dropped);
	va_start(args, fmt);
	write_line(log, level, fmt, args);
	va_end(args);
}

void log_notice(struct log *log, enum log_notice notice, const char *device, const char *text)
{
	if (log && log->notice)
		log->notice(log->notice_opaque, notice, device, text);
}
