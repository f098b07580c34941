/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a place on the disk to a place in the file: pure functions of the tables' bytes.
 *
 * A cluster has one unit, or 32 of them with extended L2 entries. Each unit is by itself none (ask
 * the backing file), zero or data. What is said of an entry here is the same for both kinds.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_MAP_H
#define BANTAM_DEVICES_BLOCK_QCOW2_MAP_H

#include "vm/core/base.h"

enum {
	QCOW2_MIN_CLUSTER_BITS = 9,
	QCOW2_MAX_CLUSTER_BITS = 21,
	QCOW2_SLICE_BITS = 12, /* tables are read and written in pieces of so much */
	QCOW2_MAX_UNITS = 32,
};

#define QCOW2_COPIED	  (UINT64_C(1) << 63)
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)

struct qcow2_geometry {
	unsigned int version;	   /* 2 or 3 */
	unsigned int cluster_bits; /* all _bits are logarithms */
	uint64_t cluster;	   /* bytes */
	bool extended;
	unsigned int entry_bits;     /* of an L2 entry's bytes: 3 or 4 */
	unsigned int table_bits;     /* of the entries in an L2 table */
	unsigned int slice_bits;     /* of the bytes in a slice of a table */
	unsigned int unit_bits;	     /* of a unit's bytes */
	unsigned int refcount_order; /* of a refcount's bits */
	unsigned int refblock_bits;  /* of the refcounts in a block */
};

void qcow2_geometry_init(struct qcow2_geometry *g, unsigned int version, unsigned int cluster_bits,
	unsigned int refcount_order, bool extended);

/* An L2 entry, taken apart */
struct qcow2_entry {
	bool packed;	     /* a compressed cluster; nothing below but host and packed_len */
	uint64_t host;	     /* where the cluster is in the file; 0: nowhere */
	uint64_t packed_len; /* bytes from host on which hold it, at most */
	bool copied;	     /* nobody else refers to it */
	uint32_t data, zero; /* a bit for each unit; never both */
};

/* -EIO when it cannot be: reserved combinations, misaligned offsets. word2 is the bitmap. */
int qcow2_entry_decode(
	const struct qcow2_geometry *g, uint64_t word, uint64_t word2, struct qcow2_entry *ret);
void qcow2_entry_encode(const struct qcow2_geometry *g, const struct qcow2_entry *entry,
	uint64_t *word, uint64_t *word2);

/* Of the entry for the cluster that has offset, in its slice. */
int qcow2_slice_get(const struct qcow2_geometry *g, const uint8_t *slice, uint64_t offset,
	struct qcow2_entry *ret);
void qcow2_slice_put(const struct qcow2_geometry *g, uint8_t *slice, uint64_t offset,
	const struct qcow2_entry *entry);

enum qcow2_kind {
	QCOW2_NONE, /* what the backing file has there */
	QCOW2_ZERO,
	QCOW2_DATA,
	QCOW2_PACKED, /* one compressed cluster, of which this is a part */
	QCOW2_COLD,   /* the table is not in memory */
	QCOW2_BAD,    /* the table is damaged */
};

/* len bytes from some offset on are all of one kind, and follow each other in the file. */
struct qcow2_run {
	enum qcow2_kind kind;
	uint64_t len;
	uint64_t host;	     /* DATA: of the first byte; PACKED: of the packed data */
	uint64_t packed_len; /* PACKED */
	bool copied;	     /* DATA: may be written */
};

/* The first run of [offset, offset + len), as far as this slice tells. len is not 0. */
void qcow2_slice_map(const struct qcow2_geometry *g, const uint8_t *slice, uint64_t offset,
	uint64_t len, struct qcow2_run *ret);

/* Disk bytes that a slice, or a whole L2 table, is for. */
static inline unsigned int qcow2_slice_cover_bits(const struct qcow2_geometry *g)
{
	return g->slice_bits - g->entry_bits + g->cluster_bits;
}

static inline unsigned int qcow2_table_cover_bits(const struct qcow2_geometry *g)
{
	return g->table_bits + g->cluster_bits;
}

static inline unsigned int qcow2_units(const struct qcow2_geometry *g)
{
	return g->extended ? QCOW2_MAX_UNITS : 1;
}

/* The units of a cluster that [from, to) touches, or that lie in it as a whole. */
uint32_t qcow2_units_touched(const struct qcow2_geometry *g, uint64_t from, uint64_t to);
uint32_t qcow2_units_inside(const struct qcow2_geometry *g, uint64_t from, uint64_t to);

/* Refcounts by their place in a block's slice; order is of their bits. */
uint64_t qcow2_refcount_get(unsigned int order, const uint8_t *slice, size_t index);
void qcow2_refcount_put(unsigned int order, uint8_t *slice, size_t index, uint64_t value);

#endif
