/* SPDX-License-Identifier: BSD-2-Clause */
/* A new image: header, refcount table, its blocks, L1; nothing else is needed for zeros. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "devices/block/qcow2.h"
#include "header.h"
#include "vm/core/error.h"

enum {
	HEADER_BYTES = 112,
	V2_HEADER_BYTES = 72,
	AT_CLUSTER_BITS = 20,
	AT_BACKING = 8,
	AT_ORDER = 96,
	AT_BYTES = 100,
	AT_PACKING = 104,
};
#define EXT_BACKING_FORMAT UINT32_C(0xe2792aca)

const struct qcow2_options qcow2_usual = {.version = 3, .cluster_bits = 16, .refcount_order = 4};

/* Where things are, in clusters; they follow each other. */
struct layout {
	struct qcow2_geometry geometry;
	uint64_t l1_entries, l1, reftable, blocks, total;
};

static uint64_t clusters(const struct layout *layout, uint64_t bytes)
{
	return (bytes + layout->geometry.cluster - 1) >> layout->geometry.cluster_bits;
}

static int plan(const struct qcow2_options *options, struct layout *layout)
{
	struct qcow2_geometry *g = &layout->geometry;
	unsigned int cover;

	qcow2_geometry_init(g, options->version, options->cluster_bits, options->refcount_order,
		options->extended);
	cover = qcow2_table_cover_bits(g);
	layout->l1_entries = (options->size + (UINT64_C(1) << cover) - 1) >> cover;
	if (layout->l1_entries * 8 > QCOW2_MAX_L1)
		return -EFBIG;
	layout->l1 = clusters(layout, layout->l1_entries * 8);
	layout->blocks = layout->reftable = 1;
	/* Counts of counts: each makes the others more. */
	for (;;) {
		layout->total = 1 + layout->reftable + layout->blocks + layout->l1;
		if (layout->blocks << g->refblock_bits < layout->total)
			layout->blocks++;
		else if (clusters(layout, layout->blocks * 8) > layout->reftable)
			layout->reftable++;
		else
			return 0;
	}
}

/* Behind the header: the backing file's format, the end, its name. */
static int put_names(
	const struct qcow2_options *options, const struct layout *layout, uint8_t *head)
{
	const size_t name = strlen(options->backing), format = strlen(options->backing_format);
	size_t at = options->version == 2 ? V2_HEADER_BYTES : HEADER_BYTES;

	if (name > QCOW2_MAX_NAME ||
		at + 16 + ALIGN_UP(format, 8) + name > layout->geometry.cluster)
		return -ENAMETOOLONG;
	put_be32(head + at, EXT_BACKING_FORMAT);
	put_be32(head + at + 4, (uint32_t)format);
	memcpy(head + at + 8, options->backing_format, format);
	at += 8 + ALIGN_UP(format, 8) + 8;
	memcpy(head + at, options->backing, name);
	put_be64(head + AT_BACKING, at);
	put_be32(head + AT_BACKING + 8, (uint32_t)name);
	return 0;
}

static int put_header(
	const struct qcow2_options *options, const struct layout *layout, uint8_t *head)
{
	const unsigned int bits = options->cluster_bits;

	put_be32(head, 0x514649fb); /* "QFI\xfb" */
	put_be32(head + 4, options->version);
	put_be32(head + AT_CLUSTER_BITS, bits);
	put_be64(head + QCOW2_AT_SIZE, options->size);
	put_be32(head + QCOW2_AT_L1_SIZE, (uint32_t)layout->l1_entries);
	put_be64(head + QCOW2_AT_L1, (1 + layout->reftable + layout->blocks) << bits);
	put_be64(head + QCOW2_AT_REFTABLE, UINT64_C(1) << bits);
	put_be32(head + QCOW2_AT_REFTABLE_CLUSTERS, (uint32_t)layout->reftable);
	if (options->version >= 3) {
		put_be64(head + QCOW2_AT_INCOMPATIBLE,
			(options->zstd ? QCOW2_COMPRESSION : 0) |
				(options->extended ? QCOW2_EXTENDED : 0));
		put_be32(head + AT_ORDER, options->refcount_order);
		put_be32(head + AT_BYTES, HEADER_BYTES);
		head[AT_PACKING] = options->zstd ? QCOW2_ZSTD : QCOW2_ZLIB;
	}
	return options->backing ? put_names(options, layout, head) : 0;
}

static int put(int fd, const uint8_t *buf, uint64_t len, uint64_t offset)
{
	while (len) {
		const ssize_t n = pwrite(fd, buf, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			buf += n;
			len -= (uint64_t)n;
			offset += (uint64_t)n;
		}
	}
	return 0;
}

/* The refcount table and its blocks */
static int put_counts(int fd, const struct layout *layout)
{
	const struct qcow2_geometry *g = &layout->geometry;
	const uint64_t first = 1 + layout->reftable, per_block = UINT64_C(1) << g->refblock_bits;
	const uint64_t bytes = (layout->reftable + layout->blocks) << g->cluster_bits;
	uint8_t *tables = calloc(1, bytes), *blocks;
	int rc;

	if (!tables)
		return -ENOMEM;
	blocks = tables + (layout->reftable << g->cluster_bits);
	for (uint64_t i = 0; i < layout->blocks; i++)
		put_be64(tables + i * 8, (first + i) << g->cluster_bits);
	for (uint64_t c = 0; c < layout->total; c++)
		qcow2_refcount_put(g->refcount_order, blocks + (c / per_block << g->cluster_bits),
			c % per_block, 1);
	rc = put(fd, tables, bytes, g->cluster);
	free(tables);
	return rc;
}

static int write_all(int fd, const struct qcow2_options *options, const struct layout *layout)
{
	uint8_t *head = calloc(1, layout->geometry.cluster);
	int rc = head ? put_header(options, layout, head) : -ENOMEM;

	if (!rc && ftruncate(fd, (off_t)(layout->total << options->cluster_bits)) < 0)
		rc = -errno;
	if (!rc)
		rc = put_counts(fd, layout);
	/* Last: before that it is no image. */
	if (!rc)
		rc = put(fd, head, layout->geometry.cluster, 0);
	free(head);
	return rc;
}

static bool valid(const struct qcow2_options *o)
{
	return o->size && o->size % 512 == 0 && o->size <= INT64_MAX && o->version >= 2 &&
	       o->version <= 3 && o->cluster_bits >= QCOW2_MIN_CLUSTER_BITS &&
	       o->cluster_bits <= QCOW2_MAX_CLUSTER_BITS && o->refcount_order <= 6 &&
	       (o->version == 3 || (o->refcount_order == 4 && !o->extended && !o->zstd)) &&
	       (!o->extended || o->cluster_bits >= 14);
}

int qcow2_format(int fd, const char *name, const struct qcow2_options *options, struct error *err)
{
	struct layout layout;
	int rc = valid(options) ? plan(options, &layout) : -EINVAL;

	if (rc == -EFBIG)
		return error_set(err, rc, "%s: a disk of that size needs larger clusters", name);
	if (!rc)
		rc = write_all(fd, options, &layout);
	return rc ? error_set_errno(err, rc, "%s", name) : 0;
}
