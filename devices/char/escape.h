/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Ctrl-A commands of the console, as a filter over what a person types. Pure: it knows no
 * descriptor and does nothing itself. The bytes may come in pieces of any size.
 *
 * Ctrl-A a and Ctrl-A Ctrl-A are one Ctrl-A for the guest. Ctrl-A and a key that means nothing are
 * both swallowed, as QEMU's console does: a slip of the finger should not type into the guest.
 */
#ifndef BANTAM_DEVICES_CHAR_ESCAPE_H
#define BANTAM_DEVICES_CHAR_ESCAPE_H

#include "vm/core/base.h"

#define ESCAPE_BYTE 0x01 /* Ctrl-A */

enum escape_key {
	ESCAPE_NONE, /* the input is used up */
	ESCAPE_QUIT,
	ESCAPE_POWER_BUTTON,
	ESCAPE_RESET,
	ESCAPE_BREAK,
	ESCAPE_SUSPEND,
	ESCAPE_DETACH,
	ESCAPE_HELP,
};

/* Zero-initialised. */
struct escape {
	bool pending; /* Ctrl-A came, the key did not yet */
};

/*
 * Reads buf up to the end or to the first command, whichever is earlier, and moves the bytes that
 * are for the guest to the front of buf. *used is how many bytes were read, *out_len how many are
 * for the guest; they precede the command that is returned.
 */
enum escape_key escape_feed(
	struct escape *escape, uint8_t *buf, size_t len, size_t *used, size_t *out_len);

/* The list of keys, for the person at the terminal: lines that end in CR LF. */
extern const char escape_help[];

#endif
