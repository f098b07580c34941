/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/sandbox/sys.h"

#include <errno.h>
#include <unistd.h>

static long host_call(const struct sandbox_sys *sys, long nr, const unsigned long args[6])
{
	const long rc = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);

	(void)sys;
	return rc < 0 ? -errno : rc;
}

const struct sandbox_sys sandbox_sys_host = {.call = host_call};
