/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Did you mean": the nearest of some names to what was typed. Names are offered one at a time, so
 * that any table can take part:
 *
 *	struct suggestion s;
 *	suggest_start(&s, "memroy");
 *	for each name: suggest_offer(&s, name);
 *	best = suggest_best(&s);
 */
#ifndef BANTAM_VM_CORE_SUGGEST_H
#define BANTAM_VM_CORE_SUGGEST_H

#include "vm/core/base.h"

struct suggestion {
	const char *typed; /* not owned */
	const char *best;
	unsigned int distance;
};

void suggest_start(struct suggestion *s, const char *typed);
/* The first of equally near names stays; the name is kept, not copied. */
void suggest_offer(struct suggestion *s, const char *name);
/* NULL when nothing is near enough to be what was meant. */
const char *suggest_best(const struct suggestion *s);

/*
 * Inserted, dropped, exchanged and swapped neighbouring letters between a and b, case apart; names
 * longer than 31 bytes are infinitely far (UINT_MAX).
 */
unsigned int suggest_distance(const char *a, const char *b);

#endif
