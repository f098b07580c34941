/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the back end and its process share: a page, and a ring of frames for each direction. Frames
 * have no header before them: none that would say anything passes here.
 */
#ifndef BANTAM_DEVICES_NET_APART_PRIVATE_H
#define BANTAM_DEVICES_NET_APART_PRIVATE_H

#include <stdatomic.h>

#include "devices/net/net.h"
#include "vm/helper/ring.h"

struct apart_page {
	/* See struct slirp_setup. */
	_Atomic uint16_t ports[NET_SLIRP_MAX_FORWARDS];
};

#define APART_PAGE 4096u
/* A ring's memory, of whole pages */
#define APART_RING(size) ((size) + APART_PAGE)

/* Each page of them is memory in use, once it was: no more than eight windows of TCP */
#define APART_OUT_SIZE (256u << 10) /* from the guest */
#define APART_IN_SIZE  (512u << 10) /* for it */

enum {
	APART_OUT = APART_PAGE,
	APART_IN = APART_OUT + APART_RING(APART_OUT_SIZE),
	APART_MEMORY = APART_IN + APART_RING(APART_IN_SIZE),
	APART_MAX_FRAME = 14 + NET_SLIRP_MTU,
};

static inline void *apart_ring(void *memory, size_t offset)
{
	return (uint8_t *)memory + offset;
}

#endif
