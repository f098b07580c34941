/* SPDX-License-Identifier: BSD-2-Clause */
#include "escape.h"

const char escape_help[] = "\r\n"
			   "Ctrl-A x  quit: the guest ends at once\r\n"
			   "Ctrl-A p  press the power button\r\n"
			   "Ctrl-A r  reset the guest\r\n"
			   "Ctrl-A b  send a break (for Linux: the magic SysRq key)\r\n"
			   "Ctrl-A z  suspend bantam, as Ctrl-Z does other programs\r\n"
			   "Ctrl-A a  send Ctrl-A itself (Ctrl-A Ctrl-A does so too)\r\n"
			   "Ctrl-A ?  list these keys (Ctrl-A h does so too)\r\n";

static enum escape_key command(uint8_t key)
{
	switch (key) {
	case 'x':
		return ESCAPE_QUIT;
	case 'p':
		return ESCAPE_POWER_BUTTON;
	case 'r':
		return ESCAPE_RESET;
	case 'b':
		return ESCAPE_BREAK;
	case 'z':
		return ESCAPE_SUSPEND;
	case 'd':
		return ESCAPE_DETACH;
	case '?':
	case 'h':
		return ESCAPE_HELP;
	default:
		return ESCAPE_NONE;
	}
}

enum escape_key escape_feed(
	struct escape *escape, uint8_t *buf, size_t len, size_t *used, size_t *out_len)
{
	enum escape_key key = ESCAPE_NONE;
	size_t in, out = 0;

	for (in = 0; in < len && key == ESCAPE_NONE; in++) {
		uint8_t byte = buf[in];

		if (!escape->pending && byte != ESCAPE_BYTE) {
			buf[out++] = byte;
			continue;
		}
		escape->pending = !escape->pending;
		if (escape->pending)
			continue;
		if (byte == 'a' || byte == ESCAPE_BYTE)
			buf[out++] = ESCAPE_BYTE;
		else
			key = command(byte);
	}
	*used = in;
	*out_len = out;
	return key;
}
