/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/gdb/packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPE = '}', ESCAPE_XOR = 0x20, BREAK = 3 };

static int digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- from the client ---- */

static enum gdb_input start(struct gdb_parser *parser)
{
	parser->state = GDB_CONTENT;
	parser->sum = 0;
	parser->len = 0;
	parser->bad = false;
	return GDB_INPUT_NONE;
}

static enum gdb_input between(struct gdb_parser *parser, uint8_t byte)
{
	switch (byte) {
	case '$':
		return start(parser);
	case '+':
		return GDB_INPUT_ACK;
	case '-':
		return GDB_INPUT_NAK;
	case BREAK:
		return GDB_INPUT_BREAK;
	default:
		return GDB_INPUT_NONE;
	}
}

static void add(struct gdb_parser *parser, uint8_t byte)
{
	if (parser->len == GDB_PACKET_MAX)
		parser->bad = true;
	else
		parser->data[parser->len++] = (char)byte;
}

static enum gdb_input content(struct gdb_parser *parser, uint8_t byte)
{
	/* Its beginning is never inside one: the end of the last one was lost. */
	if (byte == '$')
		return start(parser);
	if (byte == '#') {
		parser->bad |= parser->state == GDB_ESCAPED;
		parser->state = GDB_SUM_HIGH;
		return GDB_INPUT_NONE;
	}
	parser->sum = (uint8_t)(parser->sum + byte);
	if (parser->state == GDB_ESCAPED) {
		parser->state = GDB_CONTENT;
		add(parser, byte ^ ESCAPE_XOR);
	} else if (byte == ESCAPE) {
		parser->state = GDB_ESCAPED;
	} else {
		add(parser, byte);
	}
	return GDB_INPUT_NONE;
}

static enum gdb_input checksum(struct gdb_parser *parser, uint8_t byte)
{
	const int digit = digit_of(byte);

	parser->bad |= digit < 0;
	if (parser->state == GDB_SUM_HIGH) {
		parser->said = (uint8_t)(MAX(digit, 0) << 4);
		parser->state = GDB_SUM_LOW;
		return GDB_INPUT_NONE;
	}
	parser->state = GDB_BETWEEN;
	if (parser->bad || (parser->said | digit) != parser->sum)
		return GDB_INPUT_BAD;
	parser->data[parser->len] = '\0';
	return GDB_INPUT_PACKET;
}

enum gdb_input gdb_parse(struct gdb_parser *parser, uint8_t byte)
{
	switch (parser->state) {
	case GDB_BETWEEN:
		return between(parser, byte);
	case GDB_CONTENT:
	case GDB_ESCAPED:
		return content(parser, byte);
	case GDB_SUM_HIGH:
	case GDB_SUM_LOW:
		return checksum(parser, byte);
	}
	return GDB_INPUT_NONE;
}

/* ---- to the client ---- */

static const char digits[] = "0123456789abcdef";

void gdb_out_start(struct gdb_out *out)
{
	out->data[0] = '$';
	out->len = 1;
	out->overflow = false;
}

size_t gdb_out_room(const struct gdb_out *out)
{
	return GDB_PACKET_MAX - (out->len - 1);
}

static void put(struct gdb_out *out, const char *bytes, size_t len)
{
	if (len > gdb_out_room(out)) {
		out->overflow = true;
		return;
	}
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
}

void gdb_out_text(struct gdb_out *out, const char *fmt, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n > 0)
		put(out, text, MIN((size_t)n, sizeof(text) - 1));
}

void gdb_out_hex(struct gdb_out *out, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++) {
		const char two[] = {digits[p[i] >> 4], digits[p[i] & 15]};

		put(out, two, sizeof(two));
	}
}

void gdb_out_unknown(struct gdb_out *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put(out, "xx", 2);
}

void gdb_out_binary(struct gdb_out *out, const void *bytes, size_t len)
{
	const char *p = bytes;

	for (size_t i = 0; i < len; i++) {
		const char two[] = {ESCAPE, p[i] ^ ESCAPE_XOR};

		if (p[i] == '$' || p[i] == '#' || p[i] == '*' || p[i] == ESCAPE)
			put(out, two, sizeof(two));
		else
			put(out, &p[i], 1);
	}
}

void gdb_out_end(struct gdb_out *out)
{
	uint8_t sum = 0;

	for (size_t i = 1; i < out->len; i++)
		sum = (uint8_t)(sum + (uint8_t)out->data[i]);
	out->data[out->len++] = '#';
	out->data[out->len++] = digits[sum >> 4];
	out->data[out->len++] = digits[sum & 15];
}

/* ---- what packets are made of ---- */

bool gdb_take_number(const char **p, uint64_t *ret)
{
	const char *at = *p;
	uint64_t value = 0;
	unsigned int n = 0;
	int digit;

	for (; (digit = digit_of((uint8_t)*at)) >= 0; at++) {
		n += n || digit;
		if (n > 16)
			return false;
		value = value << 4 | (unsigned int)digit;
	}
	if (at == *p)
		return false;
	*p = at;
	*ret = value;
	return true;
}

bool gdb_take_hex(const char **p, void *bytes, size_t len)
{
	const char *at = *p;
	uint8_t *to = bytes;

	for (size_t i = 0; i < len; i++) {
		const int high = digit_of((uint8_t)at[0]);
		const int low = high < 0 ? -1 : digit_of((uint8_t)at[1]);

		if (low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	*p = at;
	return true;
}

bool gdb_take(const char **p, char c)
{
	if (**p != c || !c)
		return false;
	++*p;
	return true;
}
