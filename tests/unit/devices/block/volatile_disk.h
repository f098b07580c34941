/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk with a volatile write cache, as a model: what the medium holds, and for each sector the
 * versions that are still in the cache. When the power goes, a sector has any of these versions or
 * what the medium holds, whatever its neighbours have: caches write back in any order, and a write
 * of many sectors tears. That is all that can be found afterwards.
 *
 * Not thread-safe.
 */
#ifndef BANTAM_TESTS_VOLATILE_DISK_H
#define BANTAM_TESTS_VOLATILE_DISK_H

#include "vm/core/base.h"

enum { VD_SECTOR = 512 };

struct volatile_disk;

/* All zero, on the medium. Ends the test when there is no memory. */
struct volatile_disk *vd_create(uint64_t size);
void vd_destroy(struct volatile_disk *disk);
uint64_t vd_size(const struct volatile_disk *disk);

/* What a read finds: the latest of everything. Ranges lie inside the disk. */
void vd_read(const struct volatile_disk *disk, uint64_t offset, void *buf, uint64_t len);

/*
 * The data goes into the cache now; returns a ticket. It may reach the medium at any time from now
 * on, but counts as written only after vd_complete.
 */
unsigned int vd_write(struct volatile_disk *disk, uint64_t offset, const void *buf, uint64_t len);
unsigned int vd_zero(struct volatile_disk *disk, uint64_t offset, uint64_t len);
void vd_complete(struct volatile_disk *disk, unsigned int ticket);
/* The same, and on the medium. */
void vd_complete_fua(struct volatile_disk *disk, unsigned int ticket);

/* A flush covers what is complete when it begins. */
unsigned int vd_flush_begin(struct volatile_disk *disk);
void vd_flush_end(struct volatile_disk *disk, unsigned int flush);

/* What a sector may hold after a power cut, whatever others do: distinct contents, the medium's
 * first; how many. */
unsigned int vd_versions(
	const struct volatile_disk *disk, uint64_t sector, const uint8_t **ret, unsigned int max);

#endif
