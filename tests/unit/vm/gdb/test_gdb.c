/* SPDX-License-Identifier: BSD-2-Clause */
/* Conversations with the stub: what gdb 13 sends, and what nobody should. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/gdb/gdb.h"
#include "vm/gdb/packet.h"

enum { CPUS = 3, MEMORY = 256 };

static struct target {
	struct gdb *gdb;
	char calls[1024]; /* what was asked for, in words */
	char sent[65536];
	size_t num_sent;
	struct gdb_registers regs[CPUS];
	uint8_t memory[MEMORY]; /* from address 0x1000 on */
	unsigned int removed;
	int resume_rc;
} t;

static void note(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void note(const char *fmt, ...)
{
	const size_t used = strlen(t.calls);
	va_list args;

	va_start(args, fmt);
	vsnprintf(t.calls + used, sizeof(t.calls) - used, fmt, args);
	va_end(args);
}

/* ---- the target ---- */

static void stop(void *opaque)
{
	(void)opaque;
	note("stop ");
}

static int resume(void *opaque, const enum gdb_action *actions)
{
	(void)opaque;
	note("resume:");
	for (int i = 0; i < CPUS; i++)
		note("%c", "-rs"[actions[i]]);
	note(" ");
	return t.resume_rc;
}

static void kill_target(void *opaque)
{
	(void)opaque;
	note("kill ");
}

static bool get_registers(void *opaque, unsigned int cpu, struct gdb_registers *regs)
{
	(void)opaque;
	assert_in_range(cpu, 0, CPUS - 1);
	*regs = t.regs[cpu];
	return true;
}

static bool set_registers(void *opaque, unsigned int cpu, const struct gdb_registers *regs)
{
	(void)opaque;
	assert_in_range(cpu, 0, CPUS - 1);
	t.regs[cpu] = *regs;
	return true;
}

static size_t extent(uint64_t addr, size_t len)
{
	return addr - 0x1000 < MEMORY ? MIN(len, (size_t)(0x1000 + MEMORY - addr)) : 0;
}

static size_t read_memory(void *opaque, unsigned int cpu, uint64_t addr, void *buf, size_t len)
{
	const size_t n = extent(addr, len);

	(void)opaque, (void)cpu;
	if (n)
		memcpy(buf, t.memory + (addr - 0x1000), n);
	return n;
}

static size_t write_memory(
	void *opaque, unsigned int cpu, uint64_t addr, const void *buf, size_t len)
{
	const size_t n = extent(addr, len);

	(void)opaque, (void)cpu;
	if (n)
		memcpy(t.memory + (addr - 0x1000), buf, n);
	return n;
}

static int insert(void *opaque, unsigned int cpu, const struct gdb_point *point)
{
	(void)opaque;
	note("insert%u:%d,%llx,%llu ", cpu, point->kind, (unsigned long long)point->addr,
		(unsigned long long)point->len);
	return point->addr == 0xbad ? -ENOSPC : 0;
}

static void remove_one(void *opaque, const struct gdb_point *point)
{
	(void)opaque;
	note("remove:%d,%llx ", point->kind, (unsigned long long)point->addr);
}

static void remove_all(void *opaque)
{
	(void)opaque;
	note("remove-all ");
}

static void describe(void *opaque, unsigned int cpu, char *buf, size_t size)
{
	(void)opaque;
	snprintf(buf, size, "idle%u", cpu);
}

static bool text_base(void *opaque, uint64_t *addr)
{
	(void)opaque;
	*addr = 0xffffffff9a000000;
	return true;
}

static void monitor(void *opaque, unsigned int cpu, char *line)
{
	(void)opaque;
	note("monitor%u:%s ", cpu, line);
	for (int i = 0; !strcmp(line, "long") && i < 3000; i++)
		gdb_say(t.gdb, "%08d\n", i);
	gdb_say(t.gdb, "hi\n");
}

static void send_bytes(void *opaque, const void *buf, size_t len)
{
	(void)opaque;
	assert_true(t.num_sent + len < sizeof(t.sent));
	memcpy(t.sent + t.num_sent, buf, len);
	t.num_sent += len;
	t.sent[t.num_sent] = '\0';
}

static const struct gdb_ops ops = {stop, resume, kill_target, get_registers, set_registers,
	read_memory, write_memory, insert, remove_one, remove_all, describe, text_base, monitor,
	send_bytes};

/* ---- the client ---- */

static int setup(void **state)
{
	const struct gdb_config config = {CPUS, &ops, NULL};

	(void)state;
	memset(&t, 0, sizeof(t));
	assert_int_equal(gdb_create(&config, &t.gdb), 0);
	gdb_connected(t.gdb);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gdb_destroy(t.gdb);
	return 0;
}

static bool send_raw(const char *bytes, size_t len)
{
	t.num_sent = 0;
	t.sent[0] = t.calls[0] = '\0';
	return gdb_received(t.gdb, bytes, len);
}

static bool send_packet(const char *content)
{
	struct gdb_out *out = malloc(sizeof(*out));
	bool on;

	gdb_out_start(out);
	for (const char *p = content; *p; p++)
		gdb_out_text(out, "%c", *p);
	gdb_out_end(out);
	on = send_raw(out->data, out->len);
	free(out);
	return on;
}

/* The one packet that came back, behind the '+'; its content is cut out in place. */
static const char *content(void)
{
	char *end = strrchr(t.sent, '#');

	assert_memory_equal(t.sent, "+$", 2);
	assert_non_null(end);
	*end = '\0';
	return t.sent + 2;
}

static void ask(const char *packet, const char *answer)
{
	assert_true(send_packet(packet));
	assert_string_equal(content(), answer);
}

static void asked(const char *packet, const char *answer, const char *calls)
{
	ask(packet, answer);
	assert_string_equal(t.calls, calls);
}

/* ---- tests ---- */

/* In the order in which gdb 13 says it when it connects. */
static void hello(void **state)
{
	(void)state;
	assert_true(send_packet("qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386"));
	assert_non_null(strstr(content(), "PacketSize=4000;"));
	ask("vMustReplyEmpty", "");
	asked("QStartNoAckMode", "OK", "");
	/* From now on nothing is confirmed, and what is confirmed does no harm. */
	send_raw("+", 1);
	assert_int_equal(t.num_sent, 0);
	send_packet("Hg0");
	assert_string_equal(t.sent, "$OK#9a");
	send_packet("qAttached");
	assert_string_equal(t.sent, "$1#31");
	send_raw("-", 1);
	assert_int_equal(t.num_sent, 0);
	assert_string_equal(t.calls, "");
}

/* The target goes on until somebody wants something of it. */
static void stops_when_asked(void **state)
{
	(void)state;
	t.regs[0].rip = 0x1122334455667788;
	t.regs[0].rbp = 1;
	asked("qfThreadInfo", "m1,2,3", "");
	asked("qsThreadInfo", "l", "");
	asked("?", "T02thread:1;06:0100000000000000;07:0000000000000000;10:8877665544332211;",
		"stop ");
	assert_true(gdb_is_stopped(t.gdb));
	asked("?", "T02thread:1;06:0100000000000000;07:0000000000000000;10:8877665544332211;", "");
}

static void registers(void **state)
{
	char packet[8192] = "G";
	size_t len;

	(void)state;
	t.regs[1].rax = 0x0102;
	t.regs[1].efer = 0x500;
	asked("Hg2", "OK", "");
	assert_true(send_packet("g"));
	assert_memory_equal(content(), "0201000000000000", 16);
	/* 17 of 64 bits, 7 of 32, 8 of 80, 8 and one of 32, 16 of 128, 9 of 64. */
	len = strlen(t.sent + 2);
	assert_int_equal(len, 2 * (17 * 8 + 7 * 4 + 80 + 32 + 256 + 4 + 9 * 8));
	assert_string_equal(t.sent + 2 + len - 16, "0005000000000000");
	memcpy(packet + 1, t.sent + 2, len + 1);
	packet[1] = 'f';
	ask(packet, "OK");
	assert_true(t.regs[1].rax == 0x1f2);
	packet[len] = '\0';
	ask(packet, "E16");
	ask("p10", "0000000000000000");
	ask("P10=8877665544332211", "OK");
	assert_true(t.regs[1].rip == 0x1122334455667788);
	assert_true(t.regs[0].rip == 0);
	ask("P10=88776655443322", "E16");
	ask("P10=887766554433221100", "E16");
	ask("Pffffffff=00", "E16");
	ask("pffff", "E16");
	ask("p", "E16");
	ask("P1", "E16");
}

static void description(void **state)
{
	char xml[16384] = "", number[64];
	const char *p;
	unsigned int offset = 0;

	(void)state;
	do {
		snprintf(number, sizeof(number), "qXfer:features:read:target.xml:%x,123", offset);
		assert_true(send_packet(number));
		p = content();
		assert_true(*p == 'm' || *p == 'l');
		for (const char *c = p + 1; *c; c++, offset++)
			if (*c == '}')
				xml[offset] = *++c ^ 0x20;
			else
				xml[offset] = *c;
	} while (*p == 'm');
	assert_non_null(strstr(xml, "<reg name=\"gs_base\" bitsize=\"64\""));
	assert_string_equal(xml + offset - 9, "</target>");
	ask("qXfer:features:read:target.xml:ffffff,10", "E16");
	ask("qXfer:features:read:other.xml:0,10", "E00");
	ask("qXfer:features:read:target.xml:0", "E16");
	ask("qXfer:threads:read::0,26", "m<?xml version=\"1.0\"?><threads><thread ");
	assert_true(send_packet("qXfer:memory-map:read::0,1000"));
	assert_non_null(strstr(content(), "length=\"0xffffffffffffffff\""));
	ask("qXfer:auxv:read::0,10", "");
}

static void memory(void **state)
{
	static const char binary[] = "$X1010,4:\0}\3}\4a#";
	char sum[3];
	uint8_t add = 0;

	(void)state;
	memcpy(t.memory, "\1\2\3", 3);
	asked("m1000,3", "010203", "stop ");
	/* As far as there is memory. */
	ask("m10fe,4", "0000");
	ask("m1100,1", "E0e");
	ask("mffffffffffffffff,ffffffffffffffff", "E0e");
	ask("m1000,0", "");
	ask("m1000", "E16");
	ask("m1000,1x", "E16");
	ask("M1004,2:abcd", "OK");
	assert_memory_equal(t.memory + 4, "\xab\xcd", 2);
	ask("M1004,2:abc", "E16");
	ask("M1004,2:abcdef", "E16");
	ask("M1004,2:abxx", "E0e");
	ask("M10ff,2:abcd", "E0e");
	ask("M1004,ffffffffffffffff:", "E16");
	ask("X1000,0:", "OK");
	for (size_t i = 1; i < sizeof(binary) - 2; i++)
		add = (uint8_t)(add + (uint8_t)binary[i]);
	snprintf(sum, sizeof(sum), "%02x", add);
	send_raw(binary, sizeof(binary) - 1);
	send_raw(sum, 2);
	assert_string_equal(content(), "OK");
	assert_memory_equal(t.memory + 0x10, "\0#$a", 4);
}

static void runs_and_stops(void **state)
{
	const struct gdb_stop step = {.reason = GDB_BY_STEP};
	const struct gdb_stop watch = {
		.reason = GDB_BY_WATCHPOINT, .has_point = true, .point = {GDB_ACCESS, 0x1234, 4}};

	(void)state;
	ask("vCont?", "vCont;c;C;s;S");
	send_packet("qSupported:swbreak+;hwbreak+");
	send_packet("vCont;c");
	assert_string_equal(t.sent, "+");
	assert_string_equal(t.calls, "stop resume:rrr ");
	/* Nothing of it can be had meanwhile. */
	asked("g", "E10", "");
	asked("vCont;c", "E10", "");
	asked("Z0,1000,1", "E10", "");
	asked("qRcmd,6869", "E10", "");
	send_raw("\3", 1);
	assert_string_equal(t.calls, "stop ");
	assert_memory_equal(t.sent, "$T02thread:1;", 13);
	send_raw("\3", 1);
	assert_int_equal(t.num_sent, 0);

	send_packet("vCont;s:2");
	assert_string_equal(t.calls, "resume:-s- ");
	t.num_sent = 0;
	gdb_stopped(t.gdb, 1, &step);
	assert_memory_equal(t.sent, "$T05thread:2;06:", 16);
	/* Nobody asked again. */
	t.num_sent = 0;
	gdb_stopped(t.gdb, 0, &step);
	assert_int_equal(t.num_sent, 0);

	send_packet("vCont;s:1;S05:3;c");
	assert_string_equal(t.calls, "resume:srs ");
	t.num_sent = 0;
	gdb_stopped(t.gdb, 0, &watch);
	assert_memory_equal(t.sent, "$T05thread:1;awatch:1234;", 25);
	send_packet("c");
	assert_string_equal(t.calls, "resume:rrr ");
	send_raw("\3", 1);
	send_packet("s");
	assert_string_equal(t.calls, "resume:srr ");
	send_raw("\3", 1);
	ask("Hc3", "OK");
	send_packet("s");
	assert_string_equal(t.calls, "resume:--s ");
	send_raw("\3", 1);
	send_packet("c1040");
	assert_true(t.regs[0].rip == 0x1040);
}

static void does_not_run(void **state)
{
	static const char *const packets[] = {"vCont;", "vCont;x", "vCont;c:4", "vCont;c:0x",
		"vCont;C", "vCont;Cx", "vCont;c:-2", "vCont;cc", "c100x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		ask(packets[i], "E16");
		assert_null(strstr(t.calls, "resume"));
	}
	t.resume_rc = -EIO;
	ask("vCont;c", "E05");
	assert_true(gdb_is_stopped(t.gdb));
}

static void breakpoints(void **state)
{
	const struct gdb_stop soft = {
		.reason = GDB_BY_BREAKPOINT, .has_point = true, .point = {GDB_SOFT, 0x10, 1}};

	(void)state;
	asked("Z0,ffffffff81000000,1", "OK", "stop insert0:0,ffffffff81000000,1 ");
	asked("Z2,1000,8", "OK", "insert0:2,1000,8 ");
	asked("z2,1000,8", "OK", "remove:2,1000 ");
	asked("Z1,bad,1", "E1c", "insert0:1,bad,1 ");
	asked("Z5,1000,1", "E16", "");
	asked("Z0,1000", "E16", "");
	asked("Z,1000,1", "E16", "");
	asked("z0,1000,1;X1,1", "E16", "");
	/* Of which kind it was is told to those who said that they want to know. */
	send_packet("c");
	t.num_sent = 0;
	gdb_stopped(t.gdb, 0, &soft);
	assert_memory_equal(t.sent, "$T05thread:1;06", 15);
	send_packet("qSupported:swbreak+;hwbreak+");
	send_packet("c");
	t.num_sent = 0;
	gdb_stopped(t.gdb, 0, &soft);
	assert_memory_equal(t.sent, "$T05thread:1;swbreak:;", 22);
}

static void threads(void **state)
{
	(void)state;
	ask("T1", "OK");
	ask("T3", "OK");
	ask("T4", "E16");
	ask("T0", "E16");
	ask("T-1", "E16");
	ask("qC", "QC1");
	ask("Hg3", "OK");
	ask("qC", "QC3");
	ask("Hg4", "E16");
	ask("Hx1", "E16");
	ask("H", "E16");
	ask("Hg", "E16");
	ask("qThreadExtraInfo,2", "69646c6531");
	ask("qThreadExtraInfo,9", "E16");
	ask("qOffsets", "TextSeg=ffffffff9a000000");
}

static void monitors(void **state)
{
	(void)state;
	assert_true(send_packet("qRcmd,696e666f203130"));
	assert_string_equal(t.calls, "stop monitor0:info 10 ");
	assert_string_equal(t.sent, "+$O68690a#bd$OK#9a");
	ask("qRcmd,6", "E16");
	ask("qRcmd,zz", "E16");
	assert_true(send_packet("qRcmd,6c6f6e67"));
	/* In several packets; each of them fits. */
	assert_true(t.num_sent > 2 * 27000);
	for (const char *p = t.sent + 1, *end; *p; p = end + 3) {
		end = strchr(p, '#');
		assert_true(*p == '$' && end - p <= GDB_PACKET_MAX + 1);
	}
}

/* The answer of the packet before last is gone. */
static void asks_again(void **state)
{
	(void)state;
	ask("qC", "QC1");
	send_raw("-", 1);
	assert_string_equal(t.sent, "$QC1#c5");
	send_raw("$qC#00", 6);
	assert_string_equal(t.sent, "-");
}

static void leaves(void **state)
{
	(void)state;
	ask("m1000,1", "00");
	assert_false(send_packet("D"));
	assert_string_equal(t.sent, "+$OK#9a");
	gdb_disconnected(t.gdb);
	assert_string_equal(t.calls, "remove-all resume:rrr ");
	t.calls[0] = '\0';
	gdb_disconnected(t.gdb);
	assert_string_equal(t.calls, "");
}

static void vanishes(void **state)
{
	(void)state;
	/* Whoever only connected had nothing stopped. */
	gdb_disconnected(t.gdb);
	assert_string_equal(t.calls, "");
	gdb_connected(t.gdb);
	send_packet("vCont;s:1");
	t.calls[0] = '\0';
	gdb_disconnected(t.gdb);
	assert_string_equal(t.calls, "stop remove-all resume:rrr ");
	/* The next one finds nothing of him. */
	gdb_connected(t.gdb);
	send_raw("-", 1);
	assert_int_equal(t.num_sent, 0);
	ask("qC", "QC1");
}

static void kills(void **state)
{
	(void)state;
	assert_false(send_packet("k"));
	assert_string_equal(t.calls, "kill ");
	assert_string_equal(t.sent, "+");
}

static void ends(void **state)
{
	(void)state;
	send_packet("c");
	t.num_sent = 0;
	gdb_ended(t.gdb, 3);
	assert_string_equal(t.sent, "$W03#ba");
	gdb_disconnected(t.gdb);
	assert_null(strstr(t.calls, "remove"));
}

static void nonsense(void **state)
{
	static const char *const packets[] = {"", "!", "A", "vRun;", "vAttach;1", "qfoo", "Qfoo",
		"x1000,1", "q", "Q", "v", "qXfer", "\xff", "R00", "qSupportedX", "vContX"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++)
		ask(packets[i], "");
	assert_string_equal(t.calls, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello),
		TEST(stops_when_asked),
		TEST(registers),
		TEST(description),
		TEST(memory),
		TEST(runs_and_stops),
		TEST(does_not_run),
		TEST(breakpoints),
		TEST(threads),
		TEST(monitors),
		TEST(asks_again),
		TEST(leaves),
		TEST(vanishes),
		TEST(kills),
		TEST(ends),
		TEST(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
