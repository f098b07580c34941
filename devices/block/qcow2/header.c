/* SPDX-License-Identifier: BSD-2-Clause */
#include "header.h"

#include <errno.h>

#include "bytes.h"
#include "vm/core/error.h"

enum {
	V2_BYTES = 72,
	V3_BYTES = 104,
	AT_VERSION = 4,
	AT_BACKING = 8,
	AT_BACKING_LEN = 16,
	AT_CLUSTER_BITS = 20,
	AT_CRYPT = 32,
	AT_NUM_SNAPSHOTS = 60,
	AT_SNAPSHOTS = 64,
	AT_COMPATIBLE = 80,
	AT_REFCOUNT_ORDER = 96,
	AT_HEADER_BYTES = 100,
	AT_PACKING = 104,
	MAX_REFCOUNT_ORDER = 6,
	V2_REFCOUNT_ORDER = 4,

	EXT_END = 0,
	EXT_BACKING_FORMAT = (int)0xe2792aca,
	EXT_FEATURES = 0x6803f857,
	EXT_BITMAPS = 0x23852875,
	FEATURE_BYTES = 48,
	FEATURE_NAME = 46,
};

struct head {
	const uint8_t *p;
	size_t len;
	const char *name;
	struct error *err;
};

static int damaged(const struct head *head, const char *what)
{
	return error_set(head->err, -EINVAL,
		"%s: the qcow2 header is damaged: %s (qemu-img check may tell more)", head->name,
		what);
}

bool qcow2_is_magic(const uint8_t *head, size_t len)
{
	return len >= 4 && memcmp(head, "QFI\xfb", 4) == 0;
}

/* ---- header extensions ---- */

/* What the image itself calls the feature; ext is its table of names. */
static void name_feature(
	const uint8_t *ext, size_t len, unsigned int bit, char name[FEATURE_NAME + 1])
{
	for (size_t at = 0; at + FEATURE_BYTES <= len; at += FEATURE_BYTES) {
		if (ext[at] != 0 || ext[at + 1] != bit)
			continue;
		memcpy(name, ext + at + 2, FEATURE_NAME);
		name[FEATURE_NAME] = '\0';
		for (char *p = name; *p; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
	}
}

/* The data of the extension of this type, or NULL. They begin at start; -EINVAL in *rc. */
static const uint8_t *find_extension(
	const struct head *head, size_t start, uint32_t type, size_t *len, int *rc)
{
	const uint8_t *found = NULL;

	for (size_t at = start; at + 8 <= head->len;) {
		const uint32_t its_type = get_be32(head->p + at),
			       its_len = get_be32(head->p + at + 4);

		if (its_type == EXT_END)
			break;
		at += 8;
		if (!range_ok(at, its_len, head->len)) {
			*rc = damaged(head, "an extension is longer than the header");
			return NULL;
		}
		if (its_type == type) {
			found = head->p + at;
			*len = its_len;
		}
		at = ALIGN_UP(at + its_len, 8);
	}
	return found;
}

static int read_extensions(const struct head *head, size_t start, struct qcow2_header *ret)
{
	size_t len = 0;
	int rc = 0;
	const uint8_t *ext = find_extension(head, start, (uint32_t)EXT_BACKING_FORMAT, &len, &rc);

	if (ext) {
		if (len >= sizeof(ret->backing_format))
			return damaged(head, "the name of the backing file's format is too long");
		memcpy(ret->backing_format, ext, len);
		ret->backing_format[len] = '\0';
	}
	ext = find_extension(head, start, EXT_BITMAPS, &len, &rc);
	if (ext && len >= 24 && ret->geometry.version >= 3) {
		ret->bitmaps_len = get_be64(ext + 8);
		ret->bitmaps_offset = get_be64(ext + 16);
	}
	return rc;
}

/* ---- features ---- */

static int check_features(const struct head *head, size_t header_bytes, struct qcow2_header *ret)
{
	const uint64_t unknown = ret->incompatible & ~QCOW2_KNOWN;
	char name[FEATURE_NAME + 1] = "";
	size_t len = 0;
	int rc = 0;

	if (ret->incompatible & QCOW2_EXTERNAL)
		return error_set(head->err, -ENOTSUP,
			"%s has its data in another file, which is not supported; qemu-img convert "
			"-O qcow2 puts it into one",
			head->name);
	if (unknown) {
		const unsigned int bit = (unsigned int)__builtin_ctzll(unknown);
		const uint8_t *ext = find_extension(head, header_bytes, EXT_FEATURES, &len, &rc);

		if (ext)
			name_feature(ext, len, bit, name);
		return error_set(head->err, -ENOTSUP,
			"%s needs a feature of qcow2 that is not supported: bit %u%s%s", head->name,
			bit, *name ? ", " : "", name);
	}
	if (header_bytes > AT_PACKING)
		ret->packing = (enum qcow2_packing)head->p[AT_PACKING];
	if ((unsigned int)ret->packing > QCOW2_ZSTD)
		return error_set(head->err, -ENOTSUP,
			"%s is compressed in a way that is not supported: type %u", head->name,
			(unsigned int)ret->packing);
	if (!(ret->incompatible & QCOW2_COMPRESSION) != (ret->packing == QCOW2_ZLIB))
		return damaged(head, "its compression type and its features do not agree");
	return 0;
}

static int read_v3(const struct head *head, size_t *header_bytes, unsigned int *order,
	struct qcow2_header *ret)
{
	if (head->len < V3_BYTES)
		return damaged(head, "it is cut short");
	*header_bytes = get_be32(head->p + AT_HEADER_BYTES);
	if (*header_bytes < V3_BYTES || *header_bytes % 8 || *header_bytes > head->len)
		return damaged(head, "its length cannot be");
	ret->incompatible = get_be64(head->p + QCOW2_AT_INCOMPATIBLE);
	ret->compatible = get_be64(head->p + AT_COMPATIBLE);
	ret->autoclear = get_be64(head->p + QCOW2_AT_AUTOCLEAR);
	*order = get_be32(head->p + AT_REFCOUNT_ORDER);
	if (*order > MAX_REFCOUNT_ORDER)
		return damaged(head, "its refcounts are too wide");
	return check_features(head, *header_bytes, ret);
}

/* ---- fields ---- */

static int check_tables(const struct head *head, const struct qcow2_header *h)
{
	const struct qcow2_geometry *g = &h->geometry;
	const uint64_t in_cluster = g->cluster - 1;
	const unsigned int cover = qcow2_table_cover_bits(g);
	const uint64_t needed =
		(h->size >> cover) + ((h->size & ((UINT64_C(1) << cover) - 1)) != 0);

	if (h->size > INT64_MAX)
		return damaged(head, "the disk is too large");
	if (h->l1_entries > QCOW2_MAX_L1 / 8)
		return damaged(head, "its L1 table is too large");
	if (h->l1_entries < needed)
		return damaged(head, "its L1 table is too small for the disk");
	if (h->l1_offset & in_cluster || h->l1_offset >> 56 || (h->l1_entries && !h->l1_offset))
		return damaged(head, "the place of its L1 table cannot be");
	if (!h->reftable_clusters || h->reftable_clusters > QCOW2_MAX_REFTABLE >> g->cluster_bits)
		return damaged(head, "the size of its refcount table cannot be");
	if (h->reftable_offset & in_cluster || h->reftable_offset >> 56 || !h->reftable_offset)
		return damaged(head, "the place of its refcount table cannot be");
	if (h->num_snapshots > QCOW2_MAX_SNAPSHOTS)
		return damaged(head, "it has too many snapshots");
	if (h->num_snapshots && (h->snapshots_offset & in_cluster || h->snapshots_offset >> 56 ||
					!h->snapshots_offset))
		return damaged(head, "the place of its snapshots cannot be");
	return 0;
}

static int check_backing(const struct head *head, const struct qcow2_header *h)
{
	if (!h->backing_offset)
		return 0;
	if (!h->backing_len || h->backing_len > QCOW2_MAX_NAME)
		return damaged(head, "the name of the backing file is empty or too long");
	if (!range_ok(h->backing_offset, h->backing_len, MIN(head->len, h->geometry.cluster)))
		return damaged(head, "the name of the backing file is elsewhere");
	return 0;
}

static int read_geometry(const struct head *head, size_t *header_bytes, struct qcow2_header *ret)
{
	const uint32_t version = get_be32(head->p + AT_VERSION);
	const uint32_t bits = get_be32(head->p + AT_CLUSTER_BITS);
	unsigned int order = V2_REFCOUNT_ORDER;
	int rc;

	if (version != 2 && version != 3)
		return error_set(head->err, -ENOTSUP,
			"%s is of version %u of its format; 2 and 3 are supported", head->name,
			version);
	if (bits < QCOW2_MIN_CLUSTER_BITS || bits > QCOW2_MAX_CLUSTER_BITS)
		return damaged(head, "the size of its clusters cannot be");
	*header_bytes = V2_BYTES;
	rc = version == 3 ? read_v3(head, header_bytes, &order, ret) : 0;
	if (rc)
		return rc;
	if (*header_bytes > UINT64_C(1) << bits)
		return damaged(head, "it is longer than a cluster");
	if (ret->incompatible & QCOW2_EXTENDED && bits < 14)
		return damaged(head, "its clusters are too small for extended L2 entries");
	qcow2_geometry_init(
		&ret->geometry, version, bits, order, ret->incompatible & QCOW2_EXTENDED);
	return 0;
}

int qcow2_header_parse(const uint8_t *bytes, size_t len, const char *name, struct qcow2_header *ret,
	struct error *err)
{
	const struct head head = {bytes, len, name, err};
	struct qcow2_header h = {.size = 0};
	size_t header_bytes = 0;
	int rc;

	if (!qcow2_is_magic(bytes, len))
		return error_set(err, -EINVAL, "%s is not a qcow2 image", name);
	if (len < V2_BYTES)
		return damaged(&head, "it is cut short");
	rc = read_geometry(&head, &header_bytes, &h);
	if (rc)
		return rc;
	if (get_be32(bytes + AT_CRYPT))
		return error_set(err, -ENOTSUP,
			"%s is encrypted, which is not supported; qemu-img convert decrypts it",
			name);
	h.size = get_be64(bytes + QCOW2_AT_SIZE);
	h.l1_entries = get_be32(bytes + QCOW2_AT_L1_SIZE);
	h.l1_offset = get_be64(bytes + QCOW2_AT_L1);
	h.reftable_offset = get_be64(bytes + QCOW2_AT_REFTABLE);
	h.reftable_clusters = get_be32(bytes + QCOW2_AT_REFTABLE_CLUSTERS);
	h.num_snapshots = get_be32(bytes + AT_NUM_SNAPSHOTS);
	h.snapshots_offset = get_be64(bytes + AT_SNAPSHOTS);
	h.backing_offset = get_be64(bytes + AT_BACKING);
	h.backing_len = get_be32(bytes + AT_BACKING_LEN);
	rc = check_tables(&head, &h);
	if (!rc)
		rc = check_backing(&head, &h);
	if (!rc)
		rc = read_extensions(&head, header_bytes, &h);
	if (!rc)
		*ret = h;
	return rc;
}

/* ---- the backing file's name ---- */

static bool has_protocol(const char *name)
{
	const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

	return colon && (!slash || colon < slash);
}

static bool goes_up(const char *name)
{
	for (const char *p = name; (p = strstr(p, "..")) != NULL; p += 2)
		if ((p == name || p[-1] == '/') && (p[2] == '/' || !p[2]))
			return true;
	return false;
}

int qcow2_backing_name(const struct qcow2_header *header, const uint8_t *head, size_t len,
	const char *name, char ret[QCOW2_MAX_NAME + 1], struct error *err)
{
	if (!range_ok(header->backing_offset, header->backing_len, len) ||
		header->backing_len > QCOW2_MAX_NAME)
		return error_set(
			err, -EINVAL, "%s: the name of its backing file is elsewhere", name);
	memcpy(ret, head + header->backing_offset, header->backing_len);
	ret[header->backing_len] = '\0';
	for (const char *p = ret; *p; p++)
		if ((unsigned char)*p < ' ')
			return error_set(err, -EINVAL,
				"%s: the name of its backing file has control characters", name);
	if (strlen(ret) != header->backing_len)
		return error_set(err, -EINVAL, "%s: the name of its backing file is damaged", name);
	if (has_protocol(ret))
		return error_set(err, -ENOTSUP,
			"%s: its backing file is '%.200s'; only names of files are supported", name,
			ret);
	if (goes_up(ret))
		return error_set(err, -ENOTSUP,
			"%s: its backing file is '%.200s', and names with .. are not followed; "
			"qemu-img rebase -u -b gives it a whole one",
			name, ret);
	return 0;
}
