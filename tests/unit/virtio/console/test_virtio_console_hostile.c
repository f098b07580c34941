/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers of a console that mean harm. After every case the device has asked for a reset, or is at
 * work as if nothing had been; a reset brings it back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_console_fixture.h"

enum { AGENT = 1, PORTS = 3 };

struct message {
	uint32_t id;
	uint16_t event, value;
};

static void add(unsigned int pair, unsigned int q, const void *data, uint32_t out, uint32_t in)
{
	const struct vdrv_buf bufs[] = {{con_alloc(out), out}, {con_alloc(in), in}};
	struct vdrv *d = &con.pair[pair];

	if (out && data)
		memcpy(vdrv_at(d, bufs[0].gpa, out), data, out);
	vdrv_add(d, q, out ? bufs : bufs + 1, out != 0, in != 0 || !out, false);
	vdrv_kick(d, q);
	con_run();
}

/* The ports work after a reset, whatever came before. */
static void expect_recovery(void)
{
	con_handshake(CON_MULTI);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	for (unsigned int i = 0; i < PORTS; i++) {
		fake_chardev_type(&con.dev[i], "in", 2);
		con_expect_input(con_pair(i), "in");
		con_send(con_pair(i), "out", 3);
		con_expect_output(i, "out");
	}
	assert_false(con_needs_reset());
}

static void test_5_3_6_2_short_control_messages(void **state)
{
	const struct message msg = {.id = 0, .event = CON_PORT_OPEN, .value = 1};

	(void)state;
	for (uint32_t len = 1; len < sizeof(msg); len++) {
		con_handshake(CON_MULTI);
		add(CON_CONTROL, CON_TX, &msg, len, 0);
		assert_true(con_needs_reset());
		assert_int_equal(con_sent(CON_CONTROL), 0);
	}
	expect_recovery();
	for (uint32_t more = 0; more < 4096; more = more * 4 + 1) {
		uint8_t buf[sizeof(msg) + 4096] = {0};

		memcpy(buf, &msg, sizeof(msg));
		add(CON_CONTROL, CON_TX, buf, (uint32_t)sizeof(msg) + more, 0);
		assert_int_equal(con_sent(CON_CONTROL), 1);
		assert_false(con_needs_reset());
	}
}

static void test_5_3_6_2_events_and_ports(void **state)
{
	static const struct {
		struct message msg;
		bool bad;
	} rows[] = {
		{{0, CON_PORT_READY, 1}, false},
		{{PORTS - 1, CON_PORT_READY, 1}, false},
		{{PORTS, CON_PORT_READY, 1}, true},
		{{PORTS, CON_PORT_READY, 0}, true},
		{{16, CON_PORT_OPEN, 1}, true},
		{{0x10000, CON_PORT_OPEN, 1}, true},
		{{0x80000000, CON_PORT_OPEN, 1}, true},
		{{UINT32_MAX, CON_PORT_OPEN, 0}, true},
		{{UINT32_MAX, CON_PORT_READY, 1}, true},
		{{UINT32_MAX, CON_DEVICE_READY, 1}, false},
		{{0, CON_DEVICE_READY, 0}, false},
		{{0, CON_DEVICE_READY, UINT16_MAX}, false},
		{{0, CON_PORT_OPEN, UINT16_MAX}, false},
		{{0, CON_PORT_READY, UINT16_MAX}, false},
		/* for the device to say */
		{{0, CON_PORT_ADD, 0}, true},
		{{0, CON_PORT_REMOVE, 0}, true},
		{{0, CON_CONSOLE_PORT, 1}, true},
		{{0, CON_RESIZE, 0}, true},
		{{0, CON_PORT_NAME, 1}, true},
		{{0, 8, 1}, true},
		{{0, 0x106, 1}, true},
		{{0, UINT16_MAX, 1}, true},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		con_handshake(CON_MULTI);
		add(CON_CONTROL, CON_TX, &rows[i].msg, sizeof(rows[i].msg), 0);
		assert_int_equal(con_needs_reset(), rows[i].bad);
		assert_int_equal(con_sent(CON_CONTROL), rows[i].bad ? 0 : 1);
	}
	expect_recovery();
}

/* 5.3.6.1: nothing readable in a receiveq, nothing writable in a transmitq. */
static void test_5_3_6_1_directions(void **state)
{
	static const struct message msg = {.id = 0, .event = CON_PORT_OPEN, .value = 1};
	static const struct {
		unsigned int pair, q;
		uint32_t out, in;
		bool bad;
	} rows[] = {
		{0, CON_TX, 4, 1, true},
		{0, CON_TX, 0, 4, true},
		{0, CON_TX, 0, 0, false}, /* an empty buffer, at that */
		{0, CON_RX, 1, 4, true},
		{0, CON_RX, 4, 0, true},
		{0, CON_RX, 0, 0, true},
		{2, CON_TX, 4, 1, true},
		{2, CON_RX, 1, 4, true},
		{2, CON_RX, 0, 0, true},
		{CON_CONTROL, CON_TX, 8, 8, true},
		{CON_CONTROL, CON_TX, 0, 8, true},
		{CON_CONTROL, CON_TX, 0, 0, true},
		{CON_CONTROL, CON_RX, 8, 8, true},
		{CON_CONTROL, CON_RX, 8, 0, true},
		{CON_CONTROL, CON_RX, 0, 7, true},
		{CON_CONTROL, CON_RX, 0, 0, true},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		con_start(CON_MULTI);
		con_tell(0, CON_PORT_OPEN, 1);
		con_tell(1, CON_PORT_OPEN, 1);
		con_tell(1, CON_PORT_READY, 1); /* so that there is something to hear */
		fake_chardev_type(&con.dev[0], "x", 1);
		fake_chardev_type(&con.dev[1], "x", 1);
		add(rows[i].pair, rows[i].q, &msg, rows[i].out, rows[i].in);
		assert_int_equal(con_needs_reset(), rows[i].bad);
		virtio_device_lock(con.rig.vdev);
		for (unsigned int q = 0; q < 8; q++)
			assert_int_equal(virtio_device_in_flight(con.rig.vdev, q), 0);
		virtio_device_unlock(con.rig.vdev);
		fake_chardev_clear(&con.dev[0]);
		con.dev[0].in_len = con.dev[1].in_len = 0;
	}
	expect_recovery();
}

/* Questions by the thousand, and no buffer for an answer: what waits is the state, once. */
static void test_control_flood(void **state)
{
	uint8_t buf[128];
	unsigned int n = 0;

	(void)state;
	con_start(CON_MULTI);
	srand(1);
	for (unsigned int i = 0; i < 30000; i++) {
		static const uint16_t events[] = {CON_DEVICE_READY, CON_PORT_READY, CON_PORT_OPEN};

		con_tell((uint32_t)rand() % PORTS, events[rand() % 3], (uint16_t)(rand() % 2));
	}
	for (unsigned int i = 0; i < PORTS; i++)
		con_tell(i, CON_PORT_READY, 1);
	con_post(CON_CONTROL, VIRTIO_CONSOLE_QUEUE_SIZE, sizeof(buf));
	while (con_get(CON_CONTROL, buf, sizeof(buf), false) >= 0)
		n++;
	/* CONSOLE_PORT, PORT_OPEN, RESIZE; PORT_NAME, PORT_OPEN; CONSOLE_PORT, NAME, OPEN */
	assert_int_equal(n, 3 + 2 + 3);
	expect_recovery();
}

/* A chain that is broken behind others: these were done, or are with the host. */
static void test_error_behind_good_chains(void **state)
{
	struct vdrv *d = &con.pair[0];

	(void)state;
	con_start(CON_ALL);
	con_post(0, 2, 8);
	con_send(0, "good", 4);
	vdrv_set_desc(d, d->q[CON_TX].layout.desc, 63, UINT64_MAX - 3, 8, 0, 0);
	vdrv_expose(d, CON_TX, 63);
	d->t->notify(d, CON_TX);
	assert_true(con_needs_reset());
	con_expect_output(0, "good");
	/* The other queue still works. */
	fake_chardev_type(&con.dev[0], "input", 5);
	con_expect_input(0, "input");
	vdrv_expose(d, CON_RX, VIRTIO_CONSOLE_QUEUE_SIZE);
	fake_chardev_type(&con.dev[0], "more of it", 10);
	con_run();
	assert_int_equal(con.dev[0].in_len, 2); /* no more room than in the buffer held */
	con_expect_input(0, "more of ");
	con.dev[0].in_len = 0;
	expect_recovery();
}

/* Buffers of 4 GiB, in pieces that all are the same RAM. */
static void test_huge_chains(void **state)
{
	struct vdrv_buf bufs[VDRV_MAX_BUFS];
	struct vdrv *d = &con.pair[0];
	uint32_t len = 0;

	(void)state;
	con_start(CON_ALL);
	for (unsigned int i = 0; i < VDRV_MAX_BUFS; i++)
		bufs[i] = (struct vdrv_buf){RIG_RAM_BASE + 0xc0000, 0x40000};
	vdrv_add(d, CON_RX, bufs, 0, VDRV_MAX_BUFS, true);
	vdrv_kick(d, CON_RX);
	fake_chardev_type(&con.dev[0], "small", 5);
	assert_int_not_equal(vdrv_get(d, CON_RX, &len), VDRV_NO_HEAD);
	assert_int_equal(len, 5);
	vdrv_add(d, CON_TX, bufs, VDRV_MAX_BUFS, 0, true);
	vdrv_kick(d, CON_TX);
	assert_int_equal(con_sent(0), 1);
	assert_int_equal(con.dev[0].out_len, VDRV_MAX_BUFS * 0x40000);
	fake_chardev_clear(&con.dev[0]);
	expect_recovery();
}

#define PER_KIND(f) CON_PER_KIND(f, con_set_up_ports)
#define ON_MMIO(f)  CON_TEST(f, con_set_up_ports, "mmio", RIG_MMIO)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_5_3_6_2_short_control_messages),
		PER_KIND(test_5_3_6_2_events_and_ports),
		PER_KIND(test_5_3_6_1_directions),
		ON_MMIO(test_control_flood),
		PER_KIND(test_error_behind_good_chains),
		PER_KIND(test_huge_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
