/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The level is an exact number: size and refill_ns are below 2^64 and 2^55, so a full bucket is
 * below 2^119, and what is owed is kept below that, too.
 */
#include "vm/core/rate_limit.h"

/* What one may owe, in tokens: more than anything costs. */
#define MAX_TOKENS (UINT64_C(1) << 62)

static __int128 full(const struct bucket_config *config)
{
	return (__int128)config->size * config->refill_ns;
}

struct bucket_config bucket_config_of_rate(uint64_t per_second, uint64_t burst)
{
	struct bucket_config config = {.size = burst ? burst : MAX(per_second / 10, UINT64_C(1))};
	unsigned __int128 ns;

	if (!per_second)
		return (struct bucket_config){0};
	ns = ((unsigned __int128)config.size * NSEC_PER_SEC + per_second / 2) / per_second;
	config.refill_ns = (uint64_t)MIN(
		MAX(ns, (unsigned __int128)1), (unsigned __int128)BUCKET_MAX_REFILL_NS);
	return config;
}

uint64_t bucket_config_rate(const struct bucket_config *config)
{
	unsigned __int128 rate;

	if (!config->size)
		return 0;
	rate = ((unsigned __int128)config->size * NSEC_PER_SEC + config->refill_ns / 2) /
	       config->refill_ns;
	return (uint64_t)MIN(MAX(rate, (unsigned __int128)1), (unsigned __int128)UINT64_MAX);
}

void bucket_init(struct bucket *bucket, const struct bucket_config *config, uint64_t now_ns)
{
	*bucket = (struct bucket){
		.config = *config, .once = config->once, .level = full(config), .at_ns = now_ns};
}

static void refill(struct bucket *bucket, uint64_t now_ns)
{
	const __int128 max = full(&bucket->config);
	const unsigned __int128 room = (unsigned __int128)(max - bucket->level);
	unsigned __int128 more;

	if (now_ns <= bucket->at_ns)
		return;
	more = (unsigned __int128)(now_ns - bucket->at_ns) * bucket->config.size;
	bucket->level = more < room ? bucket->level + (__int128)more : max;
	bucket->at_ns = now_ns;
}

uint64_t bucket_wait(struct bucket *bucket, uint64_t now_ns)
{
	const uint64_t size = bucket->config.size;
	unsigned __int128 ns;

	if (!size)
		return 0;
	refill(bucket, now_ns);
	if (bucket->once || bucket->level > 0)
		return 0;
	/* Until it is 1 at least */
	ns = (unsigned __int128)-bucket->level / size + 1;
	return (uint64_t)MIN(ns, (unsigned __int128)BUCKET_MAX_REFILL_NS);
}

void bucket_take(struct bucket *bucket, uint64_t tokens)
{
	const uint64_t once = MIN(tokens, bucket->once);
	const __int128 lowest = -(__int128)MAX_TOKENS * bucket->config.refill_ns;

	if (!bucket->config.size)
		return;
	bucket->once -= once;
	tokens = MIN(tokens - once, MAX_TOKENS);
	bucket->level -= (__int128)tokens * bucket->config.refill_ns;
	bucket->level = MAX(bucket->level, lowest);
}

static bool valid(const struct bucket_config *config)
{
	return !config->size ||
	       (config->refill_ns >= 1 && config->refill_ns <= BUCKET_MAX_REFILL_NS);
}

bool rate_config_valid(const struct rate_config *config)
{
	return valid(&config->bytes) && valid(&config->ops);
}

void rate_limit_init(struct rate_limit *limit, const struct rate_config *config, uint64_t now_ns)
{
	limit->on = config->bytes.size || config->ops.size;
	bucket_init(&limit->bytes, &config->bytes, now_ns);
	bucket_init(&limit->ops, &config->ops, now_ns);
}

static uint64_t wait_a_while(struct bucket *bucket, uint64_t now_ns)
{
	const uint64_t while_ns = MIN(NSEC_PER_MSEC, bucket->config.refill_ns / 2);
	const uint64_t ns = bucket_wait(bucket, now_ns);

	return ns ? MAX(ns, while_ns) : 0;
}

uint64_t rate_limit_wait(struct rate_limit *limit, uint64_t now_ns)
{
	const uint64_t bytes = wait_a_while(&limit->bytes, now_ns);
	const uint64_t ops = wait_a_while(&limit->ops, now_ns);

	return MAX(bytes, ops);
}

void rate_limit_take(struct rate_limit *limit, uint64_t bytes)
{
	bucket_take(&limit->bytes, bytes);
	bucket_take(&limit->ops, 1);
}
