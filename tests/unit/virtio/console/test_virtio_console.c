/* SPDX-License-Identifier: BSD-2-Clause */
/* A console with one port on each transport (virtio 1.2, 5.3): configuration, output, input. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "virtio_console_fixture.h"

static uint64_t offered(void)
{
	return con.pair[0].t->features(&con.pair[0], 0) |
	       (uint64_t)con.pair[0].t->features(&con.pair[0], 1) << 32;
}

static unsigned int num_queues(void)
{
	unsigned int n = 0;

	while (n / 2 < CON_PAIRS && con.pair[0].t->queue_max(&con.pair[n / 2], n % 2))
		n++;
	return n;
}

static uint64_t cfg(uint32_t off, unsigned int size)
{
	return vdrv_cfg(&con.pair[0], off, size);
}

static uint8_t take_irq(void)
{
	return con.pair[0].t->take_irq(&con.pair[0]);
}

/* ---- identity and configuration ---- */

static void test_5_3_2_queues(void **state)
{
	(void)state;
	assert_int_equal(num_queues(), 2);
	assert_int_equal(con.pair[0].t->queue_max(&con.pair[0], CON_RX), VIRTIO_CONSOLE_QUEUE_SIZE);
	assert_int_equal(con.pair[0].t->queue_max(&con.pair[0], CON_TX), VIRTIO_CONSOLE_QUEUE_SIZE);
}

static void test_5_3_3_features(void **state)
{
	static const struct {
		struct virtio_console_port ports[2];
		unsigned int num, queues;
		bool multiport;
	} rows[] = {
		{{{.console = true}}, 1, 2, false},
		{{{.console = true, .name = "x"}}, 1, 4, true},
		{{{.console = false}}, 1, 4, true},
		{{{.console = true}, {.console = true}}, 2, 6, true},
		{{{.console = true}, {.name = "x"}}, 2, 6, true},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		con_recreate(rows[i].ports, rows[i].num, false);
		assert_int_equal(offered(), rows[i].multiport ? CON_MULTI : CON_ALL);
		assert_int_equal(num_queues(), rows[i].queues);
		assert_int_equal(cfg(4, 4), rows[i].num);
	}
}

static void test_5_3_3_any_subset(void **state)
{
	static const uint64_t bits[] = {VIRTIO_CONSOLE_F_SIZE, VIRTIO_CONSOLE_F_MULTIPORT,
		VIRTIO_CONSOLE_F_EMERG_WRITE, VIRTIO_F_IN_ORDER, VIRTIO_F_EVENT_IDX};
	const struct virtio_console_port ports[] = {{.console = true}, {.name = "x"}};

	(void)state;
	con_recreate(ports, 2, false);
	for (unsigned int set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
		uint64_t features = VIRTIO_F_VERSION_1;

		for (unsigned int b = 0; b < ARRAY_SIZE(bits); b++)
			features |= set & (1u << b) ? bits[b] : 0;
		con_start(features);
		con_send(0, "x", 1);
		assert_int_equal(con_sent(0), 1);
		con_expect_output(0, "x");
	}
}

static void test_5_3_4_layout(void **state)
{
	(void)state;
	assert_int_equal(cfg(0, 2), 80);
	assert_int_equal(cfg(2, 2), 25);
	assert_int_equal(cfg(4, 4), 1);
	assert_int_equal(cfg(8, 4), 0);
	assert_int_equal(cfg(0, 4), 80 | 25 << 16);
	assert_int_equal(cfg(0, 8), 80 | 25 << 16 | UINT64_C(1) << 32);
	assert_int_equal(cfg(2, 1), 25);
	assert_int_equal(cfg(12, 4), 0);
	for (uint32_t off = 0; off < 8; off += 4) {
		vdrv_set_cfg(&con.pair[0], off, 4, UINT32_MAX);
		assert_int_equal(cfg(0, 8), 80 | 25 << 16 | UINT64_C(1) << 32);
	}
	con_expect_output(0, "");
}

/* On a device that nobody has set up, on one at work, and on one that is broken. */
static void test_5_3_5_emergency_write(void **state)
{
	(void)state;
	assert_int_equal(con.pair[0].t->status(&con.pair[0]), 0);
	vdrv_set_cfg(&con.pair[0], 8, 4, 'a');
	vdrv_set_cfg(&con.pair[0], 8, 4, 0xffffff00 | 'b');
	vdrv_set_cfg(&con.pair[0], 8, 2, 'c');
	vdrv_set_cfg(&con.pair[0], 8, 1, 'd');
	vdrv_set_cfg(&con.pair[0], 4, 8, (uint64_t)'e' << 32);
	con_expect_output(0, "abcde");
	con_start(CON_PLAIN);
	vdrv_set_cfg(&con.pair[0], 8, 4, 'f');
	vdrv_expose(&con.pair[0], CON_TX, 9999);
	vdrv_kick(&con.pair[0], CON_TX);
	assert_true(con_needs_reset());
	vdrv_set_cfg(&con.pair[0], 8, 4, 'g');
	con_expect_output(0, "fg");
	for (uint32_t off = 9; off < 32; off++)
		vdrv_set_cfg(&con.pair[0], off, 1, 'x');
	con_expect_output(0, "");
}

static void test_5_3_5_emergency_write_never_waits(void **state)
{
	(void)state;
	fake_chardev_allow(&con.dev[0], 1);
	vdrv_set_cfg(&con.pair[0], 8, 4, 'a');
	vdrv_set_cfg(&con.pair[0], 8, 4, 'b');
	con_expect_output(0, "a");
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	vdrv_set_cfg(&con.pair[0], 8, 4, 'c');
	con_start(CON_PLAIN);
	con_send(0, "d", 1);
	con_expect_output(0, "cd");
}

/* Linux reads the size when it is told to, and not before. */
static void test_5_3_6_size_at_start(void **state)
{
	(void)state;
	con_start(CON_ALL);
	assert_int_equal(take_irq(), VIRTIO_ISR_CONFIG);
	con_start(CON_PLAIN);
	assert_int_equal(take_irq(), 0);
}

static void test_5_3_6_no_terminal_no_size(void **state)
{
	struct virtio_console_port port = {.console = true};
	struct virtio_console_config config = con_config(&port, 1);
	struct virtio_device *vdev;

	(void)state;
	rig_unplug(&con.rig);
	con.dev[0].is_terminal = false;
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	con_plug(vdev);
	assert_int_equal(cfg(0, 4), 0);
	con_start(CON_ALL);
	assert_int_equal(take_irq(), 0);
	fake_chardev_event(&con.dev[0], CHARDEV_RESIZED);
	assert_int_equal(take_irq(), 0);
	assert_int_equal(cfg(0, 4), 0);
}

static void test_5_3_6_resize(void **state)
{
	uint32_t generation;

	(void)state;
	con_start(CON_ALL);
	take_irq();
	generation = con.pair[0].t->generation(&con.pair[0]);
	fake_chardev_event(&con.dev[0], CHARDEV_RESIZED);
	assert_int_equal(take_irq(), 0); /* it is the same */
	con.dev[0].cols = 132;
	assert_int_equal(cfg(0, 2), 80);
	fake_chardev_event(&con.dev[0], CHARDEV_RESIZED);
	assert_int_equal(take_irq(), VIRTIO_ISR_CONFIG);
	assert_int_not_equal(con.pair[0].t->generation(&con.pair[0]), generation);
	assert_int_equal(cfg(0, 4), 132 | 25 << 16);
	con.pair[0].t->set_status(&con.pair[0], 0);
	con.dev[0].rows = 50;
	fake_chardev_event(&con.dev[0], CHARDEV_RESIZED);
	assert_int_equal(take_irq(), 0);
	assert_int_equal(cfg(0, 4), 132 | 50 << 16);
}

/* ---- output ---- */

static void test_5_3_6_output(void **state)
{
	(void)state;
	con_start(CON_ALL);
	take_irq();
	con_send(0, "Hello", 5);
	assert_int_equal(con.pair[0].notifications, 1);
	assert_int_equal(con.dev[0].writes, 1); /* from where it is */
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
	con_send(0, ", ", 2);
	con_send(0, "", 0);
	con_send(0, "world", 5);
	assert_int_equal(con.pair[0].notifications, 4);
	assert_int_equal(con_sent(0), 4);
	con_expect_output(0, "Hello, world");
}

/* 2.7.4: the driver cuts as it likes. */
static void test_2_7_4_any_framing(void **state)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct vdrv_buf bufs[sizeof(text) - 1];
	const struct vdrv_buf whole = {RIG_BYTES_BASE, sizeof(text) - 1};
	struct vdrv *d = &con.pair[0];

	(void)state;
	con_start(CON_ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(bufs); i++) {
		*con.rig.bytes[i] = (uint8_t)text[i];
		bufs[i] = (struct vdrv_buf){RIG_BYTES_BASE + i, 1};
	}
	vdrv_add(d, CON_TX, bufs, ARRAY_SIZE(bufs), 0, false);
	vdrv_kick(d, CON_TX);
	con_expect_output(0, text);
	vdrv_add(d, CON_TX, bufs, ARRAY_SIZE(bufs), 0, true);
	vdrv_kick(d, CON_TX);
	con_expect_output(0, text);
	vdrv_add(d, CON_TX, &whole, 1, 0, false);
	vdrv_kick(d, CON_TX);
	con_expect_output(0, text);
	assert_int_equal(con_sent(0), 3);
	con.posted[0][vdrv_add(d, CON_RX, bufs, 0, ARRAY_SIZE(bufs), true)] = whole;
	vdrv_kick(d, CON_RX);
	for (unsigned int i = 0; i < RIG_BYTES; i++)
		*con.rig.bytes[i] = 0xee;
	fake_chardev_type(&con.dev[0], "in pieces", 9);
	con_run();
	assert_int_not_equal(vdrv_get(d, CON_RX, &(uint32_t){0}), VDRV_NO_HEAD);
	for (unsigned int i = 0; i < RIG_BYTES; i++)
		assert_int_equal(*con.rig.bytes[i], i < 9 ? "in pieces"[i] : 0xee);
}

static void test_no_back_end(void **state)
{
	const struct virtio_console_port port = {.console = true};
	const struct virtio_console_config config = {
		.name = "console", .mem = con.rig.mem, .ports = &port, .num_ports = 1};
	struct virtio_device *vdev;

	(void)state;
	rig_unplug(&con.rig);
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	con_plug(vdev);
	vdrv_set_cfg(&con.pair[0], 8, 4, 'a');
	con_start(CON_ALL);
	con_post(0, 4, 16);
	con_send(0, "into the void", 13);
	assert_int_equal(con_sent(0), 1);
}

/* A slow reader: what it does not take waits in the guest's buffer, and the rest in the queue. */
static void test_output_waits(void **state)
{
	(void)state;
	con_start(con.kind == RIG_MMIO ? CON_PLAIN : CON_ALL);
	fake_chardev_allow(&con.dev[0], 3);
	con_send(0, "abcdef", 6);
	for (unsigned int i = 0; i < 20; i++)
		con_send(0, "ghi", 3);
	assert_int_equal(con_sent(0), 0);
	assert_int_equal(con.pair[0].notifications, 1);
	assert_int_equal(con.dev[0].writes, 1);
	con_expect_output(0, "abc");
	fake_chardev_allow(&con.dev[0], 2);
	assert_int_equal(con_sent(0), 0);
	con_expect_output(0, "de");
	fake_chardev_allow(&con.dev[0], 2);
	assert_int_equal(con_sent(0), 1);
	con_expect_output(0, "fg");
	fake_chardev_allow(&con.dev[0], 4);
	assert_int_equal(con_sent(0), 1);
	con_expect_output(0, "high");
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	assert_int_equal(con_sent(0), 19);
	con_send(0, "!", 1);
	assert_int_equal(con_sent(0), 1);
	assert_int_equal(con.dev[0].out_len, strlen("i") + 18 * strlen("ghi") + strlen("!"));
}

/* Spurious kicks do not make it ask again. */
static void test_output_blocked_is_left_alone(void **state)
{
	(void)state;
	con_start(CON_PLAIN);
	fake_chardev_allow(&con.dev[0], 0);
	con_send(0, "abc", 3);
	for (unsigned int i = 0; i < 100; i++)
		con.pair[0].t->notify(&con.pair[0], CON_TX);
	assert_int_equal(con.dev[0].writes, 1);
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	con_expect_output(0, "abc");
	assert_int_equal(con_sent(0), 1);
}

/* 100 MB, with a reader that stops now and then: nothing is kept but the one chain. */
static void test_output_flood(void **state)
{
	const uint64_t total = 100 * 1000 * 1000;
	struct fake_chardev *dev = &con.dev[0];
	struct vdrv *d = &con.pair[0];
	const struct vdrv_buf buf = {con_alloc(0x8000), 0x8000};
	uint64_t seen = 0, done = 0;
	uint8_t *p = vdrv_at(d, buf.gpa, buf.len);

	(void)state;
	con_start(CON_ALL);
	for (uint32_t i = 0; i < buf.len; i++)
		p[i] = (uint8_t)(i * 31 >> 3);
	while (seen < total) {
		while (d->q[CON_TX].num_free)
			vdrv_add(d, CON_TX, &buf, 1, 0, false);
		dev->budget = 100000;
		vdrv_kick(d, CON_TX);
		virtio_device_lock(con.rig.vdev);
		assert_int_equal(virtio_device_in_flight(con.rig.vdev, 1), 1);
		virtio_device_unlock(con.rig.vdev);
		fake_chardev_allow(dev, 1000000);
		for (size_t i = 0; i < dev->out_len; i += 997)
			assert_int_equal(dev->out[i], p[(seen + i) % buf.len]);
		seen += dev->out_len;
		assert_true(dev->out_len <= 1100000);
		fake_chardev_clear(dev);
		done += con_sent(0);
		assert_int_equal(seen / buf.len, done);
	}
}

/* A queue describes more than there is RAM: others on the loop get their turn in between. */
static void test_output_in_turns(void **state)
{
	struct vdrv_buf bufs[VDRV_MAX_BUFS];
	uint64_t total = 0;

	(void)state;
	con_recreate(&(struct virtio_console_port){.console = true}, 1, true);
	con_start(CON_ALL);
	for (unsigned int i = 0; i < VDRV_MAX_BUFS; i++) {
		bufs[i] = (struct vdrv_buf){RIG_RAM_BASE, 0x20000};
		total += bufs[i].len;
	}
	vdrv_add(&con.pair[0], CON_TX, bufs, VDRV_MAX_BUFS, 0, true);
	vdrv_kick(&con.pair[0], CON_TX);
	for (uint64_t sum = VIRTIO_CONSOLE_TURN_BYTES; sum <= total;
		sum += VIRTIO_CONSOLE_TURN_BYTES) {
		assert_int_equal(con_sent(0), 0);
		event_loop_step(con.rig.loop, 0);
		assert_int_equal(con.dev[0].out_len, sum);
	}
	assert_int_equal(con_sent(0), 1);
	assert_int_equal(event_loop_step(con.rig.loop, 0), 0);
}

/* ---- input ---- */

static void test_5_3_6_input(void **state)
{
	(void)state;
	con_start(CON_ALL);
	con_post(0, 8, 64);
	take_irq();
	fake_chardev_type(&con.dev[0], "ls\n", 3);
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
	fake_chardev_type(&con.dev[0], "pwd\n", 4);
	con_expect_input(0, "ls\npwd\n");
	assert_int_equal(con.dev[0].in_len, 0);
	assert_int_equal(con.pair[0].notifications, 1);
}

/* Small buffers are filled together, the last one in part. */
static void test_input_fills_buffers(void **state)
{
	static const char text[] = "The quick brown fox jumps over the lazy dog";
	uint8_t buf[16];

	(void)state;
	con_start(CON_ALL);
	con_post(0, 20, 8);
	take_irq();
	con.pair[0].q[CON_RX].event_idx = true;
	vdrv_want_irq(&con.pair[0], CON_RX, 5); /* of the sixth, which comes with the others */
	fake_chardev_type(&con.dev[0], text, strlen(text));
	assert_int_equal(take_irq(), VIRTIO_ISR_QUEUE);
	for (unsigned int i = 0; i < 6; i++) {
		const size_t want = MIN(strlen(text) - 8 * i, (size_t)8);

		assert_int_equal(con_get(0, buf, sizeof(buf), false), want);
		assert_memory_equal(buf, text + 8 * i, want);
	}
	assert_int_equal(con_get(0, buf, sizeof(buf), false), -1);
	fake_chardev_type(&con.dev[0], "next", 4);
	con_expect_input(0, "next");
}

/* Nothing posted: the back end keeps it, and is told when it is time. */
static void test_input_waits_for_buffers(void **state)
{
	(void)state;
	con_start(con.kind == RIG_MMIO ? CON_PLAIN : CON_ALL);
	fake_chardev_type(&con.dev[0], "0123456789", 10);
	assert_int_equal(con.dev[0].in_len, 10);
	assert_int_equal(con.dev[0].kicks, 0);
	con_post(0, 2, 4);
	assert_int_equal(con.dev[0].kicks, 1);
	assert_int_equal(con.dev[0].in_len, 2);
	con_expect_input(0, "01234567");
	con_post(0, 3, 4);
	con_expect_input(0, "89");
	/* Two buffers are left: the driver need not tell of more. */
	con.pair[0].notifications = 0;
	con_post(0, 10, 4);
	assert_int_equal(con.pair[0].notifications, 0);
	/* And if it does, that is nothing to bother the back end with. */
	for (unsigned int i = 0; i < 10; i++)
		con.pair[0].t->notify(&con.pair[0], CON_RX);
	assert_int_equal(con.dev[0].kicks, 2);
}

/* It has bytes that nobody before us had room for. */
static void test_input_before_creation(void **state)
{
	struct virtio_console_port port = {.console = true};
	struct virtio_console_config config = con_config(&port, 1);
	struct virtio_device *vdev;

	(void)state;
	rig_unplug(&con.rig);
	fake_chardev_type(&con.dev[0], "early bird", 10);
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	con_plug(vdev);
	con_start(CON_ALL);
	con_post(0, 4, 16);
	con_expect_input(0, "early bird");
}

static void test_input_flood(void **state)
{
	uint8_t chunk[5000], buf[1024];
	uint64_t in = 0, out = 0;

	(void)state;
	con_start(CON_ALL);
	con_post(0, VIRTIO_CONSOLE_QUEUE_SIZE, sizeof(buf));
	while (out < 4 * 1000 * 1000) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = (uint8_t)((in + i) % 251);
		if (con.dev[0].in_len < 64 * 1024) {
			fake_chardev_type(&con.dev[0], chunk, sizeof(chunk));
			in += sizeof(chunk);
		}
		/* The guest lags behind for a while, and catches up. */
		for (int n; in % 7 == 0 && (n = con_get(0, buf, sizeof(buf), true)) >= 0; con_run())
			for (int i = 0; i < n; i++)
				assert_int_equal(buf[i], out++ % 251);
	}
}

static void test_2_1_2_input_before_driver_ok(void **state)
{
	(void)state;
	fake_chardev_type(&con.dev[0], "early", 5);
	assert_true(vdrv_negotiate(&con.pair[0], CON_ALL));
	con.pair[0].negotiated = CON_ALL;
	vdrv_queue_setup(&con.pair[0], CON_RX, VIRTIO_CONSOLE_QUEUE_SIZE);
	con_post(0, 4, 16);
	con_expect_input(0, "");
	assert_int_equal(con.dev[0].in_len, 5);
	vdrv_driver_ok(&con.pair[0]);
	con_run();
	con_expect_input(0, "early");
}

static void test_break_is_ignored(void **state)
{
	(void)state;
	con_start(CON_ALL);
	con_post(0, 4, 16);
	take_irq();
	fake_chardev_event(&con.dev[0], CHARDEV_BREAK);
	fake_chardev_event(&con.dev[0], CHARDEV_DISCONNECTED);
	fake_chardev_event(&con.dev[0], CHARDEV_CONNECTED);
	assert_int_equal(take_irq(), 0);
	con_expect_input(0, "");
}

/* ---- reset ---- */

static void test_2_4_reset_during_output(void **state)
{
	(void)state;
	con_start(CON_ALL);
	fake_chardev_allow(&con.dev[0], 2);
	con_send(0, "abcdef", 6);
	con_send(0, "ghi", 3);
	con.pair[0].t->set_status(&con.pair[0], 0);
	assert_int_equal(con.pair[0].t->status(&con.pair[0]), 0);
	con_start(CON_ALL);
	con_send(0, "new", 3); /* tx_ready is still owed */
	con_expect_output(0, "ab");
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	con_expect_output(0, "new");
	assert_int_equal(con_sent(0), 1);
	fake_chardev_allow(&con.dev[0], 0);
	con_send(0, "x", 1);
	con.pair[0].t->set_status(&con.pair[0], 0);
	fake_chardev_allow(&con.dev[0], SIZE_MAX); /* to a device that is not running */
	con_expect_output(0, "");
}

static void test_2_4_reset_with_buffers_held(void **state)
{
	(void)state;
	con_start(CON_ALL);
	con_post(0, 40, 4);
	fake_chardev_type(&con.dev[0], "before", 6);
	con_expect_input(0, "before");
	con.pair[0].t->set_status(&con.pair[0], 0);
	fake_chardev_type(&con.dev[0], "after", 5);
	assert_int_equal(con.dev[0].in_len, 5);
	con_start(CON_ALL);
	con_run();
	con_expect_input(0, "");
	con_post(0, 40, 4);
	con_expect_input(0, "after");
}

/* The back end was told of room, and then there was none: what it has is lost, and nothing else. */
static void test_reset_between_room_and_input(void **state)
{
	static const uint8_t text[] = "lost";
	struct chardev *dev = &con.dev[0].dev;

	(void)state;
	con_start(CON_ALL);
	con_post(0, 4, 8);
	assert_int_equal(dev->handler->rx_room(dev->opaque), 32);
	con.pair[0].t->set_status(&con.pair[0], 0);
	dev->handler->rx(dev->opaque, text, 4);
	con_expect_input(0, "");
	con_start(CON_ALL);
	con_post(0, 4, 8);
	assert_int_equal(dev->handler->rx_room(dev->opaque), 32);
	con.pair[0].t->queue_reset(&con.pair[0], CON_RX);
	dev->handler->rx(dev->opaque, text, 4);
	con_expect_input(0, "");
	vdrv_queue_setup(&con.pair[0], CON_RX, 16);
	con_post(0, 4, 8);
	fake_chardev_type(&con.dev[0], "heard", 5);
	con_expect_input(0, "heard");
}

/* RING_RESET of one queue gives its chains back; the other goes on. */
static void test_2_6_1_queue_reset(void **state)
{
	struct vdrv *d = &con.pair[0];

	(void)state;
	con_start(CON_ALL);
	con_post(0, 8, 16);
	fake_chardev_type(&con.dev[0], "a", 1);
	fake_chardev_allow(&con.dev[0], 1);
	con_send(0, "xyz", 3);
	con.pair[0].t->queue_reset(d, CON_RX);
	con_expect_input(0, "a");
	fake_chardev_type(&con.dev[0], "b", 1);
	assert_int_equal(con.dev[0].in_len, 1);
	con.pair[0].t->queue_reset(d, CON_TX);
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	con_expect_output(0, "x");
	vdrv_queue_setup(d, CON_TX, 16);
	vdrv_queue_setup(d, CON_RX, 16);
	con_send(0, "w", 1);
	con_expect_output(0, "w");
	con_post(0, 8, 16);
	con_expect_input(0, "b");
}

/* ---- life ---- */

static void test_create_refuses(void **state)
{
	char longest[VIRTIO_CONSOLE_NAME_MAX + 2];
	struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS + 1] = {
		{.console = true}, {.name = "a"}, {.name = "b"}};
	struct virtio_console_config config = {
		.name = "x", .mem = con.rig.mem, .ports = ports, .num_ports = 3};
	struct virtio_device *vdev = NULL;

	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ports[2].name = "a";
	assert_int_equal(virtio_console_create(&config, &vdev), -EINVAL);
	ports[2].name = "";
	assert_int_equal(virtio_console_create(&config, &vdev), -EINVAL);
	ports[2].name = longest;
	assert_int_equal(virtio_console_create(&config, &vdev), -EINVAL);
	ports[2].name = NULL;
	config.num_ports = 0;
	assert_int_equal(virtio_console_create(&config, &vdev), -EINVAL);
	config.num_ports = VIRTIO_CONSOLE_MAX_PORTS + 1;
	assert_int_equal(virtio_console_create(&config, &vdev), -EINVAL);
	assert_null(vdev);
	longest[VIRTIO_CONSOLE_NAME_MAX] = '\0';
	ports[2].name = longest;
	config.num_ports = VIRTIO_CONSOLE_MAX_PORTS;
	assert_int_equal(virtio_console_create(&config, &vdev), 0);
	virtio_device_destroy(vdev);
}

/* No descriptor for the eventfd of a queue: nothing stays behind, nobody is attached. */
static void test_create_without_descriptors(void **state)
{
	struct virtio_console_port port = {.console = true};
	struct virtio_console_config config;
	struct virtio_device *vdev = NULL;
	struct rlimit old, low;
	int fd, rc;

	(void)state;
	con_recreate(&port, 1, true);
	rig_unplug(&con.rig);
	config = con_config(&port, 1);
	fd = dup(0);
	close(fd);
	getrlimit(RLIMIT_NOFILE, &old);
	for (int k = 0; k <= 2; k++) {
		low = (struct rlimit){.rlim_cur = (rlim_t)(fd + k), .rlim_max = old.rlim_max};
		setrlimit(RLIMIT_NOFILE, &low);
		rc = virtio_console_create(&config, &vdev);
		setrlimit(RLIMIT_NOFILE, &old);
		assert_int_equal(rc, k < 2 ? -EMFILE : 0);
		assert_int_equal(con.dev[0].dev.handler != NULL, k == 2);
	}
	con_plug(vdev);
}

/* The back end lives on, and may speak until it is detached. */
static void test_quiesced(void **state)
{
	(void)state;
	con_recreate(&(struct virtio_console_port){.console = true}, 1, true);
	con_start(CON_ALL);
	con_post(0, 8, 16);
	fake_chardev_type(&con.dev[0], "a", 1);
	fake_chardev_allow(&con.dev[0], 0);
	con_send(0, "xyz", 3);
	virtio_device_quiesce(con.rig.vdev);
	rig_run(&con.rig);
	fake_chardev_allow(&con.dev[0], SIZE_MAX);
	fake_chardev_type(&con.dev[0], "b", 1);
	fake_chardev_event(&con.dev[0], CHARDEV_CONNECTED);
	con.dev[0].cols++;
	fake_chardev_event(&con.dev[0], CHARDEV_RESIZED);
	con_expect_output(0, "");
	assert_int_equal(con.dev[0].in_len, 1);
	assert_int_equal(event_loop_step(con.rig.loop, 0), 0); /* no queue is kicked */
}

#define PER_KIND(f) CON_PER_KIND(f, con_set_up)
#define ON_MMIO(f)  CON_TEST(f, con_set_up, "mmio", RIG_MMIO)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_5_3_2_queues),
		PER_KIND(test_5_3_3_features),
		ON_MMIO(test_5_3_3_any_subset),
		PER_KIND(test_5_3_4_layout),
		PER_KIND(test_5_3_5_emergency_write),
		ON_MMIO(test_5_3_5_emergency_write_never_waits),
		PER_KIND(test_5_3_6_size_at_start),
		PER_KIND(test_5_3_6_no_terminal_no_size),
		PER_KIND(test_5_3_6_resize),
		PER_KIND(test_5_3_6_output),
		PER_KIND(test_2_7_4_any_framing),
		ON_MMIO(test_no_back_end),
		PER_KIND(test_output_waits),
		ON_MMIO(test_output_blocked_is_left_alone),
		ON_MMIO(test_output_flood),
		ON_MMIO(test_output_in_turns),
		PER_KIND(test_5_3_6_input),
		PER_KIND(test_input_fills_buffers),
		PER_KIND(test_input_waits_for_buffers),
		ON_MMIO(test_input_before_creation),
		ON_MMIO(test_input_flood),
		PER_KIND(test_2_1_2_input_before_driver_ok),
		ON_MMIO(test_break_is_ignored),
		PER_KIND(test_2_4_reset_during_output),
		PER_KIND(test_2_4_reset_with_buffers_held),
		PER_KIND(test_reset_between_room_and_input),
		PER_KIND(test_2_6_1_queue_reset),
		ON_MMIO(test_create_refuses),
		ON_MMIO(test_create_without_descriptors),
		PER_KIND(test_quiesced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
