/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues of a device on every transport: chains in and out, interrupts, notifications, resets.
 * Tests bear the sections of virtio 1.2. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"

static void test_2_6_1_ring_reset(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(0, 3, 9, false);
	td.hold = true;
	fixture_hold(0);
	drv.t->queue_reset(&drv, 0);
	/* It is as it was before the driver came. */
	assert_int_equal(virtio_device_queue(td.vdev, 0)->desc, 0);
	assert_int_equal(virtio_device_queue(td.vdev, 0)->avail, 0);
	assert_int_equal(virtio_device_queue(td.vdev, 0)->used, 0);
	assert_int_equal(td.queue_stops, 1);
	assert_false(drv.t->queue_enabled(&drv, 0));
	/* Kicks mean nothing, the other queues go on. */
	drv.t->notify(&drv, 0);
	assert_int_equal(td.num_held[0], 0);
	td.hold = false;
	expect_echo(1, 4, 4, true);
	/* New size and place, indices from 0. */
	vdrv_queue_setup(&drv, 0, 4);
	assert_true(drv.t->queue_enabled(&drv, 0));
	for (unsigned int i = 0; i < 10; i++)
		expect_echo(0, 5, 5, false);
	assert_false(needs_reset());
}

static void *queue_reset_thread(void *arg)
{
	(void)arg;
	drv.t->queue_reset(&drv, 0);
	return NULL;
}

static void test_2_6_1_ring_reset_waits(void **state)
{
	pthread_t thread;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	td.hold = td.keep_on_stop = true;
	fixture_hold(0);
	pthread_create(&thread, NULL, queue_reset_thread, NULL);
	fixture_wait(&td.queue_stops);
	virtio_device_lock(td.vdev);
	assert_true(virtio_device_queue_resetting(td.vdev, 0));
	virtio_device_unlock(td.vdev);
	drv.t->take_irq(&drv);
	td_complete(&td, 0, 0);
	pthread_join(thread, NULL);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	assert_false(drv.t->queue_enabled(&drv, 0));
}

static void test_2_6_1_not_negotiated(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	drv.t->queue_reset(&drv, 0);
	assert_true(drv.t->queue_enabled(&drv, 0));
	expect_echo(0, 4, 4, false);
}

static void test_2_7_4_1_any_framing(void **state)
{
	const uint32_t out = 7, in = 8;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	/* each way to cut in and out, over regions of one byte */
	for (unsigned int cuts = 0; cuts < 1u << (out - 1 + in - 1); cuts += 37) {
		struct vdrv_buf bufs[VDRV_MAX_BUFS] = {{RIG_BYTES_BASE, 0}};
		const uint64_t brk = drv.brk;
		unsigned int n = 0, nout;
		uint32_t len;

		for (unsigned int i = 0; i < out; i++) {
			*vrig.bytes[i] = (uint8_t)(cuts + i);
			bufs[n].len++;
			if (i + 1 == out || (cuts >> i & 1))
				bufs[++n].gpa = RIG_BYTES_BASE + i + 1;
		}
		nout = n;
		bufs[n].gpa = RIG_BYTES_BASE + 20;
		for (unsigned int i = 0; i < in; i++) {
			*vrig.bytes[20 + i] = 0;
			bufs[n].len++;
			if (i + 1 == in || (cuts >> (out - 1 + i) & 1))
				bufs[++n].gpa = RIG_BYTES_BASE + 20 + i + 1;
		}
		vdrv_add(&drv, 0, bufs, nout, n - nout, cuts & 1);
		vdrv_kick(&drv, 0);
		assert_true(vdrv_get(&drv, 0, &len) >= 0);
		assert_int_equal(len, in);
		for (unsigned int i = 0; i < in; i++)
			assert_int_equal(*vrig.bytes[20 + i], (uint8_t)(cuts + i % out));
		drv.brk = brk;
	}
	assert_false(needs_reset());
}

static void test_2_7_5_1_readable_is_not_written(void **state)
{
	uint8_t before[16 * 16], data[64];
	struct vdrv_buf bufs[2];

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	bufs[0] = (struct vdrv_buf){vdrv_alloc(&drv, sizeof(data), 1), sizeof(data)};
	bufs[1] = (struct vdrv_buf){vdrv_alloc(&drv, 128, 1), 128};
	memset(data, 0x5a, sizeof(data));
	memcpy(vdrv_at(&drv, bufs[0].gpa, sizeof(data)), data, sizeof(data));
	vdrv_add(&drv, 0, bufs, 1, 1, false);
	memcpy(before, drv.q[0].desc, sizeof(before));
	vdrv_kick(&drv, 0);
	assert_memory_equal(drv.q[0].desc, before, sizeof(before));
	assert_memory_equal(vdrv_at(&drv, bufs[0].gpa, sizeof(data)), data, sizeof(data));
	assert_true(vdrv_get(&drv, 0, NULL) >= 0);
}

static void test_2_7_7_interrupt_flag(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	vdrv_no_irq(&drv, 0, true);
	expect_echo(0, 4, 4, false);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	vdrv_no_irq(&drv, 0, false);
	expect_echo(0, 4, 4, false);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

static void test_2_7_7_used_event_past_wrap(void **state)
{
	unsigned int irqs = 0, expected = 0;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	for (unsigned int i = 0; i < 66000; i++) {
		const uint16_t after = (uint16_t)(i % 5);

		if (after == 0)
			vdrv_want_irq(&drv, 0, 2);
		expect_echo(0, 1, 1, false);
		irqs += drv.t->take_irq(&drv) == VIRTIO_ISR_QUEUE;
		expected += after == 2;
	}
	assert_int_equal(irqs, expected);
}

static void test_2_7_8_used_len(void **state)
{
	static const struct {
		uint32_t out, in;
	} cases[] = {{1, 1}, {3, 64}, {64, 3}, {1, 4096}, {100, 1}};

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		expect_echo(0, cases[i].out, cases[i].in, false);
		expect_echo(0, cases[i].out, cases[i].in, true);
	}
}

static void test_2_7_8_spurious_kicks(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	for (unsigned int i = 0; i < 100; i++)
		for (unsigned int q = 0; q < TD_QUEUES; q++)
			drv.t->notify(&drv, q);
	assert_int_equal(td.pops, 0);
	assert_false(needs_reset());
	expect_echo(2, 4, 4, false);
}

static void test_2_7_10_notifications_are_suppressed(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		vdrv_start(&drv, i ? FEATURES_ALL : FEATURES_PLAIN);
		td.hold = true;
		fixture_hold(0);
		/* Between requests the device wants to be notified of each. */
		drv.notifications = 0;
		fixture_hold(0);
		fixture_hold(0);
		assert_int_equal(drv.notifications, 2);
		assert_int_equal(td.num_held[0], 3);
		td.hold = false;
	}
}

static void test_out_of_order(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	td.hold = true;
	for (unsigned int i = 0; i < 8; i++)
		fixture_hold(0);
	td_complete(&td, 0, 5);
	td_complete(&td, 0, 0);
	td_complete(&td, 0, 5);
	assert_int_equal(vdrv_get(&drv, 0, NULL), 10); /* two descriptors each */
	assert_int_equal(vdrv_get(&drv, 0, NULL), 0);
	assert_int_equal(vdrv_get(&drv, 0, NULL), 14);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	while (td.num_held[0])
		td_complete(&td, 0, 0);
}

/* Writes after enable change nothing (CVE-class "queue size changed after activation"). */
static void test_snapshot_at_enable(void **state)
{
	static const struct virtqueue_layout poison = {
		.size = 0x4000, .desc = UINT64_MAX, .avail = UINT64_MAX - 1, .used = 1};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	drv.t->queue_layout(&drv, 0, &poison);
	drv.t->queue_enable(&drv, 0);
	for (unsigned int i = 0; i < 40; i++)
		expect_echo(0, 4, 4, false);
	assert_false(needs_reset());
}

static void test_loop_runs_kicks(void **state)
{
	struct doorbell bell = {0};
	const uint64_t one = 1;

	(void)state;
	fixture_restart(true, false);
	assert_int_equal(vrig.num_bells, 0);
	assert_true(vdrv_negotiate(&drv, FEATURES_ALL));
	vdrv_queue_setup(&drv, 0, 16);
	vdrv_queue_setup(&drv, 2, 4);
	assert_int_equal(vrig.num_bells, 0);
	vdrv_driver_ok(&drv);
	assert_int_equal(vrig.num_bells, 2);
	/* through the bus */
	expect_echo(0, 4, 4, true);
	/* through the doorbell, as the kernel would */
	for (unsigned int i = 0; i < vrig.num_bells; i++)
		if (vrig.bells[i].fd == virtio_device_kick_fd(td.vdev, 2))
			bell = vrig.bells[i];
	td.pops = 0;
	vdrv_add(&drv, 2, (struct vdrv_buf[]){{RIG_RAM_BASE, 4}}, 1, 0, false);
	assert_int_equal(write(bell.fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(td.pops, 0);
	rig_run(&vrig);
	assert_int_equal(td.pops, 1);
	/* A queue that is enabled later gets its doorbell then; a reset takes all away. */
	vdrv_queue_setup(&drv, 1, 8);
	assert_int_equal(vrig.num_bells, 3);
	drv.t->queue_reset(&drv, 1);
	assert_int_equal(vrig.num_bells, 2);
	drv.t->set_status(&drv, 0);
	assert_int_equal(vrig.num_bells, 0);
	assert_int_equal(vrig.bells_added, vrig.bells_removed);
	/* A kick that was on its way is lost. */
	assert_int_equal(write(bell.fd, &one, sizeof(one)), sizeof(one));
	td.kicks = 0;
	rig_run(&vrig);
	assert_int_equal(td.kicks, 0);
}

struct kick_counter {
	struct virtio_device *vdev;
	unsigned int kicks, chains;
};

static bool count_chain(void *opaque, unsigned int q, struct virtq_chain *chain)
{
	struct kick_counter *c = opaque;

	c->chains++;
	virtio_device_push(c->vdev, q, chain, 0);
	return true;
}

static void count_kick(void *opaque, unsigned int q)
{
	struct kick_counter *c = opaque;

	c->kicks++;
	virtio_device_process(c->vdev, q, count_chain);
}

/* A full queue does not keep the loop from others, and is finished without another notification. */
static void test_pass_is_bounded(void **state)
{
	static const struct virtio_device_ops ops = {.kick = count_kick};
	const uint16_t sizes[] = {1024};
	struct kick_counter c = {0};
	struct virtio_device_config config = {.name = "count",
		.id = VIRTIO_ID_RNG,
		.ops = &ops,
		.opaque = &c,
		.num_queues = 1,
		.queue_sizes = sizes};

	(void)state;
	fixture_restart(true, false);
	rig_unplug(&vrig);
	config.mem = vrig.mem;
	config.loop = vrig.loop;
	assert_int_equal(virtio_device_create(&config, &c.vdev), 0);
	rig_plug(&vrig, c.vdev);
	vdrv_attach(&drv, &vrig);
	vdrv_start(&drv, FEATURES_ALL);
	for (unsigned int i = 0; i < 1024; i++)
		vdrv_add(&drv, 0, &(struct vdrv_buf){RIG_RAM_BASE, 1}, 1, 0, false);
	vdrv_kick(&drv, 0);
	for (unsigned int i = 1; i <= 4; i++) {
		assert_int_equal(event_loop_step(vrig.loop, 0), 1);
		assert_int_equal(c.chains, i * VIRTIO_PASS_BUDGET);
	}
	rig_run(&vrig);
	assert_int_equal(c.chains, 1024);
	/* Notifications are wanted again. */
	drv.notifications = 0;
	while (vdrv_get(&drv, 0, NULL) != VDRV_NO_HEAD)
		;
	vdrv_add(&drv, 0, &(struct vdrv_buf){RIG_RAM_BASE, 1}, 1, 0, false);
	vdrv_kick(&drv, 0);
	assert_int_equal(drv.notifications, 1);
}

static void test_doorbells_refused(void **state)
{
	(void)state;
	fixture_restart(true, false);
	vrig.refuse_bells = true;
	vdrv_start(&drv, FEATURES_ALL);
	assert_int_equal(vrig.num_bells, 0);
	expect_echo(0, 4, 4, false);
	expect_echo(2, 4, 4, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_2_6_1_ring_reset),
		PER_KIND(test_2_6_1_ring_reset_waits),
		PER_KIND(test_2_6_1_not_negotiated),
		PER_KIND(test_2_7_4_1_any_framing),
		PER_KIND(test_2_7_5_1_readable_is_not_written),
		PER_KIND(test_2_7_7_interrupt_flag),
		PER_KIND(test_2_7_7_used_event_past_wrap),
		PER_KIND(test_2_7_8_used_len),
		PER_KIND(test_2_7_8_spurious_kicks),
		PER_KIND(test_2_7_10_notifications_are_suppressed),
		PER_KIND(test_out_of_order),
		PER_KIND(test_snapshot_at_enable),
		PER_KIND(test_loop_runs_kicks),
		PER_KIND(test_pass_is_bounded),
		PER_KIND(test_doorbells_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
