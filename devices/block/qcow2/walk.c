/* SPDX-License-Identifier: BSD-2-Clause */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"

enum { SNAPSHOT_BYTES = 40, BITMAP_BYTES = 24, ENTRIES_AT_ONCE = 512 };
/* Of all that snapshots and bitmaps have for tables */
#define MAX_TABLES (64 * MiB)

struct state {
	const struct qcow2_walk *walk;
	uint64_t tables; /* bytes of them that were read */
	uint8_t buf[ENTRIES_AT_ONCE * 8];
};

static uint64_t file_end(const struct qcow2_image *image)
{
	return ALIGN_UP(image->file_size, image->geometry.cluster);
}

/* True when it is there, and what it refers to is to be looked at. */
static bool use(struct state *s, enum qcow2_part part, uint64_t offset, uint64_t len)
{
	const struct qcow2_walk *walk = s->walk;
	const uint64_t mask = part == QCOW2_PART_PACKED ? 0 : walk->image->geometry.cluster - 1;

	if (offset & mask || !range_ok(offset, len, file_end(walk->image))) {
		walk->bad(walk->opaque, part);
		return false;
	}
	return walk->used(walk->opaque, part, offset, len);
}

static bool too_many(struct state *s, enum qcow2_part part, uint64_t bytes)
{
	s->tables += bytes;
	if (s->tables <= MAX_TABLES)
		return false;
	s->walk->bad(s->walk->opaque, part);
	return true;
}

static int read_at(struct state *s, uint64_t offset, void *buf, uint64_t len)
{
	return qcow2_file_read(s->walk->image, offset, buf, len);
}

/* ---- L2 ---- */

static void entry(struct state *s, const uint8_t *slice, uint64_t place)
{
	const struct qcow2_geometry *g = &s->walk->image->geometry;
	struct qcow2_entry e;

	if (qcow2_slice_get(g, slice, place, &e))
		s->walk->bad(s->walk->opaque, QCOW2_PART_CLUSTER);
	else if (e.packed)
		use(s, QCOW2_PART_PACKED, e.host, e.packed_len);
	else if (e.host)
		use(s, QCOW2_PART_CLUSTER, e.host, g->cluster);
}

static int walk_l2(struct state *s, uint64_t table)
{
	const struct qcow2_geometry *g = &s->walk->image->geometry;
	const uint64_t step = UINT64_C(1) << g->slice_bits;
	int rc = 0;

	for (uint64_t at = 0; !rc && at < g->cluster; at += step) {
		rc = read_at(s, table + at, s->buf, step);
		for (uint64_t i = 0; !rc && i < step >> g->entry_bits; i++)
			entry(s, s->buf, i << g->cluster_bits);
	}
	return rc;
}

/* A table that stands in L1 twice is not walked twice: such a file would take for ever. */
static int walk_l1(struct state *s, const uint8_t *l1, uint64_t entries)
{
	struct qcow2_image *image = s->walk->image;
	struct qcow2_set seen = {0};
	int rc = 0;

	for (uint64_t i = 0; !rc && i < entries; i++) {
		const uint64_t table = get_be64(l1 + i * 8) & QCOW2_OFFSET_MASK;

		if (!table || !use(s, QCOW2_PART_L2, table, image->geometry.cluster) ||
			!s->walk->clusters)
			continue;
		rc = qcow2_set_add(&seen, qcow2_cluster_of(image, table), 1);
		if (!rc)
			rc = walk_l2(s, table);
		if (rc == -EEXIST) {
			s->walk->bad(s->walk->opaque, QCOW2_PART_L2);
			rc = 0;
		}
	}
	free(seen.bits);
	return rc;
}

/* ---- snapshots ---- */

static int walk_snapshot_l1(struct state *s, uint64_t offset, uint64_t entries)
{
	uint8_t *l1;
	int rc;

	if (!entries || entries > QCOW2_MAX_L1 / 8) {
		if (entries)
			s->walk->bad(s->walk->opaque, QCOW2_PART_SNAPSHOTS);
		return 0;
	}
	if (!use(s, QCOW2_PART_SNAPSHOTS, offset, entries * 8) ||
		too_many(s, QCOW2_PART_SNAPSHOTS, entries * 8))
		return 0;
	l1 = malloc(entries * 8);
	if (!l1)
		return -ENOMEM;
	rc = read_at(s, offset, l1, entries * 8);
	if (!rc)
		rc = walk_l1(s, l1, entries);
	free(l1);
	return rc;
}

static int walk_snapshots(struct state *s)
{
	const struct qcow2_header *h = &s->walk->image->header;
	uint64_t at = h->snapshots_offset;
	int rc = 0;

	for (uint32_t i = 0; !rc && i < h->num_snapshots; i++) {
		uint8_t p[SNAPSHOT_BYTES];
		uint64_t names;

		if (!range_ok(at, sizeof(p), file_end(s->walk->image))) {
			s->walk->bad(s->walk->opaque, QCOW2_PART_SNAPSHOTS);
			return 0;
		}
		rc = read_at(s, at, p, sizeof(p));
		if (rc)
			return rc;
		names = ((uint64_t)p[12] << 8 | p[13]) + ((uint64_t)p[14] << 8 | p[15]);
		at += ALIGN_UP(sizeof(p) + get_be32(p + 36) + names, 8);
		rc = walk_snapshot_l1(s, get_be64(p), get_be32(p + 8));
	}
	if (!rc && h->num_snapshots)
		use(s, QCOW2_PART_SNAPSHOTS, h->snapshots_offset, at - h->snapshots_offset);
	return rc;
}

/* ---- bitmaps ---- */

static int walk_bitmap_table(struct state *s, uint64_t offset, uint64_t entries)
{
	int rc = 0;

	if (!entries || entries > QCOW2_MAX_L1 / 8 ||
		!use(s, QCOW2_PART_BITMAPS, offset, entries * 8) ||
		too_many(s, QCOW2_PART_BITMAPS, entries * 8))
		return 0;
	for (uint64_t i = 0; !rc && i < entries; i++) {
		uint8_t p[8];

		rc = read_at(s, offset + i * 8, p, sizeof(p));
		if (!rc && get_be64(p) & QCOW2_OFFSET_MASK)
			use(s, QCOW2_PART_BITMAPS, get_be64(p) & QCOW2_OFFSET_MASK,
				s->walk->image->geometry.cluster);
	}
	return rc;
}

static int walk_bitmaps(struct state *s)
{
	const struct qcow2_header *h = &s->walk->image->header;
	uint64_t at = h->bitmaps_offset, end = at + h->bitmaps_len;
	int rc = 0;

	if (!at || !(h->autoclear & 1) || h->bitmaps_len > MAX_TABLES ||
		!use(s, QCOW2_PART_BITMAPS, at, h->bitmaps_len))
		return 0;
	while (!rc && range_ok(at, BITMAP_BYTES, end)) {
		uint8_t p[BITMAP_BYTES];

		rc = read_at(s, at, p, sizeof(p));
		if (rc)
			return rc;
		at += ALIGN_UP(sizeof(p) + get_be32(p + 20) + ((uint64_t)p[18] << 8 | p[19]), 8);
		rc = walk_bitmap_table(s, get_be64(p), get_be32(p + 8));
	}
	return rc;
}

/* ---- all ---- */

static void walk_reftable(struct state *s)
{
	const struct qcow2_table *table = &s->walk->image->reftable;

	for (uint64_t i = 0; i < table->entries; i++) {
		const uint64_t block = get_be64(table->data + i * 8);

		if (block)
			use(s, QCOW2_PART_REFBLOCK, block, s->walk->image->geometry.cluster);
	}
}

int qcow2_walk(const struct qcow2_walk *walk)
{
	struct qcow2_image *image = walk->image;
	struct state *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->walk = walk;
	use(s, QCOW2_PART_HEADER, 0, image->geometry.cluster);
	use(s, QCOW2_PART_REFTABLE, image->reftable.offset, image->reftable.bytes);
	walk_reftable(s);
	if (image->l1.entries)
		use(s, QCOW2_PART_L1, image->l1.offset, image->l1.entries * 8);
	rc = walk_l1(s, image->l1.data, image->l1.entries);
	if (!rc)
		rc = walk_snapshots(s);
	if (!rc && walk->clusters)
		rc = walk_bitmaps(s);
	free(s);
	return rc;
}
