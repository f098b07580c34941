/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/gdb/points.h"

#include <errno.h>
#include <string.h>

#include "vm/core/guest_mem.h"

enum { INT3 = 0xcc };

/* DR7: what bit 10 is, a register's enable bits, and where its type and length are. */
#define DR7_FIXED     UINT64_C(0x400)
#define DR7_ENABLE(i) (UINT64_C(3) << (2 * (i)))
#define DR7_TYPE(i)   (16 + 4 * (i))

static bool same(const struct gdb_point *a, const struct gdb_point *b)
{
	return a->kind == b->kind && a->addr == b->addr && a->len == b->len;
}

static int find(const struct gdb_points *points, const struct gdb_point *point)
{
	for (unsigned int i = 0; i < points->num; i++)
		if (same(&points->all[i].point, point))
			return (int)i;
	return -1;
}

/* ---- debug registers ---- */

static unsigned int type_of(enum gdb_point_kind kind)
{
	switch (kind) {
	case GDB_SOFT:
	case GDB_HARD:
		return 0;
	case GDB_WRITE:
		return 1;
	default:
		/* There is none for reads alone. */
		return 3;
	}
}

/* Of a piece from addr on that one register can watch. */
static unsigned int piece(uint64_t addr, uint64_t len)
{
	unsigned int size = 8;

	while (addr % size || size > len)
		size /= 2;
	return size;
}

static bool take_register(struct gdb_points *points, unsigned int owner, uint64_t addr,
	unsigned int type, unsigned int size)
{
	static const uint8_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
	const unsigned int i = points->num_dr;

	if (i == GDB_DEBUG_REGISTERS)
		return false;
	points->num_dr++;
	points->dr[i] = addr;
	points->owners[i] = owner;
	points->dr7 |= DR7_ENABLE(i) | (uint64_t)(type | lengths[size] << 2) << DR7_TYPE(i);
	return true;
}

static bool take_registers(struct gdb_points *points, unsigned int owner)
{
	const struct gdb_point *point = &points->all[owner].point;
	const unsigned int type = type_of(point->kind);
	uint64_t addr = point->addr, len = type ? point->len : 1;

	while (len) {
		const unsigned int size = type ? piece(addr, len) : 1;

		if (!take_register(points, owner, addr, type, size))
			return false;
		addr += size;
		len -= size;
	}
	return true;
}

/* False: there are not so many registers. */
static bool plan(struct gdb_points *points)
{
	points->num_dr = points->num_traps = 0;
	points->dr7 = DR7_FIXED;
	memset(points->dr, 0, sizeof(points->dr));
	for (unsigned int i = 0; i < points->num; i++) {
		if (points->all[i].in_memory)
			points->traps[points->num_traps++] = points->all[i].gpa;
		else if (!take_registers(points, i))
			return false;
	}
	return true;
}

/* ---- memory ---- */

/* Two addresses of one page may have a breakpoint at the same byte. */
static uint8_t saved_at(const struct gdb_points *points, uint64_t gpa, uint8_t now)
{
	for (unsigned int i = 0; i < points->num; i++)
		if (points->all[i].in_memory && points->all[i].gpa == gpa)
			return points->all[i].saved;
	return now;
}

static bool is_trap(const struct gdb_points *points, uint64_t gpa)
{
	for (unsigned int i = 0; i < points->num; i++)
		if (points->all[i].in_memory && points->all[i].gpa == gpa)
			return true;
	return false;
}

static bool put_trap(struct gdb_points *points, const struct guest_mem *mem, unsigned int i,
	struct gdb_place place)
{
	uint8_t *p = place.known ? guest_mem_ptr(mem, place.gpa, 1) : NULL;

	if (!p)
		return false;
	points->all[i].saved = saved_at(points, place.gpa, *p);
	points->all[i].gpa = place.gpa;
	points->all[i].in_memory = true;
	*p = INT3;
	return true;
}

/* A guest that has patched its code meanwhile has put something else there. */
static void take_trap(
	const struct gdb_points *points, const struct guest_mem *mem, uint64_t gpa, uint8_t saved)
{
	uint8_t *p = guest_mem_ptr(mem, gpa, 1);

	if (p && *p == INT3 && !is_trap(points, gpa))
		*p = saved;
}

/* The last one goes where there is a hole, if it is another. */
static void drop(struct gdb_points *points, const struct guest_mem *mem, unsigned int i)
{
	const bool in_memory = points->all[i].in_memory;
	const uint64_t gpa = points->all[i].gpa;
	const uint8_t saved = points->all[i].saved;

	points->num--;
	memmove(&points->all[i], &points->all[i + 1], (points->num - i) * sizeof(points->all[0]));
	if (in_memory)
		take_trap(points, mem, gpa, saved);
}

/* ---- all of them ---- */

/*
 * In memory, if it can be; a debug register is better than memory that the guest has not come to
 * yet, as it may patch its code before it does.
 */
static bool place_last(
	struct gdb_points *points, const struct guest_mem *mem, struct gdb_place place)
{
	const unsigned int i = points->num - 1;

	if (points->all[i].point.kind != GDB_SOFT)
		return plan(points);
	if (!place.later && put_trap(points, mem, i, place))
		return plan(points);
	return plan(points) || (put_trap(points, mem, i, place) && plan(points));
}

static int add(struct gdb_points *points, const struct guest_mem *mem,
	const struct gdb_point *point, struct gdb_place place)
{
	points->all[points->num].point = *point;
	points->all[points->num].in_memory = false;
	points->num++;
	if (place_last(points, mem, place))
		return 0;
	drop(points, mem, points->num - 1);
	plan(points);
	return -ENOSPC;
}

static bool is_sound(const struct gdb_point *point)
{
	if (point->kind >= GDB_NUM_KINDS)
		return false;
	if (point->kind <= GDB_HARD)
		return true;
	return point->len && point->len <= 8 * GDB_DEBUG_REGISTERS &&
	       point->addr + point->len - 1 >= point->addr;
}

int gdb_points_add(struct gdb_points *points, const struct guest_mem *mem,
	const struct gdb_point *point, struct gdb_place place)
{
	if (!is_sound(point))
		return -EINVAL;
	if (find(points, point) >= 0)
		return 0;
	return points->num < GDB_MAX_POINTS ? add(points, mem, point, place) : -E2BIG;
}

bool gdb_points_remove(
	struct gdb_points *points, const struct guest_mem *mem, const struct gdb_point *point)
{
	const int i = find(points, point);

	if (i < 0)
		return false;
	drop(points, mem, (unsigned int)i);
	plan(points);
	return true;
}

void gdb_points_clear(struct gdb_points *points, const struct guest_mem *mem)
{
	while (points->num)
		drop(points, mem, points->num - 1);
	plan(points);
}

unsigned int gdb_points_renew(struct gdb_points *points, const struct guest_mem *mem,
	struct gdb_place (*where)(void *opaque, uint64_t addr), void *opaque)
{
	const unsigned int num = points->num;
	unsigned int lost = 0;

	/* The memory that they were in is gone; the ones further on are still to be read. */
	points->num = 0;
	for (unsigned int i = 0; i < num; i++) {
		const struct gdb_point point = points->all[i].point;

		lost += add(points, mem, &point, where(opaque, point.addr)) < 0;
	}
	plan(points);
	return lost;
}

void gdb_points_hide(const struct gdb_points *points, uint64_t gpa, uint8_t *buf, size_t len)
{
	for (unsigned int i = 0; i < points->num; i++) {
		const uint64_t at = points->all[i].gpa - gpa;

		if (points->all[i].in_memory && at < len && buf[at] == INT3)
			buf[at] = points->all[i].saved;
	}
}

void gdb_points_cover(struct gdb_points *points, uint64_t gpa, uint8_t *buf, size_t len)
{
	/* All that share a byte, before it is covered. */
	for (unsigned int i = 0; i < points->num; i++) {
		const uint64_t at = points->all[i].gpa - gpa;

		if (points->all[i].in_memory && at < len)
			points->all[i].saved = buf[at];
	}
	for (unsigned int i = 0; i < points->num_traps; i++)
		if (points->traps[i] - gpa < len)
			buf[points->traps[i] - gpa] = INT3;
}

const struct gdb_point *gdb_points_of_register(const struct gdb_points *points, unsigned int i)
{
	return i < points->num_dr ? &points->all[points->owners[i]].point : NULL;
}

const struct gdb_point *gdb_points_at(const struct gdb_points *points, uint64_t addr)
{
	for (unsigned int i = 0; i < points->num; i++)
		if (points->all[i].point.kind <= GDB_HARD && points->all[i].point.addr == addr)
			return &points->all[i].point;
	return NULL;
}
