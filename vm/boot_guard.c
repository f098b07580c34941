/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/boot_guard.h"

void boot_guard_start(struct boot_guard *guard, uint64_t now_ns)
{
	guard->started_ns = now_ns;
}

bool boot_guard_again(struct boot_guard *guard, uint64_t now_ns, bool came_up)
{
	if (came_up || now_ns - guard->started_ns >= BOOT_GUARD_LONG_NS)
		guard->in_vain = 0;
	else
		guard->in_vain++;
	return guard->in_vain < BOOT_GUARD_MAX;
}
