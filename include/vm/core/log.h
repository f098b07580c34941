/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One log per VM, handed to whoever has something to say. Lines go to a file descriptor in one
 * write each, so that they never mix with the guest's output inside a line. A NULL log is silent.
 *
 * Thread-safe. A reader that has stopped is waited for a moment (20 ms); then the line is dropped.
 */
#ifndef BANTAM_VM_CORE_LOG_H
#define BANTAM_VM_CORE_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "vm/core/base.h"

enum {
	LOG_KEPT =
		8192, /* bytes of lines that can be read again; a page is used when it is filled */
	LOG_MAX_LINE = 1024, /* bytes, with its end */
};

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/*
 * Rate limit for lines that a guest can provoke: at most 8 in each second. Embedded
 * in its device, zero-initialised; thread-safe. What was dropped is counted in the next line.
 */
struct log_limit {
	_Atomic uint64_t window_start_ns;
	_Atomic uint32_t in_window;
	_Atomic uint32_t dropped;
};

/* What a program that watches the VM wants to hear of, beside the line for a person. */
enum log_notice {
	NOTICE_IO_ERROR,      /* of a disk's file */
	NOTICE_DEVICE_FAILED, /* it needs a reset by its driver */
	NOTICE_BALLOON,	      /* the guest has given or taken what it was asked for */
	NOTICE_CRASH_KERNEL,  /* the guest crashed, and takes its dump by itself */
};

struct log {
	int fd;
	enum log_level level; /* lines above it are dropped */
	const char *name;     /* of the VM, or NULL; not owned */
	_Atomic bool raw_tty; /* the terminal is in raw mode: end lines with CR LF */
	_Atomic bool midline; /* the guest's output there has not ended its line */
	/* Of all that have a limit: a guest that reboots gets new devices, and new limits. */
	struct log_limit all;
	/* Hears of notices, on any thread; must not block. NULL: nobody. Set before there are any.
	 */
	void (*notice)(void *opaque, enum log_notice notice, const char *device, const char *text);
	void *notice_opaque;

	/* Set before there are threads: fd is a file that is rotated, see log_rotate. */
	int older_fd; /* -1: it is not */
	uint64_t file_max;

	pthread_mutex_t lock; /* guards what follows, and the files' sizes */
	void (*written)(void *opaque);
	void *written_opaque;
	uint64_t total;	     /* bytes that were kept since the beginning */
	char kept[LOG_KEPT]; /* a ring of lines */
};

void log_init(struct log *log, int fd, enum log_level level, const char *name);

void log_msg(struct log *log, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * log->fd is a regular file, open for reading, too, and with O_APPEND. When a line would make it
 * larger than max, all of it first goes into older_fd, another one, in place of what that has, and
 * it begins anew. So together they have the last max bytes and more. Both stay the caller's.
 */
void log_rotate(struct log *log, int older_fd, uint64_t max);

/* The same, for lines of threads that may write but not ask for a file's size. */
void log_tidy(struct log *log);

/* Tells whoever watches; no line is written. A NULL log has nobody who does. */
void log_notice(struct log *log, enum log_notice notice, const char *device, const char *text);

/*
 * Reads the next line from *pos on, which is 0 at first: returns its length, and has it in line,
 * without its end, as a string; 0 when there is none yet. What is not kept any more is skipped.
 */
size_t log_read(struct log *log, uint64_t *pos, char *line, size_t size);

/* Has fn called after each line, on the thread that logs; it must not wait. NULL: nobody. */
void log_listen(struct log *log, void (*fn)(void *opaque), void *opaque);

/* At most 8 lines a second for each limit, and 60 a minute together. */
void log_limited(struct log *log, struct log_limit *limit, enum log_level level, const char *fmt,
	...) PRINTF_LIKE(4, 5);

#endif
