/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Optimal string alignment: the textbook edit distance with one more case, two swapped neighbours,
 * which is what fingers do most. Three rows of the matrix are kept, since the swap looks back two.
 */
#include "vm/core/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

enum { MAX_NAME = 31, MIN_PREFIX = 2 };

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

unsigned int suggest_distance(const char *a, const char *b)
{
	size_t alen = strnlen(a, MAX_NAME + 1), blen = strnlen(b, MAX_NAME + 1);
	unsigned int rows[3][MAX_NAME + 1];

	if (alen > MAX_NAME || blen > MAX_NAME)
		return UINT_MAX;
	for (size_t j = 0; j <= blen; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= alen; i++) {
		unsigned int *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= blen; j++) {
			unsigned int d = up[j - 1] + !same(a[i - 1], b[j - 1]);

			d = MIN(d, up[j] + 1);
			d = MIN(d, row[j - 1] + 1);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				d = MIN(d, up2[j - 2] + 1);
			row[j] = d;
		}
	}
	return rows[alen % 3][blen];
}

void suggest_start(struct suggestion *s, const char *typed)
{
	*s = (struct suggestion){.typed = typed, .distance = UINT_MAX};
}

void suggest_offer(struct suggestion *s, const char *name)
{
	unsigned int d = suggest_distance(s->typed, name);
	size_t len = strlen(s->typed);

	/* An abbreviation leaves much out, but nothing that is there is wrong. */
	if (d > 1 && len >= MIN_PREFIX && !strncasecmp(s->typed, name, len))
		d = 1;
	if (d < s->distance) {
		s->distance = d;
		s->best = name;
	}
}

const char *suggest_best(const struct suggestion *s)
{
	/* One slip in a short name, up to three in a long one. */
	size_t allowed = MIN((strlen(s->typed) + 2) / 3, 3);

	return s->distance <= allowed ? s->best : NULL;
}
