/* SPDX-License-Identifier: BSD-2-Clause */
/* Never leaves the CPU: whoever ends it has to get it out of guest mode. */
#include "guest.h"

	say "spinning\n"
1:	jmp 1b
