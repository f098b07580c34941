/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/cache/key_hash.h"
#include "loader/image/bytes.h"

/* Key and message are 0, 1, 2...: the vectors of SipHash's authors (vectors_sip128). */
static void test_siphash_vectors(void **state)
{
	static const struct {
		unsigned int words;
		uint8_t hash[KEY_HASH_SIZE];
	} vectors[] = {
		{0, {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
			    0x55, 0x02, 0x93}},
		{1, {0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3,
			    0x14, 0x97, 0xb4}},
		{7, {0x19, 0x38, 0xf2, 0xcf, 0x72, 0xd5, 0x4e, 0xe9, 0x7e, 0x94, 0x16, 0x6f, 0xa9,
			    0x1d, 0x2a, 0x36}},
	};
	uint8_t bytes[64], hash[KEY_HASH_SIZE];
	struct siphash s;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		siphash_init(&s, bytes);
		for (unsigned int w = 0; w < vectors[i].words; w++)
			siphash_word(&s, get_le64(bytes + w * 8));
		siphash_final(&s, hash);
		assert_memory_equal(hash, vectors[i].hash, sizeof(hash));
	}
}

static uint8_t secret[KEY_HASH_SECRET];

static void hash_of(const uint8_t *data, size_t len, uint8_t hash[KEY_HASH_SIZE])
{
	struct key_hash h;

	key_hash_init(&h, secret);
	key_hash_update(&h, data, len);
	key_hash_final(&h, hash);
}

static void fill(uint8_t *bytes, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

/* NH as its definition has it, with numbers that cannot overflow. */
static void test_block_by_definition(void **state)
{
	uint8_t block[KEY_HASH_BLOCK], hash[KEY_HASH_SIZE], expected[KEY_HASH_SIZE];
	uint64_t lo = 0, hi = 0;
	struct siphash s;

	(void)state;
	fill(secret, sizeof(secret), 1);
	fill(block, sizeof(block), 2);
	for (size_t i = 0; i < KEY_HASH_BLOCK; i += 16) {
		uint64_t a = get_le64(block + i) + get_le64(secret + 16 + i);
		uint64_t b = get_le64(block + i + 8) + get_le64(secret + 24 + i);
		/* a * b by halves */
		uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
		uint64_t mid = (al * bl >> 32) + (uint32_t)(ah * bl) + (uint32_t)(al * bh);
		uint64_t low = mid << 32 | (uint32_t)(al * bl);

		hi += ah * bh + (ah * bl >> 32) + (al * bh >> 32) + (mid >> 32);
		lo += low;
		hi += lo < low;
	}
	siphash_init(&s, secret);
	siphash_word(&s, lo);
	siphash_word(&s, hi);
	siphash_word(&s, KEY_HASH_BLOCK);
	siphash_final(&s, expected);
	hash_of(block, sizeof(block), hash);
	assert_memory_equal(hash, expected, sizeof(hash));
}

/* Every bit counts, and so does every bit of the secret that can. */
static void test_bits_count(void **state)
{
	enum { LEN = 2 * KEY_HASH_BLOCK + 5 };
	uint8_t data[LEN], hash[KEY_HASH_SIZE], other[KEY_HASH_SIZE];

	(void)state;
	fill(secret, sizeof(secret), 3);
	fill(data, sizeof(data), 4);
	hash_of(data, LEN, hash);
	for (size_t i = 0; i < LEN; i++) {
		data[i] ^= (uint8_t)(1 << i % 8);
		hash_of(data, LEN, other);
		assert_memory_not_equal(hash, other, sizeof(hash));
		data[i] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < KEY_HASH_SECRET; i++) {
		secret[i] ^= (uint8_t)(1 << i % 8);
		hash_of(data, LEN, other);
		assert_memory_not_equal(hash, other, sizeof(hash));
		secret[i] ^= (uint8_t)(1 << i % 8);
	}
	hash_of(data, LEN, other);
	assert_memory_equal(hash, other, sizeof(hash));
}

/* What a last block is filled up with does not stand for data. */
static void test_lengths(void **state)
{
	static const uint8_t zeros[3 * KEY_HASH_BLOCK];
	uint8_t hashes[3 * KEY_HASH_BLOCK + 1][KEY_HASH_SIZE];

	(void)state;
	fill(secret, sizeof(secret), 5);
	for (size_t len = 0; len <= sizeof(zeros); len++)
		hash_of(zeros, len, hashes[len]);
	for (size_t a = 0; a <= sizeof(zeros); a += 7)
		for (size_t b = 0; b < a; b++)
			assert_memory_not_equal(hashes[a], hashes[b], KEY_HASH_SIZE);
}

static void test_in_pieces(void **state)
{
	enum { LEN = 4 * KEY_HASH_BLOCK + 100 };
	uint8_t data[LEN], hash[KEY_HASH_SIZE], other[KEY_HASH_SIZE];
	struct key_hash h;

	(void)state;
	fill(secret, sizeof(secret), 6);
	fill(data, sizeof(data), 7);
	hash_of(data, LEN, hash);
	key_hash_init(&h, secret);
	key_hash_update(&h, data, KEY_HASH_BLOCK);
	key_hash_update(&h, data + KEY_HASH_BLOCK, 2 * KEY_HASH_BLOCK);
	key_hash_update(&h, data + 3 * KEY_HASH_BLOCK, LEN - 3 * KEY_HASH_BLOCK);
	key_hash_final(&h, other);
	assert_memory_equal(hash, other, sizeof(hash));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_vectors),
		cmocka_unit_test(test_block_by_definition),
		cmocka_unit_test(test_bits_count),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
