/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct rig vrig;
struct test_device td;
struct vdrv drv;

int fixture_set_up(void **state)
{
	rig_create(&vrig, (enum rig_kind)(uintptr_t)*state);
	td_create(&td, &vrig);
	vdrv_attach(&drv, &vrig);
	return 0;
}

int fixture_tear_down(void **state)
{
	(void)state;
	td.keep_on_stop = false;
	rig_destroy(&vrig);
	assert_int_equal(td.destroys, 1);
	return 0;
}

void fixture_restart(bool loop, bool router)
{
	const enum rig_kind kind = vrig.kind;

	rig_destroy(&vrig);
	rig_create(&vrig, kind);
	if (loop)
		assert_int_equal(event_loop_create(&vrig.loop), 0);
	vrig.with_router = router;
	td_create(&td, &vrig);
	vdrv_attach(&drv, &vrig);
}

bool needs_reset(void)
{
	return drv.t->status(&drv) & VIRTIO_STATUS_NEEDS_RESET;
}

void expect_echo(unsigned int q, uint32_t out, uint32_t in, bool indirect)
{
	const uint64_t brk = drv.brk;
	const struct vdrv_buf bufs[] = {
		{vdrv_alloc(&drv, out, 1), out}, {vdrv_alloc(&drv, in + 1, 1), in}};
	uint8_t *from = vdrv_at(&drv, bufs[0].gpa, out), *to = vdrv_at(&drv, bufs[1].gpa, in + 1);
	uint32_t len = 0;
	int head;

	for (uint32_t i = 0; i < out; i++)
		from[i] = (uint8_t)(i * 7 + q + 1);
	memset(to, 0xee, in + 1);
	head = vdrv_add(&drv, q, bufs, 1, 1, indirect);
	vdrv_kick(&drv, q);
	rig_run(&vrig);
	assert_int_equal(vdrv_get(&drv, q, &len), head);
	assert_int_equal(len, in);
	for (uint32_t i = 0; i < in; i++)
		assert_int_equal(to[i], from[i % out]);
	assert_int_equal(to[in], 0xee);
	assert_int_equal(vdrv_get(&drv, q, &len), VDRV_NO_HEAD);
	drv.brk = brk;
}

void fixture_wait(unsigned int *counter)
{
	for (unsigned int count = 0; !count; usleep(100)) {
		virtio_device_lock(td.vdev);
		count = *counter;
		virtio_device_unlock(td.vdev);
	}
}

void fixture_hold(unsigned int q)
{
	const struct vdrv_buf bufs[] = {{vdrv_alloc(&drv, 8, 1), 8}, {vdrv_alloc(&drv, 8, 1), 8}};

	vdrv_add(&drv, q, bufs, 1, 1, false);
	vdrv_kick(&drv, q);
	rig_run(&vrig);
}
