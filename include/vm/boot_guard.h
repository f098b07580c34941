/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends what would start for ever: counts the boots in a row that came to their end, and were to be
 * followed by another one, before the guest got to user space or ran for long.
 */
#ifndef BANTAM_VM_BOOT_GUARD_H
#define BANTAM_VM_BOOT_GUARD_H

#include "vm/core/base.h"

enum { BOOT_GUARD_MAX = 5 };

/* A guest that runs for so long is no boot loop, whatever it is. */
#define BOOT_GUARD_LONG_NS (600 * NSEC_PER_SEC)

struct boot_guard {
	unsigned int in_vain;
	uint64_t started_ns;
};

void boot_guard_start(struct boot_guard *guard, uint64_t now_ns);

/* A boot is over: true if there shall be another one. came_up: to user space. */
bool boot_guard_again(struct boot_guard *guard, uint64_t now_ns, bool came_up);

#endif
