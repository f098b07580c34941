/* SPDX-License-Identifier: BSD-2-Clause */
/* The entropy device (virtio 1.2, 5.4): fills the driver's buffers with random bytes. */
#ifndef BANTAM_VIRTIO_RNG_H
#define BANTAM_VIRTIO_RNG_H

#include <sys/types.h>

#include "vm/core/base.h"

struct event_loop;
struct guest_mem;
struct log;
struct virtio_device;

enum {
	VIRTIO_RNG_QUEUE_SIZE = 64,
	VIRTIO_RNG_MAX_BYTES = 4096, /* for one request; the rest of a larger buffer is left */
};

struct virtio_rng_config {
	const struct guest_mem *mem;
	struct event_loop *loop; /* see virtio_device_config */
	struct log *log;
	/*
	 * Random bytes: returns how many of at most len it wrote to buf, which is guest memory, or
	 * a negative errno. Must not block. NULL: the host's getrandom.
	 */
	ssize_t (*fill)(void *opaque, void *buf, size_t len);
	void *opaque;
};

/* Waits for the host's generator to be seeded, once. Destroy with virtio_device_destroy. */
int virtio_rng_create(const struct virtio_rng_config *config, struct virtio_device **ret);

#endif
