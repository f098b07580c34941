/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus: sorted, non-overlapping regions of addresses, each served by a device. One for port I/O,
 * one for MMIO; the code is the same.
 *
 * A region is embedded in its device and must outlive the bus or be removed from it. Look-ups take
 * a read lock; the handler is called outside it, on the vCPU's thread, and takes its device's own
 * lock. A handler sees only offsets with off + size <= region.size, and sizes its ops allow: the
 * bus cuts a wider access into pieces, lowest address first. Bytes that no region serves read as
 * all-ones and swallow writes.
 */
#ifndef BANTAM_VM_CORE_BUS_H
#define BANTAM_VM_CORE_BUS_H

#include "vm/core/base.h"

struct bus;

struct bus_ops {
	/* off is relative to the region's base; size is 1, 2, 4 or 8 and at most max_size. */
	uint64_t (*read)(void *opaque, uint64_t off, unsigned int size);
	void (*write)(void *opaque, uint64_t off, unsigned int size, uint64_t value);
	unsigned int max_size; /* widest access the device decodes; 0 means 8 */
};

struct bus_region {
	const char *name; /* for the log and `--dry-run`; static */
	uint64_t base;
	uint64_t size;
	const struct bus_ops *ops;
	void *opaque;
};

/* limit is the first address past the bus (0x10000 for ports); 0 means 2^64. */
int bus_create(uint64_t limit, struct bus **ret);
void bus_destroy(struct bus *bus);

/* Returns 0, -EINVAL for an empty, wrapping or out-of-limit region, -EEXIST on overlap, -ENOMEM. */
int bus_add(struct bus *bus, struct bus_region *region);

/*
 * Takes a region out; harmless when it is not in. A call into the device that was looked up before
 * may still be running: devices live until the vCPUs have stopped.
 */
void bus_remove(struct bus *bus, struct bus_region *region);

/* size is 1..8. The value is right-aligned, upper bytes zero. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t value);

/* Calls fn for each region in ascending order, under the read lock. */
void bus_for_each(
	struct bus *bus, void (*fn)(void *opaque, const struct bus_region *region), void *opaque);

#endif
