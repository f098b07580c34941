/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of the GDB remote serial protocol (GDB's manual, appendix E): "$content#checksum", with
 * '}' in front of a byte that is sent as its exclusive or with 0x20. Pure. What comes from the
 * client is hostile: a packet that is too long or damaged is counted to its end and dropped.
 */
#ifndef BANTAM_VM_GDB_PACKET_H
#define BANTAM_VM_GDB_PACKET_H

#include "vm/core/base.h"

enum { GDB_PACKET_MAX = 16384 }; /* bytes of content */

/* ---- from the client ---- */

enum gdb_input {
	GDB_INPUT_NONE,	  /* nothing is complete yet, or it was noise between packets */
	GDB_INPUT_PACKET, /* data, len: valid until the next byte */
	GDB_INPUT_BAD,	  /* a packet that is damaged or too long */
	GDB_INPUT_ACK,	  /* '+' */
	GDB_INPUT_NAK,	  /* '-' */
	GDB_INPUT_BREAK,  /* ^C */
};

struct gdb_parser {
	enum { GDB_BETWEEN, GDB_CONTENT, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
	uint8_t sum, said;
	bool bad;
	size_t len;
	char data[GDB_PACKET_MAX + 1]; /* ends with a zero when it is complete */
};

/* A parser begins as zeros. */
enum gdb_input gdb_parse(struct gdb_parser *parser, uint8_t byte);

/* ---- to the client ---- */

/* A packet that is being made. What does not fit is left out, and overflow set. */
struct gdb_out {
	size_t len;
	bool overflow;
	char data[GDB_PACKET_MAX + 8]; /* the frame: '$', content, '#', two digits */
};

void gdb_out_start(struct gdb_out *out);
void gdb_out_text(struct gdb_out *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Two digits for each byte, in the order of memory. */
void gdb_out_hex(struct gdb_out *out, const void *bytes, size_t len);
void gdb_out_unknown(struct gdb_out *out, size_t len); /* "xx" for each: has no value */
/* As they are, but for those that have a meaning. */
void gdb_out_binary(struct gdb_out *out, const void *bytes, size_t len);
/* Bytes of content that there is room for yet. */
size_t gdb_out_room(const struct gdb_out *out);
/* Puts the checksum behind it: data is a frame of len bytes then. */
void gdb_out_end(struct gdb_out *out);

/* ---- what packets are made of ---- */

/*
 * A hexadecimal number of at most 64 bits at *p, which is moved behind it. False, and nothing
 * moved, where there is none.
 */
bool gdb_take_number(const char **p, uint64_t *ret);
/* len bytes of two digits each. */
bool gdb_take_hex(const char **p, void *bytes, size_t len);
/* The character c. */
bool gdb_take(const char **p, char c);

#endif
