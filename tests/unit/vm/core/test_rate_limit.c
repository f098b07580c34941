/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Token buckets against what their header promises, by random schedules: the sums are counted here,
 * in long double, and know nothing of levels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vm/core/rate_limit.h"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Of any magnitude up to max */
static uint64_t some(uint64_t max)
{
	return 1 + (rnd() >> (rnd() % 64)) % max;
}

struct passed {
	uint64_t at_ns, cost;
};

/* In no window is there more than the bucket, what came in meanwhile, and the last one. */
static void check_windows(const struct bucket_config *c, const struct passed *passed, unsigned n)
{
	for (unsigned int first = 0; first < n; first++) {
		long double sum = 0;

		for (unsigned int last = first; last < n; last++) {
			const long double t = passed[last].at_ns - passed[first].at_ns;
			const long double most =
				(long double)c->once + c->size + t * c->size / c->refill_ns;

			/* Before the last one there was something left. */
			assert_true(sum < most * (1 + 1e-15L) + 1e-6L);
			sum += passed[last].cost;
		}
	}
}

static void random_schedules(void **state)
{
	static struct passed passed[300];

	(void)state;
	for (unsigned int round = 0; round < 400; round++) {
		const struct bucket_config c = {.size = some(1 << 30),
			.once = round % 3 ? 0 : some(1 << 20),
			.refill_ns = some(100 * NSEC_PER_SEC)};
		uint64_t now = rnd() >> 2;
		struct bucket bucket;
		unsigned int n = 0;

		bucket_init(&bucket, &c, now);
		while (n < ARRAY_SIZE(passed)) {
			if (bucket_wait(&bucket, now)) {
				now += some(c.refill_ns);
				continue;
			}
			passed[n] = (struct passed){now, some(c.size * 2)};
			bucket_take(&bucket, passed[n++].cost);
			now += rnd() % 4 ? 0 : some(c.refill_ns);
		}
		check_windows(&c, passed, n);
	}
}

/* Who comes back when he was told to loses nothing, and is not told to come too early. */
static void who_is_busy_gets_it_all(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 2000; round++) {
		const struct bucket_config c = {.size = some(1 << 30),
			.once = round % 3 ? 0 : some(1 << 20),
			.refill_ns = some(100 * NSEC_PER_SEC)};
		const uint64_t start = rnd() >> 2;
		uint64_t now = start, wait;
		long double sum = 0, least;
		struct bucket bucket;

		bucket_init(&bucket, &c, now);
		/* Up to where it has to wait */
		for (unsigned int n = 0; n < 300 || !bucket_wait(&bucket, now); n++) {
			uint64_t cost = MAX(some(c.size * 2), c.size / 100);

			while ((wait = bucket_wait(&bucket, now))) {
				assert_true(wait == 1 || bucket_wait(&bucket, now + wait - 1));
				now += wait;
			}
			sum += cost;
			bucket_take(&bucket, cost);
		}
		least = c.once + (long double)c.size * (now - start) / c.refill_ns;
		assert_true(sum >= least * (1 - 1e-15L));
	}
}

/* Ten seconds to within 5 %, as is promised for disks and cards, for what they move at once. */
static void holds_over_ten_seconds(void **state)
{
	static const uint64_t rates[] = {10 * MiB, 100 * MiB, 4 * GiB + 12345};
	static const uint64_t costs[] = {4096, 65536, MiB};

	(void)state;
	for (unsigned int r = 0; r < ARRAY_SIZE(rates); r++)
		for (unsigned int c = 0; c < ARRAY_SIZE(costs); c++) {
			const struct bucket_config config = bucket_config_of_rate(rates[r], 0);
			uint64_t now = 7, end = now + 10 * NSEC_PER_SEC, sum = 0, wait;
			struct bucket bucket;

			bucket_init(&bucket, &config, now);
			/* A host that is up to 20 ms late each time. */
			for (; now < end; now += wait ? wait + rnd() % (20 * NSEC_PER_MSEC) : 0) {
				wait = bucket_wait(&bucket, now);
				if (wait)
					continue;
				bucket_take(&bucket, costs[c]);
				sum += costs[c];
			}
			assert_in_range(sum, rates[r] * 10 * 95 / 100, rates[r] * 10 * 105 / 100);
		}
}

/* What Firecracker calls size, refill_time and one_time_burst. */
static void once_comes_first_and_never_again(void **state)
{
	const struct bucket_config config = {
		.size = 100, .once = 50, .refill_ns = 100 * NSEC_PER_MSEC};
	struct bucket bucket;

	(void)state;
	bucket_init(&bucket, &config, 0);
	for (unsigned int i = 0; i < 150; i++) {
		assert_int_equal(bucket_wait(&bucket, 0), 0);
		bucket_take(&bucket, 1);
	}
	assert_int_equal(bucket_wait(&bucket, 0), 1);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(bucket_wait(&bucket, 1000 * NSEC_PER_SEC), 0);
		bucket_take(&bucket, 1);
	}
	assert_int_not_equal(bucket_wait(&bucket, 1000 * NSEC_PER_SEC), 0);
}

static void extremes(void **state)
{
	const struct bucket_config configs[] = {
		{UINT64_MAX, UINT64_MAX, BUCKET_MAX_REFILL_NS},
		{UINT64_MAX, 0, 1},
		{1, 0, BUCKET_MAX_REFILL_NS},
		{1, 0, 1},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(configs); i++) {
		struct bucket bucket;

		bucket_init(&bucket, &configs[i], 0);
		for (unsigned int n = 0; n < 100; n++) {
			bucket_take(&bucket, UINT64_MAX);
			assert_true(bucket_wait(&bucket, n) <= BUCKET_MAX_REFILL_NS);
		}
		bucket_wait(&bucket, UINT64_MAX);
	}
}

static void no_limit(void **state)
{
	struct rate_config config = {0};
	struct rate_limit limit;

	(void)state;
	assert_true(rate_config_valid(&config));
	rate_limit_init(&limit, &config, 5);
	assert_false(limit.on);
	rate_limit_take(&limit, UINT64_MAX);
	assert_int_equal(rate_limit_wait(&limit, 5), 0);
	config.ops.size = 1;
	assert_false(rate_config_valid(&config));
	config.ops.refill_ns = NSEC_PER_SEC;
	assert_true(rate_config_valid(&config));
	rate_limit_init(&limit, &config, 5);
	assert_true(limit.on);
	rate_limit_take(&limit, 1 << 20);
	assert_int_equal(rate_limit_wait(&limit, 5), NSEC_PER_MSEC);
	rate_limit_take(&limit, 1 << 20);
	assert_int_equal(rate_limit_wait(&limit, 5), NSEC_PER_SEC + 1);
}

static void rates_there_and_back(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 10000; i++) {
		const uint64_t rate = some(UINT64_C(1) << 40);
		const uint64_t burst = i % 2 ? 0 : some(UINT64_C(1) << 30);
		const struct bucket_config config = bucket_config_of_rate(rate, burst);
		const long double error = (long double)bucket_config_rate(&config) / rate - 1;

		assert_true(config.size == burst || !burst);
		/* Nobody takes an age to fill, nor a moment, but the odd ones. */
		if (config.refill_ns > 1000 && config.refill_ns < BUCKET_MAX_REFILL_NS)
			assert_true(error > -0.001L - 0.6L / rate && error < 0.001L + 0.6L / rate);
	}
	assert_int_equal(bucket_config_of_rate(0, 100).size, 0);
	assert_int_equal(bucket_config_of_rate(5, 0).size, 1);
	assert_int_equal(bucket_config_of_rate(5000, 0).size, 500);
	assert_int_equal(bucket_config_of_rate(5000, 0).refill_ns, 100 * NSEC_PER_MSEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_schedules),
		cmocka_unit_test(who_is_busy_gets_it_all),
		cmocka_unit_test(holds_over_ten_seconds),
		cmocka_unit_test(once_comes_first_and_never_again),
		cmocka_unit_test(extremes),
		cmocka_unit_test(no_limit),
		cmocka_unit_test(rates_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
