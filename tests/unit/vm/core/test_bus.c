/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vm/core/bus.h"

/* A device that is plain memory and notes its last access. */
struct memory {
	struct bus_region region;
	uint8_t bytes[16];
	uint64_t last_off;
	unsigned int last_size, calls;
};

static uint64_t mem_read(void *opaque, uint64_t off, unsigned int size)
{
	struct memory *m = opaque;
	uint64_t value = 0;

	assert_true(off + size <= m->region.size);
	memcpy(&value, m->bytes + off, size);
	m->last_off = off;
	m->last_size = size;
	m->calls++;
	return value;
}

static void mem_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	struct memory *m = opaque;

	assert_true(off + size <= m->region.size);
	assert_true(size == 8 || value >> (size * 8) == 0);
	memcpy(m->bytes + off, &value, size);
	m->last_off = off;
	m->last_size = size;
	m->calls++;
}

static const struct bus_ops wide_ops = {.read = mem_read, .write = mem_write};
static const struct bus_ops byte_ops = {.read = mem_read, .write = mem_write, .max_size = 1};
static const struct bus_ops dword_ops = {.read = mem_read, .write = mem_write, .max_size = 4};

static void place(struct memory *m, uint64_t base, uint64_t size, const struct bus_ops *ops)
{
	memset(m, 0, sizeof(*m));
	for (size_t i = 0; i < sizeof(m->bytes); i++)
		m->bytes[i] = (uint8_t)(0x10 + i);
	m->region = (struct bus_region){
		.name = "memory", .base = base, .size = size, .ops = ops, .opaque = m};
}

static struct bus *new_bus(uint64_t limit)
{
	struct bus *bus;

	assert_int_equal(bus_create(limit, &bus), 0);
	return bus;
}

static void miss_reads_all_ones(void **state)
{
	static const unsigned int sizes[] = {1, 2, 4, 8};
	struct bus *bus = new_bus(0x10000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_true(bus_read(bus, 0x1234, sizes[i]) == size_mask(sizes[i]));
	bus_write(bus, 0x1234, 4, 0xdeadbeef);
	bus_destroy(bus);
}

static void widths(void **state)
{
	static const struct {
		const struct bus_ops *ops;
		unsigned int size, calls, last_size;
		uint64_t value;
	} rows[] = {
		{&wide_ops, 8, 1, 8, 0x1716151413121110},
		{&dword_ops, 8, 2, 4, 0x1716151413121110},
		{&dword_ops, 2, 1, 2, 0x1110},
		{&byte_ops, 4, 4, 1, 0x13121110},
		{&wide_ops, 3, 2, 1, 0x121110},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bus *bus = new_bus(0x10000);
		struct memory m;

		place(&m, 0x100, 16, rows[i].ops);
		assert_int_equal(bus_add(bus, &m.region), 0);
		assert_true(bus_read(bus, 0x100, rows[i].size) == rows[i].value);
		assert_int_equal(m.calls, rows[i].calls);
		assert_int_equal(m.last_size, rows[i].last_size);
		bus_write(bus, 0x108, rows[i].size, ~UINT64_C(0));
		for (unsigned int j = 0; j < 8; j++)
			assert_int_equal(m.bytes[8 + j], j < rows[i].size ? 0xff : 0x18 + j);
		bus_destroy(bus);
	}
}

static void access_across_an_edge(void **state)
{
	struct bus *bus = new_bus(0x10000);
	struct memory a, b;

	(void)state;
	place(&a, 0x100, 3, &wide_ops);
	place(&b, 0x103, 4, &wide_ops);
	assert_int_equal(bus_add(bus, &a.region), 0);
	assert_int_equal(bus_add(bus, &b.region), 0);
	assert_true(bus_read(bus, 0x101, 4) == 0x11101211);
	/* The last bytes meet nobody, and nobody's neighbour is disturbed. */
	assert_true(bus_read(bus, 0x105, 4) == 0xffff1312);
	bus_write(bus, 0xff, 2, 0xaabb);
	assert_int_equal(a.bytes[0], 0xaa);
	bus_destroy(bus);
}

static void rejects_bad_regions(void **state)
{
	static const struct {
		uint64_t base, size;
		int rc;
	} rows[] = {
		{0x100, 0, -EINVAL},
		{0xffff, 2, -EINVAL},
		{UINT64_MAX, 2, -EINVAL},
		{0x1ff, 1, 0},
		{0x200, 1, -EEXIST},
		{0x1fe, 3, -EEXIST},
		{0x20f, 8, -EEXIST},
		{0x210, 8, 0},
		{0xffff, 1, 0},
	};
	struct memory first, others[ARRAY_SIZE(rows)];
	struct bus *bus = new_bus(0x10000);

	(void)state;
	place(&first, 0x200, 16, &wide_ops);
	assert_int_equal(bus_add(bus, &first.region), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		place(&others[i], rows[i].base, rows[i].size, &wide_ops);
		assert_int_equal(bus_add(bus, &others[i].region), rows[i].rc);
	}
	bus_destroy(bus);
}

static void top_of_the_address_space(void **state)
{
	struct bus *bus = new_bus(0);
	struct memory m;

	(void)state;
	place(&m, UINT64_MAX - 7, 8, &wide_ops);
	assert_int_equal(bus_add(bus, &m.region), 0);
	assert_true(bus_read(bus, UINT64_MAX - 7, 8) == 0x1716151413121110);
	/* Runs past the end and wraps to address 0, where nothing is. */
	assert_true(bus_read(bus, UINT64_MAX, 2) == 0xff17);
	bus_destroy(bus);
}

static void removal(void **state)
{
	struct bus *bus = new_bus(0x10000);
	struct memory m[20];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(m); i++) {
		place(&m[i], (uint64_t)0x1000 - i * 16, 16, &wide_ops);
		assert_int_equal(bus_add(bus, &m[i].region), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(m); i += 2)
		bus_remove(bus, &m[i].region);
	bus_remove(bus, &m[0].region); /* a second time */
	for (unsigned int i = 0; i < ARRAY_SIZE(m); i++)
		assert_int_equal(bus_read(bus, 0x1000 - i * 16, 1), i % 2 ? 0x10 : 0xff);
	bus_destroy(bus);
}

/* A region that moves while others read: each read sees the device or nothing. */
struct mover {
	struct bus *bus;
	struct bus_region region;
	_Atomic bool stop;
};

static uint64_t constant_read(void *opaque, uint64_t off, unsigned int size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0x5a;
}

static void ignore_write(void *opaque, uint64_t off, unsigned int size, uint64_t value)
{
	(void)opaque;
	(void)off;
	(void)size;
	(void)value;
}

static const struct bus_ops constant_ops = {.read = constant_read, .write = ignore_write};

static void *move(void *opaque)
{
	struct mover *mover = opaque;

	for (uint64_t i = 0; !atomic_load(&mover->stop); i++) {
		bus_remove(mover->bus, &mover->region);
		mover->region.base = i % 2 ? 0x1000 : 0x2000;
		if (bus_add(mover->bus, &mover->region) < 0)
			abort();
	}
	return NULL;
}

static void moves_under_readers(void **state)
{
	struct mover mover = {.bus = new_bus(0x10000),
		.region = {.name = "mover", .base = 0x1000, .size = 16, .ops = &constant_ops}};
	pthread_t thread;

	(void)state;
	assert_int_equal(bus_add(mover.bus, &mover.region), 0);
	assert_int_equal(pthread_create(&thread, NULL, move, &mover), 0);
	for (int i = 0; i < 20000; i++) {
		uint64_t value = bus_read(mover.bus, 0x1008, 1);

		assert_true(value == 0x5a || value == 0xff);
	}
	atomic_store(&mover.stop, true);
	pthread_join(thread, NULL);
	bus_destroy(mover.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(miss_reads_all_ones),
		cmocka_unit_test(widths),
		cmocka_unit_test(access_across_an_edge),
		cmocka_unit_test(rejects_bad_regions),
		cmocka_unit_test(top_of_the_address_space),
		cmocka_unit_test(removal),
		cmocka_unit_test(moves_under_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
