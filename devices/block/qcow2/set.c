/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

bool qcow2_set_has(const struct qcow2_set *set, uint64_t cluster)
{
	return cluster < set->size && set->bits[cluster / 64] >> cluster % 64 & 1;
}

static int reserve(struct qcow2_set *set, uint64_t size)
{
	uint64_t room = MAX(set->size, UINT64_C(1024)), *bits;

	if (size <= set->size)
		return 0;
	while (room < size)
		room *= 2;
	/* Fresh, and not realloc: what is not touched takes no memory. */
	bits = calloc(room / 64, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	if (set->size)
		memcpy(bits, set->bits, set->size / 8);
	free(set->bits);
	set->bits = bits;
	set->size = room;
	return 0;
}

int qcow2_set_add(struct qcow2_set *set, uint64_t cluster, uint64_t num)
{
	int rc = reserve(set, cluster + num);

	if (rc)
		return rc;
	for (uint64_t c = cluster; c < cluster + num; c++) {
		if (qcow2_set_has(set, c))
			return -EEXIST;
		set->bits[c / 64] |= UINT64_C(1) << c % 64;
	}
	return 0;
}

void qcow2_set_remove(struct qcow2_set *set, uint64_t cluster, uint64_t num)
{
	for (uint64_t c = cluster; c < cluster + num && c < set->size; c++)
		set->bits[c / 64] &= ~(UINT64_C(1) << c % 64);
}

int qcow2_tables_add(struct qcow2_image *image, uint64_t cluster, uint64_t num)
{
	int rc;

	pthread_mutex_lock(&image->lock);
	rc = qcow2_set_add(&image->tables, cluster, num);
	pthread_mutex_unlock(&image->lock);
	return rc == -EEXIST ? qcow2_image_corrupt(image, "two tables are at the same place") : rc;
}

void qcow2_tables_remove(struct qcow2_image *image, uint64_t cluster, uint64_t num)
{
	pthread_mutex_lock(&image->lock);
	qcow2_set_remove(&image->tables, cluster, num);
	pthread_mutex_unlock(&image->lock);
}
