/* SPDX-License-Identifier: BSD-2-Clause */
/* What the client asks about the stub and its target beside registers and memory: q and Q. */
#include <errno.h>
#include <string.h>

#include "gdb_private.h"

/* Behind a name: nothing, or what it is separated by. */
static bool is(const char **p, const char *name, char separator)
{
	const size_t len = strlen(name);

	if (strncmp(*p, name, len) != 0 || (*p)[len] != separator)
		return false;
	*p += len + (separator != '\0');
	return true;
}

/* ---- what both can ---- */

static void on_supported(struct gdb *gdb, const char *args)
{
	gdb->tells_breakpoints = strstr(args, "swbreak+") && strstr(args, "hwbreak+");
	gdb_out_text(&gdb->out,
		"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;"
		"qXfer:memory-map:read+;vContSupported+;swbreak+;hwbreak+",
		(unsigned int)GDB_PACKET_MAX);
}

/* ---- objects that are read in pieces ---- */

static void make_features(struct gdb *gdb)
{
	gdb->text_len = gdb_registers_xml(gdb->text, sizeof(gdb->text));
}

static void make_threads(struct gdb *gdb)
{
	char what[64];

	gdb_add_text(gdb, "<?xml version=\"1.0\"?><threads>");
	for (unsigned int i = 0; i < gdb->config.num_cpus; i++) {
		gdb->config.ops->describe(gdb->config.opaque, i, what, sizeof(what));
		gdb_add_text(gdb, "<thread id=\"%x\" core=\"%u\" name=\"vCPU %u\">%s</thread>",
			i + 1, i, i, what);
	}
	gdb_add_text(gdb, "</threads>");
}

/*
 * The map is of what gdb's addresses are, and those are virtual ones: all of it may be written. So
 * that gdb uses software breakpoints everywhere, there is one region; the end of the address space
 * has no number, and is left out.
 */
static void make_memory_map(struct gdb *gdb)
{
	gdb_add_text(gdb,
		"<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN "
		"gnu.org//DTD GDB Memory Map V1.0//EN\" "
		"\"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>"
		"<memory type=\"ram\" start=\"0x0\" length=\"0xffffffffffffffff\"/></memory-map>");
}

static const struct {
	const char *name; /* and the annex */
	void (*make)(struct gdb *gdb);
} objects[] = {
	{"features:read:target.xml", make_features},
	{"threads:read:", make_threads},
	{"memory-map:read:", make_memory_map},
};

/* A piece from offset on; the first one has it made anew. */
static void put_piece(struct gdb *gdb, void (*make)(struct gdb *gdb), uint64_t offset, uint64_t len)
{
	const size_t room = (gdb_out_room(&gdb->out) - 1) / 2;
	size_t n;

	if (!offset) {
		gdb->text_len = 0;
		make(gdb);
	}
	if (offset > gdb->text_len) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	n = (size_t)MIN(len, (uint64_t)(gdb->text_len - offset));
	n = MIN(n, room);
	gdb_out_text(&gdb->out, offset + n < gdb->text_len ? "m" : "l");
	gdb_out_binary(&gdb->out, gdb->text + offset, n);
}

static void on_xfer(struct gdb *gdb, const char *args)
{
	uint64_t offset, len;

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		if (!is(&args, objects[i].name, ':'))
			continue;
		if (gdb_take_number(&args, &offset) && gdb_take(&args, ',') &&
			gdb_take_number(&args, &len) && !*args)
			put_piece(gdb, objects[i].make, offset, len);
		else
			gdb_error(gdb, -EINVAL);
		return;
	}
	if (!strncmp(args, "features:read:", 14))
		gdb_error(gdb, 0);
}

/* ---- threads ---- */

static void on_threads(struct gdb *gdb, const char *args)
{
	(void)args;
	for (unsigned int i = 0; i < gdb->config.num_cpus; i++)
		gdb_out_text(&gdb->out, "%c%x", i ? ',' : 'm', i + 1);
}

static void on_no_more_threads(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_out_text(&gdb->out, "l");
}

static void on_current(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_out_text(&gdb->out, "QC%x", gdb->cpu + 1);
}

static void on_extra(struct gdb *gdb, const char *args)
{
	char what[64];
	unsigned int cpu;

	if (!gdb_take_thread(gdb, &args, &cpu) || cpu == GDB_ALL_CPUS || *args) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	gdb->config.ops->describe(gdb->config.opaque, cpu, what, sizeof(what));
	gdb_out_hex(&gdb->out, what, strlen(what));
}

/* ---- the kernel, and Bantam's own ---- */

/*
 * gdb moves the symbols that it has read already: all of them, by how far the first segment of the
 * file is from there.
 */
static void on_offsets(struct gdb *gdb, const char *args)
{
	uint64_t addr;

	(void)args;
	if (gdb->config.ops->text_base(gdb->config.opaque, &addr))
		gdb_out_text(&gdb->out, "TextSeg=%llx", (unsigned long long)addr);
}

static void on_attached(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_out_text(&gdb->out, "1");
}

static void on_symbol(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_ok(gdb);
}

/* In packets of their own, as a text may be longer than one. */
static void send_text(struct gdb *gdb)
{
	const size_t piece = GDB_PACKET_MAX / 4;

	for (size_t at = 0; at < gdb->text_len; at += piece) {
		gdb_out_start(&gdb->out);
		gdb_out_text(&gdb->out, "O");
		gdb_out_hex(&gdb->out, gdb->text + at, MIN(piece, gdb->text_len - at));
		gdb_send(gdb);
	}
	gdb_out_start(&gdb->out);
	gdb_ok(gdb);
}

static void on_monitor(struct gdb *gdb, const char *args)
{
	char line[256] = "";
	const size_t len = strlen(args) / 2;

	if (len >= sizeof(line) || !gdb_take_hex(&args, line, len) || *args) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	if (gdb->state == GDB_RESUMED) {
		gdb_error(gdb, -EBUSY);
		return;
	}
	if (gdb->state == GDB_FREE)
		gdb_halt(gdb, GDB_BY_REQUEST);
	gdb->text_len = 0;
	gdb->config.ops->monitor(gdb->config.opaque, gdb->cpu, line);
	send_text(gdb);
}

static const struct {
	const char *name;
	char separator;
	void (*fn)(struct gdb *gdb, const char *args);
} queries[] = {
	{"Supported", ':', on_supported},
	{"Supported", '\0', on_supported},
	{"Xfer", ':', on_xfer},
	{"fThreadInfo", '\0', on_threads},
	{"sThreadInfo", '\0', on_no_more_threads},
	{"ThreadExtraInfo", ',', on_extra},
	{"C", '\0', on_current},
	{"Offsets", '\0', on_offsets},
	{"Attached", '\0', on_attached},
	{"Symbol", ':', on_symbol},
	{"Rcmd", ',', on_monitor},
};

void gdb_on_query(struct gdb *gdb, const char *args)
{
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		if (is(&args, queries[i].name, queries[i].separator)) {
			queries[i].fn(gdb, args);
			return;
		}
}

void gdb_on_set(struct gdb *gdb, const char *args)
{
	if (strcmp(args, "StartNoAckMode") != 0)
		return;
	gdb->no_ack_soon = true;
	gdb_ok(gdb);
}
