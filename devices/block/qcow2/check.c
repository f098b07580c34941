/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts all references anew and compares. Counts that are too low are errors, too high leaks; the
 * flag in an active entry that says "nobody else refers to it" must agree with the count.
 */
#include <errno.h>

#include "bytes.h"
#include "vm/core/error.h"
#include "vm/core/sparse_alloc.h"
#include "walk.h"

struct check {
	struct qcow2_image *image;
	struct qcow2_findings *found;
	uint32_t *counts;
	uint64_t clusters;
	bool active_done; /* the walk is past the active L1 */
};

static bool used(void *opaque, enum qcow2_part part, uint64_t offset, uint64_t len)
{
	struct check *check = opaque;
	const unsigned int bits = check->image->geometry.cluster_bits;
	bool first = true;

	for (uint64_t c = offset >> bits; c <= (offset + len - 1) >> bits; c++) {
		first = check->counts[c] == 0;
		check->counts[c]++;
	}
	if (part == QCOW2_PART_CLUSTER)
		check->found->data++;
	if (part == QCOW2_PART_PACKED)
		check->found->packed++;
	/* One table for two places of the same disk; snapshots may share it. */
	if (!first && (part == QCOW2_PART_L1 || part == QCOW2_PART_REFTABLE ||
			      part == QCOW2_PART_REFBLOCK || part == QCOW2_PART_HEADER))
		check->found->errors++;
	return true;
}

static void bad(void *opaque, enum qcow2_part part)
{
	struct check *check = opaque;

	(void)part;
	check->found->errors++;
}

static int set_count(struct check *check, uint64_t cluster, uint64_t count)
{
	const unsigned int bits = 1u << check->image->geometry.refcount_order;
	int rc = qcow2_refs_cover(check->image, cluster);

	if (bits < 64 && count >> bits)
		return -EOVERFLOW;
	/* A new block counts itself, and is counted here when its turn comes or has come. */
	if (rc == 1)
		check->counts[cluster >> check->image->geometry.refblock_bits
						 << check->image->geometry.refblock_bits]++;
	return rc < 0 ? rc : qcow2_refs_set(check->image, cluster, count);
}

static int compare_counts(struct check *check, bool repair)
{
	int rc = 0;

	for (uint64_t c = 0; !rc && c < check->clusters; c++) {
		uint64_t count;

		rc = qcow2_refs_get(check->image, c, &count);
		if (rc || count == check->counts[c])
			continue;
		if (count < check->counts[c])
			check->found->errors++;
		else
			check->found->leaks++;
		if (!repair)
			continue;
		rc = set_count(check, c, check->counts[c]);
		check->found->repaired += !rc;
	}
	return rc;
}

/* ---- flags ---- */

static int fix_entry(struct check *check, uint64_t offset, bool repair)
{
	struct qcow2_image *image = check->image;
	struct qcow2_entry entry;
	uint64_t cluster;
	int rc = qcow2_image_get(image, offset, &entry);

	if (rc || entry.packed || !entry.host)
		return rc;
	cluster = qcow2_cluster_of(image, entry.host);
	if (cluster >= check->clusters || entry.copied == (check->counts[cluster] == 1))
		return 0;
	check->found->errors++;
	if (!repair)
		return 0;
	entry.copied = !entry.copied;
	rc = qcow2_image_put(image, offset, &entry);
	check->found->repaired += !rc;
	return rc;
}

static int fix_table(struct check *check, uint64_t index, bool repair)
{
	struct qcow2_image *image = check->image;
	const unsigned int cover = qcow2_table_cover_bits(&image->geometry);
	const uint64_t word = get_be64(image->l1.data + index * 8);
	const uint64_t table = word & QCOW2_OFFSET_MASK, cluster = qcow2_cluster_of(image, table);
	const uint64_t step = image->geometry.cluster;
	int rc = 0;

	if (!table || cluster >= check->clusters)
		return 0;
	if (!(word & QCOW2_COPIED) != (check->counts[cluster] != 1)) {
		check->found->errors++;
		if (repair) {
			qcow2_table_put(&image->l1, index, word ^ QCOW2_COPIED);
			atomic_store(&image->map_dirty, true);
			check->found->repaired++;
		}
	}
	for (uint64_t i = 0; !rc && i < UINT64_C(1) << image->geometry.table_bits; i++)
		rc = fix_entry(check, (index << cover) + i * step, repair);
	return rc;
}

static int check_flags(struct check *check, bool repair)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < check->image->l1.entries; i++)
		rc = fix_table(check, i, repair);
	return rc;
}

/* ---- all ---- */

/* Counts first: a flag that says too much is harmless as long as nothing is written. */
static int run(struct check *check, bool repair)
{
	const struct qcow2_walk walk = {
		.image = check->image,
		.clusters = true,
		.used = used,
		.bad = bad,
		.opaque = check,
	};
	struct qcow2_findings *found = check->found;
	int rc = qcow2_walk(&walk);
	/* What cannot be is for somebody else to decide about. */
	const bool may = repair && !found->errors;

	if (!rc)
		rc = compare_counts(check, may);
	if (!rc)
		rc = check_flags(check, may);
	if (!rc && may)
		rc = qcow2_image_commit(check->image, 0);
	return rc;
}

int qcow2_image_check(
	struct qcow2_image *image, bool repair, struct qcow2_findings *ret, struct error *err)
{
	const uint64_t cluster = image->geometry.cluster;
	struct check check = {
		.image = image,
		.found = ret,
		.clusters = ALIGN_UP(image->file_size, cluster) >> image->geometry.cluster_bits,
	};
	int rc;

	*ret = (struct qcow2_findings){.clusters = check.clusters};
	if (check.clusters > UINT64_C(1) << 34)
		return error_set(err, -EFBIG, "%s is too large to be checked", image->path);
	check.counts = sparse_alloc(check.clusters * sizeof(*check.counts));
	if (!check.counts)
		return error_set_errno(err, -ENOMEM, "%s", image->path);
	rc = run(&check, repair);
	sparse_free(check.counts, check.clusters * sizeof(*check.counts));
	return rc ? error_set_errno(err, rc, "%s: it cannot be checked", image->path) : 0;
}
