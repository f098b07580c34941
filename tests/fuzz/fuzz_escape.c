/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Ctrl-A filter against a second implementation that looks at the whole input at once, under
 * arbitrary cuts. The first byte seeds the lengths of the pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "../../devices/char/escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 4096 };

struct trace {
	uint16_t item[MAX_INPUT]; /* a byte, or 256 + key */
	size_t count;
};

static void expected(const uint8_t *in, size_t len, struct trace *trace)
{
	static const struct {
		uint8_t key;
		uint16_t item;
	} keys[] = {
		{'x', 256 + ESCAPE_QUIT},
		{'p', 256 + ESCAPE_POWER_BUTTON},
		{'r', 256 + ESCAPE_RESET},
		{'b', 256 + ESCAPE_BREAK},
		{'z', 256 + ESCAPE_SUSPEND},
		{'d', 256 + ESCAPE_DETACH},
		{'?', 256 + ESCAPE_HELP},
		{'h', 256 + ESCAPE_HELP},
		{'a', ESCAPE_BYTE},
		{ESCAPE_BYTE, ESCAPE_BYTE},
	};

	for (size_t i = 0; i < len; i++) {
		if (in[i] != ESCAPE_BYTE) {
			trace->item[trace->count++] = in[i];
			continue;
		}
		if (++i == len)
			return;
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if (keys[k].key == in[i])
				trace->item[trace->count++] = keys[k].item;
	}
}

static void feed(struct escape *escape, const uint8_t *in, size_t len, struct trace *trace)
{
	uint8_t *buf = malloc(len), *p = buf; /* of this size, for the address sanitizer */
	size_t used, out_len;

	memcpy(buf, in, len);
	for (; len; p += used, len -= used) {
		enum escape_key key = escape_feed(escape, p, len, &used, &out_len);

		if (!used || used > len || out_len > used || (key == ESCAPE_NONE && used != len))
			abort();
		for (size_t i = 0; i < out_len; i++)
			trace->item[trace->count++] = p[i];
		if (key != ESCAPE_NONE)
			trace->item[trace->count++] = (uint16_t)(256 + (int)key);
	}
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace want, got;
	struct escape escape = {0};
	uint32_t seed;

	if (size < 2 || size > MAX_INPUT)
		return 0;
	seed = data[0];
	data++;
	size--;
	want.count = got.count = 0;
	expected(data, size, &want);
	for (size_t at = 0; at < size;) {
		size_t n;

		seed = seed * 1103515245 + 12345;
		n = MIN(size - at, (size_t)(1 + (seed >> 16) % 7));
		feed(&escape, data + at, n, &got);
		at += n;
	}
	if (want.count != got.count ||
		memcmp(want.item, got.item, want.count * sizeof(want.item[0])) != 0)
		abort();
	return 0;
}
