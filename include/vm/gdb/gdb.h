/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stub that gdb talks to: it reads packets, and has a target do what they ask for. Which
 * target, and how bytes come and go, is the caller's: pure.
 *
 *	        connected       asks for something of it          vCont;c
 *	nobody -----------> free ----------------------> stopped <-----------> resumed
 *	     <------------------- disconnected, D --------------- ^C, gdb_stopped
 *
 * All-stop: either all vCPUs stand still, or those run that the client has named. vCPUs are
 * threads, numbered from 1. A client is hostile: whatever it sends, the target is asked for no more
 * than the calls below, and when it is gone the target runs on without breakpoints.
 */
#ifndef BANTAM_VM_GDB_GDB_H
#define BANTAM_VM_GDB_GDB_H

#include "vm/core/base.h"
#include "vm/gdb/points.h"
#include "vm/gdb/registers.h"

struct gdb;

enum { GDB_MAX_CPUS = 254 };

enum gdb_action { GDB_STAY, GDB_RUN, GDB_STEP };

/* Why a vCPU stopped. */
enum gdb_reason {
	GDB_BY_REQUEST,	   /* ^C, or a client has come */
	GDB_BY_STEP,	   /* done */
	GDB_BY_BREAKPOINT, /* point says which, if it is known */
	GDB_BY_WATCHPOINT,
	GDB_BY_CRASH, /* the guest has come to its end, and stays as it is */
};

struct gdb_stop {
	enum gdb_reason reason;
	bool has_point;
	struct gdb_point point;
};

struct gdb_ops {
	/* All vCPUs stand still when it returns; they may do so already. */
	void (*stop)(void *opaque);
	/* An action for each vCPU. -errno: none of them runs. */
	int (*resume)(void *opaque, const enum gdb_action *actions);
	/* The client wants the VM to end. */
	void (*kill)(void *opaque);

	/* While the target is stopped. False: it does not tell. */
	bool (*get_registers)(void *opaque, unsigned int cpu, struct gdb_registers *regs);
	bool (*set_registers)(void *opaque, unsigned int cpu, const struct gdb_registers *regs);
	/* By the page tables that cpu is on. How many bytes from the first on could be had. */
	size_t (*read)(void *opaque, unsigned int cpu, uint64_t addr, void *buf, size_t len);
	size_t (*write)(void *opaque, unsigned int cpu, uint64_t addr, const void *buf, size_t len);
	/* -errno */
	int (*insert)(void *opaque, unsigned int cpu, const struct gdb_point *point);
	void (*remove)(void *opaque, const struct gdb_point *point);
	void (*remove_all)(void *opaque);

	/* At any time. What a vCPU does, in a few words. */
	void (*describe)(void *opaque, unsigned int cpu, char *buf, size_t size);
	/* Where the kernel's image begins, by the addresses that its symbols have. */
	bool (*text_base)(void *opaque, uint64_t *addr);
	/* A line that a person typed behind "monitor"; answers by gdb_say. */
	void (*monitor)(void *opaque, unsigned int cpu, char *line);

	/* Sends all of it, or has it sent later. */
	void (*send)(void *opaque, const void *buf, size_t len);
};

struct gdb_config {
	unsigned int num_cpus; /* 1 to GDB_MAX_CPUS */
	const struct gdb_ops *ops;
	void *opaque;
};

int gdb_create(const struct gdb_config *config, struct gdb **ret); /* 0 or -ENOMEM */
void gdb_destroy(struct gdb *gdb);				   /* NULL is allowed */

/* A client comes; it goes, and the target is resumed without breakpoints if it was stopped. */
void gdb_connected(struct gdb *gdb);
void gdb_disconnected(struct gdb *gdb);
/* Bytes from it. False: it has said goodbye, and is to be hung up on. */
bool gdb_received(struct gdb *gdb, const void *buf, size_t len);

/* The target stands still by itself; counts only while the client has it run. */
void gdb_stopped(struct gdb *gdb, unsigned int cpu, const struct gdb_stop *stop);
/* The target is gone for good: the client is told, with the exit status. */
void gdb_ended(struct gdb *gdb, int status);

/* The client has asked for something, and the target is its own until it resumes it. */
bool gdb_is_stopped(const struct gdb *gdb);

/* For ops->monitor: text for the person. */
void gdb_say(struct gdb *gdb, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
