/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells: guest writes that mean nothing but "look at the queue". A transport tells a listener
 * where they are and which eventfd stands for each, so that the kernel can signal it without
 * leaving the guest for the monitor. Nobody depends on it: where there is no listener, or it
 * refuses one, the write arrives at the bus handler as any other does, and does the same.
 */
#ifndef BANTAM_VM_CORE_DOORBELL_H
#define BANTAM_VM_CORE_DOORBELL_H

#include "vm/core/base.h"

struct doorbell {
	bool pio; /* a port, else a guest-physical address */
	uint64_t addr;
	unsigned int len; /* width of the write: 2 or 4; 0 for any, then without match */
	bool match;	  /* only a write of value */
	uint64_t value;
	int fd; /* the eventfd */
};

/*
 * Called under the locks of PCI bus and device; must not call back. add returns 0 or a negative
 * errno; remove gets what add took, field for field, and returns when the kernel does not signal
 * for it any more. A zeroed listener takes nothing.
 */
struct doorbell_listener {
	int (*add)(void *opaque, const struct doorbell *doorbell);
	void (*remove)(void *opaque, const struct doorbell *doorbell);
	void *opaque;
};

#endif
