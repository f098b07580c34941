/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints and watchpoints of a debugger: which of them are an int3 in guest memory, and which
 * take one of the processor's four debug registers (SDM vol. 3, 18.2). Nothing of the guest runs
 * while they are changed. Pure: guest memory is all that is touched.
 *
 * A software breakpoint whose address is not mapped yet, as all of the kernel's before it has its
 * page tables, takes a debug register, if one is free, as long as it is there.
 */
#ifndef BANTAM_VM_GDB_POINTS_H
#define BANTAM_VM_GDB_POINTS_H

#include "vm/core/base.h"

struct guest_mem;

enum { GDB_DEBUG_REGISTERS = 4, GDB_MAX_POINTS = 256 };

/* As the protocol numbers them: Z0 to Z4. */
enum gdb_point_kind { GDB_SOFT, GDB_HARD, GDB_WRITE, GDB_READ, GDB_ACCESS, GDB_NUM_KINDS };

struct gdb_point {
	enum gdb_point_kind kind;
	uint64_t addr;
	uint64_t len; /* of what is watched */
};

/*
 * Where addr is in memory. later: it is not mapped there now, but will be, and what is there is in
 * place already.
 */
struct gdb_place {
	bool known, later;
	uint64_t gpa;
};

struct gdb_points {
	struct {
		struct gdb_point point;
		bool in_memory;
		uint64_t gpa;
		uint8_t saved; /* what the int3 is in place of */
	} all[GDB_MAX_POINTS];
	unsigned int num;

	/* What follows from them: */
	uint64_t traps[GDB_MAX_POINTS]; /* where there is an int3 */
	unsigned int num_traps;
	uint64_t dr[GDB_DEBUG_REGISTERS], dr7;
	unsigned int owners[GDB_DEBUG_REGISTERS]; /* index in all */
	unsigned int num_dr;
};

/*
 * They begin as zeros. -ENOSPC: no debug register is free; -EINVAL: it can be none; -E2BIG: too
 * many. One that is there already is no error.
 */
int gdb_points_add(struct gdb_points *points, const struct guest_mem *mem,
	const struct gdb_point *point, struct gdb_place place);
/* False: there was none. */
bool gdb_points_remove(
	struct gdb_points *points, const struct guest_mem *mem, const struct gdb_point *point);
void gdb_points_clear(struct gdb_points *points, const struct guest_mem *mem);

/*
 * After a reboot, with memory in which there are none. find tells where an address is now. Returns
 * how many cannot be had any more and were dropped.
 */
unsigned int gdb_points_renew(struct gdb_points *points, const struct guest_mem *mem,
	struct gdb_place (*find)(void *opaque, uint64_t addr), void *opaque);

/* What stands at gpa, as if there were no int3s: buf has been read, or is to be written there. */
void gdb_points_hide(const struct gdb_points *points, uint64_t gpa, uint8_t *buf, size_t len);
void gdb_points_cover(struct gdb_points *points, uint64_t gpa, uint8_t *buf, size_t len);

/* Which one debug register i is for; NULL: it is free. */
const struct gdb_point *gdb_points_of_register(const struct gdb_points *points, unsigned int i);
/* Which breakpoint a vCPU at addr has come to, in memory or not; NULL: none. */
const struct gdb_point *gdb_points_at(const struct gdb_points *points, uint64_t addr);

#endif
