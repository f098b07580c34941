/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One open qcow2 image: its tables, in memory as far as they are used, and how they reach the file.
 *
 * Owner. Whoever holds `owner` may load, change and write tables, and waits for I/O meanwhile.
 * `lock` is held for moments only, never over I/O: the owner takes it to change what is in memory,
 * others take it to look (qcow2_image_map, which every request of a guest begins with). So the
 *owner reads without it. Order: owner, then lock.
 *
 * Order of writes. Changes stay in memory until somebody flushes, or memory is full. Then
 * (commit.c), each step on stable storage before the next:
 *
 *	1  refcounts that grew, and by the same flush all data, new clusters, new tables
 *	2  the refcount table, when it has new blocks; then the header, when that table has moved
 *	3  L2 and L1 entries
 *	4  what step 3 has let go of may be used again, once nobody can still be reading or
 *	   writing it (see limbo): its refcounts fall, in memory first
 *
 * so at any moment whatever a table on the disk refers to is there, and counted; the worst that a
 * power cut leaves is a cluster that is counted and not used.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_IMAGE_H
#define BANTAM_DEVICES_BLOCK_QCOW2_IMAGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "../image.h"
#include "cache.h"
#include "header.h"

struct log;

/* A part of a table that is in memory as a whole; big-endian, as in the file */
struct qcow2_table {
	uint64_t offset; /* in the file */
	uint64_t entries;
	uint64_t bytes; /* whole clusters */
	uint8_t *data;
	uint64_t dirty_from, dirty_to; /* bytes of it; empty: from >= to */
};

/* Clusters of the file that hold tables, a bit for each. */
struct qcow2_set {
	uint64_t *bits;
	uint64_t size; /* clusters that there is room for */
};

/* A cluster that step 3 lets go of; counted until it is released */
struct qcow2_limbo {
	uint64_t cluster;
	uint64_t epoch;
};

struct qcow2_image {
	/* Constant */
	const char *path;
	struct log *log;
	struct blk *file; /* the raw back end */
	struct blk_image *io;
	struct qcow2_geometry geometry;
	struct qcow2_header header; /* as it was at first, but what grows */
	uint64_t most_clusters;	    /* that the file may have */
	bool has_backing, read_only;
	bool scratch; /* nobody will read it again: it is never committed */
	uint8_t *bounce;
	uint8_t *copy; /* a slice of a table that is copied */

	pthread_mutex_t owner; /* guards all below; what is marked, together with lock */
	pthread_mutex_t lock;
	uint8_t *sector;	      /* the first of the header, io->block bytes at least */
	struct qcow2_cache l2;	      /* lock; key: disk offset >> slice cover */
	struct qcow2_cache refcounts; /* key: cluster >> refcounts in a slice */
	struct qcow2_table l1;	      /* lock */
	struct qcow2_table reftable;
	bool reftable_moved;
	uint64_t old_reftable, old_reftable_clusters;
	struct qcow2_set tables; /* lock */
	_Atomic uint64_t size;	 /* of the disk */
	bool marked_active;	 /* while it is opened: the tables of snapshots come */
	_Atomic uint64_t file_size;
	uint64_t fresh; /* from here on the file has never had anything but zeros */
	uint64_t hint;	/* no free cluster before this one */
	struct qcow2_limbo *limbo;
	size_t num_limbo, room_limbo;
	_Atomic bool in_limbo;	/* num_limbo is not 0 */
	_Atomic bool failed;	/* a flush: nothing is certain any more */
	_Atomic bool corrupt;	/* what was read cannot be: nothing is written any more */
	_Atomic bool map_dirty; /* a mapping in memory is newer than the one on the disk */
	_Atomic bool unsynced;	/* something was written that no flush has covered */
};

/* ---- file.c: bytes of the file; by the owner, with its bounce buffer, or with one's own ---- */

/* Behind the end of the file are zeros. */
int qcow2_file_read(struct qcow2_image *image, uint64_t offset, void *buf, uint64_t len);
int qcow2_file_write(struct qcow2_image *image, uint64_t offset, const void *buf, uint64_t len);
int qcow2_file_zero(struct qcow2_image *image, uint64_t offset, uint64_t len);
/* Gives the space back to the host; what it holds then is not certain. */
void qcow2_file_punch(struct qcow2_image *image, uint64_t offset, uint64_t len);
int qcow2_file_sync(struct qcow2_image *image);
/* So that [0, end) is inside the file. */
int qcow2_file_reach(struct qcow2_image *image, uint64_t end);

/* ---- refs.c, reftable.c: which clusters of the file are used; the owner ---- */

int qcow2_refs_get(struct qcow2_image *image, uint64_t cluster, uint64_t *ret);
/* All counts that have changed go to the file. */
int qcow2_refs_write(struct qcow2_image *image);
/* Of a cluster that a block covers. */
int qcow2_refs_set(struct qcow2_image *image, uint64_t cluster, uint64_t count);
/*
 * Num clusters in a row that were free are counted once now: the offset of the first. -ENOSPC.
 * *fresh says that they are all zeros. The file reaches behind them.
 */
int qcow2_refs_alloc(struct qcow2_image *image, uint64_t num, uint64_t *offset, bool *fresh);
/* Takes back what nobody has seen yet. */
void qcow2_refs_cancel(struct qcow2_image *image, uint64_t offset, uint64_t num);
/* After the next commit these are one reference less. -ENOMEM: they are lost until a check. */
void qcow2_refs_drop(struct qcow2_image *image, uint64_t offset, uint64_t len, uint64_t epoch);
/* Step 4: of what was dropped at that epoch or earlier. */
void qcow2_refs_release(struct qcow2_image *image, uint64_t epoch);
/* There is a block for the refcount of the cluster: 0, 1 when it had to be made, or -errno. */
int qcow2_refs_cover(struct qcow2_image *image, uint64_t cluster);
/* The table is replaced by a larger one, which covers this block: 1 or -errno. */
int qcow2_reftable_grow(struct qcow2_image *image, uint64_t block);

/* ---- set.c ---- */

bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster);
/* -EEXIST: one of them is there already; -ENOMEM. */
int qcow2_set_add(struct qcow2_set *set, uint64_t cluster, uint64_t num);
void qcow2_set_remove(struct qcow2_set *set, uint64_t cluster, uint64_t num);

/* image->tables, under the lock */
int qcow2_tables_add(struct qcow2_image *image, uint64_t cluster, uint64_t num);
void qcow2_tables_remove(struct qcow2_image *image, uint64_t cluster, uint64_t num);

/* ---- tables.c: L1 and L2 ---- */

void qcow2_table_put(struct qcow2_table *table, uint64_t index, uint64_t value);

/* Any thread: what [offset, offset + len) is, as far as memory tells. It lies inside the disk. */
void qcow2_image_map(
	struct qcow2_image *image, uint64_t offset, uint64_t len, struct qcow2_run *ret);
/* The owner: so that map is not QCOW2_COLD there. */
int qcow2_image_load(struct qcow2_image *image, uint64_t offset);
/* The owner: the entry of a cluster. */
int qcow2_image_get(struct qcow2_image *image, uint64_t offset, struct qcow2_entry *ret);
/* The owner: so that put will do for the clusters of the same L2 table. epoch: of what is let go.
 */
int qcow2_image_prepare(struct qcow2_image *image, uint64_t offset, uint64_t epoch);
/* The owner, after prepare. */
int qcow2_image_put(struct qcow2_image *image, uint64_t offset, const struct qcow2_entry *entry);
/* All L2 entries that have changed go to the file. */
int qcow2_l2_write(struct qcow2_image *image);
/* Something cannot be: says so, once, in the log and the header. Returns -EIO. */
int qcow2_image_corrupt(struct qcow2_image *image, const char *what);

/* ---- commit.c ---- */

/*
 * The owner: steps 1 to 3, and 4 for what was dropped at that epoch or earlier. All that was
 * written before is on stable storage then.
 */
int qcow2_image_commit(struct qcow2_image *image, uint64_t epoch);
/* Changes fields of the first sector on the disk, and flushes. */
int qcow2_header_write(struct qcow2_image *image);

/* ---- resize.c ---- */

/* The owner; larger only. */
int qcow2_image_grow(struct qcow2_image *image, uint64_t size, uint64_t epoch);

/* ---- check.c ---- */

struct qcow2_findings {
	uint64_t errors; /* something is used and not counted, or used twice, or cannot be */
	uint64_t leaks;	 /* something is counted and not used */
	uint64_t repaired;
	uint64_t clusters, data, packed; /* of the file; of the disk that have data */
};

/* The owner. Looks at everything; with repair makes counts what they should be, and commits. */
int qcow2_image_check(
	struct qcow2_image *image, bool repair, struct qcow2_findings *ret, struct error *err);

/* ---- image.c ---- */

/*
 * Over an open file, which stays the caller's. head is the file's first cluster or less. -errno
 * with a line. has_backing: there is something behind what is not allocated.
 */
int qcow2_image_open(struct blk *file, struct blk_image *io, const struct qcow2_header *header,
	const char *path, bool has_backing, bool scratch, struct log *log, struct qcow2_image **ret,
	struct error *err);
/* Commits what there is. Nobody uses it any more. */
void qcow2_image_close(struct qcow2_image *image);

static inline uint64_t qcow2_cluster_of(const struct qcow2_image *image, uint64_t offset)
{
	return offset >> image->geometry.cluster_bits;
}

#endif
