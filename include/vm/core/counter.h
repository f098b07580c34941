/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters that one thread writes, or several under one lock, and any may read: a load, an addition
 * and a store, without a fence or a locked instruction. And what latencies are counted in.
 *
 * Time is the host's TSC, as it costs one instruction to read where a clock costs a hundred.
 */
#ifndef BANTAM_VM_CORE_COUNTER_H
#define BANTAM_VM_CORE_COUNTER_H

#include <stdatomic.h>
#include <x86intrin.h>

#include "vm/core/base.h"

struct counter {
	_Atomic uint64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
	const uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + n, memory_order_relaxed);
}

static inline uint64_t counter_read(const struct counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline uint64_t ticks_now(void)
{
	return __rdtsc();
}

/* What makes ticks of a TSC of so many kHz microseconds, by ticks_to_us; 0 for 0. */
static inline uint64_t ticks_scale(uint64_t khz)
{
	return khz ? (UINT64_C(1000) << 32) / khz : 0;
}

static inline uint64_t ticks_to_us(uint64_t ticks, uint64_t scale)
{
	return (uint64_t)(((unsigned __int128)ticks * scale) >> 32);
}

/* Bucket i has those below 2^i microseconds that no earlier one has; the last one all others. */
enum { LATENCY_BUCKETS = 28 };

struct latencies {
	struct counter bucket[LATENCY_BUCKETS], sum_us;
};

static inline void latencies_add(struct latencies *latencies, uint64_t us)
{
	const unsigned int log2 = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	counter_add(&latencies->bucket[MIN(log2, LATENCY_BUCKETS - 1u)], 1);
	counter_add(&latencies->sum_us, us);
}

#endif
