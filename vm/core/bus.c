/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions are kept sorted in an array and found by binary search. A vCPU looks its region up under
 * the read lock and calls the device outside it: a device that re-arranges the bus from inside its
 * handler (a PCI BAR that moves) would deadlock otherwise.
 */
#include "vm/core/bus.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct bus {
	uint64_t last;	       /* highest address */
	pthread_rwlock_t lock; /* guards all below */
	struct bus_region **regions;
	size_t count, room;
};

int bus_create(uint64_t limit, struct bus **ret)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->last = limit - 1;
	pthread_rwlock_init(&bus->lock, NULL);
	*ret = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	pthread_rwlock_destroy(&bus->lock);
	free(bus->regions);
	free(bus);
}

/* The index of the first region that ends past addr. */
static size_t lower_bound(const struct bus *bus, uint64_t addr)
{
	size_t lo = 0, hi = bus->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct bus_region *r = bus->regions[mid];

		if (r->base + (r->size - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int insert(struct bus *bus, struct bus_region *region)
{
	size_t at = lower_bound(bus, region->base);

	if (at < bus->count && ranges_overlap(region->base, region->size, bus->regions[at]->base,
				       bus->regions[at]->size))
		return -EEXIST;
	if (bus->count == bus->room) {
		size_t room = bus->room ? bus->room * 2 : 16;
		struct bus_region **grown = realloc(bus->regions, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		bus->regions = grown;
		bus->room = room;
	}
	memmove(&bus->regions[at + 1], &bus->regions[at],
		(bus->count - at) * sizeof(*bus->regions));
	bus->regions[at] = region;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, struct bus_region *region)
{
	uint64_t last = region->base + (region->size - 1);
	int rc;

	if (!region->size || last < region->base || last > bus->last)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	rc = insert(bus, region);
	pthread_rwlock_unlock(&bus->lock);
	return rc;
}

void bus_remove(struct bus *bus, struct bus_region *region)
{
	pthread_rwlock_wrlock(&bus->lock);
	for (size_t i = 0; i < bus->count; i++) {
		if (bus->regions[i] != region)
			continue;
		bus->count--;
		memmove(&bus->regions[i], &bus->regions[i + 1],
			(bus->count - i) * sizeof(*bus->regions));
		break;
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* What serves addr, copied out: a BAR may move its region once the lock is gone. */
static bool look_up(struct bus *bus, uint64_t addr, struct bus_region *found)
{
	size_t at;
	bool hit;

	pthread_rwlock_rdlock(&bus->lock);
	at = lower_bound(bus, addr);
	hit = at < bus->count && bus->regions[at]->base <= addr;
	if (hit)
		*found = *bus->regions[at];
	pthread_rwlock_unlock(&bus->lock);
	return hit;
}

/* The widest access that region takes at off, at most left bytes: a power of two. */
static unsigned int piece_size(const struct bus_region *region, uint64_t off, unsigned int left)
{
	uint64_t widest = region->ops->max_size ? region->ops->max_size : 8;
	unsigned int size = 8;

	widest = MIN(MIN(widest, (uint64_t)left), region->size - off);
	while (size > widest)
		size /= 2;
	return size;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;
	struct bus_region region;

	for (unsigned int done = 0, n; done < size; done += n, addr += n) {
		uint64_t part = 0xff;

		n = 1;
		if (look_up(bus, addr, &region)) {
			n = piece_size(&region, addr - region.base, size - done);
			part = region.ops->read(region.opaque, addr - region.base, n) &
			       size_mask(n);
		}
		value |= part << (done * 8);
	}
	return value;
}

void bus_write(struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	struct bus_region region;

	for (unsigned int done = 0, n; done < size; done += n, addr += n) {
		uint64_t part = value >> (done * 8);

		n = 1;
		if (!look_up(bus, addr, &region))
			continue;
		n = piece_size(&region, addr - region.base, size - done);
		region.ops->write(region.opaque, addr - region.base, n, part & size_mask(n));
	}
}

void bus_for_each(
	struct bus *bus, void (*fn)(void *opaque, const struct bus_region *region), void *opaque)
{
	pthread_rwlock_rdlock(&bus->lock);
	for (size_t i = 0; i < bus->count; i++)
		fn(opaque, bus->regions[i]);
	pthread_rwlock_unlock(&bus->lock);
}
