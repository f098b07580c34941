/* SPDX-License-Identifier: BSD-2-Clause */
/* A transport's doorbells: which queue's is in the hands of the listener, and where. */
#ifndef BANTAM_VIRTIO_TRANSPORT_DOORBELLS_H
#define BANTAM_VIRTIO_TRANSPORT_DOORBELLS_H

#include "virtio/device.h"
#include "vm/core/doorbell.h"

/* Guarded by the device's lock. */
struct doorbells {
	struct doorbell_listener listener;
	bool added[VIRTIO_MAX_QUEUES];
	struct doorbell bells[VIRTIO_MAX_QUEUES];
};

/*
 * Sees to it that q has this doorbell and no other; NULL: none. What is as it should be already
 * costs nothing. A doorbell that the listener refuses is tried again at the next call.
 */
void doorbells_set(struct doorbells *doorbells, unsigned int q, const struct doorbell *want);

#endif
