/* SPDX-License-Identifier: BSD-2-Clause */
/* What every file may use: sizes, checked arithmetic, attributes. Knows nothing of the VMM. */
#ifndef BANTAM_VM_CORE_BASE_H
#define BANTAM_VM_CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KiB	      (UINT64_C(1) << 10)
#define MiB	      (UINT64_C(1) << 20)
#define GiB	      (UINT64_C(1) << 30)
#define TiB	      (UINT64_C(1) << 40)

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* align must be a power of two; align_up wraps to 0 past 2^64, so check the operand first. */
#define ALIGN_DOWN(x, align)		((x) & ~((uint64_t)(align)-1))
#define ALIGN_UP(x, align)		ALIGN_DOWN((x) + ((uint64_t)(align)-1), align)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args)		__attribute__((format(printf, fmt, args)))

/* True when [off, off + len) lies inside [0, size); never overflows. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

static inline bool is_power_of_two(uint64_t x)
{
	return x && !(x & (x - 1));
}

/* True when [a, a + alen) and [b, b + blen) share a byte; neither range may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return alen && blen && (a < b ? b - a < alen : a - b < blen);
}

/* All ones in the low size bytes; size is 1, 2, 4 or 8. */
static inline uint64_t size_mask(unsigned int size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

#endif
