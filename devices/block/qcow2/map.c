/* SPDX-License-Identifier: BSD-2-Clause */
#include "map.h"

#include <errno.h>

#include "bytes.h"

#define ENTRY_PACKED  (UINT64_C(1) << 62)
#define ENTRY_ZERO    (UINT64_C(1) << 0)
#define PACKED_SECTOR 512

void qcow2_geometry_init(struct qcow2_geometry *g, unsigned int version, unsigned int cluster_bits,
	unsigned int refcount_order, bool extended)
{
	*g = (struct qcow2_geometry){
		.version = version,
		.cluster_bits = cluster_bits,
		.cluster = UINT64_C(1) << cluster_bits,
		.extended = extended,
		.entry_bits = extended ? 4 : 3,
		.table_bits = cluster_bits - (extended ? 4 : 3),
		.slice_bits = MIN(cluster_bits, (unsigned int)QCOW2_SLICE_BITS),
		.unit_bits = cluster_bits - (extended ? 5 : 0),
		.refcount_order = refcount_order,
		.refblock_bits = cluster_bits + 3 - refcount_order,
	};
}

/* ---- entries ---- */

static void decode_packed(const struct qcow2_geometry *g, uint64_t word, struct qcow2_entry *ret)
{
	const unsigned int shift = 62 - (g->cluster_bits - 8);
	const uint64_t sectors = (word & (ENTRY_PACKED - 1)) >> shift;

	ret->packed = true;
	ret->host = word & ((UINT64_C(1) << shift) - 1);
	/* The count is of the sectors behind the one that it begins in. */
	ret->packed_len = (sectors + 1) * PACKED_SECTOR - ret->host % PACKED_SECTOR;
}

int qcow2_entry_decode(
	const struct qcow2_geometry *g, uint64_t word, uint64_t word2, struct qcow2_entry *ret)
{
	*ret = (struct qcow2_entry){0};
	if (word & ENTRY_PACKED) {
		decode_packed(g, word, ret);
		/* Neither of one's own nor in parts */
		return (word & QCOW2_COPIED) || word2 || !ret->host || ret->host >> 56 ? -EIO : 0;
	}
	ret->host = word & QCOW2_OFFSET_MASK;
	ret->copied = ret->host && (word & QCOW2_COPIED);
	if (ret->host & (g->cluster - 1))
		return -EIO;
	if (g->extended) {
		ret->data = (uint32_t)word2;
		ret->zero = (uint32_t)(word2 >> 32);
		if (word & ENTRY_ZERO || ret->data & ret->zero)
			return -EIO;
	} else {
		ret->zero = word & ENTRY_ZERO;
		ret->data = !ret->zero && ret->host;
		if (ret->zero && g->version < 3)
			return -EIO;
	}
	return ret->data && !ret->host ? -EIO : 0;
}

void qcow2_entry_encode(const struct qcow2_geometry *g, const struct qcow2_entry *entry,
	uint64_t *word, uint64_t *word2)
{
	*word = entry->host | (entry->host && entry->copied ? QCOW2_COPIED : 0);
	*word2 = 0;
	if (g->extended)
		*word2 = entry->data | (uint64_t)entry->zero << 32;
	else if (entry->zero)
		*word |= ENTRY_ZERO;
}

static size_t place(const struct qcow2_geometry *g, uint64_t offset)
{
	const uint64_t in_slice = (UINT64_C(1) << (g->slice_bits - g->entry_bits)) - 1;

	return (size_t)((offset >> g->cluster_bits) & in_slice) << g->entry_bits;
}

int qcow2_slice_get(const struct qcow2_geometry *g, const uint8_t *slice, uint64_t offset,
	struct qcow2_entry *ret)
{
	const uint8_t *p = slice + place(g, offset);

	return qcow2_entry_decode(g, get_be64(p), g->extended ? get_be64(p + 8) : 0, ret);
}

void qcow2_slice_put(const struct qcow2_geometry *g, uint8_t *slice, uint64_t offset,
	const struct qcow2_entry *entry)
{
	uint8_t *p = slice + place(g, offset);
	uint64_t word, word2;

	qcow2_entry_encode(g, entry, &word, &word2);
	put_be64(p, word);
	if (g->extended)
		put_be64(p + 8, word2);
}

/* ---- runs ---- */

static enum qcow2_kind unit_kind(const struct qcow2_entry *entry, unsigned int unit)
{
	const uint32_t bit = UINT32_C(1) << unit;

	return entry->data & bit ? QCOW2_DATA : entry->zero & bit ? QCOW2_ZERO : QCOW2_NONE;
}

/* What the cluster that has offset says of the bytes from there on, as far as they are alike. */
static void map_cluster(const struct qcow2_geometry *g, const struct qcow2_entry *entry,
	uint64_t offset, struct qcow2_run *ret)
{
	const uint64_t in_cluster = offset & (g->cluster - 1);
	const unsigned int units = qcow2_units(g);
	unsigned int unit = (unsigned int)(in_cluster >> g->unit_bits);
	const enum qcow2_kind kind = unit_kind(entry, unit);

	while (++unit < units && unit_kind(entry, unit) == kind)
		continue;
	*ret = (struct qcow2_run){
		.kind = kind,
		.len = ((uint64_t)unit << g->unit_bits) - in_cluster,
	};
	if (kind == QCOW2_DATA) {
		ret->host = entry->host + in_cluster;
		ret->copied = entry->copied;
	}
}

static void map_one(const struct qcow2_geometry *g, const uint8_t *slice, uint64_t offset,
	struct qcow2_run *ret)
{
	struct qcow2_entry entry;
	const int rc = qcow2_slice_get(g, slice, offset, &entry);

	if (!rc && !entry.packed) {
		map_cluster(g, &entry, offset, ret);
		return;
	}
	*ret = (struct qcow2_run){
		.kind = rc ? QCOW2_BAD : QCOW2_PACKED,
		.len = g->cluster - (offset & (g->cluster - 1)),
		.host = entry.host,
		.packed_len = entry.packed_len,
	};
}

static bool follows(const struct qcow2_run *run, const struct qcow2_run *next)
{
	if (run->kind != next->kind || run->kind == QCOW2_PACKED)
		return false;
	return run->kind != QCOW2_DATA ||
	       (run->host + run->len == next->host && run->copied == next->copied);
}

void qcow2_slice_map(const struct qcow2_geometry *g, const uint8_t *slice, uint64_t offset,
	uint64_t len, struct qcow2_run *ret)
{
	const uint64_t cover = UINT64_C(1) << qcow2_slice_cover_bits(g);
	const uint64_t most = MIN(len, cover - (offset & (cover - 1)));
	struct qcow2_run next;

	map_one(g, slice, offset, ret);
	while (ret->len < most) {
		map_one(g, slice, offset + ret->len, &next);
		if (!follows(ret, &next))
			break;
		ret->len += next.len;
	}
	ret->len = MIN(ret->len, most);
}

/* ---- units ---- */

static uint32_t mask(uint64_t first, uint64_t end)
{
	return first >= end ? 0 : (uint32_t)(((UINT64_C(1) << (end - first)) - 1) << first);
}

uint32_t qcow2_units_touched(const struct qcow2_geometry *g, uint64_t from, uint64_t to)
{
	const uint64_t unit = UINT64_C(1) << g->unit_bits;

	return from >= to ? 0 : mask(from >> g->unit_bits, ALIGN_UP(to, unit) >> g->unit_bits);
}

uint32_t qcow2_units_inside(const struct qcow2_geometry *g, uint64_t from, uint64_t to)
{
	const uint64_t unit = UINT64_C(1) << g->unit_bits;

	return mask(ALIGN_UP(from, unit) >> g->unit_bits, to >> g->unit_bits);
}

/* ---- refcounts ---- */

uint64_t qcow2_refcount_get(unsigned int order, const uint8_t *slice, size_t index)
{
	const unsigned int bits = 1u << order;
	uint64_t value = 0;

	if (order < 3)
		return (uint64_t)(slice[index * bits / 8] >> (index * bits % 8)) &
		       ((1u << bits) - 1);
	for (unsigned int i = 0; i < bits / 8; i++)
		value = value << 8 | slice[index * (bits / 8) + i];
	return value;
}

void qcow2_refcount_put(unsigned int order, uint8_t *slice, size_t index, uint64_t value)
{
	const unsigned int bits = 1u << order, shift = (unsigned int)(index * bits % 8);
	uint8_t *p = slice + index * bits / 8;

	if (order < 3) {
		*p = (uint8_t)((*p & ~(((1u << bits) - 1) << shift)) | (unsigned int)value
									       << shift);
		return;
	}
	for (unsigned int i = bits / 8; i-- > 0; value >>= 8)
		p[i] = (uint8_t)value;
}
