/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Something that happens just before a store: the store that a test names by its page is caught by
 * the processor, a function is called on the thread that made it, and then it goes on. So what
 * another thread could do in a window of a few instructions is done there each time.
 */
#ifndef TESTS_STORE_TRAP_H
#define TESTS_STORE_TRAP_H

#include "vm/core/base.h"

enum { STORE_TRAP_PAGE = 4096 };

/* The next store to the page (aligned) calls fn first. One page at a time. */
void store_trap_arm(void *page, void (*fn)(void *opaque), void *opaque);
/* True when it has happened; in any case it does not happen any more. */
bool store_trap_disarm(void);

#endif
