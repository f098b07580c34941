/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile client of the stub, with breakpoints in memory behind it. Each line of the input is a
 * packet, framed here; a line that begins with a byte of 0x80 or more goes as it is. Now and then a
 * vCPU stops, and in the end the client is gone.
 *
 * Whatever it did: nothing is asked of a target that runs, each answer is a packet that our own
 * parser takes, and memory is without breakpoints in the end.
 */
#include <stdlib.h>
#include <string.h>

#include "vm/core/guest_mem.h"
#include "vm/gdb/gdb.h"
#include "vm/gdb/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CPUS = 4, MEMORY = 0x4000 };

struct target {
	struct gdb *gdb;
	struct gdb_parser *check;
	struct guest_mem *mem;
	uint8_t *bytes;
	struct gdb_points points;
	struct gdb_registers regs[CPUS];
	bool running;
	bool wrote; /* the client, to memory */
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void stop(void *opaque)
{
	struct target *t = opaque;

	t->running = false;
}

static int resume(void *opaque, const enum gdb_action *actions)
{
	struct target *t = opaque;

	check(!t->running);
	for (unsigned int i = 0; i < CPUS; i++)
		check(actions[i] <= GDB_STEP);
	t->running = true;
	return 0;
}

static void kill_target(void *opaque)
{
	(void)opaque;
}

static bool get_registers(void *opaque, unsigned int cpu, struct gdb_registers *regs)
{
	const struct target *t = opaque;

	check(!t->running && cpu < CPUS);
	*regs = t->regs[cpu];
	return true;
}

static bool set_registers(void *opaque, unsigned int cpu, const struct gdb_registers *regs)
{
	struct target *t = opaque;

	check(!t->running && cpu < CPUS);
	t->regs[cpu] = *regs;
	return true;
}

static size_t read_memory(void *opaque, unsigned int cpu, uint64_t addr, void *buf, size_t len)
{
	const struct target *t = opaque;
	const size_t n = addr < MEMORY ? MIN(len, (size_t)(MEMORY - addr)) : 0;

	check(!t->running && cpu < CPUS);
	if (n)
		memcpy(buf, t->bytes + addr, n);
	gdb_points_hide(&t->points, addr, buf, n);
	/* None is seen, unless the client has put it there itself. */
	for (size_t i = 0; i < n && !t->wrote; i++)
		check(((uint8_t *)buf)[i] == 0x90);
	return n;
}

static size_t write_memory(
	void *opaque, unsigned int cpu, uint64_t addr, const void *buf, size_t len)
{
	struct target *t = opaque;
	const size_t n = addr < MEMORY ? MIN(len, (size_t)(MEMORY - addr)) : 0;

	check(!t->running && cpu < CPUS);
	if (n)
		memcpy(t->bytes + addr, buf, n);
	gdb_points_cover(&t->points, addr, t->bytes + (n ? addr : 0), n);
	t->wrote |= n;
	return n;
}

static struct gdb_place find(void *opaque, uint64_t addr)
{
	(void)opaque;
	return (struct gdb_place){
		.known = addr < 2 * MEMORY, .later = addr % 3 == 0, .gpa = addr % MEMORY};
}

static int insert(void *opaque, unsigned int cpu, const struct gdb_point *point)
{
	struct target *t = opaque;

	check(!t->running && cpu < CPUS && point->kind < GDB_NUM_KINDS);
	return gdb_points_add(&t->points, t->mem, point, find(NULL, point->addr));
}

static void remove_one(void *opaque, const struct gdb_point *point)
{
	struct target *t = opaque;

	check(!t->running);
	gdb_points_remove(&t->points, t->mem, point);
}

static void remove_all(void *opaque)
{
	struct target *t = opaque;

	check(!t->running);
	gdb_points_clear(&t->points, t->mem);
}

static void describe(void *opaque, unsigned int cpu, char *buf, size_t size)
{
	(void)opaque;
	check(cpu < CPUS);
	memset(buf, '}', size - 1);
	buf[size - 1] = '\0';
}

static bool text_base(void *opaque, uint64_t *addr)
{
	(void)opaque;
	*addr = 1;
	return true;
}

static void monitor(void *opaque, unsigned int cpu, char *line)
{
	struct target *t = opaque;

	check(!t->running && cpu < CPUS);
	for (unsigned int i = 0; i < (uint8_t)line[0] * 8U; i++)
		gdb_say(t->gdb, "%s%s%s%s%s", line, line, line, line, line);
}

static void send_bytes(void *opaque, const void *buf, size_t len)
{
	struct target *t = opaque;
	const uint8_t *bytes = buf;
	enum gdb_input input = GDB_INPUT_NONE;

	for (size_t i = 0; i < len; i++)
		input = gdb_parse(t->check, bytes[i]);
	check(input == GDB_INPUT_PACKET || input == GDB_INPUT_ACK || input == GDB_INPUT_NAK);
}

static const struct gdb_ops ops = {stop, resume, kill_target, get_registers, set_registers,
	read_memory, write_memory, insert, remove_one, remove_all, describe, text_base, monitor,
	send_bytes};

static void make(struct target *t)
{
	const struct gdb_config config = {CPUS, &ops, t};

	check(gdb_create(&config, &t->gdb) == 0 && guest_mem_create(&t->mem) == 0);
	t->check = calloc(1, sizeof(*t->check));
	t->bytes = malloc(MEMORY);
	check(t->check && t->bytes && guest_mem_add(t->mem, 0, MEMORY, t->bytes) == 0);
	memset(t->bytes, 0x90, MEMORY);
	t->running = true;
	gdb_connected(t->gdb);
}

static void destroy(struct target *t)
{
	gdb_destroy(t->gdb);
	guest_mem_destroy(t->mem);
	free(t->check);
	free(t->bytes);
	free(t);
}

static bool packet(struct target *t, const uint8_t *line, size_t len)
{
	uint8_t sum = 0, end[3] = {'#'};

	if (len && line[0] >= 0x80)
		return gdb_received(t->gdb, line + 1, len - 1);
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + line[i]);
	end[1] = (uint8_t) "0123456789abcdef"[sum >> 4];
	end[2] = (uint8_t) "0123456789abcdef"[sum & 15];
	return gdb_received(t->gdb, "$", 1) && gdb_received(t->gdb, line, len) &&
	       gdb_received(t->gdb, end, sizeof(end));
}

/* By itself, at the first of what there is to stop at. */
static void hit(struct target *t, unsigned int turn)
{
	struct gdb_stop stopped = {.reason = GDB_BY_STEP};

	if (!t->running)
		return;
	t->running = false;
	if (t->points.num) {
		stopped.point = t->points.all[turn % t->points.num].point;
		stopped.reason =
			stopped.point.kind >= GDB_WRITE ? GDB_BY_WATCHPOINT : GDB_BY_BREAKPOINT;
		stopped.has_point = true;
	}
	gdb_stopped(t->gdb, turn % CPUS, &stopped);
	t->running = !gdb_is_stopped(t->gdb);
}

static void leave(struct target *t)
{
	gdb_disconnected(t->gdb);
	check(t->running && !t->points.num && !t->points.num_traps && !t->points.num_dr);
	for (size_t i = 0; i < MEMORY && !t->wrote; i++)
		check(t->bytes[i] == 0x90);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target *t = calloc(1, sizeof(*t));
	bool on = true;

	check(t);
	make(t);
	for (unsigned int turn = 0; size && on && turn < 64; turn++) {
		const uint8_t *end = memchr(data, '\n', size);
		const size_t len = end ? (size_t)(end - data) : size;

		on = packet(t, data, len);
		if (turn % 4 == 3)
			hit(t, turn);
		data += MIN(len + 1, size);
		size -= MIN(len + 1, size);
	}
	leave(t);
	destroy(t);
	return 0;
}
