/* SPDX-License-Identifier: BSD-2-Clause */
#include "restart.h"

int restart_after(struct restart *restart, uint64_t lived_ms)
{
	unsigned int ms = RESTART_FIRST_MS;

	if (lived_ms >= RESTART_GOOD_MS)
		restart->deaths = 0;
	restart->deaths++;
	if (restart->deaths >= RESTART_MAX_DEATHS)
		return -1;
	if (restart->deaths == 1)
		return 0;
	for (unsigned int i = 2; i < restart->deaths && ms < RESTART_SLOWEST_MS; i++)
		ms *= 2;
	return (int)MIN(ms, (unsigned int)RESTART_SLOWEST_MS);
}
