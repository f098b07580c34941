/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel below a disk, which writes down what reaches the file: data, zeros, flushes, and what
 * a test notes in between. The states in which a power cut may leave the file can be made of that:
 * all up to the latest flush, and of what follows, each sector in any of its versions.
 */
#ifndef BANTAM_TESTS_WRITE_LOG_H
#define BANTAM_TESTS_WRITE_LOG_H

#include <pthread.h>

#include "../../../../../devices/block/sys.h"

enum write_log_kind { LOG_DATA, LOG_ZEROS, LOG_FLUSH, LOG_NOTE };

struct write_log_entry {
	enum write_log_kind kind;
	uint64_t offset, len;
	uint8_t *data; /* of DATA; a NOTE's */
};

struct write_log {
	struct blk_sys table;
	pthread_mutex_t lock;
	struct write_log_entry *entries;
	unsigned int num, room;
	bool off;	      /* nothing is written down */
	unsigned int writes;  /* DATA and ZEROS so far */
	unsigned int fail_at; /* this write fails, and as many after it as fail_for; 0: none */
	unsigned int fail_for;
	int error;
	bool fail_flush; /* the flushes after that one do */
};

void write_log_init(struct write_log *log);
void write_log_fini(struct write_log *log);
/* A copy of the bytes. */
void write_log_note(struct write_log *log, const void *data, uint64_t len);
/* Makes state, of size bytes, what it is when the entry has been applied. */
void write_log_apply(const struct write_log_entry *entry, uint8_t *state, uint64_t size);
/*
 * state has all up to entry from; some sectors of [from, to) are applied as well, by chance. They
 * go through in order, so each has the latest of those that got through.
 */
void write_log_some(const struct write_log *log, unsigned int from, unsigned int to, uint8_t *state,
	uint64_t size, uint32_t *rng);

#endif
