/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Token buckets: how much may pass in a time, and how much at once. A bucket holds `size` tokens at
 * most and fills from empty to full in `refill_ns`, so the rate is one by the other. `once` more
 * are there at the beginning, are used first and never come back.
 *
 * Something passes as long as the bucket holds anything, and takes what it costs, even if the
 * bucket owes that then: so one that costs more than the whole bucket passes, too, and what comes
 * next waits the longer. In any time t after the first `once`, at most size + rate * t and the cost
 * of one passes; who always has something to pass gets size + rate * t at least, if he comes back
 * when he was told to.
 *
 * No clock, no lock, no timer: the time comes in, and is never less than before.
 */
#ifndef BANTAM_VM_CORE_RATE_LIMIT_H
#define BANTAM_VM_CORE_RATE_LIMIT_H

#include "vm/core/base.h"

/* A year: longer than anybody waits, and no sum below overflows. */
#define BUCKET_MAX_REFILL_NS (UINT64_C(366) * 86400 * NSEC_PER_SEC)

struct bucket_config {
	uint64_t size; /* tokens; 0: no limit, and the rest means nothing */
	uint64_t once;
	uint64_t refill_ns; /* 1 to BUCKET_MAX_REFILL_NS */
};

struct bucket {
	struct bucket_config config;
	uint64_t once;
	/* In 1/refill_ns of a token, so that each ns adds `size` and nothing is ever rounded. Below
	 * 0: owed. */
	__int128 level;
	uint64_t at_ns; /* when the level was that */
};

/* Two buckets for one flow, both of which have to let pass. */
struct rate_config {
	struct bucket_config bytes, ops;
};

struct rate_limit {
	bool on; /* either has a limit */
	struct bucket bytes, ops;
};

/* size tokens at once, and so many a second; burst 0: a tenth of a second's, 1 at least. */
struct bucket_config bucket_config_of_rate(uint64_t per_second, uint64_t burst);
/* The other way round, rounded. 0: no limit. */
uint64_t bucket_config_rate(const struct bucket_config *config);

/* Full. */
void bucket_init(struct bucket *bucket, const struct bucket_config *config, uint64_t now_ns);
/* 0: something may pass now. Otherwise how many ns from now on, at the earliest. */
uint64_t bucket_wait(struct bucket *bucket, uint64_t now_ns);
void bucket_take(struct bucket *bucket, uint64_t tokens);

bool rate_config_valid(const struct rate_config *config);
void rate_limit_init(struct rate_limit *limit, const struct rate_config *config, uint64_t now_ns);
/*
 * As bucket_wait, for both; but not so short a while that one would come back for each operation:
 * a ms, or what fills half of the bucket, which loses nothing.
 */
uint64_t rate_limit_wait(struct rate_limit *limit, uint64_t now_ns);
/* One operation of so many bytes passes. */
void rate_limit_take(struct rate_limit *limit, uint64_t bytes);

#endif
