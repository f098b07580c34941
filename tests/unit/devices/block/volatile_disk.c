/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache is a list of versions for each sector, in the order in which they were written. When a
 * version reaches the medium for certain, all older ones of its sector are gone: a disk does not
 * write an old version over a newer one.
 */
#include "volatile_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct version {
	struct version *next;
	unsigned int ticket;
	unsigned int completed; /* moment of it, 0 while in flight */
	uint8_t data[VD_SECTOR];
};

struct cached {
	struct version *oldest, **end;
};

/* The sectors that a ticket is for */
struct range {
	uint64_t first, end;
};

struct volatile_disk {
	uint64_t size, num_sectors;
	uint8_t *medium;
	uint8_t *latest;
	struct cached *cached;
	struct range *tickets; /* number 0 is none */
	unsigned int num_tickets, moment;
};

static void *memory(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		perror("volatile_disk");
		abort();
	}
	return p;
}

struct volatile_disk *vd_create(uint64_t size)
{
	struct volatile_disk *disk = memory(sizeof(*disk));

	disk->num_sectors = size / VD_SECTOR;
	disk->size = disk->num_sectors * VD_SECTOR;
	disk->medium = memory(disk->size);
	disk->latest = memory(disk->size);
	disk->cached = memory(disk->num_sectors * sizeof(disk->cached[0]));
	for (uint64_t s = 0; s < disk->num_sectors; s++)
		disk->cached[s].end = &disk->cached[s].oldest;
	return disk;
}

/* Forgets what is older than keep, NULL for everything. */
static void drop(struct cached *cached, const struct version *keep)
{
	while (cached->oldest != keep) {
		struct version *v = cached->oldest;

		cached->oldest = v->next;
		free(v);
	}
	if (!keep)
		cached->end = &cached->oldest;
}

void vd_destroy(struct volatile_disk *disk)
{
	if (!disk)
		return;
	for (uint64_t s = 0; s < disk->num_sectors; s++)
		drop(&disk->cached[s], NULL);
	free(disk->tickets);
	free(disk->cached);
	free(disk->medium);
	free(disk->latest);
	free(disk);
}

uint64_t vd_size(const struct volatile_disk *disk)
{
	return disk->size;
}

static void check_range(const struct volatile_disk *disk, uint64_t offset, uint64_t len)
{
	if (!range_ok(offset, len, disk->size)) {
		fprintf(stderr, "volatile_disk: outside the disk\n");
		abort();
	}
}

void vd_read(const struct volatile_disk *disk, uint64_t offset, void *buf, uint64_t len)
{
	check_range(disk, offset, len);
	memcpy(buf, disk->latest + offset, len);
}

static unsigned int new_ticket(struct volatile_disk *disk, struct range range)
{
	const unsigned int ticket = ++disk->num_tickets;

	/* Room for up to the next power of two */
	if (is_power_of_two(ticket)) {
		disk->tickets = realloc(disk->tickets, 2 * ticket * sizeof(disk->tickets[0]));
		if (!disk->tickets)
			abort();
	}
	disk->tickets[ticket] = range;
	return ticket;
}

/* The sectors of the range have changed in latest. */
static unsigned int remember(struct volatile_disk *disk, uint64_t offset, uint64_t len)
{
	const struct range range = {
		offset / VD_SECTOR, len ? (offset + len - 1) / VD_SECTOR + 1 : offset / VD_SECTOR};
	const unsigned int ticket = new_ticket(disk, range);

	for (uint64_t s = range.first; s < range.end; s++) {
		struct version *v = memory(sizeof(*v));

		v->ticket = ticket;
		memcpy(v->data, disk->latest + s * VD_SECTOR, VD_SECTOR);
		*disk->cached[s].end = v;
		disk->cached[s].end = &v->next;
	}
	return ticket;
}

unsigned int vd_write(struct volatile_disk *disk, uint64_t offset, const void *buf, uint64_t len)
{
	check_range(disk, offset, len);
	memcpy(disk->latest + offset, buf, len);
	return remember(disk, offset, len);
}

unsigned int vd_zero(struct volatile_disk *disk, uint64_t offset, uint64_t len)
{
	check_range(disk, offset, len);
	memset(disk->latest + offset, 0, len);
	return remember(disk, offset, len);
}

void vd_complete(struct volatile_disk *disk, unsigned int ticket)
{
	const struct range range = disk->tickets[ticket];

	disk->moment++;
	for (uint64_t s = range.first; s < range.end; s++)
		for (struct version *v = disk->cached[s].oldest; v; v = v->next)
			if (v->ticket == ticket)
				v->completed = disk->moment;
}

/* The medium has this version now; NULL: nothing new. */
static void settle(struct volatile_disk *disk, uint64_t sector, const struct version *v)
{
	if (!v)
		return;
	memcpy(disk->medium + sector * VD_SECTOR, v->data, VD_SECTOR);
	drop(&disk->cached[sector], v->next);
}

void vd_complete_fua(struct volatile_disk *disk, unsigned int ticket)
{
	const struct range range = disk->tickets[ticket];

	for (uint64_t s = range.first; s < range.end; s++) {
		const struct version *v = disk->cached[s].oldest;

		while (v && v->ticket != ticket)
			v = v->next;
		settle(disk, s, v);
	}
}

unsigned int vd_flush_begin(struct volatile_disk *disk)
{
	return disk->moment;
}

void vd_flush_end(struct volatile_disk *disk, unsigned int flush)
{
	for (uint64_t s = 0; s < disk->num_sectors; s++) {
		const struct version *last = NULL;

		for (const struct version *v = disk->cached[s].oldest; v; v = v->next)
			if (v->completed && v->completed <= flush)
				last = v;
		settle(disk, s, last);
	}
}

unsigned int vd_versions(
	const struct volatile_disk *disk, uint64_t sector, const uint8_t **ret, unsigned int max)
{
	unsigned int n = 0;

	ret[n++] = disk->medium + sector * VD_SECTOR;
	for (const struct version *v = disk->cached[sector].oldest; v; v = v->next) {
		bool known = false;

		for (unsigned int i = 0; i < n && !known; i++)
			known = memcmp(ret[i], v->data, VD_SECTOR) == 0;
		if (!known && n < max)
			ret[n++] = v->data;
	}
	return n;
}
