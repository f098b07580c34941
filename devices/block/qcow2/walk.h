/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything in the file that something refers to, one after the other. */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_WALK_H
#define BANTAM_DEVICES_BLOCK_QCOW2_WALK_H

#include "image.h"

enum qcow2_part {
	QCOW2_PART_HEADER,
	QCOW2_PART_L1,
	QCOW2_PART_REFTABLE,
	QCOW2_PART_REFBLOCK,
	QCOW2_PART_SNAPSHOTS,
	QCOW2_PART_L2,
	QCOW2_PART_BITMAPS,
	QCOW2_PART_CLUSTER,
	QCOW2_PART_PACKED,
};

struct qcow2_walk {
	struct qcow2_image *image;
	bool clusters; /* what L2 tables and bitmaps refer to, too */
	/*
	 * [offset, offset + len) is used; it begins with the active L1's. False: no more of what it
	 * refers to. bad is called for a reference that cannot be.
	 */
	bool (*used)(void *opaque, enum qcow2_part part, uint64_t offset, uint64_t len);
	void (*bad)(void *opaque, enum qcow2_part part);
	void *opaque;
};

/* The owner: 0, or -errno of what could not be read. */
int qcow2_walk(const struct qcow2_walk *walk);

#endif
