/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the debugger's side of a VM: vm_gdb.c has the client's connection, vm_gdb_target.c what
 * the stub (vm/gdb/gdb.h) wants of a VM, vm_gdb_monitor.c the commands behind "monitor".
 */
#ifndef BANTAM_VM_VM_GDB_H
#define BANTAM_VM_VM_GDB_H

#include "vm/gdb/gdb.h"
#include "vm_private.h"

enum { VM_GDB_UNSENT = 65536 };

struct vm_gdb {
	struct vm *vm;
	struct gdb *stub;
	struct gdb_points points;
	bool physical;	/* addresses are, by "monitor physical" */
	bool killed;	/* the client wanted the end */
	bool kept_from; /* the guest, until a client has it go on: --gdb ...,wait */

	/* A breakpoint in a debug register that was reported: the vCPU goes on behind it. */
	unsigned int at_cpu;
	uint64_t at_rip;
	bool at_register;

	_Atomic bool was_hit;	      /* a vCPU has stopped by itself, */
	struct event_source hit;      /* and is to be looked at */
	struct event_source listener; /* fd is -1 without one */
	struct event_source client;   /* fd is -1 when there is none */
	struct event_source broken;   /* the client is to be hung up on */
	struct control_job *job;      /* that has brought the client, or NULL */
	uint8_t unsent[VM_GDB_UNSENT];
	size_t num_unsent;
};

extern const struct gdb_ops vm_gdb_ops;

/* vm_gdb_target.c: where addr is, by the tables of cpu, or of any, or of the loader's making. */
struct gdb_place vm_gdb_find(struct vm_gdb *gdb, unsigned int cpu, uint64_t addr);
/* All breakpoints into all vCPUs; -errno with a line. */
int vm_gdb_apply(struct vm_gdb *gdb, const enum gdb_action *actions, struct error *err);
/* Looks for a vCPU that has stopped, and tells the client. False: there is none. */
bool vm_gdb_report(struct vm_gdb *gdb);

/* vm_gdb_monitor.c */
void vm_gdb_monitor(void *opaque, unsigned int cpu, char *line);
/*
 * The line that loads the kernel's symbols. False: nobody knows where it is; with ask, the kernel's
 * memory is looked through for that, too.
 */
bool vm_gdb_symbols(struct vm_gdb *gdb, bool ask, char *buf, size_t size);

#endif
