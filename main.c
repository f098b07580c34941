/* SPDX-License-Identifier: BSD-2-Clause */
#include <malloc.h>

#include "vm/cli/commands.h"
#include "vm/cli/process.h"
#include "vm/config/exit_code.h"

/*
 * What a boot takes and gives back (a kernel, an initial RAM disk) goes back to the host for good.
 * By itself malloc learns from the first large free to keep that much for the next time, and there
 * is none.
 *
 * Threads allocate little, and never while they serve I/O: the one heap does for all, and they need
 * no calls to map others.
 */
static void return_freed_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_ARENA_MAX, 1);
}

int main(int argc, char **argv)
{
	return_freed_memory();
	if (process_begin() < 0)
		return EXIT_HOST;
	return process_end(command_main(argc, argv));
}
