/* SPDX-License-Identifier: BSD-2-Clause */
/* The entropy device on each transport (virtio 1.2, 5.4). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/virtio_fixture.h"
#include "virtio/rng.h"

static struct source {
	size_t at_once;		 /* bytes per call; 0: all */
	ssize_t error;		 /* instead */
	unsigned int good_calls; /* until it has nothing, once; 0: always has */
	size_t given;
	unsigned int calls, interrupted;
} source;

static ssize_t fill(void *opaque, void *buf, size_t len)
{
	struct source *s = opaque;
	const size_t n = s->at_once ? MIN(len, s->at_once) : len;

	s->calls++;
	if (s->error)
		return s->error;
	if (s->good_calls && s->calls == s->good_calls + 1)
		return 0;
	if (s->interrupted && s->interrupted--)
		return -EINTR;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)(s->given++ % 250 + 1);
	return (ssize_t)n;
}

static int set_up_with(void **state, bool real)
{
	struct virtio_rng_config config = {0};
	struct virtio_device *vdev;

	memset(&source, 0, sizeof(source));
	rig_create(&vrig, (enum rig_kind)(uintptr_t)*state);
	config.mem = vrig.mem;
	config.fill = real ? NULL : fill;
	config.opaque = &source;
	assert_int_equal(virtio_rng_create(&config, &vdev), 0);
	rig_plug(&vrig, vdev);
	vdrv_attach(&drv, &vrig);
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, false);
}

static int set_up_real(void **state)
{
	return set_up_with(state, true);
}

static int tear_down(void **state)
{
	(void)state;
	rig_destroy(&vrig);
	return 0;
}

/* One request of out readable and in writable buffers; returns used.len. */
static uint32_t request(const struct vdrv_buf *bufs, unsigned int out, unsigned int in)
{
	uint32_t len = UINT32_MAX;
	const int head = vdrv_add(&drv, 0, bufs, out, in, false);

	vdrv_kick(&drv, 0);
	assert_int_equal(vdrv_get(&drv, 0, &len), head);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
	return len;
}

static void test_5_4_identity(void **state)
{
	const uint64_t offered = drv.t->features(&drv, 0) | (uint64_t)drv.t->features(&drv, 1)
								    << 32;

	(void)state;
	assert_int_equal(drv.t->queue_max(&drv, 0), VIRTIO_RNG_QUEUE_SIZE);
	assert_int_equal(drv.t->queue_max(&drv, 1), 0);
	assert_int_equal(offered, FEATURES_ALL | VIRTIO_F_IN_ORDER);
	assert_int_equal(drv.device, 0); /* no configuration, so no capability for one */
}

static void test_5_4_6_fills_buffers(void **state)
{
	const struct vdrv_buf bufs[] = {{RIG_BYTES_BASE, 7}, {RIG_BYTES_BASE + 9, 20}};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN | VIRTIO_F_IN_ORDER);
	assert_int_equal(request(bufs, 0, 2), 27);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(*vrig.bytes[i] != 0, i < 7 || (i >= 9 && i < 29));
}

static void test_5_4_6_bounded(void **state)
{
	const struct vdrv_buf big = {RIG_RAM_BASE + 0x10000, 0x20000};
	uint8_t *p = vdrv_at(&drv, big.gpa, big.len);

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(request(&big, 0, 1), VIRTIO_RNG_MAX_BYTES);
	assert_int_equal(source.given, VIRTIO_RNG_MAX_BYTES);
	assert_int_equal(p[VIRTIO_RNG_MAX_BYTES], 0);
	assert_int_not_equal(p[VIRTIO_RNG_MAX_BYTES - 1], 0);
}

static void test_5_4_6_readable_only(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x10000, 64};
	const struct vdrv_buf both[] = {{RIG_RAM_BASE + 0x10000, 64}, {RIG_RAM_BASE + 0x20000, 8}};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(request(&buf, 1, 0), 0);
	assert_int_equal(source.calls, 0);
	assert_int_equal(request(both, 1, 1), 8);
	assert_int_equal(*vdrv_at(&drv, buf.gpa, 1), 0);
	assert_false(needs_reset());
}

static void test_slow_source(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x10000, 100};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	source.at_once = 3;
	source.interrupted = 5;
	assert_int_equal(request(&buf, 0, 1), 100);
}

static void test_source_fails(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x10000, 100};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	source.error = -ENOSYS;
	vdrv_add(&drv, 0, &buf, 0, 1, false);
	vdrv_kick(&drv, 0);
	assert_true(needs_reset());
	assert_int_equal(*vdrv_at(&drv, buf.gpa, 1), 0);
}

/* used.len covers what was filled without a gap. */
static void test_source_runs_dry(void **state)
{
	const struct vdrv_buf bufs[] = {{RIG_RAM_BASE + 0x10000, 10}, {RIG_RAM_BASE + 0x10100, 10}};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	source.at_once = 4;
	source.good_calls = 2;
	assert_int_equal(request(bufs, 0, 2), 8);
	assert_int_equal(*vdrv_at(&drv, bufs[1].gpa, 1), 0);
	assert_false(needs_reset());
}

static void test_whole_queue(void **state)
{
	(void)state;
	vdrv_start(&drv, FEATURES_ALL | VIRTIO_F_IN_ORDER);
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < VIRTIO_RNG_QUEUE_SIZE; i++)
			vdrv_add(&drv, 0, &(struct vdrv_buf){RIG_RAM_BASE + 0x10000, 9}, 0, 1,
				false);
		vdrv_kick(&drv, 0);
		for (unsigned int i = 0; i < VIRTIO_RNG_QUEUE_SIZE; i++)
			assert_int_not_equal(vdrv_get(&drv, 0, NULL), VDRV_NO_HEAD);
	}
	assert_int_equal(source.given, 50 * VIRTIO_RNG_QUEUE_SIZE * 9);
}

static void test_real_source(void **state)
{
	const struct vdrv_buf buf = {RIG_RAM_BASE + 0x10000, 4096};
	const uint8_t *p = vdrv_at(&drv, buf.gpa, buf.len);
	unsigned int counts[256] = {0};

	(void)state;
	vdrv_start(&drv, FEATURES_PLAIN);
	assert_int_equal(request(&buf, 0, 1), 4096);
	for (unsigned int i = 0; i < 4096; i++)
		counts[p[i]]++;
	/* 16 of each are expected; 80 is sixteen standard deviations away. */
	for (unsigned int i = 0; i < 256; i++)
		assert_true(counts[i] < 80);
}

#define R(f, name, kind)                                                                           \
	{                                                                                          \
#f "/" name, f, set_up, tear_down, (void *)(uintptr_t)(kind)                       \
	}
#define RNG(f)                                                                                     \
	R(f, "mmio", RIG_MMIO), R(f, "pci-intx", RIG_PCI_INTX), R(f, "pci-msix", RIG_PCI_MSIX)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RNG(test_5_4_identity),
		RNG(test_5_4_6_fills_buffers),
		RNG(test_5_4_6_bounded),
		RNG(test_5_4_6_readable_only),
		RNG(test_slow_source),
		RNG(test_source_fails),
		RNG(test_source_runs_dry),
		RNG(test_whole_queue),
		{"test_real_source", test_real_source, set_up_real, tear_down,
			(void *)(uintptr_t)RIG_MMIO},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
