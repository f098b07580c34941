/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X (PCI 3.0, 6.8.2) for a PCI function: the capability, and its table and pending bits inside
 * a memory BAR.
 *
 * A vector is live when MSI-X is enabled, neither the function nor the vector is masked, and the
 * function may master the bus (a message is a memory write). Raised while live it is sent at once;
 * raised while MSI-X is enabled but the vector not live, it pends and is sent when it becomes
 * live. While MSI-X is disabled a vector is dropped: the device uses its INTx wire then.
 *
 * Messages go to the sink. An owner that wants the kernel to deliver some of them (an eventfd
 * bound to a message) follows vectors through msix_route_ops.
 *
 * Locking: own mutex, a leaf but for the sink and the route ops, which are called under it and
 * must neither block nor call back. Everything but create and destroy may be called from any
 * thread; msix_cfg_write under the PCI bus's mutex, that is from the function's cfg_write hook.
 */
#ifndef BANTAM_DEVICES_PCI_MSIX_H
#define BANTAM_DEVICES_PCI_MSIX_H

#include "vm/core/base.h"
#include "vm/core/bus.h"
#include "vm/core/irq.h"

enum {
	MSIX_MAX_VECTORS = 2048,
	MSIX_ENTRY_SIZE = 16,
};

struct msix;
struct pci_function;

struct msix_message {
	uint64_t addr;
	uint32_t data;
};

struct msix_route_ops {
	/*
	 * The vector became live, or its message changed while it was; with NULL, it is no longer
	 * live and nothing may be delivered for it. Takes effect with the next commit.
	 */
	void (*changed)(void *opaque, unsigned int vector, const struct msix_message *msg);
	/* Ends the changes of one guest access, however many vectors it touched. */
	void (*commit)(void *opaque);
	/*
	 * Takes, and returns, what was signalled around msix_raise while the vector was not live.
	 * Asked when the guest looks at the pending bits and when a vector becomes live.
	 */
	bool (*take_pending)(void *opaque, unsigned int vector);
};

struct msix_config {
	struct pci_function *fn;  /* not on the bus yet; outlives the object */
	unsigned int num_vectors; /* 1..MSIX_MAX_VECTORS */
	unsigned int bar;	  /* memory BAR that holds table and pending bits */
	uint32_t table_off;	  /* in the BAR, multiples of 8 */
	uint32_t pba_off;
	struct msi_sink sink;
	const struct msix_route_ops *routes; /* may be NULL; each op may be */
	void *routes_opaque;
};

/* Bytes that table and pending bits take in the BAR. */
uint32_t msix_table_size(unsigned int num_vectors);
uint32_t msix_pba_size(unsigned int num_vectors);

/*
 * Adds the capability to the function. -EINVAL for numbers out of range or places that overlap or
 * lie outside the BAR, -ENOSPC without room for the capability, -ENOMEM.
 */
int msix_create(const struct msix_config *config, struct msix **ret);
void msix_destroy(struct msix *msix);

/*
 * The BAR: off is relative to it. Bytes in neither table nor pending bits read as 0. Reads take any
 * offset and size; writes other than of aligned double and quad words are dropped (6.8.2).
 */
uint64_t msix_read(struct msix *msix, uint64_t off, unsigned int size);
void msix_write(struct msix *msix, uint64_t off, unsigned int size, uint64_t value);

/* For a BAR that holds nothing else; the opaque is the struct msix. */
extern const struct bus_ops msix_bar_ops;

/* After each write to the function's configuration space: follows message control and command. */
void msix_cfg_write(struct msix *msix);

bool msix_enabled(struct msix *msix);

/* A vector out of range is dropped. */
void msix_raise(struct msix *msix, unsigned int vector);

/* True when the vector is live; *msg is what it sends. */
bool msix_message(struct msix *msix, unsigned int vector, struct msix_message *msg);

#endif
