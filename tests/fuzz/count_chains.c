/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the chains that a fuzz target's driver has made available, and of these the refused ones.
 * Linked with targets over virtqueues by --wrap; says so at the end, for tests/tools/torture.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "virtio/queue/virtqueue.h"

int __real_virtqueue_pop(struct virtqueue *vq, struct virtq_chain **ret);
int __wrap_virtqueue_pop(struct virtqueue *vq, struct virtq_chain **ret);
unsigned int __real_virtqueue_pop_room(
	struct virtqueue *vq, struct virtq_chain **ret, unsigned int max, uint64_t room);
unsigned int __wrap_virtqueue_pop_room(
	struct virtqueue *vq, struct virtq_chain **ret, unsigned int max, uint64_t room);

struct counts {
	atomic_uint_fast64_t taken, refused;
};

static struct counts *counts(void)
{
	static struct counts c;

	return &c;
}

static void count(unsigned int taken, bool refused)
{
	atomic_fetch_add_explicit(&counts()->taken, taken, memory_order_relaxed);
	atomic_fetch_add_explicit(&counts()->refused, refused, memory_order_relaxed);
}

int __wrap_virtqueue_pop(struct virtqueue *vq, struct virtq_chain **ret)
{
	const bool broken = virtqueue_error(vq);
	const int rc = __real_virtqueue_pop(vq, ret);

	count(rc == 1, rc < 0 && !broken);
	return rc;
}

unsigned int __wrap_virtqueue_pop_room(
	struct virtqueue *vq, struct virtq_chain **ret, unsigned int max, uint64_t room)
{
	const bool broken = virtqueue_error(vq);
	const unsigned int n = __real_virtqueue_pop_room(vq, ret, max, room);

	count(n, virtqueue_error(vq) && !broken);
	return n;
}

__attribute__((destructor)) static void say(void)
{
	fprintf(stderr, "chains: %" PRIuFAST64 " taken, %" PRIuFAST64 " refused\n", counts()->taken,
		counts()->refused);
}
