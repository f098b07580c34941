/* SPDX-License-Identifier: BSD-2-Clause */
/* Coalesced port writes: the ring as KVM fills it, served by one thread and by two. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "vcpu/coalesced.h"
#include "vm/core/base.h"
#include "vm/core/bus.h"

enum {
	PORT = 0x70,
	PORTS = 8,
	ENTRIES = 170, /* (4096 - 8) / 24 */
	ROUNDS = 20000,
};

/* A device that notes what is written to it; served by one vCPU at a time, so without a lock. */
struct recorder {
	struct bus_region region;
	uint64_t count, offs[ENTRIES], values[ENTRIES];
	unsigned int sizes[ENTRIES];
	bool ascending;
	/* Of each write, where the ring began meanwhile */
	const struct kvm_coalesced_mmio_ring *ring;
	uint32_t firsts[ENTRIES];
};

static void record(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct recorder *r = opaque;
	const uint64_t at = r->count++ % ENTRIES;

	r->ascending = r->ascending && (uint32_t)value == (uint32_t)(r->count - 1);
	r->offs[at] = off;
	r->sizes[at] = size;
	r->values[at] = value;
	if (r->ring)
		r->firsts[at] = __atomic_load_n(&r->ring->first, __ATOMIC_RELAXED);
}

static uint64_t nothing(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	(void)off;
	return size_mask(size);
}

static const struct bus_ops ops = {.read = nothing, .write = record};

struct rig {
	struct bus *pio;
	struct recorder recorder;
	struct coalesced_ports *ports;
	struct kvm_coalesced_mmio_ring *ring; /* exactly a page, so ASan sees one byte too many */
	_Atomic bool done;
};

static void set_up(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->recorder.ascending = true;
	rig->recorder.region = (struct bus_region){.name = "recorder",
		.base = PORT,
		.size = PORTS,
		.ops = &ops,
		.opaque = &rig->recorder};
	assert_int_equal(bus_create(0x10000, &rig->pio), 0);
	assert_int_equal(bus_add(rig->pio, &rig->recorder.region), 0);
	assert_int_equal(coalesced_ports_create(rig->pio, &rig->ports), 0);
	rig->ring = calloc(1, 4096);
	assert_non_null(rig->ring);
}

static void tear_down(struct rig *rig)
{
	free(rig->ring);
	coalesced_ports_destroy(rig->ports);
	bus_destroy(rig->pio);
}

/* What KVM does for one write; false where the ring is full, upon which it makes an exit. */
static bool produce(
	struct kvm_coalesced_mmio_ring *ring, uint16_t port, uint32_t len, uint32_t value)
{
	const uint32_t last = ring->last;
	struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[last];

	if ((last + 1) % ENTRIES == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
		return false;
	memset(entry, 0xee, sizeof(*entry));
	entry->phys_addr = port;
	entry->len = len;
	entry->pio = 1;
	memcpy(entry->data, &value, len);
	__atomic_store_n(&ring->last, (last + 1) % ENTRIES, __ATOMIC_RELEASE);
	return true;
}

static void test_order_and_width(void **state)
{
	struct rig rig;
	const struct recorder *r = &rig.recorder;

	(void)state;
	set_up(&rig);
	coalesced_ports_serve(rig.ports, rig.ring);
	assert_int_equal(r->count, 0);

	assert_true(produce(rig.ring, PORT, 1, 0x8f));
	assert_true(produce(rig.ring, PORT + 4, 4, 0x80001234));
	assert_true(produce(rig.ring, PORT + 2, 2, 0xbeef));
	coalesced_ports_serve(rig.ports, rig.ring);
	assert_int_equal(r->count, 3);
	assert_int_equal(r->offs[0], 0);
	assert_int_equal(r->sizes[0], 1);
	assert_int_equal(r->values[0], 0x8f);
	assert_int_equal(r->offs[1], 4);
	assert_int_equal(r->sizes[1], 4);
	assert_int_equal(r->values[1], 0x80001234);
	assert_int_equal(r->offs[2], 2);
	assert_int_equal(r->sizes[2], 2);
	assert_int_equal(r->values[2], 0xbeef);
	coalesced_ports_serve(rig.ports, rig.ring);
	assert_int_equal(r->count, 3);
	tear_down(&rig);
}

/* It is filled to the brim again and again, from each of its places on. */
static void test_full_ring(void **state)
{
	struct rig rig;
	uint32_t made = 0;

	(void)state;
	set_up(&rig);
	for (unsigned int round = 1; round <= 2 * ENTRIES; round++) {
		while (produce(rig.ring, PORT, 4, made))
			made++;
		assert_int_equal(made, round * (ENTRIES - 1));
		coalesced_ports_serve(rig.ports, rig.ring);
		assert_int_equal(rig.recorder.count, made);
		assert_int_equal(rig.ring->first, rig.ring->last);
	}
	assert_true(rig.recorder.ascending);
	tear_down(&rig);
}

/*
 * While a write is being served, its entry is still in the ring: another vCPU that finds the ring
 * empty takes it that all has been served.
 */
static void test_entry_stays_until_served(void **state)
{
	struct rig rig;

	(void)state;
	set_up(&rig);
	rig.recorder.ring = rig.ring;
	for (uint32_t i = 0; i < 100; i++)
		assert_true(produce(rig.ring, PORT, 4, i));
	coalesced_ports_serve(rig.ports, rig.ring);
	assert_int_equal(rig.recorder.count, 100);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(rig.recorder.firsts[i], i);
	tear_down(&rig);
}

static void *serve_own(void *opaque)
{
	struct rig *rig = opaque;

	while (!atomic_load(&rig->done))
		coalesced_ports_serve(rig->ports, rig->ring);
	return NULL;
}

/*
 * Another vCPU serves while this one writes and comes out of the guest: once its own call returns,
 * all that it wrote before has been served, whoever did it.
 */
static void test_two_vcpus(void **state)
{
	struct rig rig;
	pthread_t other;

	(void)state;
	set_up(&rig);
	assert_int_equal(pthread_create(&other, NULL, serve_own, &rig), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		while (!produce(rig.ring, PORT, 4, i))
			coalesced_ports_serve(rig.ports, rig.ring);
		if (i % 3)
			continue;
		coalesced_ports_serve(rig.ports, rig.ring);
		assert_int_equal(rig.recorder.count, i + 1);
	}
	atomic_store(&rig.done, true);
	pthread_join(other, NULL);
	assert_true(rig.recorder.ascending);
	tear_down(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_width),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_entry_stays_until_served),
		cmocka_unit_test(test_two_vcpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
