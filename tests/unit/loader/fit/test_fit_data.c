/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a FIT image's bytes are, how they are packed, and trees that are damaged. */
#include <errno.h>
#include <libfdt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fit_file.h"
#include "loader/fit/fit.h"
#include "loader/fit/fit_hash.h"
#include "loader/fit/fit_unpack.h"
#include "loader/image/bytes.h"
#include "vm/core/error.h"

#define KERNEL "/images/kernel-1"

static int open_exact(const struct fit_file *file, struct fit **fit, struct error *err)
{
	uint8_t *exact = malloc(file->size ? file->size : 1);
	struct image image;
	int rc;

	memcpy(exact, file->bytes, file->size);
	image_from_memory("app.itb", exact, file->size, &image);
	rc = fit_open(&image, NULL, fit, err);
	free(exact);
	return rc;
}

static void assert_kernel(const struct fit_file *file, const void *bytes, size_t size)
{
	struct error err = {""};
	struct fit *fit = NULL;

	if (open_exact(file, &fit, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fit_boot(fit)->kernel.size, size);
	assert_memory_equal(fit_boot(fit)->kernel.bytes, bytes, size);
	fit_close(fit);
}

static void assert_refused(const struct fit_file *file, const char *part)
{
	struct error err = {""};
	struct fit *fit = NULL;
	int rc = open_exact(file, &fit, &err);

	if (rc != -EINVAL || !strstr(err.text, part))
		fail_msg("%d '%s' instead of '%s'", rc, err.text, part);
	assert_null(fit);
}

/* ---- bytes behind the tree ---- */

/* As mkimage -E makes it: position is filled in once the tree's size is known. */
static size_t make_external(struct fit_file *file, const char *property)
{
	size_t at;

	fit_file_make(file);
	fit_file_remove(file, KERNEL, "data");
	fit_file_set_cell(file, KERNEL, "data-size", sizeof(FIT_KERNEL) - 1);
	fit_file_set_cell(file, KERNEL, property, 0);
	fit_file_pack(file);
	fit_file_append(file, "padding", 7);
	at = fit_file_append(file, FIT_KERNEL, sizeof(FIT_KERNEL) - 1);
	return at;
}

static void external_position(void **state)
{
	struct fit_file file;
	size_t at = make_external(&file, "data-position");

	(void)state;
	fit_file_set_cell(&file, KERNEL, "data-position", (uint32_t)at);
	assert_kernel(&file, FIT_KERNEL, sizeof(FIT_KERNEL) - 1);
	fit_file_set_cell(&file, KERNEL, "data-position", (uint32_t)at - 1);
	assert_refused(&file, "hash does not match");
}

/* From the tree's end, rounded up to 4. */
static void external_offset(void **state)
{
	struct fit_file file;
	size_t at = make_external(&file, "data-offset");
	size_t tree = fdt_totalsize(file.bytes);

	(void)state;
	fit_file_set_cell(
		&file, KERNEL, "data-offset", (uint32_t)(at - ALIGN_UP(tree, UINT64_C(4))));
	assert_kernel(&file, FIT_KERNEL, sizeof(FIT_KERNEL) - 1);
}

static void external_bounds(void **state)
{
	static const struct {
		const char *property;
		uint32_t value;
	} bad[] = {
		{"data-size", 0},
		{"data-size", sizeof(FIT_KERNEL)},
		{"data-size", UINT32_MAX},
		{"data-size", 0x20000001},
		{"data-position", UINT32_MAX},
		{"data-position", FIT_FILE_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fit_file file;
		size_t at = make_external(&file, "data-position");

		fit_file_set_cell(&file, KERNEL, "data-position", (uint32_t)at);
		fit_file_set_cell(&file, KERNEL, bad[i].property, bad[i].value);
		assert_refused(&file, "not in the file");
	}
}

static void external_incomplete(void **state)
{
	struct fit_file file;

	(void)state;
	make_external(&file, "data-position");
	fit_file_remove(&file, KERNEL, "data-position");
	assert_refused(&file, "neither data-position nor data-offset");
	make_external(&file, "data-position");
	fit_file_set(&file, KERNEL, "data-size", "\0\1", 2);
	assert_refused(&file, "neither data nor data-size");
}

/* ---- gzip ---- */

enum { GZIP_OVERHEAD = 10 + 5 + 8 };

/* One stored block. */
static size_t make_gzip(uint8_t *out, const char *text)
{
	static const uint8_t header[10] = {0x1f, 0x8b, 8, [9] = 3};
	uint16_t len = (uint16_t)strlen(text);
	uint8_t crc[FIT_HASH_MAX];

	assert_int_equal(fit_hash("crc32", text, len, crc, NULL), 4);
	memcpy(out, header, sizeof(header));
	out[10] = 1; /* the last block, stored */
	put_le16(out + 11, len);
	put_le16(out + 13, (uint16_t)~len);
	memcpy(out + 15, text, len);
	for (int i = 0; i < 4; i++)
		out[15 + len + i] = crc[3 - i];
	put_le32(out + 19 + len, len);
	return len + (size_t)GZIP_OVERHEAD;
}

static void gzip_kernel(void **state)
{
	uint8_t packed[256];
	size_t len = make_gzip(packed, "a kernel that was packed");
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	fit_file_set_string(&file, KERNEL, "compression", "gzip");
	fit_file_set_data(&file, KERNEL, packed, len, "sha256");
	assert_kernel(&file, "a kernel that was packed", 24);
}

static void assert_not_unpacked(const uint8_t *packed, size_t len, uint64_t max)
{
	uint8_t *out = NULL, *exact = malloc(len ? len : 1);
	struct error err = {""};
	uint64_t size = 0;

	memcpy(exact, packed, len);
	assert_int_equal(fit_unpack("gzip", exact, len, max, &out, &size, &err), -EINVAL);
	assert_non_null(strstr(err.text, "damaged"));
	assert_null(out);
	free(exact);
}

static void gzip_damage(void **state)
{
	uint8_t packed[256];
	size_t len = make_gzip(packed, "text");

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_not_unpacked(packed, cut, MiB);
	for (size_t i = 0; i < len; i++) {
		/* Time and system mean nothing, some flags and the rest of the block's first byte
		 * neither. */
		if ((i >= 4 && i < 10) || i == 3)
			continue;
		packed[i] ^= 0x02;
		assert_not_unpacked(packed, len, MiB);
		packed[i] ^= 0x02;
	}
	assert_not_unpacked(packed, len, 3);
	packed[len] = 0;
	assert_not_unpacked(packed, len + 1, MiB);
	/* It promises more, or less, than it has. */
	put_le32(packed + len - 4, 5);
	assert_not_unpacked(packed, len, MiB);
	put_le32(packed + len - 4, 3);
	assert_not_unpacked(packed, len, MiB);
	put_le32(packed + len - 4, UINT32_MAX);
	assert_not_unpacked(packed, len, 256 * MiB);
	/* Sound, but no kernel. */
	len = make_gzip(packed, "");
	assert_not_unpacked(packed, len, MiB);
}

/* ---- hashes of "abc" (FIPS 180-4's examples, RFC 1321, and zlib's) ---- */

static void known_hashes(void **state)
{
	static const struct {
		const char *algo;
		int len;
		uint8_t start[4];
	} known[] = {
		{"crc32", 4, {0x35, 0x24, 0x41, 0xc2}},
		{"md5", 16, {0x90, 0x01, 0x50, 0x98}},
		{"sha1", 20, {0xa9, 0x99, 0x3e, 0x36}},
		{"sha256", 32, {0xba, 0x78, 0x16, 0xbf}},
		{"sha384", 48, {0xcb, 0x00, 0x75, 0x3f}},
		{"sha512", 64, {0xdd, 0xaf, 0x35, 0xa1}},
	};
	uint8_t hash[FIT_HASH_MAX];
	struct error err = {""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (fit_hash(known[i].algo, "abc", 3, hash, &err) != known[i].len)
			fail_msg("%s: %s", known[i].algo, err.text);
		assert_memory_equal(hash, known[i].start, 4);
	}
	assert_int_equal(fit_hash("sha3", "abc", 3, hash, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "'sha3'"));
	assert_int_equal(fit_hash("", "abc", 3, hash, &err), -ENOTSUP);
}

/* ---- damaged trees ---- */

static void every_length(void **state)
{
	struct fit_file file;
	size_t whole;

	(void)state;
	fit_file_make(&file);
	fit_file_pack(&file);
	whole = file.size;
	for (file.size = 0; file.size < whole; file.size++)
		assert_refused(&file, file.size < 40 ? "too short" : "cut short");
}

/* Whatever a byte is turned into, it is refused or makes no difference to the kernel. */
static void every_byte(void **state)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	fit_file_pack(&file);
	for (size_t at = 0; at < file.size; at++) {
		for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
			struct fit *fit = NULL;

			file.bytes[at] ^= masks[m];
			if (open_exact(&file, &fit, NULL) == 0) {
				assert_int_equal(
					fit_boot(fit)->kernel.size, sizeof(FIT_KERNEL) - 1);
				assert_memory_equal(fit_boot(fit)->kernel.bytes, FIT_KERNEL,
					sizeof(FIT_KERNEL) - 1);
				fit_close(fit);
			}
			file.bytes[at] ^= masks[m];
		}
	}
}

static void old_format(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	fdt_set_version(file.bytes, 16);
	assert_refused(&file, "damaged (FDT_ERR_BADVERSION)");
}

static void bounded_strings(void **state)
{
	struct fit_file file;

	(void)state;
	fit_file_make(&file);
	/* Sound enough for the header's own checks: a large tree that ends in strings. */
	fdt_set_totalsize(file.bytes, 0x100000);
	fdt_set_size_dt_strings(file.bytes, 0x20000);
	assert_refused(&file, "too large");
	fdt_set_totalsize(file.bytes, 0x7fffffff);
	assert_refused(&file, "too large");
}

/* More nodes than a FIT image has, which would make each search long. */
static void bounded_nodes(void **state)
{
	enum { TAGS = 20000, SIZE = 4 * TAGS + 256 };
	uint8_t *tree = calloc(1, SIZE);
	struct error err = {""};
	struct fit *fit = NULL;
	struct image image;
	uint32_t start;

	(void)state;
	assert_int_equal(fdt_create_empty_tree(tree, SIZE), 0);
	start = fdt_off_dt_struct(tree);
	fdt_set_off_dt_strings(tree, start + 4 * TAGS);
	fdt_set_size_dt_struct(tree, 4 * TAGS);
	for (uint32_t i = 2; i < TAGS; i++)
		fdt32_st(tree + start + 4 * (size_t)i, FDT_NOP);
	image_from_memory("app.itb", tree, SIZE, &image);
	assert_int_equal(fit_open(&image, NULL, &fit, &err), -EINVAL);
	assert_non_null(strstr(err.text, "too many"));
	free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(external_position),
		cmocka_unit_test(external_offset),
		cmocka_unit_test(external_bounds),
		cmocka_unit_test(external_incomplete),
		cmocka_unit_test(gzip_kernel),
		cmocka_unit_test(gzip_damage),
		cmocka_unit_test(known_hashes),
		cmocka_unit_test(every_length),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(old_format),
		cmocka_unit_test(bounded_strings),
		cmocka_unit_test(bounded_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
