/* SPDX-License-Identifier: BSD-2-Clause */
#include "tables.h"

#include <string.h>

#include "vm/core/layout.h"

static void put(struct tables *t, uint64_t at, uint64_t value, unsigned int size)
{
	if (!range_ok(at, size, LAYOUT_ACPI_SIZE))
		return;
	for (unsigned int i = 0; i < size; i++)
		t->buf[at + i] = (uint8_t)(value >> (8 * i));
}

void put8(struct tables *t, uint64_t at, uint8_t value)
{
	put(t, at, value, 1);
}

void put16(struct tables *t, uint64_t at, uint16_t value)
{
	put(t, at, value, 2);
}

void put32(struct tables *t, uint64_t at, uint32_t value)
{
	put(t, at, value, 4);
}

void put64(struct tables *t, uint64_t at, uint64_t value)
{
	put(t, at, value, 8);
}

void put_bytes(struct tables *t, uint64_t at, const void *src, size_t len)
{
	if (range_ok(at, len, LAYOUT_ACPI_SIZE))
		memcpy(t->buf + at, src, len);
}

uint64_t tables_reserve(struct tables *t, uint64_t len, uint64_t align)
{
	uint64_t at = ALIGN_UP(t->used, align);

	t->used = at + len;
	return at;
}

void tables_checksum(struct tables *t, uint64_t at, uint64_t len, uint64_t sum_at)
{
	uint8_t sum = 0;

	if (!range_ok(at, len, LAYOUT_ACPI_SIZE))
		return;
	t->buf[sum_at] = 0;
	for (uint64_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + t->buf[at + i]);
	t->buf[sum_at] = (uint8_t)-sum;
}

void tables_finish(
	struct tables *t, uint64_t at, const char *signature, uint8_t revision, const char *id)
{
	uint64_t len = t->used - at;

	put_bytes(t, at, signature, 4);
	put32(t, at + 4, (uint32_t)len);
	put8(t, at + 8, revision);
	put_bytes(t, at + 10, "BANTAM", 6);
	put_bytes(t, at + 16, id, 8);
	put32(t, at + 24, 1);
	put_bytes(t, at + 28, "BNTM", 4);
	put32(t, at + 32, 1);
	tables_checksum(t, at, len, at + 9);
}
