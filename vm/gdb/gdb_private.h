/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the stub: gdb.c has its life and the choice of a packet's function, memory.c, run.c and
 * query.c have those functions. Each reads its arguments at args, and makes the answer in out.
 */
#ifndef BANTAM_VM_GDB_GDB_PRIVATE_H
#define BANTAM_VM_GDB_GDB_PRIVATE_H

#include "vm/gdb/gdb.h"
#include "vm/gdb/packet.h"

enum gdb_state { GDB_NOBODY, GDB_FREE, GDB_STOPPED, GDB_RESUMED };

enum { GDB_MAX_TEXT = 32768 };

struct gdb {
	struct gdb_config config;
	enum gdb_state state;
	bool over; /* it has said goodbye */
	bool no_ack, no_ack_soon;
	bool tells_breakpoints; /* it wants to know of which kind */
	unsigned int cpu;	/* of what is asked for (Hg) */
	unsigned int step_cpu;	/* of c and s, or ALL_CPUS (Hc) */
	struct gdb_parser in;
	struct gdb_out out;
	bool answered; /* out is to be sent */
	/* What was sent last, for a client that has not got it; empty at first */
	struct gdb_out last;

	unsigned int stop_cpu; /* who stopped last, and why */
	struct gdb_stop stop;

	/* An object that qXfer or monitor make, cut into packets */
	size_t text_len;
	char text[GDB_MAX_TEXT];
};

enum { GDB_ALL_CPUS = ~0u };

/* gdb.c */
void gdb_ok(struct gdb *gdb);
void gdb_error(struct gdb *gdb, int code); /* a negative errno */
void gdb_send(struct gdb *gdb);		   /* what out holds */
void gdb_add_text(struct gdb *gdb, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "0" or "-1": any, *cpu is GDB_ALL_CPUS. False: there is none of that number. */
bool gdb_take_thread(const struct gdb *gdb, const char **p, unsigned int *cpu);
void gdb_halt(struct gdb *gdb, enum gdb_reason reason);
void gdb_tell_stop(struct gdb *gdb);

/* memory.c */
void gdb_on_get_registers(struct gdb *gdb, const char *args);
void gdb_on_set_registers(struct gdb *gdb, const char *args);
void gdb_on_get_register(struct gdb *gdb, const char *args);
void gdb_on_set_register(struct gdb *gdb, const char *args);
void gdb_on_read(struct gdb *gdb, const char *args);
void gdb_on_write(struct gdb *gdb, const char *args);
void gdb_on_write_binary(struct gdb *gdb, const char *args);

/* run.c */
void gdb_on_why(struct gdb *gdb, const char *args);
void gdb_on_continue(struct gdb *gdb, const char *args);
void gdb_on_step(struct gdb *gdb, const char *args);
void gdb_on_v(struct gdb *gdb, const char *args);
void gdb_on_insert(struct gdb *gdb, const char *args);
void gdb_on_remove(struct gdb *gdb, const char *args);
void gdb_on_detach(struct gdb *gdb, const char *args);
void gdb_on_kill(struct gdb *gdb, const char *args);

/* query.c */
void gdb_on_query(struct gdb *gdb, const char *args);
void gdb_on_set(struct gdb *gdb, const char *args);

#endif
