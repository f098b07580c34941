/* SPDX-License-Identifier: BSD-2-Clause */
/* What holds for every virtio device on every transport; tests bear the sections of virtio 1.2. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"
#include "vm/core/guest_mem.h"

static void test_2_1_2_nothing_before_driver_ok(void **state)
{
	struct vdrv_buf bufs[2];

	(void)state;
	assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN));
	vdrv_queue_setup(&drv, 0, 16);
	bufs[0] = bufs[1] = (struct vdrv_buf){vdrv_alloc(&drv, 8, 1), 8};
	vdrv_add(&drv, 0, bufs, 1, 1, false);
	drv.t->notify(&drv, 0);
	assert_int_equal(td.kicks + td.pops + td.starts, 0);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	/* What was there before is seen without another notification. */
	vdrv_driver_ok(&drv);
	assert_int_equal(td.starts, 1);
	assert_int_equal(vdrv_get(&drv, 0, NULL), 0);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

static void test_2_1_2_error_sets_needs_reset(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	drv.t->take_irq(&drv);
	vdrv_expose(&drv, 0, 16); /* no such descriptor */
	drv.t->notify(&drv, 0);
	assert_true(needs_reset());
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_CONFIG);
	/* The queue has stopped, others go on. */
	drv.t->notify(&drv, 0);
	assert_int_equal(td.pops, 0);
	expect_echo(1, 4, 4, false);
	/* A reset heals. */
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_false(needs_reset());
	expect_echo(0, 4, 4, false);
}

static void test_2_1_1_status_bits_stay(void **state)
{
	(void)state;
	assert_int_equal(drv.t->status(&drv), 0);
	drv.t->set_status(&drv, VIRTIO_STATUS_ACKNOWLEDGE);
	drv.t->set_status(&drv, VIRTIO_STATUS_DRIVER);
	assert_int_equal(drv.t->status(&drv), VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	drv.t->set_status(&drv, VIRTIO_STATUS_NEEDS_RESET | 0x30);
	assert_int_equal(drv.t->status(&drv), VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	drv.t->set_status(&drv, VIRTIO_STATUS_FAILED);
	assert_true(drv.t->status(&drv) & VIRTIO_STATUS_FAILED);
	drv.t->set_status(&drv, 0);
	assert_int_equal(drv.t->status(&drv), 0);
}

static uint64_t offered(void)
{
	return drv.t->features(&drv, 0) | (uint64_t)drv.t->features(&drv, 1) << 32;
}

static void test_2_2_2_any_valid_subset(void **state)
{
	static const uint64_t bits[] = {TD_F_A, TD_F_B, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX,
		VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET};

	(void)state;
	assert_int_equal(offered(), FEATURES_ALL | TD_F_A | TD_F_B);
	for (unsigned int set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
		uint64_t features = 0;
		bool valid;

		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
			features |= set & (1u << i) ? bits[i] : 0;
		valid = (features & VIRTIO_F_VERSION_1) &&
			((features & TD_F_A) || !(features & TD_F_B));
		assert_int_equal(vdrv_negotiate(&drv, features), valid);
		/* again after a reset */
		assert_int_equal(vdrv_negotiate(&drv, features), valid);
	}
}

static void test_2_2_2_unoffered_refused(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(offered() & VIRTIO_BIT(bit)))
			assert_false(vdrv_negotiate(&drv, FEATURES_PLAIN | VIRTIO_BIT(bit)));
	assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN));
}

static void test_3_1_1_choice_is_final(void **state)
{
	(void)state;
	assert_true(vdrv_negotiate(&drv, FEATURES_PLAIN | TD_F_A));
	drv.t->set_features(&drv, 0, TD_F_B);
	virtio_device_lock(td.vdev);
	assert_int_equal(virtio_device_negotiated(td.vdev), FEATURES_PLAIN | TD_F_A);
	virtio_device_unlock(td.vdev);
}

static void test_3_1_1_order_of_steps(void **state)
{
	(void)state;
	drv.t->set_status(&drv, VIRTIO_STATUS_DRIVER_OK);
	assert_true(needs_reset());
	assert_int_equal(td.starts, 0);
	drv.t->set_status(&drv, 0);
	/* a queue before FEATURES_OK */
	vdrv_queue_setup(&drv, 0, 16);
	assert_true(needs_reset());
	assert_false(drv.t->queue_enabled(&drv, 0));
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_start_that_fails(void **state)
{
	(void)state;
	td.fail_start = true;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_true(needs_reset());
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_CONFIG);
	drv.t->notify(&drv, 0);
	assert_int_equal(td.kicks, 0);
	td.fail_start = false;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(td.stops, 0);
	expect_echo(0, 4, 4, false);
}

static void *reset_thread(void *arg)
{
	(void)arg;
	drv.t->set_status(&drv, 0);
	return NULL;
}

static uint8_t status_now(void)
{
	uint8_t status;

	virtio_device_lock(td.vdev);
	status = virtio_device_status(td.vdev);
	virtio_device_unlock(td.vdev);
	return status;
}

static void test_2_4_1_reset_waits_for_io(void **state)
{
	pthread_t thread;

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	td.hold = td.keep_on_stop = true;
	fixture_hold(0);
	fixture_hold(1);
	assert_int_equal(td.num_held[0] + td.num_held[1], 2);
	pthread_create(&thread, NULL, reset_thread, NULL);
	fixture_wait(&td.stops);
	assert_true(status_now() != 0);
	virtio_device_lock(td.vdev);
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
	td_complete(&td, 0, 0);
	assert_true(status_now() != 0);
	td_complete(&td, 1, 0);
	pthread_join(thread, NULL);
	assert_int_equal(drv.t->status(&drv), 0);
	/* Nothing was told to the driver. */
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	assert_int_equal(vdrv_get(&drv, 1, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	td.hold = td.keep_on_stop = false;
	vdrv_start(&drv, FEATURES_ALL);
	expect_echo(0, 8, 8, true);
}

/* What was pushed but not shown when the reset began is never shown. */
static void test_2_4_1_unpublished_is_dropped(void **state)
{
	pthread_t thread;

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	td.hold = td.keep_on_stop = true;
	fixture_hold(0);
	fixture_hold(0);
	virtio_device_lock(td.vdev);
	virtio_device_push(td.vdev, 0, td.held[0][0], 0);
	td.order[0][0] = td.order[0][1];
	td.held[0][0] = NULL;
	td.num_held[0] = 1;
	virtio_device_unlock(td.vdev);
	pthread_create(&thread, NULL, reset_thread, NULL);
	fixture_wait(&td.stops);
	td_complete(&td, 0, 0);
	pthread_join(thread, NULL);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_2_4_1_reset_gives_back(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	td.hold = true;
	for (unsigned int i = 0; i < 4; i++)
		fixture_hold(0);
	drv.t->set_status(&drv, 0);
	assert_int_equal(td.stops, 1);
	assert_int_equal(td.num_held[0], 0);
	assert_int_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	virtio_device_lock(td.vdev);
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_2_5_1_generation(void **state)
{
	uint32_t before;

	(void)state;
	before = drv.t->generation(&drv);
	virtio_device_lock(td.vdev);
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
	assert_int_not_equal(drv.t->generation(&drv), before);
	assert_int_equal(drv.t->take_irq(&drv), 0);
	vdrv_start(&drv, FEATURES_PLAIN);
	before = drv.t->generation(&drv);
	virtio_device_lock(td.vdev);
	td.cfg[0]++;
	virtio_device_config_changed(td.vdev);
	virtio_device_unlock(td.vdev);
	assert_int_not_equal(drv.t->generation(&drv), before);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_CONFIG);
	assert_int_equal(drv.t->take_irq(&drv), 0);
}

static void test_2_5_2_config_before_features_ok(void **state)
{
	(void)state;
	assert_int_equal(drv.t->status(&drv), 0);
	assert_int_equal(vdrv_cfg(&drv, 0, 4), 0xa3a2a1a0);
	assert_int_equal(vdrv_cfg(&drv, 18, 1), 0xb2);
	vdrv_set_cfg(&drv, 8, 2, 0x1234);
	assert_int_equal(vdrv_cfg(&drv, 8, 4), 0xabaa1234);
}

/* Accesses may reach over the end: the bytes that exist are read and written, each at its place. */
static void test_2_5_config_bounds(void **state)
{
	uint8_t model[TD_CFG_SIZE + 8];

	(void)state;
	for (unsigned int size = 1; size <= 8; size *= 2) {
		for (uint32_t off = 0; off < 0x100; off++) {
			uint64_t expect = 0, value = 0;

			memcpy(model, td.cfg, TD_CFG_SIZE);
			for (unsigned int i = 0; i < size; i++) {
				const uint64_t byte = (off + size + 0x11 * i) & 0xff;

				value |= byte << (8 * i);
				if (off + i >= TD_CFG_SIZE)
					continue;
				expect |= (uint64_t)td.cfg[off + i] << (8 * i);
				if (off >= 8) /* those of the test device stay */
					model[off + i] = (uint8_t)byte;
			}
			if (off + size <= 0x100)
				assert_int_equal(vdrv_cfg(&drv, off, size), expect);
			/* A transport may cut what begins there in pieces. */
			if (off < 8 && off + size > 8)
				continue;
			vdrv_set_cfg(&drv, off, size, value);
			assert_memory_equal(td.cfg, model, TD_CFG_SIZE);
		}
	}
}

static void test_transport_goes_first(void **state)
{
	(void)state;
	fixture_restart(true, true);
	vdrv_start(&drv, FEATURES_ALL);
	td.hold = true;
	fixture_hold(0);
	virtio_mmio_destroy(vrig.vmmio);
	virtio_pci_destroy(vrig.vpci);
	vrig.vmmio = NULL;
	vrig.vpci = NULL;
	assert_int_equal(vrig.num_bells, 0);
	td_complete(&td, 0, 0); /* to nobody */
	virtio_device_quiesce(td.vdev);
	virtio_device_quiesce(td.vdev);
	assert_int_equal(td.stops, 1);
}

static void test_quiesced_stays_down(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	virtio_device_quiesce(td.vdev);
	drv.t->set_status(&drv, VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(drv.t->status(&drv), 0);
	assert_int_equal(td.starts, 1);
}

static void test_create_refuses(void **state)
{
	static const struct virtio_device_ops no_ops = {0};
	uint16_t sizes[VIRTIO_MAX_QUEUES + 1] = {16, 16, 3};
	struct virtio_device_config c = {.name = "x",
		.ops = &no_ops,
		.num_queues = 3,
		.queue_sizes = sizes,
		.mem = vrig.mem};
	struct virtio_device *none = NULL;

	(void)state;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	sizes[2] = 0;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	sizes[2] = 2 * VIRTQ_MAX_SIZE;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	c.num_queues = VIRTIO_MAX_QUEUES + 1;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	c.num_queues = 0;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	c.num_queues = 1;
	c.cfg_size = VIRTIO_MAX_CFG + 1;
	assert_int_equal(virtio_device_create(&c, &none), -EINVAL);
	assert_null(none);
	virtio_device_destroy(NULL);
}

/* Fails at the eventfd of each queue in turn. */
static void test_create_without_descriptors(void **state)
{
	static const struct virtio_device_ops no_ops = {0};
	const uint16_t sizes[] = {16, 16, 16};
	struct virtio_device_config c = {.name = "x",
		.ops = &no_ops,
		.num_queues = 3,
		.queue_sizes = sizes,
		.mem = vrig.mem};
	struct virtio_device *vdev = NULL;
	struct rlimit old, low;
	int rc, fds[4]; /* the next free ones */

	(void)state;
	fixture_restart(true, false);
	c.mem = vrig.mem;
	c.loop = vrig.loop;
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dup(0);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	getrlimit(RLIMIT_NOFILE, &old);
	for (unsigned int k = 0; k <= 3; k++) {
		low = (struct rlimit){.rlim_cur = (rlim_t)fds[k], .rlim_max = old.rlim_max};
		setrlimit(RLIMIT_NOFILE, &low);
		rc = virtio_device_create(&c, &vdev);
		setrlimit(RLIMIT_NOFILE, &old);
		assert_int_equal(rc, k < 3 ? -EMFILE : 0);
		assert_int_equal(vdev != NULL, k == 3);
	}
	virtio_device_destroy(vdev);
	rc = dup(0);
	close(rc);
	assert_int_equal(rc, fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PER_KIND(test_2_1_1_status_bits_stay),
		PER_KIND(test_2_1_2_nothing_before_driver_ok),
		PER_KIND(test_2_1_2_error_sets_needs_reset),
		PER_KIND(test_2_2_2_any_valid_subset),
		PER_KIND(test_2_2_2_unoffered_refused),
		PER_KIND(test_3_1_1_choice_is_final),
		PER_KIND(test_3_1_1_order_of_steps),
		PER_KIND(test_start_that_fails),
		PER_KIND(test_2_4_1_reset_waits_for_io),
		PER_KIND(test_2_4_1_unpublished_is_dropped),
		PER_KIND(test_2_4_1_reset_gives_back),
		PER_KIND(test_2_5_1_generation),
		PER_KIND(test_2_5_2_config_before_features_ok),
		PER_KIND(test_2_5_config_bounds),
		PER_KIND(test_transport_goes_first),
		PER_KIND(test_quiesced_stays_down),
		ON_MMIO(test_create_refuses),
		ON_MMIO(test_create_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
