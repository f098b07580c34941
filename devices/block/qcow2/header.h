/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first cluster of a qcow2 image: what it says, checked. The format is described in QEMU's
 * docs/interop/qcow2.txt. No I/O here: bytes in, numbers out.
 */
#ifndef BANTAM_DEVICES_BLOCK_QCOW2_HEADER_H
#define BANTAM_DEVICES_BLOCK_QCOW2_HEADER_H

#include "map.h"

struct error;

enum {
	QCOW2_HEAD_MIN = 104, /* bytes that are looked at, if the file has them */
	QCOW2_MAX_NAME = 1023,
	QCOW2_MAX_SNAPSHOTS = 65536,
};
#define QCOW2_MAX_L1	     (32 * MiB)
#define QCOW2_MAX_REFTABLE   (8 * MiB)

#define QCOW2_DIRTY	     (UINT64_C(1) << 0) /* incompatible features */
#define QCOW2_CORRUPT	     (UINT64_C(1) << 1)
#define QCOW2_EXTERNAL	     (UINT64_C(1) << 2)
#define QCOW2_COMPRESSION    (UINT64_C(1) << 3)
#define QCOW2_EXTENDED	     (UINT64_C(1) << 4)
#define QCOW2_KNOWN	     UINT64_C(0x1f)
#define QCOW2_LAZY_REFCOUNTS (UINT64_C(1) << 0) /* compatible features */

enum qcow2_packing { QCOW2_ZLIB, QCOW2_ZSTD };

/* Offsets of what is changed in place. All are in the first sector, which is written at once. */
enum {
	QCOW2_AT_SIZE = 24,
	QCOW2_AT_L1_SIZE = 36,
	QCOW2_AT_L1 = 40,
	QCOW2_AT_REFTABLE = 48,
	QCOW2_AT_REFTABLE_CLUSTERS = 56,
	QCOW2_AT_INCOMPATIBLE = 72,
	QCOW2_AT_AUTOCLEAR = 88,
};

struct qcow2_header {
	struct qcow2_geometry geometry;
	uint64_t size; /* of the disk, bytes, as it is written there */
	uint64_t l1_offset;
	uint32_t l1_entries;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint64_t snapshots_offset;
	uint32_t num_snapshots;
	uint64_t incompatible, compatible, autoclear;
	enum qcow2_packing packing;
	uint64_t backing_offset; /* 0: there is none */
	uint32_t backing_len;
	char backing_format[16]; /* "": it is not said */
	uint64_t bitmaps_offset; /* of the directory of bitmaps, 0: there is none */
	uint64_t bitmaps_len;
};

/*
 * From the first len bytes of the file, the first cluster if it has so many. 0, or -errno with a
 * line that begins with name: -EINVAL for what is no such image or is damaged, -ENOTSUP for what is
 * not supported.
 */
int qcow2_header_parse(const uint8_t *head, size_t len, const char *name, struct qcow2_header *ret,
	struct error *err);

/* The bytes of the first cluster that are needed: whether there are more of them than len. */
bool qcow2_is_magic(const uint8_t *head, size_t len);

/*
 * The name of the backing file, of backing_len bytes in head: 0, or -errno with a line when it is
 * none that can be opened here: a protocol's, with "..", or empty.
 */
int qcow2_backing_name(const struct qcow2_header *header, const uint8_t *head, size_t len,
	const char *name, char ret[QCOW2_MAX_NAME + 1], struct error *err);

#endif
