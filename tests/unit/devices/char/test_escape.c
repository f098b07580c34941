/* SPDX-License-Identifier: BSD-2-Clause */
/* The Ctrl-A commands: each key, at each position, cut into pieces at each place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../../devices/char/escape.h"

enum { MAX = 64 };

/* What a stream of input came to: data, with the commands as bytes of their own kind between. */
struct trace {
	int item[MAX]; /* a byte, or 256 + key */
	size_t count;
};

static void feed_piece(struct escape *escape, struct trace *trace, const char *data, size_t len)
{
	uint8_t buf[MAX], *p = buf;
	size_t used, out_len;

	memcpy(buf, data, len);
	for (; len; p += used, len -= used) {
		enum escape_key key = escape_feed(escape, p, len, &used, &out_len);

		assert_true(used >= 1 && used <= len && out_len <= used);
		assert_true(key != ESCAPE_NONE || used == len);
		for (size_t i = 0; i < out_len; i++)
			trace->item[trace->count++] = p[i];
		if (key != ESCAPE_NONE)
			trace->item[trace->count++] = 256 + (int)key;
	}
}

static void check(const char *in, size_t len, const int *want, size_t num_want)
{
	/* Bit n of cuts: a new piece begins before byte n + 1. */
	for (unsigned int cuts = 0; cuts < 1u << (len - 1); cuts++) {
		struct escape escape = {0};
		struct trace trace = {.count = 0};
		size_t start = 0;

		for (size_t i = 1; i <= len; i++) {
			if (i < len && !(cuts >> (i - 1) & 1))
				continue;
			feed_piece(&escape, &trace, in + start, i - start);
			start = i;
		}
		assert_int_equal(trace.count, num_want);
		for (size_t i = 0; i < num_want; i++)
			assert_int_equal(trace.item[i], want[i]);
	}
}

#define A "\x01"

static void test_sequences(void **state)
{
	static const struct {
		const char *in;
		int want[8];
		size_t num_want;
	} rows[] = {
		{"plain", {'p', 'l', 'a', 'i', 'n'}, 5},
		{"\x03\x1a\x11\x13", {3, 0x1a, 0x11, 0x13}, 4},
		{A "x", {256 + ESCAPE_QUIT}, 1},
		{A "p", {256 + ESCAPE_POWER_BUTTON}, 1},
		{A "r", {256 + ESCAPE_RESET}, 1},
		{A "b", {256 + ESCAPE_BREAK}, 1},
		{A "z", {256 + ESCAPE_SUSPEND}, 1},
		{A "?", {256 + ESCAPE_HELP}, 1},
		{A "h", {256 + ESCAPE_HELP}, 1},
		{A "a", {1}, 1},
		{A A, {1}, 1},
		{A A "x", {1, 'x'}, 2},
		{A A A "x", {1, 256 + ESCAPE_QUIT}, 2},
		{A "ax", {1, 'x'}, 2},
		{A "X", {0}, 0},
		{A "\r", {0}, 0},
		{A "qx", {'x'}, 1},
		{A, {0}, 0},
		{"one" A "x", {'o', 'n', 'e', 256 + ESCAPE_QUIT}, 4},
		{A "xtwo", {256 + ESCAPE_QUIT, 't', 'w', 'o'}, 4},
		{"1" A "b2" A "r3", {'1', 256 + ESCAPE_BREAK, '2', 256 + ESCAPE_RESET, '3'}, 5},
		{A "b" A "b" A "x", {256 + ESCAPE_BREAK, 256 + ESCAPE_BREAK, 256 + ESCAPE_QUIT}, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].in, strlen(rows[i].in), rows[i].want, rows[i].num_want);
}

/* Only the documented keys do something; all other bytes pass unless they follow Ctrl-A. */
static void test_all_bytes(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		struct escape escape = {0};
		uint8_t buf[1] = {(uint8_t)byte};
		size_t used, out_len;
		enum escape_key key = escape_feed(&escape, buf, 1, &used, &out_len);

		assert_int_equal(key, ESCAPE_NONE);
		assert_int_equal(out_len, byte != ESCAPE_BYTE);
		escape.pending = true;
		buf[0] = (uint8_t)byte;
		key = escape_feed(&escape, buf, 1, &used, &out_len);
		assert_int_equal(key != ESCAPE_NONE, byte && strchr("xprbz?hd", byte) != NULL);
		assert_int_equal(out_len, byte == 'a' || byte == ESCAPE_BYTE);
		assert_false(escape.pending);
	}
}

static void test_help_names_all_keys(void **state)
{
	static const char keys[] = "xprbza?";

	(void)state;
	for (const char *key = keys; *key; key++) {
		char line[] = "\r\nCtrl-A .  ";

		line[9] = *key;
		assert_non_null(strstr(escape_help, line));
	}
	for (const char *p = escape_help; (p = strchr(p, '\n')); p++)
		assert_int_equal(p[-1], '\r');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_help_names_all_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
