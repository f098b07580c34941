/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM is the ring's one producer, under a lock of its own, and writes `last`; whoever holds ours is
 * its consumer and writes `first`, after the write has been served. Who finds the ring empty may
 * therefore go on without the lock: nobody is still at work on an entry.
 */
#include "vcpu/coalesced.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vm/core/base.h"
#include "vm/core/bus.h"

enum { KVM_PAGE = 4096 };

#define ENTRIES                                                                                    \
	((KVM_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

struct coalesced_ports {
	struct bus *pio;
	pthread_mutex_t lock; /* held by the one who serves a ring */
};

int coalesced_ports_create(struct bus *pio, struct coalesced_ports **ret)
{
	struct coalesced_ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return -ENOMEM;
	ports->pio = pio;
	pthread_mutex_init(&ports->lock, NULL);
	*ret = ports;
	return 0;
}

void coalesced_ports_destroy(struct coalesced_ports *ports)
{
	if (!ports)
		return;
	pthread_mutex_destroy(&ports->lock);
	free(ports);
}

static bool is_empty(const struct kvm_coalesced_mmio_ring *ring)
{
	return __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
}

void coalesced_ports_serve(struct coalesced_ports *ports, struct kvm_coalesced_mmio_ring *ring)
{
	if (is_empty(ring))
		return;
	pthread_mutex_lock(&ports->lock);
	while (!is_empty(ring)) {
		const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[ring->first];
		uint64_t value = 0;

		memcpy(&value, entry->data, entry->len);
		bus_write(ports->pio, entry->phys_addr, entry->len, value);
		__atomic_store_n(
			&ring->first, (uint32_t)((ring->first + 1) % ENTRIES), __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&ports->lock);
}
