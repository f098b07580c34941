/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several ports (virtio 1.2, 5.3.6.2): the handshake, who is told what when, and whose bytes go
 * where. Port 0 is a console, port 1 "agent.0", port 2 a console called "second".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio_console_fixture.h"

enum { AGENT = 1, SECOND = 2, DEAF = 3 /* control buffers, fewer than there is to tell */ };

static const uint16_t new_size[] = {100, 40};

static void resize(unsigned int port)
{
	con.dev[port].is_terminal = true;
	con.dev[port].cols = new_size[0];
	con.dev[port].rows = new_size[1];
	fake_chardev_event(&con.dev[port], CHARDEV_RESIZED);
}

static void connect_host(bool connected)
{
	fake_chardev_event(&con.dev[AGENT], connected ? CHARDEV_CONNECTED : CHARDEV_DISCONNECTED);
}

static void test_5_3_6_2_handshake(void **state)
{
	(void)state;
	con_handshake(CON_MULTI);
	assert_false(con_needs_reset());
	con_tell(AGENT, CON_PORT_OPEN, 1);
	for (unsigned int i = 0; i < 3; i++) {
		char text[16];

		snprintf(text, sizeof(text), "to port %u", i);
		fake_chardev_type(&con.dev[i], text, strlen(text));
		con_send(con_pair(i), text, (uint32_t)strlen(text));
		con_expect_input(con_pair(i), text);
		con_expect_output(i, text);
	}
	con_expect_none();
}

/* One message is told as long as the driver has no buffer for more. */
static void test_handshake_with_few_buffers(void **state)
{
	(void)state;
	con_start(CON_MULTI);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	con_post(CON_CONTROL, 1, 12);
	con_expect(0, CON_PORT_ADD, 0, NULL, 0);
	con_expect(1, CON_PORT_ADD, 0, NULL, 0);
	con_expect(2, CON_PORT_ADD, 0, NULL, 0);
	con_expect_none();
	con_tell(0, CON_PORT_READY, 1);
	con_expect(0, CON_CONSOLE_PORT, 1, NULL, 0);
	con_expect(0, CON_PORT_OPEN, 1, NULL, 0);
	con_expect(0, CON_RESIZE, 0, (const uint16_t[]){80, 25}, 4);
	con_expect_none();
	assert_false(con_needs_reset());
}

/* While nothing waits to be told, the driver need not tell of buffers. */
static void test_control_notifications(void **state)
{
	struct vdrv *d = &con.pair[CON_CONTROL];

	(void)state;
	con_start(con.kind == RIG_MMIO ? CON_PLAIN | VIRTIO_CONSOLE_F_MULTIPORT : CON_MULTI);
	assert_int_equal(con.pair[0].t->take_irq(&con.pair[0]), 0);
	con_post(CON_CONTROL, 8, 64);
	assert_int_equal(d->notifications, 1);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	assert_int_equal(d->notifications, 2);
	con_post(CON_CONTROL, 8, 64);
	assert_int_equal(d->notifications, 2);
}

/* Ports are announced once, and never one that there is not. */
static void test_5_3_6_2_added_once(void **state)
{
	(void)state;
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 32, 128);
	con_expect_none(); /* not before DEVICE_READY */
	for (unsigned int i = 0; i < 3; i++)
		con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	for (unsigned int i = 0; i < 3; i++)
		con_expect(i, CON_PORT_ADD, 0, NULL, 0);
	con_expect_none();
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 32, 128);
	con_tell(0, CON_DEVICE_READY, 0); /* it has failed */
	con_expect_none();
	con_tell(0, CON_DEVICE_READY, 1);
	con_expect(0, CON_PORT_ADD, 0, NULL, 0);
}

/* Linux after hibernation: knows its ports, and only wants to hear how they are. */
static void test_ready_without_add(void **state)
{
	(void)state;
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 32, 128);
	con.dev[AGENT].is_connected = false;
	con_tell(AGENT, CON_PORT_READY, 1);
	con_expect(AGENT, CON_PORT_NAME, 1, "agent.0", 7);
	con_expect_none();
	con_tell(AGENT, CON_PORT_READY, 1);
	con_expect(AGENT, CON_PORT_NAME, 1, "agent.0", 7);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	con_expect(0, CON_PORT_ADD, 0, NULL, 0);
	con_expect(SECOND, CON_PORT_ADD, 0, NULL, 0);
	con_expect_none();
}

/* The driver could not set a port up: it hears no more of it, until it tries again. */
static void test_port_not_ready(void **state)
{
	(void)state;
	con_handshake(CON_MULTI);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	con_tell(AGENT, CON_PORT_READY, 0);
	connect_host(false);
	connect_host(true);
	con_expect_none();
	fake_chardev_type(&con.dev[AGENT], "x", 1);
	con_expect_input(con_pair(AGENT), "");
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	con_expect(AGENT, CON_PORT_ADD, 0, NULL, 0);
	con_expect_none();
}

static void test_longest_name(void **state)
{
	char name[VIRTIO_CONSOLE_NAME_MAX + 1];
	const struct virtio_console_port ports[] = {{.name = name, .console = false}};

	(void)state;
	memset(name, 'n', sizeof(name));
	name[VIRTIO_CONSOLE_NAME_MAX] = '\0';
	con_recreate(ports, 1, false);
	for (unsigned int room = 0; room <= VIRTIO_CONSOLE_NAME_MAX; room++) {
		con_start(CON_MULTI);
		con_post(CON_CONTROL, 8, 8 + room);
		con_tell(0, CON_PORT_READY, 1);
		con_expect(0, CON_PORT_NAME, 1, name, room); /* as much as fits */
		con_expect(0, CON_PORT_OPEN, 1, NULL, 0);
		con_expect_none();
	}
}

/* ---- open and closed ---- */

static void test_host_opens_and_closes(void **state)
{
	(void)state;
	con.dev[AGENT].is_connected = con.dev[SECOND].is_connected = false;
	con_handshake(CON_MULTI);
	for (unsigned int i = 0; i < 3; i++) {
		connect_host(true);
		con_expect(AGENT, CON_PORT_OPEN, 1, NULL, 0);
		connect_host(false);
		con_expect(AGENT, CON_PORT_OPEN, 0, NULL, 0);
		con_expect_none();
	}
	/* A console is there whether somebody looks at it or not. */
	fake_chardev_event(&con.dev[SECOND], CHARDEV_CONNECTED);
	fake_chardev_event(&con.dev[SECOND], CHARDEV_DISCONNECTED);
	con_expect_none();
	assert_false(con_needs_reset());
}

/* Before the port is ready nothing is told; then, how it is. */
static void test_connected_before_ready(void **state)
{
	(void)state;
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 8, 128);
	connect_host(false);
	connect_host(true);
	con_expect_none();
	con_tell(AGENT, CON_PORT_READY, 1);
	con_expect(AGENT, CON_PORT_NAME, 1, "agent.0", 7);
	con_expect(AGENT, CON_PORT_OPEN, 1, NULL, 0);
	con_expect_none();
}

/* Clients come and go while the driver does not listen: it hears that, and how it ended. */
static void test_reconnects_do_not_pile_up(void **state)
{
	struct {
		uint32_t id;
		uint16_t event, value;
	} msg;

	(void)state;
	con_handshake(CON_MULTI);
	for (unsigned int i = 0; i < VIRTIO_CONSOLE_QUEUE_SIZE; i++)
		connect_host(i % 2);
	while (con_get(CON_CONTROL, &msg, sizeof(msg), false) >= 0)
		;
	for (unsigned int i = 0; i < 10000; i++)
		connect_host(i % 2);
	con_post(CON_CONTROL, DEAF, 128);
	con_expect(AGENT, CON_PORT_OPEN, 0, NULL, 0);
	con_expect(AGENT, CON_PORT_OPEN, 1, NULL, 0);
	con_expect_none();
	for (unsigned int i = 0; i < DEAF; i++) {
		connect_host(false);
		assert_int_equal(con_get(CON_CONTROL, &msg, sizeof(msg), false), sizeof(msg));
	}
	connect_host(true);
	connect_host(false);
	con_post(CON_CONTROL, DEAF, 128);
	con_expect(AGENT, CON_PORT_OPEN, 0, NULL, 0);
	con_expect_none();
}

/* What is sent to a port that nobody has open in the guest waits for somebody to open it. */
static void test_guest_opens_and_closes(void **state)
{
	struct fake_chardev *dev = &con.dev[AGENT];

	(void)state;
	con_handshake(CON_MULTI);
	fake_chardev_type(dev, "early ", 6);
	con_expect_input(con_pair(AGENT), "");
	assert_int_equal(dev->in_len, 6);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	con_expect_input(con_pair(AGENT), "early ");
	fake_chardev_type(dev, "open", 4);
	con_expect_input(con_pair(AGENT), "open");
	con_tell(AGENT, CON_PORT_OPEN, 0);
	fake_chardev_type(dev, "late", 4);
	con_post(con_pair(AGENT), 2, 16); /* no reason to let it in */
	con_expect_input(con_pair(AGENT), "");
	assert_int_equal(dev->in_len, 4);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	con_expect_input(con_pair(AGENT), "late");
}

/* ---- size ---- */

static void test_5_3_6_2_resize(void **state)
{
	(void)state;
	con_handshake(CON_MULTI);
	con.pair[0].t->take_irq(&con.pair[0]);
	vdrv_want_irq(&con.pair[CON_CONTROL], CON_RX, 0);
	resize(SECOND);
	con_expect(SECOND, CON_RESIZE, 0, new_size, sizeof(new_size));
	assert_int_equal(con.pair[0].t->take_irq(&con.pair[0]), VIRTIO_ISR_QUEUE);
	vdrv_want_irq(&con.pair[CON_CONTROL], CON_RX, 0);
	resize(0);
	con_expect(0, CON_RESIZE, 0, new_size, sizeof(new_size));
	assert_int_equal(
		con.pair[0].t->take_irq(&con.pair[0]), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	resize(AGENT); /* no console */
	con_expect_none();
	con_handshake(CON_MULTI); /* they are told anew */
}

static void test_5_3_6_2_no_resize_without_size(void **state)
{
	(void)state;
	con_handshake(CON_MULTI & ~VIRTIO_CONSOLE_F_SIZE);
	resize(0);
	resize(SECOND);
	con_expect_none();
}

/* ---- without MULTIPORT, after a reset ---- */

static void test_driver_without_multiport(void **state)
{
	struct vdrv *d = &con.pair[CON_CONTROL];

	(void)state;
	con_start(CON_ALL);
	con_post(0, 4, 64);
	fake_chardev_type(&con.dev[0], "in", 2);
	fake_chardev_type(&con.dev[AGENT], "nobody", 6);
	con_send(0, "out", 3);
	con_expect_input(0, "in");
	con_expect_output(0, "out");
	connect_host(false);
	/* Queues that it has no business with */
	for (unsigned int k = CON_CONTROL; k <= con.num_ports; k++) {
		con.pair[k].negotiated = CON_ALL;
		con.pair[k].brk = RIG_RAM_BASE + k * 0x8000;
		vdrv_queue_setup(&con.pair[k], CON_RX, 16);
		vdrv_queue_setup(&con.pair[k], CON_TX, 16);
		con_post(k, 4, 64);
		con_send(k, "\0\0\0\0\0\0\1", 8);
		assert_int_equal(con_sent(k), 0);
		assert_int_equal(vdrv_get(&con.pair[k], CON_RX, NULL), VDRV_NO_HEAD);
	}
	fake_chardev_type(&con.dev[AGENT], "!", 1);
	assert_int_equal(con.dev[AGENT].in_len, 7);
	con_expect_output(AGENT, "");
	assert_int_equal(d->t->status(d) & VIRTIO_STATUS_NEEDS_RESET, 0);
}

static void test_2_4_reset_forgets(void **state)
{
	(void)state;
	con_handshake(CON_MULTI);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	fake_chardev_type(&con.dev[AGENT], "1", 1);
	con_expect_input(con_pair(AGENT), "1");
	con.pair[0].t->set_status(&con.pair[0], 0);
	connect_host(false);
	resize(SECOND);
	con_start(CON_MULTI);
	con_post(CON_CONTROL, 32, 128);
	for (unsigned int i = 0; i < 3; i++)
		con_post(con_pair(i), 8, 64);
	fake_chardev_type(&con.dev[AGENT], "2", 1);
	connect_host(true);
	con_expect_none();
	con_expect_input(con_pair(AGENT), "");
	con_handshake(CON_MULTI);
	con_expect_input(con_pair(AGENT), "");
	con_tell(AGENT, CON_PORT_OPEN, 1);
	con_expect_input(con_pair(AGENT), "2");
}

/* What was to be told waits for the queue to come back. */
static void test_2_6_1_control_queue_reset(void **state)
{
	struct vdrv *d = &con.pair[CON_CONTROL];

	(void)state;
	con_handshake(CON_MULTI);
	con.pair[0].t->queue_reset(d, CON_RX);
	connect_host(false);
	vdrv_queue_setup(d, CON_RX, 16);
	con_expect_none();
	con_post(CON_CONTROL, 2, 64);
	con_expect(AGENT, CON_PORT_OPEN, 0, NULL, 0);
	con.pair[0].t->queue_reset(d, CON_TX);
	vdrv_queue_setup(d, CON_TX, 16);
	con_tell(AGENT, CON_PORT_READY, 1);
	con_expect(AGENT, CON_PORT_NAME, 1, "agent.0", 7);
	con_expect_none();
}

/* One port's slow reader holds up nobody else. */
static void test_ports_are_independent(void **state)
{
	(void)state;
	con_handshake(CON_MULTI);
	fake_chardev_allow(&con.dev[AGENT], 1);
	con_send(con_pair(AGENT), "agent", 5);
	con_send(con_pair(0), "zero", 4);
	con_send(con_pair(SECOND), "two", 3);
	con_expect_output(0, "zero");
	con_expect_output(SECOND, "two");
	con_expect_output(AGENT, "a");
	assert_int_equal(con_sent(con_pair(AGENT)), 0);
	con_tell(AGENT, CON_PORT_OPEN, 1);
	fake_chardev_type(&con.dev[AGENT], "in", 2);
	con_expect_input(con_pair(AGENT), "in");
	fake_chardev_allow(&con.dev[AGENT], SIZE_MAX);
	con_expect_output(AGENT, "gent");
}

static void test_sixteen_ports(void **state)
{
	struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS];
	char names[VIRTIO_CONSOLE_MAX_PORTS][8];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		snprintf(names[i], sizeof(names[i]), "port%02u", i);
		ports[i] = (struct virtio_console_port){.name = names[i]};
	}
	con_recreate(ports, ARRAY_SIZE(ports), false);
	con_start(CON_MULTI);
	con_post(CON_CONTROL, VIRTIO_CONSOLE_QUEUE_SIZE, 128);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
		con_expect(i, CON_PORT_ADD, 0, NULL, 0);
	con_expect_none();
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		con_tell(i, CON_PORT_READY, 1);
		con_expect(i, CON_PORT_NAME, 1, names[i], 6);
		con_expect(i, CON_PORT_OPEN, 1, NULL, 0);
		con_tell(i, CON_PORT_OPEN, 1);
		con_post(con_pair(i), 4, 16);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		con_send(con_pair(i), names[i], 6);
		fake_chardev_type(&con.dev[i], names[i], 6);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		con_expect_output(i, names[i]);
		con_expect_input(con_pair(i), names[i]);
	}
}

#define PER_KIND(f) CON_PER_KIND(f, con_set_up_ports)
#define ON_MMIO(f)  CON_TEST(f, con_set_up_ports, "mmio", RIG_MMIO)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_5_3_6_2_handshake),
		PER_KIND(test_handshake_with_few_buffers),
		PER_KIND(test_control_notifications),
		PER_KIND(test_5_3_6_2_added_once),
		ON_MMIO(test_ready_without_add),
		ON_MMIO(test_port_not_ready),
		ON_MMIO(test_longest_name),
		PER_KIND(test_host_opens_and_closes),
		ON_MMIO(test_connected_before_ready),
		PER_KIND(test_reconnects_do_not_pile_up),
		PER_KIND(test_guest_opens_and_closes),
		PER_KIND(test_5_3_6_2_resize),
		ON_MMIO(test_5_3_6_2_no_resize_without_size),
		PER_KIND(test_driver_without_multiport),
		PER_KIND(test_2_4_reset_forgets),
		PER_KIND(test_2_6_1_control_queue_reset),
		PER_KIND(test_ports_are_independent),
		PER_KIND(test_sixteen_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
