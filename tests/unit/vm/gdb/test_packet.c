/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets as gdb's manual describes them, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/gdb/packet.h"

static enum gdb_input feed(struct gdb_parser *parser, const char *bytes, size_t len)
{
	enum gdb_input last = GDB_INPUT_NONE;

	for (size_t i = 0; i < len; i++) {
		assert_int_equal(last, GDB_INPUT_NONE);
		last = gdb_parse(parser, (uint8_t)bytes[i]);
	}
	return last;
}

static enum gdb_input feed_text(struct gdb_parser *parser, const char *text)
{
	return feed(parser, text, strlen(text));
}

static void whole(void **state)
{
	struct gdb_parser *parser = calloc(1, sizeof(*parser));

	(void)state;
	assert_int_equal(feed_text(parser, "$OK#9a"), GDB_INPUT_PACKET);
	assert_string_equal(parser->data, "OK");
	assert_int_equal(feed_text(parser, "$#00"), GDB_INPUT_PACKET);
	assert_int_equal(parser->len, 0);
	/* Of the manual's overview; digits in capitals are digits. */
	assert_int_equal(feed_text(parser, "noise$m10,2#2C"), GDB_INPUT_PACKET);
	assert_string_equal(parser->data, "m10,2");
	free(parser);
}

static void between(void **state)
{
	struct gdb_parser *parser = calloc(1, sizeof(*parser));

	(void)state;
	assert_int_equal(feed_text(parser, "+"), GDB_INPUT_ACK);
	assert_int_equal(feed_text(parser, "-"), GDB_INPUT_NAK);
	assert_int_equal(feed_text(parser, "\3"), GDB_INPUT_BREAK);
	assert_int_equal(feed_text(parser, "#}*\n"), GDB_INPUT_NONE);
	/* Inside of a packet they are content. */
	assert_int_equal(feed_text(parser, "$+-\3#5b"), GDB_INPUT_PACKET);
	assert_string_equal(parser->data, "+-\3");
	free(parser);
}

static void escaped(void **state)
{
	struct gdb_parser *parser = calloc(1, sizeof(*parser));
	static const char want[] = {'X', '}', '#', '$', '\0', '*'};

	(void)state;
	/* Each escaped byte counts as it was sent. */
	assert_int_equal(feed(parser, "$X}]}\3}\4\0}\n#bb", 14), GDB_INPUT_BAD);
	assert_int_equal(feed(parser, "$X}]}\3}\4\0}\n#ba", 14), GDB_INPUT_PACKET);
	assert_int_equal(parser->len, sizeof(want));
	assert_memory_equal(parser->data, want, sizeof(want));
	/* Nothing is escaped here, and something should be. */
	assert_int_equal(feed_text(parser, "$}#7d"), GDB_INPUT_BAD);
	free(parser);
}

static void damaged(void **state)
{
	static const char *const packets[] = {"$OK#9b", "$OK#x0", "$OK#9x", "$OK#  ", "$#01"};
	struct gdb_parser *parser = calloc(1, sizeof(*parser));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		assert_int_equal(feed_text(parser, packets[i]), GDB_INPUT_BAD);
		assert_int_equal(feed_text(parser, "$OK#9a"), GDB_INPUT_PACKET);
	}
	/* The end of one was lost. */
	assert_int_equal(feed_text(parser, "$abcdef$OK#9a"), GDB_INPUT_PACKET);
	assert_string_equal(parser->data, "OK");
	free(parser);
}

static void too_long(void **state)
{
	struct gdb_parser *parser = calloc(1, sizeof(*parser));

	(void)state;
	for (size_t len = GDB_PACKET_MAX - 1; len <= GDB_PACKET_MAX + 1; len++) {
		const bool fits = len <= GDB_PACKET_MAX;
		char end[8] = "#";

		assert_int_equal(feed_text(parser, "$"), GDB_INPUT_NONE);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(gdb_parse(parser, 'a'), GDB_INPUT_NONE);
		end[1] = "0123456789abcdef"[(len * 'a' >> 4) & 15];
		end[2] = "0123456789abcdef"[len * 'a' & 15];
		assert_int_equal(feed_text(parser, end), fits ? GDB_INPUT_PACKET : GDB_INPUT_BAD);
		if (fits)
			assert_int_equal(strlen(parser->data), len);
	}
	free(parser);
}

static void made(void **state)
{
	struct gdb_out *out = malloc(sizeof(*out));
	struct gdb_parser *parser = calloc(1, sizeof(*parser));
	static const char binary[] = {'}', '$', '#', '*', '\0', 'a', '\xff'};

	(void)state;
	gdb_out_start(out);
	gdb_out_text(out, "E%02x", 14);
	gdb_out_end(out);
	assert_memory_equal(out->data, "$E0e#da", out->len);
	gdb_out_start(out);
	gdb_out_hex(out, "\x01\xfe", 2);
	gdb_out_unknown(out, 1);
	gdb_out_end(out);
	assert_memory_equal(out->data, "$01fexx#1c", out->len);
	gdb_out_start(out);
	gdb_out_binary(out, binary, sizeof(binary));
	gdb_out_end(out);
	assert_int_equal(feed(parser, out->data, out->len), GDB_INPUT_PACKET);
	assert_int_equal(parser->len, sizeof(binary));
	assert_memory_equal(parser->data, binary, sizeof(binary));
	free(parser);
	free(out);
}

static void full(void **state)
{
	struct gdb_out *out = malloc(sizeof(*out));

	(void)state;
	gdb_out_start(out);
	for (int i = 0; i < GDB_PACKET_MAX; i++)
		gdb_out_text(out, "x");
	assert_false(out->overflow);
	assert_int_equal(gdb_out_room(out), 0);
	gdb_out_text(out, "x");
	assert_true(out->overflow);
	gdb_out_end(out);
	assert_int_equal(out->len, GDB_PACKET_MAX + 4);
	free(out);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
		size_t used;
	} cases[] = {
		{"0", true, 0, 1},
		{"ffffffffffffffff", true, UINT64_MAX, 16},
		{"FfFfFfFfFfFfFfFf,", true, UINT64_MAX, 16},
		{"0000000000000000000000001", true, 1, 25},
		{"10000000000000000", false, 0, 0},
		{"", false, 0, 0},
		{"g", false, 0, 0},
		{"-1", false, 0, 0},
		{" 1", false, 0, 0},
		{"1g", true, 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *p = cases[i].text;
		uint64_t value = 7;

		assert_int_equal(gdb_take_number(&p, &value), cases[i].ok);
		assert_true(value == (cases[i].ok ? cases[i].value : 7));
		assert_ptr_equal(p, cases[i].text + cases[i].used);
	}
}

static void hex(void **state)
{
	const char *p = "01fExyz";
	uint8_t bytes[4];

	(void)state;
	assert_true(gdb_take_hex(&p, bytes, 2));
	assert_memory_equal(bytes, "\x01\xfe", 2);
	assert_false(gdb_take_hex(&p, bytes, 1));
	assert_string_equal(p, "xyz");
	p = "0";
	assert_false(gdb_take_hex(&p, bytes, 1));
	assert_false(gdb_take(&p, 'x'));
	assert_true(gdb_take(&p, '0'));
	assert_false(gdb_take(&p, '\0'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(between),
		cmocka_unit_test(escaped),
		cmocka_unit_test(damaged),
		cmocka_unit_test(too_long),
		cmocka_unit_test(made),
		cmocka_unit_test(full),
		cmocka_unit_test(numbers),
		cmocka_unit_test(hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
