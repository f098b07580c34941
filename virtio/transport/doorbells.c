/* SPDX-License-Identifier: BSD-2-Clause */
#include "doorbells.h"

static bool same(const struct doorbell *a, const struct doorbell *b)
{
	return a->pio == b->pio && a->addr == b->addr && a->len == b->len && a->match == b->match &&
	       a->value == b->value && a->fd == b->fd;
}

void doorbells_set(struct doorbells *d, unsigned int q, const struct doorbell *want)
{
	if (d->added[q] && (!want || !same(want, &d->bells[q]))) {
		d->listener.remove(d->listener.opaque, &d->bells[q]);
		d->added[q] = false;
	}
	if (!want || d->added[q] || want->fd < 0 || !d->listener.add)
		return;
	d->bells[q] = *want;
	d->added[q] = d->listener.add(d->listener.opaque, &d->bells[q]) >= 0;
}
