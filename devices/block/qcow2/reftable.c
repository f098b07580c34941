/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A refcount table that is too small gets a successor, twice as large: it stands in the first
 * clusters that the old one could not cover, behind the blocks that count those. The header is made
 * to name it when the next commit has written it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "image.h"

struct plan {
	uint64_t first;	   /* cluster */
	uint64_t blocks;   /* clusters of them, from first on */
	uint64_t clusters; /* of the table, behind them */
};

static int make_plan(const struct qcow2_image *image, uint64_t block, struct plan *plan)
{
	const struct qcow2_geometry *g = &image->geometry;
	const uint64_t per_cluster = g->cluster / 8, counts = UINT64_C(1) << g->refblock_bits;

	plan->first = block << g->refblock_bits;
	plan->blocks = 1;
	/* Each makes the other larger; block is bounded, so both are. */
	for (;;) {
		const uint64_t entries =
			MAX(2 * image->reftable.entries, block + plan->blocks + per_cluster);

		plan->clusters = (entries + per_cluster - 1) / per_cluster;
		if (plan->clusters << g->cluster_bits > QCOW2_MAX_REFTABLE) {
			plan->clusters = QCOW2_MAX_REFTABLE >> g->cluster_bits;
			if (block + plan->blocks > plan->clusters * per_cluster)
				return -EFBIG;
		}
		if (plan->blocks + plan->clusters <= plan->blocks * counts)
			break;
		plan->blocks++;
	}
	return plan->first + plan->blocks + plan->clusters > image->most_clusters ? -ENOSPC : 0;
}

static int prepare_place(struct qcow2_image *image, const struct plan *plan)
{
	const struct qcow2_geometry *g = &image->geometry;
	const uint64_t num = plan->blocks + plan->clusters;
	const uint64_t offset = plan->first << g->cluster_bits, bytes = num << g->cluster_bits;
	int rc = qcow2_file_reach(image, offset + bytes);

	if (!rc && offset < image->fresh)
		rc = qcow2_file_zero(image, offset, bytes);
	if (!rc)
		rc = qcow2_tables_add(image, plan->first, num);
	if (!rc)
		image->fresh = MAX(image->fresh, offset + bytes);
	return rc;
}

static void replace(struct qcow2_image *image, const struct plan *plan, uint8_t *data)
{
	const struct qcow2_geometry *g = &image->geometry;
	struct qcow2_table *table = &image->reftable;

	/* One that moves twice between two commits: nobody has seen the middle one. */
	if (!image->reftable_moved) {
		image->old_reftable = table->offset;
		image->old_reftable_clusters = table->bytes >> g->cluster_bits;
	} else {
		qcow2_refs_drop(image, table->offset, table->bytes, 0);
	}
	memcpy(data, table->data, table->bytes);
	free(table->data);
	table->data = data;
	table->offset = (plan->first + plan->blocks) << g->cluster_bits;
	table->bytes = plan->clusters << g->cluster_bits;
	table->entries = table->bytes / 8;
	table->dirty_from = 0;
	table->dirty_to = table->bytes;
	image->reftable_moved = true;
}

int qcow2_reftable_grow(struct qcow2_image *image, uint64_t block)
{
	const struct qcow2_geometry *g = &image->geometry;
	struct plan plan;
	uint8_t *data;
	int rc = make_plan(image, block, &plan);

	if (rc)
		return rc == -EFBIG ? -ENOSPC : rc;
	data = aligned_alloc(4096, ALIGN_UP(plan.clusters << g->cluster_bits, 4096));
	if (!data)
		return -ENOMEM;
	rc = prepare_place(image, &plan);
	if (rc) {
		free(data);
		return rc;
	}
	memset(data, 0, plan.clusters << g->cluster_bits);
	replace(image, &plan, data);
	for (uint64_t i = 0; i < plan.blocks; i++)
		qcow2_table_put(&image->reftable, block + i, (plan.first + i) << g->cluster_bits);
	for (uint64_t i = 0; !rc && i < plan.blocks + plan.clusters; i++)
		rc = qcow2_refs_set(image, plan.first + i, 1);
	return rc ? rc : 1;
}
