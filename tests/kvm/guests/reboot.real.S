/* SPDX-License-Identifier: BSD-2-Clause */
/* Says a line and resets, for ever. */
#include "guest.h"

	say "up\n"
	out8 LAYOUT_I8042_CMD, 0xfe
1:	pause
	jmp 1b
