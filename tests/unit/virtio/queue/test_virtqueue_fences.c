/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Store, fence, load, on both sides at once: at least one of the two must see what the other one
 * stored (the comment at the top of virtio/queue/virtqueue.c names the pairs). A processor lets a
 * load overtake a store that waits for its cache line, so a missing fence shows when both sides
 * come at the same moment, and that is a matter of some ten nanoseconds. So two threads run along
 * the same row of queues, which are all in the same state, and where they are abreast, they try it
 * at each queue.
 *
 * On one processor nothing is shown, and nothing fails.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "virtqueue_fixture.h"

enum {
	QUEUES = 512,
	ENTRIES = 2,
	LINE = 128, /* two, as processors fetch pairs of them */
	ROUNDS = 20000,
	SPINS = 2000,
	LIMIT_S = 4, /* for a slow host */
};

/* What a side does with queue i; true: it has seen the other side. */
typedef bool side(unsigned int i);

static struct {
	struct virtqueue *queues[QUEUES];
	struct vdrv drivers[QUEUES];
	bool notified[QUEUES];
	side *device;
	bool device_saw[QUEUES];
	atomic_uint go, ready, done;
	atomic_bool end;
} row;

static void wait_for(atomic_uint *value, unsigned int what)
{
	for (unsigned int n = 0; atomic_load_explicit(value, memory_order_acquire) != what; n++)
		if (n > SPINS)
			sched_yield();
}

static void *device_thread(void *opaque)
{
	(void)opaque;
	for (unsigned int round = 1;; round++) {
		wait_for(&row.go, round);
		if (atomic_load(&row.end))
			return NULL;
		atomic_store(&row.ready, round);
		for (unsigned int i = 0; i < QUEUES; i++)
			row.device_saw[i] = row.device(i);
		atomic_store(&row.done, round);
	}
}

static unsigned int run_round(unsigned int round, side *driver)
{
	bool saw[QUEUES];
	unsigned int both_blind = 0;

	atomic_store(&row.go, round);
	wait_for(&row.ready, round);
	for (unsigned int i = 0; i < QUEUES; i++)
		saw[i] = driver(i);
	wait_for(&row.done, round);
	for (unsigned int i = 0; i < QUEUES; i++)
		both_blind += !saw[i] && !row.device_saw[i];
	return both_blind;
}

/* The queues at which neither side saw the other one, in the first round that has any. */
static unsigned int race(side *device, side *driver, void (*prepare)(unsigned int i))
{
	const time_t end = time(NULL) + LIMIT_S;
	unsigned int round = 0, both_blind = 0;
	pthread_t thread;

	row.device = device;
	atomic_store(&row.go, 0);
	atomic_store(&row.end, false);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, NULL), 0);
	while (!both_blind && round < ROUNDS && time(NULL) < end) {
		for (unsigned int i = 0; i < QUEUES; i++)
			prepare(i);
		both_blind = run_round(++round, driver);
	}
	atomic_store(&row.end, true);
	atomic_store(&row.go, round + 1);
	pthread_join(thread, NULL);
	return both_blind;
}

/* ---- the row ---- */

static void layout_is_known(struct vdrv *d, unsigned int q, const struct virtqueue_layout *l)
{
	(void)d, (void)q, (void)l;
}

static void enable(struct vdrv *d, unsigned int q)
{
	struct virtqueue *vq = row.queues[d - row.drivers];

	assert_int_equal(virtqueue_enable(vq, &d->q[q].layout, d->negotiated), 0);
}

static void note(struct vdrv *d, unsigned int q)
{
	(void)q;
	row.notified[d - row.drivers] = true;
}

static void set_up_row(uint64_t features)
{
	static const struct vdrv_transport direct = {
		.queue_layout = layout_is_known, .queue_enable = enable, .notify = note};
	uint64_t brk = RIG_RAM_BASE;

	for (unsigned int i = 0; i < QUEUES; i++) {
		struct vdrv *d = &row.drivers[i];

		memset(d, 0, sizeof(*d));
		d->rig = &vqt_host;
		d->t = &direct;
		d->negotiated = features;
		d->brk = ALIGN_UP(brk, LINE);
		d->apart = LINE;
		assert_int_equal(virtqueue_create(vqt_host.mem, ENTRIES, &row.queues[i]), 0);
		vdrv_queue_setup(d, 0, ENTRIES);
		vdrv_set_desc(d, d->q[0].layout.desc, 0, RIG_RAM_BASE, 4, 0, 0);
		d->q[0].chain_len[0] = 1;
		brk = d->brk;
	}
}

static void tear_down_row(void)
{
	for (unsigned int i = 0; i < QUEUES; i++)
		virtqueue_destroy(row.queues[i]);
}

static void take_used(unsigned int i)
{
	while (vdrv_get(&row.drivers[i], 0, NULL) != VDRV_NO_HEAD)
		;
}

static void use_available(unsigned int i)
{
	struct virtq_chain *chain;

	while (virtqueue_pop(row.queues[i], &chain) > 0)
		virtqueue_push(row.queues[i], chain, 0);
}

/* ---- show(): used index, fence, the driver's wish ---- */

/* A chain is used, and not shown yet; the driver wants no interrupt. */
static void use_one(unsigned int i)
{
	struct vdrv *d = &row.drivers[i];

	take_used(i);
	vdrv_no_irq(d, 0, true);
	vdrv_expose(d, 0, 0);
	use_available(i);
}

static bool publish(unsigned int i)
{
	return virtqueue_publish(row.queues[i]);
}

static bool publish_later(unsigned int i)
{
	bool owed;

	return virtqueue_publish_later(row.queues[i], &owed) || owed;
}

/* Wants an interrupt from now on, and looks whether there is something already. */
static bool enable_interrupts(unsigned int i)
{
	struct vdrv *d = &row.drivers[i];
	const uint8_t *used_idx = d->q[0].used + 2;

	vdrv_no_irq(d, 0, false);
	return __atomic_load_n((const uint16_t *)(const void *)used_idx, __ATOMIC_RELAXED) !=
	       d->q[0].last_used;
}

static void test_show(void **state)
{
	unsigned int both_blind;

	(void)state;
	set_up_row(0);
	both_blind = race(publish, enable_interrupts, use_one);
	both_blind += race(publish_later, enable_interrupts, use_one);
	tear_down_row();
	assert_int_equal(both_blind, 0);
}

/* ---- notify_on(): our wish, fence, available index ---- */

/* All is used, and the device wants no notification. */
static void empty(unsigned int i)
{
	use_available(i);
	virtqueue_publish(row.queues[i]);
	take_used(i);
	virtqueue_notify_off(row.queues[i]);
	row.notified[i] = false;
}

static bool notify_on(unsigned int i)
{
	return virtqueue_notify_on(row.queues[i]);
}

static bool add_and_kick(unsigned int i)
{
	vdrv_expose(&row.drivers[i], 0, 0);
	vdrv_kick(&row.drivers[i], 0);
	return row.notified[i];
}

static void test_notify_on(void **state)
{
	static const uint64_t features[] = {0, VIRTIO_F_EVENT_IDX};
	unsigned int both_blind = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		set_up_row(features[i]);
		both_blind += race(notify_on, add_and_kick, empty);
		tear_down_row();
	}
	assert_int_equal(both_blind, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VQT_TEST(test_show),
		VQT_TEST(test_notify_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
