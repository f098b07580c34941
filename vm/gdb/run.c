/* SPDX-License-Identifier: BSD-2-Clause */
/* The target stops and goes on: ?, c, s, vCont, Z, z, D, k. */
#include <errno.h>
#include <string.h>

#include "gdb_private.h"

/* As gdb numbers them, whatever the host does. */
enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_ABORT = 6 };

void gdb_halt(struct gdb *gdb, enum gdb_reason reason)
{
	gdb->config.ops->stop(gdb->config.opaque);
	gdb->state = GDB_STOPPED;
	gdb->stop = (struct gdb_stop){.reason = reason};
	gdb->stop_cpu = gdb->cpu;
}

/* ---- stops ---- */

static unsigned int signal_of(const struct gdb *gdb)
{
	switch (gdb->stop.reason) {
	case GDB_BY_REQUEST:
		return SIGNAL_INT;
	case GDB_BY_CRASH:
		return SIGNAL_ABORT;
	default:
		return SIGNAL_TRAP;
	}
}

static void put_point(struct gdb *gdb)
{
	static const char *const words[GDB_NUM_KINDS] = {[GDB_SOFT] = "swbreak",
		[GDB_HARD] = "hwbreak",
		[GDB_WRITE] = "watch",
		[GDB_READ] = "rwatch",
		[GDB_ACCESS] = "awatch"};
	const struct gdb_point *point = &gdb->stop.point;

	if (!gdb->stop.has_point)
		return;
	if (gdb->stop.reason == GDB_BY_WATCHPOINT)
		gdb_out_text(
			&gdb->out, "%s:%llx;", words[point->kind], (unsigned long long)point->addr);
	else if (gdb->stop.reason == GDB_BY_BREAKPOINT && gdb->tells_breakpoints)
		gdb_out_text(&gdb->out, "%s:;", words[point->kind]);
}

/* The registers that gdb looks at first come along. */
static void put_stop(struct gdb *gdb)
{
	static const unsigned int numbers[] = {GDB_REG_RBP, GDB_REG_RSP, GDB_REG_RIP};
	struct gdb_registers regs;

	gdb_out_text(&gdb->out, "T%02xthread:%x;", signal_of(gdb), gdb->stop_cpu + 1);
	put_point(gdb);
	if (!gdb->config.ops->get_registers(gdb->config.opaque, gdb->stop_cpu, &regs))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		gdb_out_text(&gdb->out, "%02x:", numbers[i]);
		gdb_put_register(&gdb->out, &regs, numbers[i]);
		gdb_out_text(&gdb->out, ";");
	}
}

void gdb_tell_stop(struct gdb *gdb)
{
	gdb_out_start(&gdb->out);
	put_stop(gdb);
	gdb_send(gdb);
}

void gdb_on_why(struct gdb *gdb, const char *args)
{
	(void)args;
	put_stop(gdb);
}

void gdb_stopped(struct gdb *gdb, unsigned int cpu, const struct gdb_stop *stop)
{
	if (gdb->state != GDB_RESUMED)
		return;
	gdb->state = GDB_STOPPED;
	gdb->stop = *stop;
	gdb->cpu = gdb->stop_cpu = cpu;
	gdb_tell_stop(gdb);
}

/* ---- going on ---- */

static void resume(struct gdb *gdb, const enum gdb_action *actions)
{
	int rc;

	/* The target may stop before the call returns. */
	gdb->state = GDB_RESUMED;
	gdb->answered = false;
	rc = gdb->config.ops->resume(gdb->config.opaque, actions);
	if (!rc)
		return;
	gdb->state = GDB_STOPPED;
	gdb->answered = true;
	gdb_error(gdb, rc);
}

/* An address to go on at, as old clients give it. */
static bool take_address(struct gdb *gdb, const char *args)
{
	struct gdb_registers regs;
	uint64_t addr;

	if (!*args)
		return true;
	if (!gdb_take_number(&args, &addr) || *args ||
		!gdb->config.ops->get_registers(gdb->config.opaque, gdb->cpu, &regs))
		return false;
	regs.rip = addr;
	return gdb->config.ops->set_registers(gdb->config.opaque, gdb->cpu, &regs);
}

static void resume_one(struct gdb *gdb, const char *args, enum gdb_action action)
{
	enum gdb_action actions[GDB_MAX_CPUS];
	const unsigned int one = gdb->step_cpu;

	if (!take_address(gdb, args)) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
		actions[i] = one == GDB_ALL_CPUS || i == one ? GDB_RUN : GDB_STAY;
	actions[one == GDB_ALL_CPUS ? gdb->cpu : one] = action;
	resume(gdb, actions);
}

void gdb_on_continue(struct gdb *gdb, const char *args)
{
	resume_one(gdb, args, GDB_RUN);
}

void gdb_on_step(struct gdb *gdb, const char *args)
{
	resume_one(gdb, args, GDB_STEP);
}

/* "c", "s", or with a signal, that no vCPU can be sent: "C05", "S05". */
static bool take_action(const char **args, enum gdb_action *action)
{
	const char c = **args;
	uint8_t signal;

	*action = c == 's' || c == 'S' ? GDB_STEP : GDB_RUN;
	if (c == 'c' || c == 's') {
		++*args;
		return true;
	}
	if (c != 'C' && c != 'S')
		return false;
	++*args;
	return gdb_take_hex(args, &signal, 1);
}

/* For each vCPU the first action counts that names it, or names nobody. */
static bool take_actions(struct gdb *gdb, const char *args, enum gdb_action *actions)
{
	bool chosen[GDB_MAX_CPUS] = {false};

	for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
		actions[i] = GDB_STAY;
	while (gdb_take(&args, ';')) {
		unsigned int cpu = GDB_ALL_CPUS;
		enum gdb_action action;

		if (!take_action(&args, &action))
			return false;
		if (gdb_take(&args, ':') && !gdb_take_thread(gdb, &args, &cpu))
			return false;
		for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
			if ((cpu == GDB_ALL_CPUS || cpu == i) && !chosen[i]) {
				chosen[i] = true;
				actions[i] = action;
			}
	}
	return !*args;
}

/* At least one has to, or the client would wait for ever. */
static bool anybody_runs(const struct gdb *gdb, const enum gdb_action *actions)
{
	for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
		if (actions[i] != GDB_STAY)
			return true;
	return false;
}

static void on_vcont(struct gdb *gdb, const char *args)
{
	enum gdb_action actions[GDB_MAX_CPUS];

	if (gdb->state == GDB_RESUMED) {
		gdb_error(gdb, -EBUSY);
		return;
	}
	if (!take_actions(gdb, args, actions) || !anybody_runs(gdb, actions)) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	if (gdb->state == GDB_FREE)
		gdb_halt(gdb, GDB_BY_REQUEST);
	resume(gdb, actions);
}

void gdb_on_v(struct gdb *gdb, const char *args)
{
	if (!strcmp(args, "Cont?"))
		gdb_out_text(&gdb->out, "vCont;c;C;s;S");
	else if (!strncmp(args, "Cont;", 5))
		on_vcont(gdb, args + 4);
}

/* ---- breakpoints ---- */

static bool take_point(const char *args, struct gdb_point *point)
{
	uint64_t kind;

	if (!gdb_take_number(&args, &kind) || kind >= GDB_NUM_KINDS || !gdb_take(&args, ',') ||
		!gdb_take_number(&args, &point->addr) || !gdb_take(&args, ',') ||
		!gdb_take_number(&args, &point->len) || *args)
		return false;
	point->kind = (enum gdb_point_kind)kind;
	if (point->kind <= GDB_HARD)
		point->len = 1;
	return true;
}

void gdb_on_insert(struct gdb *gdb, const char *args)
{
	struct gdb_point point;
	int rc = -EINVAL;

	if (take_point(args, &point))
		rc = gdb->config.ops->insert(gdb->config.opaque, gdb->cpu, &point);
	if (rc < 0)
		gdb_error(gdb, rc);
	else
		gdb_ok(gdb);
}

void gdb_on_remove(struct gdb *gdb, const char *args)
{
	struct gdb_point point;

	if (!take_point(args, &point)) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	gdb->config.ops->remove(gdb->config.opaque, &point);
	gdb_ok(gdb);
}

/* ---- the end ---- */

void gdb_on_detach(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb->over = true;
	gdb_ok(gdb);
}

void gdb_on_kill(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb->over = true;
	gdb->answered = false;
	gdb->config.ops->kill(gdb->config.opaque);
}
