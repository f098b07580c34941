/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtqueue_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig vqt_host;
struct vdrv vqt_driver;
struct virtqueue *vqt;
atomic_uint vqt_notified;

static void direct_layout(struct vdrv *d, unsigned int q, const struct virtqueue_layout *l)
{
	(void)d;
	(void)q;
	(void)l;
}

static void direct_enable(struct vdrv *d, unsigned int q)
{
	assert_int_equal(virtqueue_enable(vqt, &d->q[q].layout, d->negotiated), 0);
}

static void direct_notify(struct vdrv *d, unsigned int q)
{
	(void)d;
	(void)q;
	atomic_fetch_add(&vqt_notified, 1);
}

/* No transport: the queue's functions are called straight. */
static const struct vdrv_transport direct = {
	.queue_layout = direct_layout, .queue_enable = direct_enable, .notify = direct_notify};

int vqt_set_up(void **state)
{
	(void)state;
	memset(&vqt_host, 0, sizeof(vqt_host));
	rig_create(&vqt_host, RIG_MMIO);
	memset(&vqt_driver, 0, sizeof(vqt_driver));
	vqt_driver.rig = &vqt_host;
	vqt_driver.t = &direct;
	vqt_driver.brk = RIG_RAM_BASE;
	atomic_store(&vqt_notified, 0);
	return virtqueue_create(vqt_host.mem, VQT_MAX, &vqt);
}

int vqt_tear_down(void **state)
{
	(void)state;
	virtqueue_destroy(vqt);
	rig_destroy(&vqt_host);
	return 0;
}

void vqt_start(uint64_t features, uint16_t size)
{
	if (virtqueue_enabled(vqt))
		virtqueue_disable(vqt);
	vqt_driver.negotiated = features;
	vqt_driver.brk = RIG_RAM_BASE;
	vdrv_queue_setup(&vqt_driver, 0, size);
}

struct virtq_chain *vqt_pop(void)
{
	struct virtq_chain *chain = NULL;

	assert_int_equal(virtqueue_pop(vqt, &chain), 1);
	return chain;
}
