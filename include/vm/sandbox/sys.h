/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to the kernel of all that the sandbox asks of it, by the number of the call: a test puts
 * a host in its place that lacks what it wants.
 */
#ifndef BANTAM_VM_SANDBOX_SYS_H
#define BANTAM_VM_SANDBOX_SYS_H

#include <stdint.h>

struct sandbox_sys {
	/* The result, or a negative errno */
	long (*call)(const struct sandbox_sys *sys, long nr, const unsigned long args[6]);
};

extern const struct sandbox_sys sandbox_sys_host;

/* Pointers are passed as sandbox_ptr() of them. */
#define sandbox_call(sys, nr, ...) ((sys)->call((sys), (nr), (const unsigned long[6]){__VA_ARGS__}))

static inline unsigned long sandbox_ptr(const void *p)
{
	return (unsigned long)(uintptr_t)p;
}

#endif
