/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers of a network card that mean harm. After each case the device has asked for a reset, or it
 * is at work; a reset brings it back, and frames go both ways again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_net_fixture.h"
#include "vm/core/bus.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, MAX_DESCS = 4, SIZE = 64 };

#define RAM_END (RIG_RAM_BASE + RIG_RAM_SIZE)
#define GOOD	(RIG_RAM_BASE + 0x60000)
#define TABLE	(RIG_RAM_BASE + 0x70000)

/* Where a chain goes */
enum where { IN_RX, IN_TX, IN_CTRL, NUM_WHERE };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct vdrv *driver(enum where w)
{
	return w == IN_CTRL ? &nf.pair[NET_PAIRS] : &nf.pair[0];
}

static unsigned int queue(enum where w)
{
	return w == IN_TX ? NET_TX : 0;
}

static void expect_at_work(void)
{
	static const uint8_t on = 1;

	net_post(0, 2, 1000);
	net_arrive(0, 300, 1);
	net_expect_arrived(0, 300, 1, 1);
	net_send_pattern(0, 400, 2);
	net_expect_sent_pattern(0, 400, 2);
	assert_int_equal(net_sent(0), 1);
	assert_int_equal(net_control(0, 0, &on, 1), 0);
	assert_false(net_needs_reset());
}

static void restart(void)
{
	nf.brk = RIG_RAM_BASE + (NET_PAIRS + 1) * 0x10000;
	net_start(NET_ALL);
	assert_false(net_needs_reset());
}

static void expect_error(void)
{
	assert_true(net_needs_reset());
	assert_true(nf.pair[0].t->take_irq(&nf.pair[0]) & VIRTIO_ISR_CONFIG);
	net_expect_none_sent();
	/* The back end is not asked for frames that nobody takes. */
	net_arrive(0, 50, 1);
	net_arrive(0, 50, 1);
	net_expect_none(0);
	restart();
	net_post(0, 2, 1000);
	while (nf.fake.queued[0].num)
		net_post(0, 2, 1000);
	restart();
	expect_at_work();
	restart();
}

static void set_descs(enum where w, uint64_t table, const struct desc *descs)
{
	for (unsigned int i = 0; i < MAX_DESCS; i++)
		vdrv_set_desc(driver(w), table, i, descs[i].addr, descs[i].len, descs[i].flags,
			descs[i].next);
}

static void go(enum where w, uint16_t head)
{
	vdrv_expose(driver(w), queue(w), head);
	nf.pair[0].t->notify(driver(w), queue(w));
	net_run();
}

static uint64_t ring(enum where w)
{
	return driver(w)->q[queue(w)].layout.desc;
}

/* ---- chains that no queue takes ---- */

static const struct {
	const char *what;
	uint16_t head;
	bool as_it_is; /* for receiving too; else directions are turned round there */
	struct desc ring[MAX_DESCS], table[MAX_DESCS];
} bad_chains[] = {
	{"address 0", .ring = {{0, 64, 0, 0}}},
	{"across the end of RAM", .ring = {{RAM_END - 1, 2, 0, 0}}},
	{"behind the end of RAM", .ring = {{RAM_END, 1, 0, 0}}},
	{"before RAM", .ring = {{RIG_RAM_BASE - 1, 2, 0, 0}}},
	{"the last address", .ring = {{UINT64_MAX, 1, 0, 0}}},
	{"wraps", .ring = {{UINT64_MAX - 8, 64, 0, 0}}},
	{"wraps with all of it", .ring = {{UINT64_MAX, UINT32_MAX, 0, 0}}},
	{"longer than RAM", .ring = {{RIG_RAM_BASE, UINT32_MAX, 0, 0}}},
	{"the device's own registers", .ring = {{RIG_MMIO_BASE, 64, 0, 0}}},
	{"behind scattered RAM", .ring = {{RIG_BYTES_BASE, RIG_BYTES + 1, 0, 0}}},
	{"next outside the table", .ring = {{GOOD, 8, NEXT, SIZE}}},
	{"next far outside", .ring = {{GOOD, 8, NEXT, 0xffff}}},
	{"next is itself", .ring = {{GOOD, 8, NEXT, 0}}},
	{"a circle", .ring = {{GOOD, 8, NEXT, 1}, {GOOD, 8, NEXT, 0}}},
	{"readable behind writable", .as_it_is = true,
		.ring = {{GOOD, 64, WRITE | NEXT, 1}, {GOOD, 64, 0, 0}}},
	{"head outside the table", .head = SIZE},
	{"head far outside", .head = 0xffff},
	{"empty table", .ring = {{TABLE, 0, INDIRECT, 0}}},
	{"part of a table's entry", .ring = {{TABLE, 15, INDIRECT, 0}}},
	{"an entry and a bit", .ring = {{TABLE, 17, INDIRECT, 0}}, .table = {{GOOD, 64, 0, 0}}},
	{"table outside RAM", .ring = {{RAM_END - 16, 32, INDIRECT, 0}}},
	{"table nowhere", .ring = {{UINT64_MAX - 15, 32, INDIRECT, 0}}},
	{"table longer than the queue", .ring = {{TABLE, 16 * (SIZE + 1), INDIRECT, 0}}},
	{"table and next", .ring = {{TABLE, 16, INDIRECT | NEXT, 1}, {GOOD, 64, 0, 0}},
		.table = {{GOOD, 64, 0, 0}}},
	{"table in a table", .ring = {{TABLE, 32, INDIRECT, 0}},
		.table = {{TABLE, 16, INDIRECT, 0}}},
	{"table's next outside", .ring = {{TABLE, 32, INDIRECT, 0}}, .table = {{GOOD, 8, NEXT, 2}}},
	{"circle in a table", .ring = {{TABLE, 32, INDIRECT, 0}},
		.table = {{GOOD, 8, NEXT, 1}, {GOOD, 8, NEXT, 0}}},
	{"bad address in a table", .ring = {{TABLE, 16, INDIRECT, 0}},
		.table = {{RAM_END - 7, 8, 0, 0}}},
};

static void turn_round(struct desc *descs)
{
	for (unsigned int i = 0; i < MAX_DESCS; i++)
		if (!(descs[i].flags & INDIRECT))
			descs[i].flags ^= WRITE;
}

static void test_bad_chains(void **state)
{
	(void)state;
	restart();
	for (size_t i = 0; i < ARRAY_SIZE(bad_chains); i++)
		for (unsigned int w = 0; w < NUM_WHERE; w++) {
			struct desc descs[MAX_DESCS], table[MAX_DESCS];

			memcpy(descs, bad_chains[i].ring, sizeof(descs));
			memcpy(table, bad_chains[i].table, sizeof(table));
			/* As the queue wants it, so that only the row's fault is one. */
			if (w == IN_RX && !bad_chains[i].as_it_is) {
				turn_round(descs);
				turn_round(table);
			}
			set_descs(w, ring(w), descs);
			set_descs(w, TABLE, table);
			go(w, bad_chains[i].head);
			expect_error();
		}
}

/* ---- chains that are wrong for their queue, or strange and yet in order ---- */

static const struct {
	const char *what;
	enum where where;
	bool error;
	struct desc descs[MAX_DESCS];
} chains[] = {
	{"receive: readable", IN_RX, true, {{GOOD, 2000, 0, 0}}},
	{"receive: readable in front", IN_RX, true,
		{{GOOD, 12, NEXT, 1}, {GOOD + 64, 2000, WRITE, 0}}},
	{"receive: a readable byte", IN_RX, true,
		{{GOOD, 1, NEXT, 1}, {GOOD + 64, 2000, WRITE, 0}}},
	{"receive: nothing", IN_RX, true, {{GOOD, 0, WRITE, 0}}},
	{"receive: 11 bytes in pieces", IN_RX, true,
		{{GOOD, 5, WRITE | NEXT, 1}, {GOOD + 64, 0, WRITE | NEXT, 2},
			{GOOD + 128, 6, WRITE, 0}}},
	{"receive: 12 bytes", IN_RX, false, {{GOOD, 12, WRITE, 0}}},
	{"receive: 12 bytes in pieces", IN_RX, false,
		{{GOOD, 5, WRITE | NEXT, 1}, {GOOD + 64, 7, WRITE, 0}}},
	{"receive: all of RAM behind the rings", IN_RX, false,
		{{GOOD, (uint32_t)(RAM_END - GOOD), WRITE, 0}}},
	{"send: writable", IN_TX, true, {{GOOD, 100, WRITE, 0}}},
	{"send: writable behind", IN_TX, true, {{GOOD, 100, NEXT, 1}, {GOOD, 100, WRITE, 0}}},
	{"send: a writable byte behind", IN_TX, true, {{GOOD, 100, NEXT, 1}, {GOOD, 1, WRITE, 0}}},
	{"send: nothing", IN_TX, false, {{GOOD, 0, 0, 0}}},
	{"send: nothing, writable", IN_TX, false, {{GOOD, 0, WRITE, 0}}},
	{"send: half a header", IN_TX, false, {{GOOD, 6, 0, 0}}},
	{"send: a header", IN_TX, false, {{GOOD, 12, 0, 0}}},
	{"send: half an address", IN_TX, false, {{GOOD, 12, NEXT, 1}, {GOOD, 13, 0, 0}}},
	{"send: 64 KiB and more", IN_TX, false, {{GOOD, NET_MAX_FRAME, NEXT, 1}, {GOOD, 1, 0, 0}}},
	{"send: all of RAM", IN_TX, false, {{RIG_RAM_BASE, RIG_RAM_SIZE, 0, 0}}},
	{"control: no answer", IN_CTRL, true, {{GOOD, 3, 0, 0}}},
	{"control: an answer of no bytes", IN_CTRL, true,
		{{GOOD, 3, NEXT, 1}, {GOOD + 64, 0, WRITE, 0}}},
	{"control: no command", IN_CTRL, true, {{GOOD, 1, WRITE, 0}}},
	{"control: half a command", IN_CTRL, true, {{GOOD, 1, NEXT, 1}, {GOOD + 64, 1, WRITE, 0}}},
	{"control: nothing at all", IN_CTRL, true, {{GOOD, 0, 0, 0}}},
	{"control: no data", IN_CTRL, false, {{GOOD, 2, NEXT, 1}, {GOOD + 64, 1, WRITE, 0}}},
	{"control: half a megabyte of data", IN_CTRL, false,
		{{GOOD, 0x80000, NEXT, 1}, {GOOD + 0x90000, 1, WRITE, 0}}},
	{"control: an answer where the command is", IN_CTRL, false,
		{{GOOD, 3, NEXT, 1}, {GOOD, 3, WRITE, 0}}},
};

static void test_chains(void **state)
{
	(void)state;
	restart();
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		const enum where w = chains[i].where;

		/* zeros: commands that there are, frames that mean nothing */
		memset(vdrv_at(driver(w), GOOD, RAM_END - GOOD), 0, RAM_END - GOOD);
		set_descs(w, ring(w), chains[i].descs);
		go(w, 0);
		if (chains[i].error) {
			expect_error();
			continue;
		}
		assert_false(net_needs_reset());
		if (w != IN_RX)
			assert_int_equal(vdrv_get(driver(w), queue(w), NULL), 0);
		net_expect_none_sent();
		restart();
		expect_at_work();
		restart();
	}
}

/* A receive buffer smaller than the header, of every size, alone and behind a good one */
static void test_header_does_not_fit(void **state)
{
	static const uint64_t features[] = {NET_ALL, NET_ALL & ~VIRTIO_NET_F_MRG_RXBUF, NET_PLAIN};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		for (uint32_t len = 0; len < NET_HEADER; len++)
			for (unsigned int behind = 0; behind < 2; behind++) {
				uint8_t *p;

				restart();
				net_start(features[i]);
				if (behind)
					net_post(0, 1, 60);
				p = vdrv_at(&nf.pair[0], GOOD, 128);
				memset(p, 0xa5, 128);
				net_add(0, NET_RX, &(struct vdrv_buf){GOOD + 64, len}, 0, 1, false);
				nf.pair[0].t->notify(&nf.pair[0], NET_RX);
				net_arrive(0, 40, 1);
				net_arrive(0, 40, 1);
				for (unsigned int b = 0; b < 128; b++)
					assert_int_equal(p[b], 0xa5);
				assert_true(net_needs_reset());
				restart();
				while (nf.fake.queued[0].num)
					net_post(0, 2, 1000);
				restart();
				expect_at_work();
			}
}

/* A head that is with the device already: buffers are held ahead, so it is seen. */
static void test_head_twice(void **state)
{
	(void)state;
	for (unsigned int w = 0; w < NUM_WHERE; w++) {
		const struct desc descs[MAX_DESCS] = {
			{GOOD, 100, w == IN_RX ? WRITE : NEXT, 1}, {GOOD + 100, 100, 0, 0}};

		restart();
		fake_net_allow(&nf.fake, 0);
		memset(vdrv_at(driver(w), GOOD, 200), 0, 200);
		set_descs(w, ring(w), descs);
		vdrv_expose(driver(w), queue(w), 0);
		go(w, 0);
		/* Elsewhere chains are used before the next one is looked at. */
		assert_int_equal(net_needs_reset(), w != IN_TX);
		fake_net_allow(&nf.fake, UINT32_MAX);
		restart();
		while (nf.fake.sent.num)
			free(fake_net_take(&nf.fake));
		expect_at_work();
	}
}

static void test_available_index(void **state)
{
	static const uint16_t ahead[] = {SIZE + 1, SIZE + 2, 0x7fff, 0x8000, 0xffff};

	(void)state;
	restart();
	for (size_t i = 0; i < ARRAY_SIZE(ahead); i++)
		for (unsigned int w = 0; w < NUM_WHERE; w++) {
			memcpy(driver(w)->q[queue(w)].avail + 2, &ahead[i], 2);
			nf.pair[0].t->notify(driver(w), queue(w));
			net_run();
			expect_error();
		}
}

/* Every number, with a queue behind it or not */
static void test_notify_every_number(void **state)
{
	struct vdrv *d = &nf.pair[0];

	(void)state;
	restart();
	for (uint32_t q = 0; q < 0x10000; q++) {
		if (nf.kind == RIG_MMIO)
			vdrv_mmio_write(d, RIG_MMIO_BASE + 0x50, 4, q);
		else
			bus_write(d->notify_pio ? nf.rig.machine.pio : nf.rig.machine.mmio,
				d->notify, 2, q);
	}
	assert_false(net_needs_reset());
	expect_at_work();
}

/* Kicks and frames without end, and a driver that gives nothing for them */
static void test_kicks_for_nothing(void **state)
{
	(void)state;
	restart();
	for (unsigned int n = 0; n < 1000; n++) {
		net_arrive(0, 50, (uint8_t)n);
		for (unsigned int w = 0; w < NUM_WHERE; w++)
			nf.pair[0].t->notify(driver(w), queue(w));
	}
	assert_int_equal(nf.fake.queued[0].num, 1000);
	assert_int_equal(nf.fake.sends, 0);
	for (unsigned int n = 0; n < 1000; n++) {
		net_post(0, 1, 100);
		net_expect_arrived(0, 50, (uint8_t)n, 1);
	}
	expect_at_work();
}

/* The device writes where the driver said, also if that is its own rings; never anywhere else. */
static void test_buffers_over_the_rings(void **state)
{
	(void)state;
	for (unsigned int what = 0; what < 3; what++) {
		const struct virtqueue_layout *l = &nf.pair[0].q[NET_RX].layout;

		restart();
		for (unsigned int n = 0; n < 32; n++)
			net_add(0, NET_RX,
				&(struct vdrv_buf){what == 0   ? l->desc
						   : what == 1 ? l->avail
							       : l->used,
					512},
				0, 1, false);
		nf.pair[0].t->notify(&nf.pair[0], NET_RX);
		for (unsigned int n = 0; n < 64; n++)
			net_arrive(0, 400, (uint8_t)(n * 37));
		restart();
		while (nf.fake.queued[0].num)
			net_post(0, 1, 1000);
		restart();
		expect_at_work();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_bad_chains),
		NET_TEST(test_chains),
		NET_MMIO(test_header_does_not_fit),
		NET_TEST(test_head_twice),
		NET_TEST(test_available_index),
		NET_TEST(test_notify_every_number),
		NET_TEST(test_kicks_for_nothing),
		NET_TEST(test_buffers_over_the_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
