/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions live in a fixed array: a machine has a handful (RAM below and above each hole). Every way
 * in goes through find(), which compares by subtraction so that no address can wrap.
 */
#include "vm/core/guest_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REGIONS = 64 };

struct guest_mem {
	size_t count;
	struct guest_mem_region regions[MAX_REGIONS]; /* by ascending gpa */
};

int guest_mem_create(struct guest_mem **ret)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return -ENOMEM;
	*ret = mem;
	return 0;
}

void guest_mem_destroy(struct guest_mem *mem)
{
	free(mem);
}

int guest_mem_add(struct guest_mem *mem, uint64_t gpa, uint64_t size, void *hva)
{
	size_t at = 0;

	if (!size || gpa + (size - 1) < gpa || !hva)
		return -EINVAL;
	if (mem->count == MAX_REGIONS)
		return -ENOMEM;
	for (size_t i = 0; i < mem->count; i++) {
		const struct guest_mem_region *r = &mem->regions[i];

		if (ranges_overlap(gpa, size, r->gpa, r->size))
			return -EEXIST;
		if (r->gpa < gpa)
			at = i + 1;
	}
	memmove(&mem->regions[at + 1], &mem->regions[at],
		(mem->count - at) * sizeof(mem->regions[0]));
	mem->regions[at] = (struct guest_mem_region){.gpa = gpa, .size = size, .hva = hva};
	mem->count++;
	return 0;
}

const struct guest_mem_region *guest_mem_regions(const struct guest_mem *mem, size_t *count)
{
	*count = mem->count;
	return mem->regions;
}

/* The longest piece of [gpa, gpa + len) that lies in one region; NULL where gpa is in none. */
static void *find(const struct guest_mem *mem, uint64_t gpa, uint64_t len, uint64_t *piece)
{
	for (size_t i = 0; i < mem->count; i++) {
		const struct guest_mem_region *r = &mem->regions[i];
		uint64_t off = gpa - r->gpa;

		if (gpa < r->gpa || off >= r->size)
			continue;
		*piece = MIN(len, r->size - off);
		return (uint8_t *)r->hva + off;
	}
	*piece = 0;
	return NULL;
}

void *guest_mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t piece;
	void *p = find(mem, gpa, len, &piece);

	return p && piece == len ? p : NULL;
}

static bool is_backed(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t piece;

	for (; len; gpa += piece, len -= piece)
		if (!find(mem, gpa, len, &piece))
			return false;
	return true;
}

int guest_mem_read(const struct guest_mem *mem, uint64_t gpa, void *dst, uint64_t len)
{
	uint8_t *to = dst;
	uint64_t piece;

	if (!is_backed(mem, gpa, len))
		return -EFAULT;
	for (; len; gpa += piece, to += piece, len -= piece) {
		const void *from = find(mem, gpa, len, &piece);

		memcpy(to, from, piece);
	}
	return 0;
}

int guest_mem_write(const struct guest_mem *mem, uint64_t gpa, const void *src, uint64_t len)
{
	const uint8_t *from = src;
	uint64_t piece;

	if (!is_backed(mem, gpa, len))
		return -EFAULT;
	for (; len; gpa += piece, from += piece, len -= piece) {
		void *to = find(mem, gpa, len, &piece);

		memcpy(to, from, piece);
	}
	return 0;
}

int guest_mem_zero(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t piece;

	if (!is_backed(mem, gpa, len))
		return -EFAULT;
	for (; len; gpa += piece, len -= piece) {
		void *to = find(mem, gpa, len, &piece);

		memset(to, 0, piece);
	}
	return 0;
}

int guest_mem_iov(
	const struct guest_mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov, int max)
{
	uint64_t piece;
	int n = 0;

	if (!is_backed(mem, gpa, len))
		return -EFAULT;
	for (; len; gpa += piece, len -= piece, n++) {
		if (n == max)
			return -E2BIG;
		iov[n].iov_base = find(mem, gpa, len, &piece);
		iov[n].iov_len = piece;
	}
	return n;
}
