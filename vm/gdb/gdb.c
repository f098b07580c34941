/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A packet is answered before the next one is looked at, but for those that have the target run:
 * their answer is the stop that comes later. A packet that is not known has an empty answer, as the
 * protocol has it.
 */
#include "gdb_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gdb_create(const struct gdb_config *config, struct gdb **ret)
{
	struct gdb *gdb = calloc(1, sizeof(*gdb));

	if (!gdb)
		return -ENOMEM;
	gdb->config = *config;
	*ret = gdb;
	return 0;
}

void gdb_destroy(struct gdb *gdb)
{
	free(gdb);
}

bool gdb_is_stopped(const struct gdb *gdb)
{
	return gdb->state == GDB_STOPPED;
}

/* ---- answers ---- */

void gdb_ok(struct gdb *gdb)
{
	gdb_out_text(&gdb->out, "OK");
}

/* The numbers mean nothing to gdb; errno's are as good as any. */
void gdb_error(struct gdb *gdb, int code)
{
	gdb_out_text(&gdb->out, "E%02x", (unsigned int)-code & 0xff);
}

void gdb_send(struct gdb *gdb)
{
	if (gdb->out.overflow) {
		gdb_out_start(&gdb->out);
		gdb_error(gdb, -E2BIG);
	}
	gdb_out_end(&gdb->out);
	gdb->config.ops->send(gdb->config.opaque, gdb->out.data, gdb->out.len);
	if (gdb->no_ack)
		return;
	gdb->last.len = gdb->out.len;
	memcpy(gdb->last.data, gdb->out.data, gdb->out.len);
}

static void send_byte(struct gdb *gdb, char c)
{
	if (!gdb->no_ack)
		gdb->config.ops->send(gdb->config.opaque, &c, 1);
}

void gdb_add_text(struct gdb *gdb, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(gdb->text + gdb->text_len, sizeof(gdb->text) - gdb->text_len, fmt, args);
	va_end(args);
	if (n > 0)
		gdb->text_len = MIN(gdb->text_len + (size_t)n, sizeof(gdb->text) - 1);
}

void gdb_say(struct gdb *gdb, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	gdb_add_text(gdb, "%s", text);
}

/* ---- threads ---- */

bool gdb_take_thread(const struct gdb *gdb, const char **p, unsigned int *cpu)
{
	uint64_t number;

	if (gdb_take(p, '-')) {
		*cpu = GDB_ALL_CPUS;
		return gdb_take(p, '1');
	}
	if (!gdb_take_number(p, &number) || number > gdb->config.num_cpus)
		return false;
	*cpu = number ? (unsigned int)number - 1 : GDB_ALL_CPUS;
	return true;
}

static void on_choose(struct gdb *gdb, const char *args)
{
	const char what = *args;
	unsigned int cpu;

	if ((what != 'g' && what != 'c') || (args++, !gdb_take_thread(gdb, &args, &cpu)) || *args) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	if (what == 'c')
		gdb->step_cpu = cpu;
	else if (cpu != GDB_ALL_CPUS)
		gdb->cpu = cpu;
	gdb_ok(gdb);
}

static void on_is_alive(struct gdb *gdb, const char *args)
{
	unsigned int cpu;

	if (gdb_take_thread(gdb, &args, &cpu) && cpu != GDB_ALL_CPUS && !*args)
		gdb_ok(gdb);
	else
		gdb_error(gdb, -EINVAL);
}

/* ---- packets ---- */

static const struct {
	char name;
	void (*fn)(struct gdb *gdb, const char *args);
	bool stopped; /* of a target that stands still */
} packets[] = {
	{'?', gdb_on_why, true},
	{'g', gdb_on_get_registers, true},
	{'G', gdb_on_set_registers, true},
	{'p', gdb_on_get_register, true},
	{'P', gdb_on_set_register, true},
	{'m', gdb_on_read, true},
	{'M', gdb_on_write, true},
	{'X', gdb_on_write_binary, true},
	{'Z', gdb_on_insert, true},
	{'z', gdb_on_remove, true},
	{'c', gdb_on_continue, true},
	{'s', gdb_on_step, true},
	{'v', gdb_on_v, false},
	{'H', on_choose, false},
	{'T', on_is_alive, false},
	{'D', gdb_on_detach, false},
	{'k', gdb_on_kill, false},
	{'q', gdb_on_query, false},
	{'Q', gdb_on_set, false},
};

static void dispatch(struct gdb *gdb, const char *packet)
{
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		if (packets[i].name != *packet || !*packet)
			continue;
		/* A client that does not wait for the stop that it asked for. */
		if (packets[i].stopped && gdb->state == GDB_RESUMED) {
			gdb_error(gdb, -EBUSY);
			return;
		}
		if (packets[i].stopped && gdb->state == GDB_FREE)
			gdb_halt(gdb, GDB_BY_REQUEST);
		packets[i].fn(gdb, packet + 1);
		return;
	}
}

static void on_packet(struct gdb *gdb)
{
	send_byte(gdb, '+');
	gdb_out_start(&gdb->out);
	gdb->answered = true;
	dispatch(gdb, gdb->in.data);
	if (gdb->answered)
		gdb_send(gdb);
	gdb->no_ack |= gdb->no_ack_soon;
}

static void resend(struct gdb *gdb)
{
	if (!gdb->no_ack && gdb->last.len)
		gdb->config.ops->send(gdb->config.opaque, gdb->last.data, gdb->last.len);
}

/* ---- the client ---- */

void gdb_connected(struct gdb *gdb)
{
	gdb->state = GDB_FREE;
	gdb->over = gdb->no_ack = gdb->no_ack_soon = gdb->tells_breakpoints = false;
	gdb->cpu = gdb->stop_cpu = 0;
	gdb->step_cpu = GDB_ALL_CPUS;
	gdb->in.state = GDB_BETWEEN;
	gdb->last.len = 0;
	gdb->text_len = 0;
	gdb->stop = (struct gdb_stop){.reason = GDB_BY_REQUEST};
}

void gdb_disconnected(struct gdb *gdb)
{
	enum gdb_action actions[GDB_MAX_CPUS];

	if (gdb->state == GDB_RESUMED)
		gdb->config.ops->stop(gdb->config.opaque);
	if (gdb->state == GDB_RESUMED || gdb->state == GDB_STOPPED) {
		gdb->config.ops->remove_all(gdb->config.opaque);
		for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
			actions[i] = GDB_RUN;
		gdb->config.ops->resume(gdb->config.opaque, actions);
	}
	gdb->state = GDB_NOBODY;
}

bool gdb_received(struct gdb *gdb, const void *buf, size_t len)
{
	const uint8_t *bytes = buf;

	for (size_t i = 0; i < len && !gdb->over; i++) {
		switch (gdb_parse(&gdb->in, bytes[i])) {
		case GDB_INPUT_PACKET:
			on_packet(gdb);
			break;
		case GDB_INPUT_BAD:
			send_byte(gdb, '-');
			break;
		case GDB_INPUT_NAK:
			resend(gdb);
			break;
		case GDB_INPUT_BREAK:
			if (gdb->state != GDB_RESUMED)
				break;
			gdb_halt(gdb, GDB_BY_REQUEST);
			gdb_tell_stop(gdb);
			break;
		case GDB_INPUT_ACK:
		case GDB_INPUT_NONE:
			break;
		}
	}
	return !gdb->over;
}

void gdb_ended(struct gdb *gdb, int status)
{
	if (gdb->state == GDB_NOBODY)
		return;
	if (gdb->state == GDB_RESUMED) {
		gdb_out_start(&gdb->out);
		gdb_out_text(&gdb->out, "W%02x", (unsigned int)status & 0xff);
		gdb_send(gdb);
	}
	gdb->state = GDB_NOBODY;
	gdb->over = true;
}
