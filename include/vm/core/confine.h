/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a thread or a process of Bantam is for, and how it gives up what it has no need of. Who
 * starts threads gets a struct confine from above and calls confine_enter first thing in each.
 */
#ifndef BANTAM_VM_CORE_CONFINE_H
#define BANTAM_VM_CORE_CONFINE_H

#include <stddef.h>

enum confine_class {
	CONFINE_MAIN,	      /* the main thread: what all of them may do */
	CONFINE_MAIN_USER,    /* the same, with user networking in this process */
	CONFINE_MAIN_FS,      /* ...with shared directories */
	CONFINE_MAIN_USER_FS, /* ...with both */
	CONFINE_VCPU,
	CONFINE_DISK, /* and the threads of its pool */
	CONFINE_NET,
	CONFINE_NET_USER, /* with user networking */
	CONFINE_FS,	  /* a shared directory's */
	CONFINE_DUMP,
	CONFINE_GUARD,	    /* a process: restores the terminal */
	CONFINE_JANITOR,    /* a process: removes sockets */
	CONFINE_KEEPER,	    /* a process: starts helpers */
	CONFINE_NET_HELPER, /* a process: user networking */
	NUM_CONFINE_CLASSES
};

/* opaque outlives all threads. */
struct confine {
	void (*enter)(void *opaque, enum confine_class what);
	void *opaque;
};

/* On the thread itself. NULL: it may do what its process may. */
static inline void confine_enter(const struct confine *confine, enum confine_class what)
{
	if (confine && confine->enter)
		confine->enter(confine->opaque, what);
}

#endif
