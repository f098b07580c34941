/* SPDX-License-Identifier: BSD-2-Clause */
/* 40 bits of a hash: among a thousand cards on one network two are alike once in two million. */
#include "vm/machine/net_mac.h"

/* FNV-1a, 64 bits; the end of a text counts too. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)(text ? *text : '\0')) * UINT64_C(0x100000001b3);
	while (text && *text++);
	return hash;
}

void net_mac_make(
	const char *host, const char *vm, const char *interface, unsigned int index, uint8_t mac[6])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = hash_text(hash, host);
	hash = hash_text(hash, vm);
	hash = hash_text(hash, interface);
	hash = (hash ^ index) * UINT64_C(0x100000001b3);
	/* The upper bits depend on all of the input, the lower ones on few. */
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	mac[0] = 0x02;
	for (int i = 1; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (24 + 8 * (i - 1)));
}
