/* SPDX-License-Identifier: BSD-2-Clause */
/* The device side of a virtqueue, without a device, against the driver half. */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtqueue_fixture.h"
#include "vm/core/guest_mem.h"

static void test_create(void **state)
{
	struct virtqueue *none = NULL;

	(void)state;
	assert_int_equal(virtqueue_create(vqt_host.mem, 0, &none), -EINVAL);
	assert_int_equal(virtqueue_create(vqt_host.mem, 3, &none), -EINVAL);
	assert_int_equal(virtqueue_create(vqt_host.mem, 2 * VIRTQ_MAX_SIZE, &none), -EINVAL);
	assert_null(none);
	virtqueue_destroy(NULL);
}

static void test_2_7_enable_checks(void **state)
{
	enum { B = RIG_RAM_BASE, END = RIG_RAM_BASE + RIG_RAM_SIZE };
	static const struct {
		struct virtqueue_layout l;
		int rc;
	} cases[] = {
		{{16, B, B + 0x1000, B + 0x2000}, 0},
		{{1, B, B + 0x1000, B + 0x2000}, 0},
		{{0, B, B + 0x1000, B + 0x2000}, -EINVAL},
		{{3, B, B + 0x1000, B + 0x2000}, -EINVAL},
		{{32, B, B + 0x1000, B + 0x2000}, -EINVAL},
		{{0x8000, B, B + 0x1000, B + 0x2000}, -EINVAL},
		{{16, B + 8, B + 0x1000, B + 0x2000}, -EINVAL},
		{{16, B, B + 0x1001, B + 0x2000}, -EINVAL},
		{{16, B, B + 0x1000, B + 0x2002}, -EINVAL},
		/* whole areas, to the last byte */
		{{16, END - 256, B + 0x1000, B + 0x2000}, 0},
		{{16, END - 240, B + 0x1000, B + 0x2000}, -EFAULT},
		{{16, B, END - 38, B + 0x2000}, 0},
		{{16, B, END - 36, B + 0x2000}, -EFAULT},
		{{16, B, B + 0x1000, END - 136}, 0},
		{{16, B, B + 0x1000, END - 132}, -EFAULT},
		{{16, B - 16, B + 0x1000, B + 0x2000}, -EFAULT},
		{{16, RIG_BYTES_BASE, B + 0x1000, B + 0x2000}, -EFAULT},
		{{16, -16ull, B + 0x1000, B + 0x2000}, -EFAULT},
		{{16, B, -2ull, B + 0x2000}, -EFAULT},
		{{16, B, B + 0x1000, -4ull}, -EFAULT},
		{{16, 0, 0, 0}, -EFAULT},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(virtqueue_enable(vqt, &cases[i].l, 0), cases[i].rc);
		assert_int_equal(virtqueue_enabled(vqt), cases[i].rc == 0);
		if (cases[i].rc)
			continue;
		assert_int_equal(virtqueue_enable(vqt, &cases[i].l, 0), -EINVAL);
		virtqueue_disable(vqt);
	}
}

static void test_cursors(void **state)
{
	struct vdrv_buf bufs[12];
	uint8_t flat[64], got[64], model[64];
	struct virtq_chain *chain;
	struct virtq_cursor c, d;
	struct iovec iov[64];
	int n;

	(void)state;
	vqt_start(VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX, 16);
	/* readable 3 + 0 + 17 bytes over one-byte regions, writable 5 + 15 over others */
	bufs[0] = (struct vdrv_buf){RIG_BYTES_BASE, 3};
	bufs[1] = (struct vdrv_buf){UINT64_MAX, 0};
	bufs[2] = (struct vdrv_buf){RIG_BYTES_BASE + 3, 17};
	bufs[3] = (struct vdrv_buf){RIG_BYTES_BASE + 20, 5};
	bufs[4] = (struct vdrv_buf){RIG_BYTES_BASE + 25, 15};
	for (unsigned int i = 0; i < 40; i++)
		*vqt_host.bytes[i] = flat[i] = (uint8_t)(i ^ 0x55);
	vdrv_add(&vqt_driver, 0, bufs, 3, 2, true);
	chain = vqt_pop();
	assert_int_equal(chain->readable, 20);
	assert_int_equal(chain->writable, 20);
	for (unsigned int off = 0; off <= 20; off++) {
		for (unsigned int len = 0; len <= 22; len++) {
			const unsigned int fits = MIN(len, 20 - off);

			c = virtq_reader(chain);
			assert_int_equal(virtq_skip(&c, off), off);
			d = c;
			memset(got, 0, sizeof(got));
			assert_int_equal(virtq_read(&c, got, len), fits);
			assert_memory_equal(got, flat + off, fits);
			assert_int_equal(c.left, 20 - off - fits);
			assert_int_equal(virtq_iov_count(&d, len), fits);
			assert_int_equal(virtq_iov(&d, len, iov, 64, &n), fits);
			assert_int_equal(n, fits);
			for (int i = 0; i < n; i++)
				assert_ptr_equal(
					iov[i].iov_base, vqt_host.bytes[off + (unsigned int)i]);
			assert_int_equal(d.left, c.left);

			memcpy(model, flat, sizeof(model));
			memset(model + 20 + off, 0xcc, fits);
			memset(got, 0xcc, sizeof(got));
			c = virtq_writer(chain);
			virtq_skip(&c, off);
			assert_int_equal(virtq_write(&c, got, len), fits);
			for (unsigned int i = 0; i < 40; i++)
				assert_int_equal(*vqt_host.bytes[i], model[i]);
			c = virtq_writer(chain);
			virtq_skip(&c, off);
			assert_int_equal(virtq_zero(&c, len), fits);
			memset(model + 20 + off, 0, fits);
			for (unsigned int i = 0; i < 40; i++)
				assert_int_equal(*vqt_host.bytes[i], model[i]);
			for (unsigned int i = 0; i < 40; i++)
				*vqt_host.bytes[i] = flat[i];
		}
	}
	c = virtq_reader(chain);
	assert_int_equal(virtq_iov(&c, 20, iov, 4, &n), 4);
	assert_int_equal(n, 4);
	assert_int_equal(virtq_skip(&c, UINT64_MAX), 16);
	virtqueue_push(vqt, chain, 0);
}

static void test_slots(void **state)
{
	struct virtq_chain *chains[16];
	unsigned int seen = 0;

	(void)state;
	vqt_start(0, 16);
	for (unsigned int i = 0; i < 16; i++) {
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
		chains[i] = vqt_pop();
		assert_int_equal(chains[i]->slot, i);
		seen |= 1u << chains[i]->slot;
	}
	assert_int_equal(seen, 0xffff);
	assert_int_equal(virtqueue_in_flight(vqt), 16);
	virtqueue_push(vqt, chains[9], 0);
	virtqueue_release(vqt, chains[3]);
	assert_int_equal(virtqueue_in_flight(vqt), 14);
	virtqueue_publish(vqt);
	assert_int_equal(vdrv_get(&vqt_driver, 0, NULL), 9);
	assert_int_equal(vdrv_get(&vqt_driver, 0, NULL), VDRV_NO_HEAD);
	vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
	chains[3] = vqt_pop();
	assert_int_equal(chains[3]->slot, 3); /* the latest to be free */
	for (unsigned int i = 0; i < 16; i++)
		if (i != 9)
			virtqueue_release(vqt, chains[i]);
}

static void test_unpop(void **state)
{
	struct virtq_chain *a, *b;

	(void)state;
	vqt_start(VIRTIO_F_IN_ORDER, 16);
	vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
	vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 2}}, 1, 0, false);
	a = vqt_pop();
	b = vqt_pop();
	assert_int_equal(b->readable, 2);
	virtqueue_unpop(vqt, b);
	assert_int_equal(virtqueue_in_flight(vqt), 1);
	b = vqt_pop();
	assert_int_equal(b->readable, 2);
	virtqueue_push(vqt, a, 0);
	virtqueue_push(vqt, b, 0);
	assert_false(virtqueue_has_avail(vqt));
}

static void test_2_7_8_published_together(void **state)
{
	(void)state;
	vqt_start(0, 16);
	for (unsigned int i = 0; i < 5; i++)
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 9}}, 0, 1, false);
	for (unsigned int i = 0; i < 5; i++)
		virtqueue_push(vqt, vqt_pop(), i);
	assert_int_equal(vdrv_get(&vqt_driver, 0, NULL), VDRV_NO_HEAD);
	assert_true(virtqueue_publish(vqt));
	assert_false(virtqueue_publish(vqt));
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t len;

		assert_int_equal(vdrv_get(&vqt_driver, 0, &len), i);
		assert_int_equal(len, i);
	}
}

/* One bit of the flags is for interrupts; others are for who knows what later. */
static void test_2_7_7_flags(void **state)
{
	static const struct {
		uint16_t flags;
		bool interrupt;
	} cases[] = {{0, true}, {1, false}, {0xfffe, true}, {0xffff, false}, {0, true}};

	(void)state;
	vqt_start(0, 16);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(vqt_driver.q[0].avail, &(uint16_t){htole16(cases[i].flags)}, 2);
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
		virtqueue_push(vqt, vqt_pop(), 0);
		assert_int_equal(virtqueue_publish(vqt), cases[i].interrupt);
	}
}

/* Whether an event in (from, to] was asked for, by counting. */
static bool asked(uint16_t event, uint16_t from, uint16_t to)
{
	for (uint16_t i = from; i != to; i++)
		if (i == event)
			return true;
	return false;
}

static void test_2_7_7_2_used_event(void **state)
{
	uint16_t used = 0;

	(void)state;
	vqt_start(VIRTIO_F_EVENT_IDX, 16);
	srand(1);
	for (unsigned int round = 0; round < 40000; round++) {
		const uint16_t n = (uint16_t)(rand() % 6),
			       event = (uint16_t)(used - 8 + rand() % 16);

		vdrv_want_irq(&vqt_driver, 0, (uint16_t)(event - vqt_driver.q[0].last_used));
		for (unsigned int i = 0; i < n; i++)
			vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0,
				false);
		for (unsigned int i = 0; i < n; i++)
			virtqueue_push(vqt, vqt_pop(), 0);
		assert_int_equal(virtqueue_publish(vqt), asked(event, used, (uint16_t)(used + n)));
		used = (uint16_t)(used + n);
		while (vdrv_get(&vqt_driver, 0, NULL) != VDRV_NO_HEAD)
			;
	}
}

static void test_2_7_10_notifications(void **state)
{
	(void)state;
	for (unsigned int pass = 0; pass < 2; pass++) {
		vqt_start(pass ? VIRTIO_F_EVENT_IDX : 0, 16);
		atomic_store(&vqt_notified, 0);
		assert_false(virtqueue_notify_on(vqt));
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
		vdrv_kick(&vqt_driver, 0);
		assert_int_equal(atomic_load(&vqt_notified), 1);
		virtqueue_notify_off(vqt);
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
		vdrv_kick(&vqt_driver, 0);
		assert_int_equal(atomic_load(&vqt_notified), 1);
		/* what came meanwhile is told */
		virtqueue_push(vqt, vqt_pop(), 0);
		assert_true(virtqueue_notify_on(vqt));
		virtqueue_push(vqt, vqt_pop(), 0);
		assert_false(virtqueue_notify_on(vqt));
		vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{RIG_RAM_BASE, 1}}, 1, 0, false);
		vdrv_kick(&vqt_driver, 0);
		assert_int_equal(atomic_load(&vqt_notified), 2);
		virtqueue_push(vqt, vqt_pop(), 0);
	}
}

/* ---- both sides at once: nothing is lost, nothing comes twice, nobody sleeps for ever ----------
 */
enum { MESSAGES = 60000 };

static atomic_uint irqs;
static atomic_bool done;

static void *device_thread(void *arg)
{
	unsigned int seen = 0;

	(void)arg;
	while (!atomic_load(&done)) {
		struct virtq_chain *chain;

		/* Sleeps until it is notified; the start counts as one. */
		while (atomic_load(&vqt_notified) == seen && !atomic_load(&done))
			sched_yield();
		seen = atomic_load(&vqt_notified);
		do {
			virtqueue_notify_off(vqt);
			while (virtqueue_pop(vqt, &chain) == 1) {
				struct virtq_cursor in = virtq_reader(chain),
						    out = virtq_writer(chain);
				uint32_t value;

				virtq_read(&in, &value, sizeof(value));
				value = ~value;
				virtqueue_push(vqt, chain,
					(uint32_t)virtq_write(&out, &value, sizeof(value)));
			}
			if (virtqueue_publish(vqt))
				atomic_fetch_add(&irqs, 1);
		} while (virtqueue_notify_on(vqt));
	}
	return NULL;
}

static void run_driver(bool event_idx)
{
	unsigned int sent = 0, got = 0, seen = 0;
	uint32_t expect[VQT_MAX];

	while (got < MESSAGES) {
		int head;

		while (sent < MESSAGES && vqt_driver.q[0].num_free >= 2) {
			const unsigned int at = vqt_driver.q[0].free_head;
			const uint64_t gpa = RIG_RAM_BASE + 0x10000 + at * 16;

			memcpy(vdrv_at(&vqt_driver, gpa, 4), &sent, 4);
			expect[at] = ~sent++;
			vdrv_add(&vqt_driver, 0, (struct vdrv_buf[]){{gpa, 4}, {gpa + 8, 4}}, 1, 1,
				false);
		}
		vdrv_kick(&vqt_driver, 0);
		if (event_idx)
			vdrv_want_irq(&vqt_driver, 0, 0);
		else
			vdrv_no_irq(&vqt_driver, 0, false);
		while ((head = vdrv_get(&vqt_driver, 0, NULL)) == VDRV_NO_HEAD) {
			while (atomic_load(&irqs) == seen)
				sched_yield();
			seen = atomic_load(&irqs);
		}
		for (; head != VDRV_NO_HEAD; head = vdrv_get(&vqt_driver, 0, NULL), got++)
			assert_memory_equal(
				vdrv_at(&vqt_driver,
					RIG_RAM_BASE + 0x10000 + (unsigned int)head * 16 + 8, 4),
				&expect[head], 4);
		if (!event_idx)
			vdrv_no_irq(&vqt_driver, 0, true);
	}
}

static void test_both_sides_at_once(void **state)
{
	pthread_t thread;

	(void)state;
	for (unsigned int pass = 0; pass < 2; pass++) {
		vqt_start(pass ? VIRTIO_F_EVENT_IDX : 0, 16);
		atomic_store(&done, false);
		atomic_store(&irqs, 0);
		atomic_store(&vqt_notified, 1);
		pthread_create(&thread, NULL, device_thread, NULL);
		run_driver(pass);
		atomic_store(&done, true);
		pthread_join(thread, NULL);
		assert_int_equal(virtqueue_in_flight(vqt), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VQT_TEST(test_create),
		VQT_TEST(test_2_7_enable_checks),
		VQT_TEST(test_cursors),
		VQT_TEST(test_slots),
		VQT_TEST(test_unpop),
		VQT_TEST(test_2_7_8_published_together),
		VQT_TEST(test_2_7_7_flags),
		VQT_TEST(test_2_7_7_2_used_event),
		VQT_TEST(test_2_7_10_notifications),
		VQT_TEST(test_both_sides_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
