/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_HELPER_HELPER_PRIVATE_H
#define BANTAM_VM_HELPER_HELPER_PRIVATE_H

#include <stdatomic.h>

#include "vm/helper/helper.h"

/* Before config.memory, on a page of its own. */
struct helper_shared {
	_Atomic uint32_t go; /* the generation that may go */
};

enum { HELPER_SHARED = 4096 };

/*
 * A message on control, from the keeper, or on lines, from the helper. There, what begins with
 * another byte is a line.
 */
struct helper_wire {
	uint8_t news; /* enum helper_news: READY, FAILED, DIED, GAVE_UP */
	uint32_t generation;
	int32_t code;
	char text[504]; /* ends where the message does, or with a 0 */
};

/* To the keeper, on control: end the helper. */
enum { HELPER_ORDER_RESTART = 'r' };

/* In keeper and helper, numbers are fixed; 0 to 2 are /dev/null. */
enum {
	FD_CONTROL = 3,
	FD_LINES,
	FD_MEMORY,
	FD_WAKE,
	FD_VM_WAKE,
	FD_KEEPER_ASK, /* the keeper's end */
	FD_HELPER_ASK,
	NUM_FDS
};

enum { HELPER_EXIT_FAILED = 113 }; /* the helper has said why */

/* ---- keeper.c ---- */

/* The life of the keeper. Its descriptors are where they belong. */
void helper_keep(const struct helper_config *config) __attribute__((noreturn));

/* ---- process.c ---- */

/*
 * In a child: moves the descriptors, given in the order of FD_CONTROL to FD_VM_WAKE, to their
 * places, and closes all others; then no new privileges, no core, a session of its own. -errno.
 */
int helper_process_begin(const struct helper_config *config, const int fds[HELPER_FDS]);
/* In the helper, a child of keeper: the rest of it, and body. */
void helper_process_run(const struct helper_config *config, int keeper, unsigned int generation)
	__attribute__((noreturn));
void helper_process_say(
	int fd, enum helper_news news, unsigned int generation, int code, const char *text);

#endif
