/* SPDX-License-Identifier: BSD-2-Clause */
/* qcow2 images as files: made, looked at. As disks they are in devices/block/blk.h. */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_H
#define BANTAM_DEVICES_BLOCK_QCOW2_H

#include "vm/core/base.h"

struct error;

struct qcow2_options {
	uint64_t size;		     /* of the disk, whole sectors */
	unsigned int version;	     /* 2 or 3 */
	unsigned int cluster_bits;   /* 9 to 21 */
	unsigned int refcount_order; /* logarithm of a refcount's bits: 0 to 6; 4 with version 2 */
	bool extended;		     /* L2 entries; clusters of 16 KiB at least */
	bool zstd;		     /* instead of zlib */
	const char *backing;	     /* a name that goes into the header, or NULL */
	const char *backing_format;  /* "raw" or "qcow2" */
};

/* As people want them: version 3, clusters of 64 KiB, refcounts of 16 bits. */
extern const struct qcow2_options qcow2_usual;

/*
 * Makes the file, which is empty, an image of a disk of zeros. 0 or -errno, with a line that begins
 * with name.
 */
int qcow2_format(int fd, const char *name, const struct qcow2_options *options, struct error *err);

#endif
