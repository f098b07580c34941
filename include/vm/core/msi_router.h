/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routes for message-signalled interrupts: an eventfd that, once signalled, makes the kernel send
 * a message to the guest. Changes are staged and take effect together with commit, because each
 * change of the kernel's table costs it a grace period. Nobody depends on it: a zeroed router makes
 * no routes, and messages go through struct msi_sink.
 *
 * Called under the locks of PCI bus, device and MSI-X; must not call back.
 */
#ifndef BANTAM_VM_CORE_MSI_ROUTER_H
#define BANTAM_VM_CORE_MSI_ROUTER_H

#include "vm/core/base.h"

struct msi_router {
	/* A route that delivers nothing yet. fd stays the caller's and outlives the route. */
	int (*open)(void *opaque, int fd, unsigned int *route);
	/* Not delivering. */
	void (*close)(void *opaque, unsigned int route);
	/* Deliver this message from the next commit on. What fd holds by then is delivered too. */
	void (*set)(void *opaque, unsigned int route, uint64_t addr, uint32_t data);
	/*
	 * Deliver nothing from the next commit on: fd then counts up, for the caller to read. No
	 * table needs to change for that.
	 */
	void (*clear)(void *opaque, unsigned int route);
	/*
	 * 0, or a negative errno: then the routes that were set since the last commit deliver
	 * nothing, and those that were cleared do not either.
	 */
	int (*commit)(void *opaque);
	void *opaque;
};

#endif
