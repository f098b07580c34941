/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A keyed hash of 128 bits, for data of many megabytes. Who does not know the secret cannot make
 * two inputs that collide, but for a chance of 2^-64.
 */
#ifndef BANTAM_LOADER_CACHE_KEY_HASH_H
#define BANTAM_LOADER_CACHE_KEY_HASH_H

#include "vm/core/base.h"

enum { KEY_HASH_BLOCK = 1024, KEY_HASH_SECRET = 16 + KEY_HASH_BLOCK, KEY_HASH_SIZE = 16 };

struct siphash {
	uint64_t v[4];
	uint64_t words;
};

struct key_hash {
	uint64_t block_key[KEY_HASH_BLOCK / 8];
	struct siphash sip;
	uint64_t len;
};

void key_hash_init(struct key_hash *h, const uint8_t secret[KEY_HASH_SECRET]);

/* Every call but the last one brings whole blocks. */
void key_hash_update(struct key_hash *h, const uint8_t *data, size_t len);
void key_hash_final(struct key_hash *h, uint8_t hash[KEY_HASH_SIZE]);

/* SipHash-2-4 with 128 bits of output, of words of 64 bits. */
void siphash_init(struct siphash *s, const uint8_t key[16]);
void siphash_word(struct siphash *s, uint64_t word);
void siphash_final(struct siphash *s, uint8_t hash[KEY_HASH_SIZE]);

#endif
