/* SPDX-License-Identifier: BSD-2-Clause */
/* Each format there and back, cut, with sizes that lie, and with bytes that were changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/image/bytes.h"
#include "loader/unpack/decompress.h"
#include "packers.h"
#include "vm/core/error.h"

/* On the heap and of the exact size, so that ASan sees a byte too many read or written. */
static uint8_t *copy(const uint8_t *bytes, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	memcpy(p, bytes, len);
	return p;
}

static int unpack_exactly(
	const uint8_t *payload, size_t len, size_t size, uint8_t **ret, struct error *err)
{
	uint8_t *src = copy(payload, len), *dst = malloc(size ? size : 1);
	int rc = decompress(src, len, dst, size, err);

	free(src);
	if (ret)
		*ret = dst;
	else
		free(dst);
	return rc;
}

/* Half of it packs well, half not at all. */
static uint8_t *make_data(size_t len)
{
	uint8_t *data = malloc(len);
	uint32_t seed = 1;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = i % 8192 < 4096 ? (uint8_t)(i >> 7) : (uint8_t)(seed >> 24);
	}
	return data;
}

static void check_round_trip(const struct packer *packer, size_t len)
{
	uint8_t *data = make_data(len), *payload, *got = NULL;
	size_t packed = pack_payload(packer, data, len, &payload);
	struct error err = {{0}};

	if (packed) {
		if (unpack_exactly(payload, packed, len, &got, &err))
			fail_msg("%s, %zu bytes: %s", packer->name, len, err.text);
		assert_true(decompress_knows(payload));
		assert_memory_equal(got, data, len);
		assert_int_equal(get_le32(payload + packed - DECOMPRESS_TAIL), len);
		free(got);
		free(payload);
	}
	free(data);
}

static void test_round_trips(void **state)
{
	/* LZO's blocks are of 256 KiB. */
	static const size_t sizes[] = {64, 4096, 100000, 256 * KiB, 256 * KiB + 1};
	size_t formats = 0;

	(void)state;
	for (size_t i = 0; i < num_packers; i++) {
		uint8_t *payload;
		bool there = pack_payload(&packers[i], (const uint8_t *)"x", 1, &payload);

		printf("%s%s", there ? "" : "NOT HERE: ", packers[i].name);
		printf("%s", i + 1 < num_packers ? ", " : "\n");
		free(payload);
		formats += there;
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
			check_round_trip(&packers[i], sizes[k]);
		/* LZ4's are of 8 MiB. */
		if (strcmp(packers[i].name, "LZ4") == 0)
			check_round_trip(&packers[i], 8 * MiB + 1);
	}
	if (!formats)
		skip();
}

/* Runs a check for a payload of each format. */
static void with_payloads(
	size_t size, void (*check)(const char *name, uint8_t *payload, size_t packed, size_t size))
{
	for (size_t i = 0; i < num_packers; i++) {
		uint8_t *data = make_data(size), *payload;
		size_t packed = pack_payload(&packers[i], data, size, &payload);

		if (packed)
			check(packers[i].name, payload, packed, size);
		free(payload);
		free(data);
	}
}

static void expect_refusal(const char *name, int rc, const struct error *err)
{
	if (rc != -EINVAL || !strstr(err->text, name) || !strstr(err->text, "damaged"))
		fail_msg("%s: %d, %s", name, rc, err->text);
}

static void check_lies(const char *name, uint8_t *payload, size_t packed, size_t size)
{
	static const int lies[] = {-4096, -1, 1, 4096};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		expect_refusal(name,
			unpack_exactly(payload, packed, size + (size_t)lies[i], NULL, &err), &err);
	expect_refusal(name, unpack_exactly(payload, packed, 0, NULL, &err), &err);
}

static void test_sizes_that_lie(void **state)
{
	(void)state;
	with_payloads(20000, check_lies);
	with_payloads(260 * KiB, check_lies);
}

/* Cut anywhere, with the size put behind what is left. */
static void check_cuts(const char *name, uint8_t *payload, size_t packed, size_t size)
{
	struct error err;

	for (size_t len = DECOMPRESS_HEAD + DECOMPRESS_TAIL; len < packed;
		len += 1 + (packed - len) / 100) {
		uint8_t *cut = copy(payload, len);

		put_le32(cut + len - DECOMPRESS_TAIL, (uint32_t)size);
		expect_refusal(name, unpack_exactly(cut, len, size, NULL, &err), &err);
		free(cut);
	}
}

static void test_cuts(void **state)
{
	(void)state;
	with_payloads(20000, check_cuts);
}

/* Any answer will do, but a crash; and what is taken has been filled. */
static void check_changes(const char *name, uint8_t *payload, size_t packed, size_t size)
{
	uint8_t *good, *got;

	(void)name;
	assert_int_equal(unpack_exactly(payload, packed, size, &good, NULL), 0);
	for (size_t i = DECOMPRESS_HEAD; i < packed - DECOMPRESS_TAIL; i += 1 + packed / 500) {
		uint8_t was = payload[i];

		payload[i] ^= (uint8_t)(1 << i % 8);
		unpack_exactly(payload, packed, size, &got, NULL);
		free(got);
		payload[i] = was;
	}
	assert_int_equal(unpack_exactly(payload, packed, size, &got, NULL), 0);
	assert_memory_equal(good, got, size);
	free(got);
	free(good);
}

static void test_changes(void **state)
{
	(void)state;
	with_payloads(20000, check_changes);
}

/* Packs a thousandfold, and is stopped where the promise ends. */
static void test_bombs(void **state)
{
	const size_t size = 16 * MiB, promised = 10000;
	uint8_t *zeros = calloc(1, size);

	(void)state;
	for (size_t i = 0; i < num_packers; i++) {
		uint8_t *payload;
		size_t packed = pack_payload(&packers[i], zeros, size, &payload);
		struct error err;

		if (!packed)
			continue;
		put_le32(payload + packed - DECOMPRESS_TAIL, (uint32_t)promised);
		expect_refusal(packers[i].name,
			unpack_exactly(payload, packed, promised, NULL, &err), &err);
		free(payload);
	}
	free(zeros);
}

static void test_unknown(void **state)
{
	static const char *const heads[] = {
		"\177ELF", "\x1f\x9d", "BZx", "", "\x5d\1", "\x04\x22\x4d\x18"};
	uint8_t payload[64];
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		memset(payload, 0, sizeof(payload));
		memcpy(payload, heads[i], strlen(heads[i]));
		assert_false(decompress_knows(payload));
		assert_int_equal(
			unpack_exactly(payload, sizeof(payload), 100, NULL, &err), -ENOTSUP);
		assert_non_null(strstr(err.text, "an unknown format"));
	}
	/* Too short to have begun and ended */
	memcpy(payload, "\x02\x21\x4c\x18", 4);
	for (size_t len = 0; len < DECOMPRESS_HEAD + DECOMPRESS_TAIL; len++)
		assert_int_equal(unpack_exactly(payload, len, 100, NULL, &err), -ENOTSUP);
}

/* XZ and LZMA say themselves how much memory they want. */
static void test_dictionary_of_4_gib(void **state)
{
	uint8_t payload[64] = {0x5d, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0, 1, 2, 3, 4, 5};
	struct error err;
	int rc;

	(void)state;
	payload[1] = payload[2] = 0;
	rc = unpack_exactly(payload, sizeof(payload), 1000, NULL, &err);
	if (rc == -ENOTSUP)
		skip();
	expect_refusal("LZMA", rc, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_sizes_that_lie),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_dictionary_of_4_gib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
