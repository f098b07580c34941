/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small process that outlives the VM's, to remove sockets which that has made and may not remove
 * any more. It does so however the VM dies.
 */
#ifndef BANTAM_VM_SANDBOX_JANITOR_H
#define BANTAM_VM_SANDBOX_JANITOR_H

struct error;
struct janitor;

enum { JANITOR_MAX = 24 };

/* Of sockets that are there. Before the sandbox is entered. -errno with a line. */
int janitor_start(
	const char *const *paths, unsigned int num, struct janitor **ret, struct error *err);
/* They are removed when this returns. NULL is allowed. */
void janitor_end(struct janitor *janitor);

#endif
