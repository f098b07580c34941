/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; its 128-bit variant)
 * over what NH (Black et al.: "UMAC: fast and secure message authentication", 1999, with 64-bit
 * words as in VMAC) makes of each KiB: 16 bytes. NH is a multiplication for each 16 bytes, so that
 * 14 MB cost 9 million instructions instead of the 55 of SipHash alone.
 * For two different blocks that NH's key does not depend on, the results are equal with a chance of
 * 2^-64; and what SipHash makes of them is never shown to who could make use of it. A last block
 * is filled up with zeros, and the length hashed at the end tells it from one that had them.
 */
#include "loader/cache/key_hash.h"

#include <string.h>

#include "loader/image/bytes.h"

static inline uint64_t rotl(uint64_t x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

static void sip_rounds(uint64_t v[4], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

void siphash_init(struct siphash *s, const uint8_t key[16])
{
	const uint64_t k0 = get_le64(key), k1 = get_le64(key + 8);

	s->v[0] = k0 ^ UINT64_C(0x736f6d6570736575);
	s->v[1] = k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee;
	s->v[2] = k0 ^ UINT64_C(0x6c7967656e657261);
	s->v[3] = k1 ^ UINT64_C(0x7465646279746573);
	s->words = 0;
}

static void sip_absorb(struct siphash *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_rounds(s->v, 2);
	s->v[0] ^= word;
}

void siphash_word(struct siphash *s, uint64_t word)
{
	sip_absorb(s, word);
	s->words++;
}

void siphash_final(struct siphash *s, uint8_t hash[KEY_HASH_SIZE])
{
	sip_absorb(s, (s->words * 8) << 56);
	s->v[2] ^= 0xee;
	sip_rounds(s->v, 4);
	put_le64(hash, s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3]);
	s->v[1] ^= 0xdd;
	sip_rounds(s->v, 4);
	put_le64(hash + 8, s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3]);
}

void key_hash_init(struct key_hash *h, const uint8_t secret[KEY_HASH_SECRET])
{
	siphash_init(&h->sip, secret);
	for (size_t i = 0; i < ARRAY_SIZE(h->block_key); i++)
		h->block_key[i] = get_le64(secret + 16 + i * 8);
	h->len = 0;
}

static void hash_block(struct key_hash *h, const uint8_t block[KEY_HASH_BLOCK])
{
	unsigned __int128 sum = 0;

#pragma GCC unroll 8
	for (size_t i = 0; i < ARRAY_SIZE(h->block_key); i += 2)
		sum += (unsigned __int128)(get_le64(block + i * 8) + h->block_key[i]) *
		       (get_le64(block + i * 8 + 8) + h->block_key[i + 1]);
	siphash_word(&h->sip, (uint64_t)sum);
	siphash_word(&h->sip, (uint64_t)(sum >> 64));
}

void key_hash_update(struct key_hash *h, const uint8_t *data, size_t len)
{
	uint8_t last[KEY_HASH_BLOCK] = {0};

	h->len += len;
	for (; len >= KEY_HASH_BLOCK; data += KEY_HASH_BLOCK, len -= KEY_HASH_BLOCK)
		hash_block(h, data);
	if (!len)
		return;
	memcpy(last, data, len);
	hash_block(h, last);
}

void key_hash_final(struct key_hash *h, uint8_t hash[KEY_HASH_SIZE])
{
	siphash_word(&h->sip, h->len);
	siphash_final(&h->sip, hash);
}
