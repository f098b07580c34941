/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Libraries that only a feature needs. As a rule they are opened when it does, so that a start
 * without it pays nothing for them and they may be absent. In the static build (`make static`)
 * nothing can be opened: what has an archive is a part of the program, and a feature whose archive
 * was missing is refused. Who includes this is compiled a second time for it (STATIC_SRCS in the
 * Makefile).
 *
 *	LIBRARY_OPEN(name)		a handle, or NULL
 *	LIBRARY_SYMBOL(handle, name)	a pointer to its function or table, or NULL
 *	LIBRARY_HAS(NAME)		its function may be named here: false where only the
 *					static build lacks it
 */
#ifndef BANTAM_VM_CORE_LIBRARY_H
#define BANTAM_VM_CORE_LIBRARY_H

#ifdef BANTAM_STATIC
#include "archives.h"

#define LIBRARY_OPEN(name)		((void)(name), (void *)"")
#define LIBRARY_SYMBOL(library, symbol) ((void)(library), &(symbol))
#define LIBRARY_HAS(name)		(STATIC_##name)
#define LIBRARY_BUILD			"static build"
#else
#include <dlfcn.h>

#define LIBRARY_OPEN(name)		dlopen(name, RTLD_NOW | RTLD_LOCAL)
#define LIBRARY_SYMBOL(library, symbol) ((__typeof__(symbol) *)dlsym(library, #symbol))
#define LIBRARY_HAS(name)		1
#define LIBRARY_BUILD			"program"
#endif

#endif
