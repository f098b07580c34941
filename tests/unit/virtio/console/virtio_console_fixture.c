/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_console_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Rings below, a piece for each pair; buffers above. */
enum {
	PAIR_RAM = 0x8000,
	BUFFERS = RIG_RAM_BASE + CON_PAIRS * PAIR_RAM,
	BUFFERS_END = RIG_RAM_BASE + RIG_RAM_SIZE,
	UNTOUCHED = 0xee,
};

struct con con;

/* ---- life ---- */

/* Each pair has a driver: queue q of it is another one of the device. */
static void attach(void)
{
	vdrv_attach(&con.pair[0], &con.rig);
	for (unsigned int k = 1; k < CON_PAIRS; k++) {
		con.pair[k] = con.pair[0];
		con.pair[k].first = 2 * k;
	}
}

void con_plug(struct virtio_device *vdev)
{
	rig_plug(&con.rig, vdev);
	attach();
}

struct virtio_console_config con_config(struct virtio_console_port *ports, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		ports[i].chardev = &con.dev[i].dev;
	return (struct virtio_console_config){.name = "console",
		.mem = con.rig.mem,
		.loop = con.rig.loop,
		.ports = ports,
		.num_ports = n};
}

static void create(const struct virtio_console_port *from, unsigned int n, bool loop)
{
	struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS];
	struct virtio_console_config config;
	struct virtio_device *vdev;

	rig_create(&con.rig, con.kind);
	if (loop)
		assert_int_equal(event_loop_create(&con.rig.loop), 0);
	for (unsigned int i = 0; i < VIRTIO_CONSOLE_MAX_PORTS; i++)
		fake_chardev_init(&con.dev[i]);
	con.dev[0].is_terminal = true;
	con.dev[0].cols = 80;
	con.dev[0].rows = 25;
	con.num_ports = n;
	con.brk = BUFFERS;
	memcpy(ports, from, n * sizeof(ports[0]));
	config = con_config(ports, n);
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	con_plug(vdev);
}

static void destroy(void)
{
	rig_destroy(&con.rig);
	for (unsigned int i = 0; i < VIRTIO_CONSOLE_MAX_PORTS; i++) {
		assert_null(con.dev[i].dev.handler);
		fake_chardev_fini(&con.dev[i]);
	}
}

int con_set_up(void **state)
{
	const struct virtio_console_port ports[] = {{.console = true}};

	con.kind = (enum rig_kind)(uintptr_t)*state;
	create(ports, ARRAY_SIZE(ports), false);
	return 0;
}

int con_set_up_ports(void **state)
{
	const struct virtio_console_port ports[] = {
		{.console = true}, {.name = "agent.0"}, {.name = "second", .console = true}};

	con.kind = (enum rig_kind)(uintptr_t)*state;
	create(ports, ARRAY_SIZE(ports), false);
	return 0;
}

int con_tear_down(void **state)
{
	(void)state;
	destroy();
	return 0;
}

void con_recreate(const struct virtio_console_port *ports, unsigned int n, bool loop)
{
	destroy();
	create(ports, n, loop);
}

void con_start(uint64_t features)
{
	const unsigned int pairs = features & VIRTIO_CONSOLE_F_MULTIPORT ? con.num_ports + 1 : 1;

	assert_true(vdrv_negotiate(&con.pair[0], features));
	for (unsigned int k = 0; k < pairs; k++) {
		con.pair[k].negotiated = features;
		con.pair[k].brk = RIG_RAM_BASE + k * PAIR_RAM;
		vdrv_queue_setup(&con.pair[k], CON_RX, VIRTIO_CONSOLE_QUEUE_SIZE);
		vdrv_queue_setup(&con.pair[k], CON_TX, VIRTIO_CONSOLE_QUEUE_SIZE);
	}
	vdrv_driver_ok(&con.pair[0]);
}

bool con_needs_reset(void)
{
	return con.pair[0].t->status(&con.pair[0]) & VIRTIO_STATUS_NEEDS_RESET;
}

void con_run(void)
{
	rig_run(&con.rig);
	for (unsigned int i = 0; i < con.num_ports; i++)
		fake_chardev_run(&con.dev[i]);
	rig_run(&con.rig);
}

uint64_t con_alloc(uint32_t len)
{
	const uint64_t at = con.brk + len <= BUFFERS_END ? con.brk : BUFFERS;

	assert_true(at + len <= BUFFERS_END);
	con.brk = at + len;
	return at;
}

/* ---- data ---- */

static void post(unsigned int pair, const struct vdrv_buf *buf)
{
	struct vdrv *d = &con.pair[pair];

	memset(vdrv_at(d, buf->gpa, buf->len), UNTOUCHED, buf->len);
	con.posted[pair][vdrv_add(d, CON_RX, buf, 0, 1, false)] = *buf;
	vdrv_kick(d, CON_RX);
}

void con_post(unsigned int pair, unsigned int n, uint32_t len)
{
	while (n--)
		post(pair, &(struct vdrv_buf){con_alloc(len), len});
	con_run();
}

int con_get(unsigned int pair, void *buf, size_t size, bool again)
{
	struct vdrv *d = &con.pair[pair];
	struct vdrv_buf from;
	const uint8_t *p;
	uint32_t len;
	int head = vdrv_get(d, CON_RX, &len);

	if (head == VDRV_NO_HEAD)
		return -1;
	from = con.posted[pair][head];
	p = vdrv_at(d, from.gpa, from.len);
	assert_true(len <= from.len && len <= size);
	memcpy(buf, p, len);
	for (uint32_t i = len; i < from.len; i++)
		assert_int_equal(p[i], UNTOUCHED);
	if (again)
		post(pair, &from);
	return (int)len;
}

void con_expect_input(unsigned int pair, const char *text)
{
	uint8_t buf[4096];
	size_t done = 0;

	for (int n; (n = con_get(pair, buf, sizeof(buf), false)) >= 0; done += (size_t)n) {
		assert_true(n > 0 && done + (size_t)n <= strlen(text));
		assert_memory_equal(buf, text + done, n);
	}
	assert_int_equal(done, strlen(text));
}

void con_send(unsigned int pair, const void *data, uint32_t len)
{
	const struct vdrv_buf buf = {con_alloc(len), len};
	struct vdrv *d = &con.pair[pair];

	if (len)
		memcpy(vdrv_at(d, buf.gpa, len), data, len);
	vdrv_add(d, CON_TX, &buf, 1, 0, false);
	vdrv_kick(d, CON_TX);
	con_run();
}

unsigned int con_sent(unsigned int pair)
{
	unsigned int n = 0;
	uint32_t len;

	for (; vdrv_get(&con.pair[pair], CON_TX, &len) != VDRV_NO_HEAD; n++)
		assert_int_equal(len, 0);
	return n;
}

void con_expect_output(unsigned int port, const char *text)
{
	assert_int_equal(con.dev[port].out_len, strlen(text));
	if (text[0])
		assert_memory_equal(con.dev[port].out, text, strlen(text));
	fake_chardev_clear(&con.dev[port]);
}

/* ---- control ---- */

struct msg {
	uint32_t id;
	uint16_t event, value;
	uint8_t more[4096];
};

void con_tell(uint32_t id, uint16_t event, uint16_t value)
{
	const struct msg msg = {.id = id, .event = event, .value = value};

	con_send(CON_CONTROL, &msg, offsetof(struct msg, more));
	assert_int_equal(con_sent(CON_CONTROL), 1);
}

void con_expect(uint32_t id, uint16_t event, uint16_t value, const void *more, size_t len)
{
	struct msg msg;
	const int n = con_get(CON_CONTROL, &msg, sizeof(msg), true);

	assert_int_equal(n, offsetof(struct msg, more) + len);
	assert_int_equal(msg.id, id);
	assert_int_equal(msg.event, event);
	assert_int_equal(msg.value, value);
	if (len)
		assert_memory_equal(msg.more, more, len);
}

void con_expect_none(void)
{
	struct msg msg;

	assert_int_equal(con_get(CON_CONTROL, &msg, sizeof(msg), false), -1);
}

static void expect_port_settings(unsigned int i, uint64_t features)
{
	static const struct {
		const char *name;
		bool console;
	} ports[] = {{NULL, true}, {"agent.0", false}, {"second", true}};
	const struct fake_chardev *dev = &con.dev[i];
	const uint16_t size[] = {dev->cols, dev->rows};

	if (ports[i].console) {
		con_expect(i, CON_CONSOLE_PORT, 1, NULL, 0);
		con_tell(i, CON_PORT_OPEN, 1);
	}
	if (ports[i].name)
		con_expect(i, CON_PORT_NAME, 1, ports[i].name, strlen(ports[i].name));
	if (ports[i].console || dev->is_connected)
		con_expect(i, CON_PORT_OPEN, 1, NULL, 0);
	if (ports[i].console && dev->is_terminal && (features & VIRTIO_CONSOLE_F_SIZE))
		con_expect(i, CON_RESIZE, 0, size, sizeof(size));
}

void con_handshake(uint64_t features)
{
	con_start(features);
	con_post(CON_CONTROL, VIRTIO_CONSOLE_QUEUE_SIZE, 256);
	con_tell(UINT32_MAX, CON_DEVICE_READY, 1);
	for (unsigned int i = 0; i < con.num_ports; i++)
		con_expect(i, CON_PORT_ADD, 0, NULL, 0);
	for (unsigned int i = 0; i < con.num_ports; i++) {
		con_post(con_pair(i), 16, 512);
		con_tell(i, CON_PORT_READY, 1);
		expect_port_settings(i, features);
	}
	con_expect_none();
}
